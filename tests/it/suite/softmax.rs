//! Softmax of the profile `tflite`.

use super::{Build, Case, check_all};
use crate::oracle;
use crate::oracle::softmax::{STEPS_OFF_MAX, softmax_real};
use crate::rng::Rng;
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_quantizer::quantized::{Profile, QuantizedOp, TensorId};

/// What a converter makes of a shift and a multiplier: differences that leave 5 bits are cut off.
fn scale(multiplier: i32, shift: u8) -> SoftmaxScale {
    let radius = (31_i64 << 26) >> shift;
    SoftmaxScale { multiplier, shift, difference_min: -(radius as i32) }
}

fn build(classes: usize, scale: SoftmaxScale) -> Build {
    let mut build = Build::new(Profile::Tflite, [1, 1, classes]);
    let op = QuantizedOp::Softmax { input: TensorId(0), scale };
    build.push(op, [1, 1, classes], resmcu_quantizer::quantized::Dtype::I8, -128);
    build
}

pub(super) fn edges() -> Vec<Case> {
    let mut cases = vec![];
    for (multiplier, shift) in
        [(1 << 30, 19), (i32::MAX, 31), (1 << 30, 1), (1_476_211_111, 24), (1_800_000_000, 27)]
    {
        let scale = scale(multiplier, shift);
        for classes in [1, 2, 3, 10, 256] {
            let ramp = (0..classes).map(|c| (c as i64 - 128).min(127) as i8).collect();
            cases.push(build(classes, scale).case(format!("softmax ramp, {scale:?}"), ramp));
        }
        let extremes = (0..10).map(|c| if c % 3 == 0 { 127 } else { -128 }).collect();
        cases.push(build(10, scale).case(format!("softmax extremes, {scale:?}"), extremes));
        // Sums around 256 and 512, where the last shift reaches 31 and leaves an int32.
        for classes in [256, 300, 511, 512, 600, 4095] {
            let name = format!("softmax of {classes} equal ones, {scale:?}");
            cases.push(build(classes, scale).case(name, vec![7; classes]));
        }
    }
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let multiplier = rng.range(1 << 30, (1 << 31) - 1) as i32;
    let scale = scale(multiplier, rng.range(1, 31) as u8);
    let classes = rng.size(1, 40);
    build(classes, scale).random_case(format!("softmax of {classes}, {scale:?}"), &mut rng)
}

#[test]
fn softmaxes_are_the_oracles() {
    check_all(&edges(), 500, random);
}

#[test]
fn the_fixed_point_softmax_is_near_the_real_one() {
    for seed in 1..=2000 {
        let mut rng = Rng::new(seed);
        let (multiplier, shift) =
            (rng.range(1 << 30, (1 << 31) - 1) as i32, rng.range(14, 27) as u8);
        let scale = scale(multiplier, shift);
        let step = f64::from(multiplier) / 2_f64.powi(31) * 2_f64.powi(i32::from(shift) - 26);
        let classes = rng.size(1, 30);
        let x = rng.i8s(classes);
        let real = softmax_real(&x, step);
        for (q, real) in oracle::softmax(&x, &scale).into_iter().zip(real) {
            let off = (f64::from(q) + 128.0 - real.min(255.0)).abs();
            assert!(off <= STEPS_OFF_MAX, "seed {seed}: {q}, really {real}");
        }
    }
}
