//! Sums over all positions.

use super::{Build, Case, check_all};
use crate::rng::Rng;
use resmcu_quantizer::quantized::{Dtype, Profile, QuantizedOp, TensorId};

fn build(input: [usize; 3]) -> Build {
    let mut build = Build::new(Profile::Native, input);
    let op = QuantizedOp::GlobalSum { input: TensorId(0) };
    build.push(op, [1, 1, input[2]], Dtype::I16, 0);
    build
}

pub(super) fn edges() -> Vec<Case> {
    let mut cases = vec![];
    for input in [[1, 1, 1], [16, 16, 3], [1, 256, 2], [7, 7, 5], [8, 8, 64]] {
        let count = input.iter().product();
        for value in [-128, 127] {
            let name = format!("global sum {input:?} of {value}");
            cases.push(build(input).case(name, vec![value; count]));
        }
    }
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(1, 16), rng.size(1, 16), rng.size(1, 20)];
    build(input).random_case(format!("global sum {input:?}"), &mut rng)
}

#[test]
fn global_sums_are_the_oracles() {
    check_all(&edges(), 200, random);
}
