//! From an accumulator to the next tensor: the only place that rounds.
//!
//! Two arithmetics, of which a model uses one throughout: [`Native`] (one multiply by 15 bits, one
//! floor) and [`Tflite`] (TensorFlow Lite's double rounding). Both are specified in the README.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Largest absolute value that the native accumulator may take, skip and bias included: twice as
/// much is an int32.
pub const NATIVE_ACCUMULATOR_MAX: u32 = (1 << 30) - 1;

/// Largest absolute value that the accumulator of the profile `tflite` may take.
pub const TFLITE_ACCUMULATOR_MAX: u32 = i32::MAX as u32;

/// What becomes of a convolution's accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// [`Native`].
    Native = 0,
    /// [`NativeJoin`].
    NativeJoin = 1,
    /// [`Tflite`].
    Tflite = 2,
}

/// Turns an accumulator into an element of the output.
pub trait Requantize: Copy {
    /// The constants of one output channel, read in place from flash.
    type Channel: FromBytes + Immutable + KnownLayout;

    /// Requantizes `accumulator` into `y`, which holds the residual where one is joined.
    fn requantize(&self, accumulator: i32, channel: &Self::Channel, y: &mut i8);
}

/// Constants of one output channel in the profile `native`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NativeChannel {
    /// Bias, input and output zero points, and the half of the rounding.
    pub bias: i32,
    /// `R`, the weight of the residual, 0 to 2^23 - 1.
    pub skip_multiplier: i32,
    /// `m`, 0 to 32767.
    pub multiplier: i16,
    /// `j`, the left shift of the convolution's sum, at most 15.
    pub pre_shift: u8,
    /// `e`, the right shift after the multiply, at most 31.
    pub post_shift: u8,
}

/// The largest weight of a residual, so that its product with an int8 stays below 2^30.
pub const NATIVE_SKIP_MAX: i32 = (1 << 23) - 1;

/// The largest `pre_shift`.
pub const NATIVE_PRE_SHIFT_MAX: u8 = 15;

/// The largest `post_shift`.
pub const NATIVE_POST_SHIFT_MAX: u8 = 31;

impl NativeChannel {
    /// Whether every constant is inside its limits.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.multiplier >= 0
            && (0..=NATIVE_SKIP_MAX).contains(&self.skip_multiplier)
            && self.pre_shift <= NATIVE_PRE_SHIFT_MAX
            && self.post_shift <= NATIVE_POST_SHIFT_MAX
    }

    /// `(t * m) >> (16 + e)`, floor, with `t = (accumulator << j) + bias`.
    #[inline]
    #[must_use]
    pub fn scale(&self, accumulator: i32) -> i32 {
        let t = accumulator.wrapping_shl(self.pre_shift.into()).wrapping_add(self.bias);
        self.scale_joined(t)
    }

    /// The same with the residual: `t = (accumulator << j) + bias + R * skip`.
    #[inline]
    fn scale_with_skip(&self, accumulator: i32, skip: i8) -> i32 {
        let t = accumulator.wrapping_shl(self.pre_shift.into()).wrapping_add(self.bias);
        self.scale_joined(t.wrapping_add(self.skip_multiplier.wrapping_mul(skip.into())))
    }

    /// `m * 2^(16 - e)`: the requantization is then the upper half of one product of 32 bits,
    /// `(t * scale_32) >> 32`. Needs `e <= 16`.
    #[must_use]
    pub fn scale_32(&self) -> i32 {
        i32::from(self.multiplier) << 16_u8.saturating_sub(self.post_shift)
    }

    #[inline]
    fn scale_joined(&self, t: i32) -> i32 {
        multiply_high_15(t, self.multiplier).wrapping_shr(self.post_shift.into())
    }
}

/// `(t * m) >> 16`, floor, for `0 <= m < 2^15`; exact for every `t`.
///
/// Where a core multiplies 32 by 32 bits into 64, the upper half of `t * (m << 16)` is it.
#[cfg(not(all(target_arch = "arm", not(target_has_atomic = "32"))))]
#[inline]
pub(crate) fn multiply_high_15(t: i32, m: i16) -> i32 {
    ((i64::from(t) * (i64::from(m) << 16)) >> 32) as i32
}

/// `(t * m) >> 16`, floor, for `0 <= m < 2^15`; exact for every `t`.
///
/// For `Armv6-M`, the one Arm core without atomics and without a long multiply: two products of 31
/// bits. With `t = 2^16 h + l`, `0 <= l < 2^16`: `(t m) >> 16 = h m + (l m >> 16)`.
#[cfg(all(target_arch = "arm", not(target_has_atomic = "32")))]
#[inline]
pub(crate) fn multiply_high_15(t: i32, m: i16) -> i32 {
    let (high, low) = (t >> 16, (t & 0xffff) as u32);
    let m = i32::from(m);
    (high * m).wrapping_add(((low * m as u32) >> 16) as i32)
}

