//! Means over all positions.

use super::{Build, Case, check_all, random_clamp, random_native};
use crate::rng::Rng;
use resmcu_int8_kernels::requantize::NativeChannel;
use resmcu_quantizer::quantized::{Profile, QuantizedOp, TensorId};

fn build(input: [usize; 3], constants: NativeChannel, clamp: [i8; 2]) -> Build {
    let mut build = Build::new(Profile::Native, input);
    let op = QuantizedOp::GlobalMean { input: TensorId(0), constants, clamp };
    build.push_i8(op, [1, 1, input[2]]);
    build
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0x3EA);
    let mut cases = vec![];
    for input in [[1, 1, 1], [1, 1, 7], [17, 17, 3], [255, 257, 1], [2, 3, 5]] {
        let count: usize = input.iter().product();
        let constants = random_native(&mut rng, 128 * (input[0] * input[1]) as i64);
        for value in [-128, 127] {
            let name = format!("global mean {input:?} of {value}, {constants:?}");
            cases.push(build(input, constants, [-128, 127]).case(name, vec![value; count]));
        }
    }
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(1, 20), rng.size(1, 20), rng.size(1, 12)];
    let constants = random_native(&mut rng, 128 * (input[0] * input[1]) as i64);
    let clamp = random_clamp(&mut rng);
    build(input, constants, clamp).random_case(format!("global mean {input:?}"), &mut rng)
}

#[test]
fn global_means_are_the_oracles() {
    check_all(&edges(), 300, random);
}
