//! Shortcut option A.

use super::{Build, Case, check_all};
use crate::rng::Rng;
use resmcu_quantizer::quantized::{Dtype, Profile, QuantizedOp, TensorId};

fn case(
    rng: &mut Rng,
    input: [usize; 3],
    stride: usize,
    [before, after]: [usize; 2],
    zero: i16,
) -> Case {
    let mut build = Build::new(Profile::Native, input);
    let op = QuantizedOp::SubsamplePad { input: TensorId(0), stride, channels_before: before };
    let channels = before + input[2] + after;
    let shape = [input[0].div_ceil(stride), input[1].div_ceil(stride), channels];
    build.push(op, shape, Dtype::I8, zero);
    build.random_case(
        format!("subsample {input:?} by {stride}, {before} before, {after} after"),
        rng,
    )
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0x5B);
    vec![
        case(&mut rng, [1, 1, 1], 1, [0, 0], 0),
        case(&mut rng, [1, 1, 1], 255, [1, 2], -128),
        case(&mut rng, [8, 8, 16], 2, [8, 8], 127),
        case(&mut rng, [7, 5, 3], 2, [1, 0], -1),
        case(&mut rng, [5, 7, 2], 3, [0, 5], 3),
    ]
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(1, 9), rng.size(1, 9), rng.size(1, 9)];
    let (stride, around) = (rng.size(1, 4), [rng.size(0, 5), rng.size(0, 5)]);
    let zero = rng.range(-128, 127) as i16;
    case(&mut rng, input, stride, around, zero)
}

#[test]
fn subsampling_is_the_oracles() {
    check_all(&edges(), 200, random);
}
