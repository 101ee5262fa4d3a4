//! `lanes8.s`, `fully_connected.s`, `add.s`: VWMACC of int16 lanes, and the fixed-point roundings.
//! `VSSRA` is what `armv81m_mve` models, and so is the rounding of the add.

use super::armv81m_mve::{add_round, shift_right_rounding};
use super::*;
use crate::requantize::doubling_high_mul;

/// Lanes of int16, where vectors have 128 bits.
const LANES: usize = 32;

/// `resmcu_fully_connected` of one output: lanes behind the last input keep their sums (`tu`),
/// which VREDSUM adds up.
fn fully_connected(x: &[i16], weights: &[i8]) -> i32 {
    let mut sums = [0_i32; LANES];
    for (x, weights) in x.chunks(LANES).zip(weights.chunks(LANES)) {
        for (sum, (&x, &w)) in sums.iter_mut().zip(x.iter().zip(weights)) {
            *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
        }
    }
    sums.into_iter().fold(0, i32::wrapping_add)
}

#[test]
fn sums_of_lanes_are_those_of_the_definition() {
    let random = &mut Random::new(13);
    for inputs in [1, 31, 32, 33, 64, 100] {
        let weights = random.bytes(inputs);
        let x: Vec<i16> = random.bytes(inputs).iter().map(|&x| i16::from(x) * 254).collect();
        let expected: i32 =
            x.iter().zip(&weights).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum();
        assert_eq!(fully_connected(&x, &weights), expected, "{inputs} inputs");
    }
}

/// `VSMUL` with `vxrm` 0: `a b / 2^31`, a half up, saturated.
fn vsmul(a: i32, b: i32) -> i32 {
    let product = i64::from(a) * i64::from(b);
    ((i128::from(product) + (1 << 30)) >> 31).min(i32::MAX.into()) as i32
}

#[test]
fn fixed_point_instructions_are_gemmlowps() {
    for v in values(14) {
        assert_eq!(narrow_twice(v), saturate(v));
        for m in [0, 1, 1 << 30, i32::MAX] {
            assert_eq!(vsmul(v, m), doubling_high_mul(v, m), "{v} times {m}");
        }
    }
    // A half rounds away from zero once one is taken from what is negative.
    assert_eq!([-3, -2, -1, 1, 2, 3].map(|v| add_round(v, 1)), [-2, -1, -1, 1, 1, 2]);
    assert_eq!([-3, -1, 1].map(|v| shift_right_rounding(v, 1)), [-1, 0, 1]);
}

/// `lanes8_below_zero` under its mask, then VSRA by the last word as it is.
#[test]
fn masked_lanes_round_as_the_header_says() {
    check_tflite(|t, scale, last| {
        let high = smmul(t, scale);
        let high = if high < 0 { high.wrapping_sub(32) } else { high };
        let sum = high.wrapping_add((last & !31).wrapping_add(16).cast_signed());
        narrow_twice(sum.wrapping_shr(last))
    });
}