/// `(t * m) >> 32`, floor, for `0 <= m < 2^31`; exact for every `t`.
#[cfg(not(all(target_arch = "arm", not(target_has_atomic = "32"))))]
#[inline]
pub(crate) fn multiply_high_31(t: i32, m: i32) -> i32 {
    ((i64::from(t) * i64::from(m)) >> 32) as i32
}

#[cfg(all(target_arch = "arm", not(target_has_atomic = "32")))]
pub(crate) use multiply_high_31_by_halves as multiply_high_31;

/// `(t * m) >> 32`, floor, for `0 <= m < 2^31`; exact for every `t`.
///
/// For `Armv6-M`: four products of 32 bits. With `t = 2^16 h + l` and `m = 2^16 g + k` it is
/// `h g + (h k + l g + (l k >> 16) >> 16)`, of which the sum in brackets takes 33 bits: its first
/// and last term are below 2^31 together, and what they carry is added apart.
#[cfg(any(test, all(target_arch = "arm", not(target_has_atomic = "32"))))]
#[inline]
pub(crate) fn multiply_high_31_by_halves(t: i32, m: i32) -> i32 {
    let (h, l) = (t >> 16, t & 0xffff);
    let (g, k) = (m >> 16, m & 0xffff);
    let low = l.cast_unsigned().wrapping_mul(k.cast_unsigned()) >> 16;
    let first = h.wrapping_mul(k).wrapping_add(low.cast_signed());
    let second = (first & 0xffff).wrapping_add(l.wrapping_mul(g));
    h.wrapping_mul(g).wrapping_add(first >> 16).wrapping_add(second >> 16)
}

/// The profile `native` without a residual.
#[derive(Clone, Copy, Debug)]
pub struct Native {
    /// Smallest and largest result; `low <= high`.
    pub clamp: [i8; 2],
}

impl Requantize for Native {
    type Channel = NativeChannel;

    #[inline]
    fn requantize(&self, accumulator: i32, channel: &NativeChannel, y: &mut i8) {
        *y = clamp(channel.scale(accumulator), self.clamp);
    }
}

/// The profile `native` with the residual joined in place: the output holds it before.
#[derive(Clone, Copy, Debug)]
pub struct NativeJoin {
    /// Smallest and largest result; `low <= high`.
    pub clamp: [i8; 2],
}

impl Requantize for NativeJoin {
    type Channel = NativeChannel;

    #[inline]
    fn requantize(&self, accumulator: i32, channel: &NativeChannel, y: &mut i8) {
        *y = clamp(channel.scale_with_skip(accumulator, *y), self.clamp);
    }
}

/// Constants of one output channel in the profile `tflite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TfliteChannel {
    /// Bias and input zero point.
    pub bias: i32,
    /// Q31, not negative.
    pub multiplier: i32,
    /// Left shift if positive, -31 to 30.
    pub shift: i32,
}

impl TfliteChannel {
    /// Whether every constant is inside its limits.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.multiplier >= 0 && (-31..=30).contains(&self.shift)
    }
}

/// The profile `tflite`.
#[derive(Clone, Copy, Debug)]
pub struct Tflite {
    /// Of the output.
    pub zero_point: i16,
    /// Smallest and largest result; `low <= high`.
    pub clamp: [i8; 2],
}

impl Requantize for Tflite {
    type Channel = TfliteChannel;

    #[inline]
    fn requantize(&self, accumulator: i32, channel: &TfliteChannel, y: &mut i8) {
        let a = accumulator.wrapping_add(channel.bias);
        let q = multiply_by_quantized_multiplier(a, channel.multiplier, channel.shift);
        // Clamped before the zero point is added, so that the sum is exact for every `q`.
        let zero = i32::from(self.zero_point);
        let [low, high] = self.clamp.map(|end| i32::from(end) - zero);
        *y = (q.max(low).min(high) + zero) as i8;
    }
}

/// TensorFlow Lite's `MultiplyByQuantizedMultiplier` with double rounding; `multiplier` is not
/// negative.
// On `Armv6-M`, where it calls a function anyway, it is one: its flash is scarce.
#[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
#[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
#[must_use]
pub fn multiply_by_quantized_multiplier(x: i32, multiplier: i32, shift: i32) -> i32 {
    #[cfg(all(target_arch = "arm", not(target_has_atomic = "32")))]
    use doubling_high_mul_by_halves as doubling_high_mul;
    let x = x.wrapping_shl(shift.max(0).unsigned_abs());
    rounding_divide_by_pot(doubling_high_mul(x, multiplier), shift.min(0).unsigned_abs())
}

