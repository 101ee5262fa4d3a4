//! Means over all positions.

use super::{Build, Case, check_all, random_channels, random_clamp};
use crate::rng::Rng;
use resmcu_quantizer::quantized::{Channels, Dtype, Profile, QuantizedOp, TensorId};

fn build(input: [usize; 3], constants: Channels, clamp: [i8; 2], zero: i16) -> Build {
    let profile = match constants {
        Channels::Native(_) => Profile::Native,
        Channels::Tflite(_) => Profile::Tflite,
    };
    let mut build = Build::new(profile, input);
    let op = QuantizedOp::GlobalMean { input: TensorId(0), constants, clamp };
    build.push(op, [1, 1, input[2]], Dtype::I8, zero);
    build
}

/// The same by the sums over all positions.
fn of_sums(rng: &mut Rng, profile: Profile, input: [usize; 3]) -> Case {
    let mut build = Build::new(profile, input);
    let shape = [1, 1, input[2]];
    build.push(QuantizedOp::GlobalSum { input: TensorId(0) }, shape, Dtype::I16, 0);
    let (constants, clamp) = (constants(rng, profile, input), [-128, 127]);
    let name = format!("global mean of sums of {input:?}, {constants:?}");
    let op = QuantizedOp::GlobalMean { input: TensorId(1), constants, clamp };
    build.push(op, shape, Dtype::I8, 7);
    build.random_case(name, rng)
}

fn constants(rng: &mut Rng, profile: Profile, [height, width, _]: [usize; 3]) -> Channels {
    random_channels(rng, profile, 1, 128 * (height * width) as i64)
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0x3EA);
    let mut cases = vec![];
    for input in [[1, 1, 1], [1, 1, 7], [17, 17, 3], [255, 257, 1], [2, 3, 5]] {
        let count: usize = input.iter().product();
        for profile in [Profile::Native, Profile::Tflite] {
            let constants = constants(&mut rng, profile, input);
            if input[0] * input[1] <= 256 {
                cases.push(of_sums(&mut rng, profile, input));
            }
            for value in [-128, 127] {
                let name = format!("global mean {input:?} of {value}, {constants:?}");
                let build = build(input, constants.clone(), [-128, 127], -5);
                cases.push(build.case(name, vec![value; count]));
            }
        }
    }
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(1, 20), rng.size(1, 20), rng.size(1, 12)];
    let profile = rng.pick(&[Profile::Native, Profile::Tflite]);
    let constants = constants(&mut rng, profile, input);
    let (clamp, zero) = (random_clamp(&mut rng), rng.range(-128, 127) as i16);
    build(input, constants, clamp, zero).random_case(format!("global mean {input:?}"), &mut rng)
}

#[test]
fn global_means_are_the_oracles() {
    check_all(&edges(), 300, random);
}
