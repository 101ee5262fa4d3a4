//! Safe models of the DSP instructions that packed kernels are written in: two int16 lanes in a
//! word, sums modulo 2^32.

/// Two int16 in a word: `low` in the lower half.
pub(crate) fn int16_pair(low: i32, high: i32) -> u32 {
    u32::from(low as u16) | u32::from(high as u16) << 16
}

/// `SMLAD`: `sum + a.low * b.low + a.high * b.high`.
#[inline]
pub(crate) fn dual_multiply_accumulate(a: u32, b: u32, sum: i32) -> i32 {
    let low = i32::from(a as i16).wrapping_mul(i32::from(b as i16));
    let high = i32::from((a >> 16) as i16).wrapping_mul(i32::from((b >> 16) as i16));
    sum.wrapping_add(low).wrapping_add(high)
}

/// `SMMUL` and `SSAT #8`: `(t * scale) >> 32`, floor, clamped to int8.
#[inline]
pub(crate) fn scale_and_saturate(t: i32, scale: i32) -> i8 {
    let q = (i64::from(t) * i64::from(scale)) >> 32;
    q.clamp(-128, 127) as i8
}

/// `SXTB16` of a word of four int8, and of the word rotated by eight: bytes 0 and 2, and 1 and 3.
#[inline]
pub(crate) fn widen(word: u32) -> [u32; 2] {
    let lane = |at: u32| i32::from((word >> at) as i8);
    [int16_pair(lane(0), lane(16)), int16_pair(lane(8), lane(24))]
}