/// [`doubling_high_mul`] for `b >= 0`, for `Armv6-M`: five products of 32 bits.
///
/// Below zero it divides `p + 1 - 2^30` by `2^31` towards zero, which is `floor((p + 2^30) / 2^31)`
/// as it is above. Of `p = 2^32 h + l` that is `2 h + floor((l + 2^30) / 2^31)`.
#[cfg(any(test, all(target_arch = "arm", not(target_has_atomic = "32"))))]
#[inline]
fn doubling_high_mul_by_halves(a: i32, b: i32) -> i32 {
    let low = a.wrapping_mul(b).cast_unsigned();
    let rounded = ((low >> 30) + 1) >> 1;
    multiply_high_31_by_halves(a, b).wrapping_mul(2).wrapping_add(rounded.cast_signed())
}

/// gemmlowp's `SaturatingRoundingDoublingHighMul`: `round(a * b / 2^31)`, ties towards zero below
/// zero and up above; `i32::MIN * i32::MIN` saturates.
#[inline]
#[must_use]
pub fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = i64::from(a) * i64::from(b);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    // A division by 2^31 that truncates, as gemmlowp's.
    ((product + nudge) / (1 << 31)) as i32
}

/// gemmlowp's `RoundingDivideByPOT`: `x / 2^exponent`, half away from zero; `exponent <= 31`.
#[inline]
#[must_use]
pub fn rounding_divide_by_pot(x: i32, exponent: u32) -> i32 {
    let mask = ((1_u32 << (exponent & 31)) - 1).cast_signed();
    let threshold = (mask >> 1) + i32::from(x < 0);
    x.wrapping_shr(exponent) + i32::from((x & mask) > threshold)
}

#[inline]
pub(crate) fn clamp(q: i32, [low, high]: [i8; 2]) -> i8 {
    // Not `Ord::clamp`, which panics where the ends are swapped; the result fits int8.
    q.max(low.into()).min(high.into()) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_scale_is_the_floor_of_the_product() {
        let extremes = [i32::MIN >> 1, -65_537, -65_536, -1, 0, 1, 65_535, 65_536, 1 << 30];
        for t in extremes {
            for (multiplier, post_shift) in [(0, 0), (1, 0), (16_384, 3), (32_767, 15)] {
                let c = NativeChannel {
                    bias: 0,
                    multiplier,
                    skip_multiplier: 0,
                    pre_shift: 0,
                    post_shift,
                };
                let exact = f64::from(t) * f64::from(multiplier);
                let expected = (i64::from(t) * i64::from(multiplier)) >> (16 + post_shift);
                assert!((exact as i64) == i64::from(t) * i64::from(multiplier));
                assert_eq!(
                    i64::from(c.scale(t)),
                    expected,
                    "t {t}, m {multiplier}, e {post_shift}"
                );
            }
        }
    }

    #[test]
    fn four_short_products_are_a_long_one() {
        // Products of powers of two are ties of the rounding.
        let powers = [0x4000, 0x1_0000, 0x4000_0000];
        let ends = [0, 1, 2, 3, 0x7fff, 0x8000, 0xffff, 0x7fff_0000, 0x7fff_ffff];
        let all = || ends.into_iter().chain(powers);
        let negative = all().flat_map(|end: i32| [!end, -end]);
        for t in all().chain(negative) {
            for m in all() {
                let expected = (i64::from(t) * i64::from(m)).div_euclid(1 << 32);
                assert_eq!(i64::from(multiply_high_31_by_halves(t, m)), expected, "{t} times {m}");
                let rounded = doubling_high_mul(t, m);
                assert_eq!(doubling_high_mul_by_halves(t, m), rounded, "{t} times {m}, rounded");
            }
        }
    }

    #[test]
    fn double_rounding_is_gemmlowps() {
        // (x, multiplier, shift, result), by hand from the definitions.
        let cases = [
            (1, 1 << 30, 0, 1),    // 0.5 rounds up
            (-1, 1 << 30, 0, 0),   // -0.5 rounds to zero in the first rounding
            (3, 1 << 30, -1, 1),   // 1.5 to 2, then 1 exactly
            (-3, 1 << 30, -1, -1), // -1.5 to -1, then -0.5 away from zero
            (i32::MIN, i32::MAX, 0, i32::MIN + 1),
            (5, i32::MAX, 2, 20),
            (1 << 30, 1 << 30, -31, 0),
        ];
        for (x, multiplier, shift, expected) in cases {
            let got = multiply_by_quantized_multiplier(x, multiplier, shift);
            assert_eq!(got, expected, "x {x}, multiplier {multiplier}, shift {shift}");
        }
        assert_eq!(doubling_high_mul(i32::MIN, i32::MIN), i32::MAX);
    }
}
