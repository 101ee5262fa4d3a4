//! The passes in plain Rust, word for word what the assembly computes: for cores that have none,
//! and for the host, where tests see it.

pub(crate) mod direct16;
pub(crate) mod winograd4;

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
