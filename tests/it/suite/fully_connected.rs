//! Classifiers: both profiles, over int8 and over int16 sums.

use super::{Build, Case, check_all, random_channels, random_clamp, random_weights};
use crate::rng::Rng;
use resmcu_quantizer::quantized::{Dtype, Profile, QuantizedOp, TensorId};

fn classifier(
    rng: &mut Rng,
    profile: Profile,
    sums: bool,
    input: [usize; 3],
    outputs: usize,
) -> Case {
    let mut build = Build::new(profile, input);
    let positions = (input[0] * input[1]) as i64;
    let (x, x_max) = if sums {
        let sum = QuantizedOp::GlobalSum { input: TensorId(0) };
        (build.push(sum, [1, 1, input[2]], Dtype::I16, 0), 128 * positions)
    } else {
        (TensorId(0), 128)
    };
    let inputs: usize = build.shape(x).iter().product();
    let weights = random_weights(rng, inputs * outputs);
    let channels = random_channels(rng, profile, outputs, x_max * 128 * inputs as i64);
    let clamp = random_clamp(rng);
    let op = QuantizedOp::FullyConnected { input: x, weights, channels, clamp };
    let (dtype, zero_point) = match profile {
        Profile::Native => (Dtype::I32, 0),
        Profile::Tflite => (Dtype::I8, rng.pick(&[-128, 127, 0, 24])),
    };
    build.push(op, [1, 1, outputs], dtype, zero_point);
    let name = format!("{profile:?} fully connected {input:?} to {outputs}, sums {sums}");
    build.random_case(name, rng)
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0xFC);
    // Beside the least, the ends of vectors and of unrolled loops, at any address.
    let shapes = [
        ([1, 1, 1], 1),
        ([1, 1, 64], 10),
        ([3, 2, 5], 7),
        ([1, 1, 13], 4),
        ([1, 1, 3], 33),
        ([1, 1, 8], 2),
        ([1, 1, 15], 5),
        ([1, 1, 36], 3),
        ([2, 3, 17], 8),
    ];
    let mut cases = vec![];
    for (input, outputs) in shapes {
        for profile in [Profile::Native, Profile::Tflite] {
            cases.push(classifier(&mut rng, profile, false, input, outputs));
        }
        cases.push(classifier(&mut rng, Profile::Native, true, input, outputs));
    }
    cases.push(classifier(&mut rng, Profile::Native, true, [16, 16, 3], 5)); // sums of 256
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let profile = rng.pick(&[Profile::Native, Profile::Tflite]);
    let sums = profile == Profile::Native && rng.one_in(2);
    let input = [rng.size(1, 8), rng.size(1, 8), rng.size(1, 40)];
    let outputs = rng.size(1, 20);
    classifier(&mut rng, profile, sums, input, outputs)
}

#[test]
fn classifiers_are_the_oracles() {
    check_all(&edges(), 400, random);
}
