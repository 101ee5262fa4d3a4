//! Both roundings, from their definitions.

use resmcu_int8_kernels::requantize::{NativeChannel, TfliteChannel};

/// `floor(t * m / 2^(16 + e))` with `t = a * 2^j + bias + R * skip`, which has to fit the bound
/// that a writer proves.
pub(super) fn native(a: i64, skip: i64, c: &NativeChannel) -> i64 {
    let t = i128::from(a) * (1 << c.pre_shift)
        + i128::from(c.bias)
        + i128::from(c.skip_multiplier) * i128::from(skip);
    assert!(t.abs() < 1 << 30, "the case leaves the proven range: t = {t}");
    let divisor = 1_i128 << (16 + c.post_shift);
    i64::try_from((t * i128::from(c.multiplier)).div_euclid(divisor)).unwrap()
}

/// `z + rdpot(srdhm((a + bias) << max(shift, 0), m), max(-shift, 0))`.
pub(super) fn tflite(a: i64, c: &TfliteChannel, zero_point: i16) -> i64 {
    let sum = a + i64::from(c.bias);
    assert!(i32::try_from(sum).is_ok(), "the case leaves the proven range: {sum}");
    rescale(sum, c.multiplier, c.shift) + i64::from(zero_point)
}

/// `rdpot(srdhm(v << max(shift, 0), m), max(-shift, 0))`; the shift left wraps at 32 bits.
pub(super) fn rescale(v: i64, multiplier: i32, shift: i32) -> i64 {
    let shifted = wrapped(i128::from(v) << shift.max(0));
    rounded(srdhm(shifted, multiplier.into()), (-shift).max(0).unsigned_abs())
}

/// The lower 32 bits, as a number with a sign.
fn wrapped(v: i128) -> i64 {
    i64::try_from((v + (1 << 31)).rem_euclid(1 << 32) - (1 << 31)).unwrap()
}

/// `2 a b / 2^32`, rounded to nearest; saturated where both are the least.
pub(super) fn srdhm(a: i64, b: i64) -> i64 {
    let product = i128::from(a) * i128::from(b);
    let nudge: i128 = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    let quotient = (product + nudge) / (1 << 31); // truncated
    i64::try_from(quotient.min((1 << 31) - 1)).unwrap()
}

/// `v / 2^exponent`, to nearest, half away from zero.
pub(super) fn rounded(v: i64, exponent: u32) -> i64 {
    let (magnitude, divisor) = (i128::from(v).abs(), 1_i128 << exponent);
    let quotient = (2 * magnitude + divisor) / (2 * divisor);
    i64::try_from(if v < 0 { -quotient } else { quotient }).unwrap()
}
