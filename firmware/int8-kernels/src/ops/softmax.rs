//! Softmax of the profile `tflite`: class probabilities in int8, scale 1/256, zero point -128.
//!
//! gemmlowp's fixed-point exponential and reciprocal, as TensorFlow Lite's int8 reference uses
//! them. A number `Fk` below is an int32 with `k` integer bits and `31 - k` fractional ones.

use crate::requantize::{doubling_high_mul, rounding_divide_by_pot};

/// Integer bits of a scaled difference.
const DIFFERENCE_BITS: u32 = 5;

/// Integer bits of the sum of exponentials.
const SUM_BITS: u32 = 12;

/// The most classes: each adds up to 2^19 to the sum, which ends below 2^31.
pub const CLASSES_MAX: u16 = 4095;

/// Scaling of the input's differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxScale {
    /// Q31 multiplier, not negative.
    pub multiplier: i32,
    /// Left shift, at most 31.
    pub shift: u8,
    /// Differences below it have probability zero; -255 at the least has an effect.
    pub difference_min: i32,
}

impl SoftmaxScale {
    /// The exponential (F0) of a difference from the largest value; none if it is too small.
    fn exponential(&self, difference: i32) -> Option<i32> {
        let scaled = || {
            let shifted = difference.wrapping_shl(self.shift.into());
            exponential_of_negative(doubling_high_mul(shifted, self.multiplier))
        };
        (difference >= self.difference_min).then(scaled)
    }
}

/// `y[c] = 256 * exp(x[c]) / sum exp(x) - 128`, saturated at 127.
///
/// `x`, `y`: `[C]` int8; at most [`CLASSES_MAX`] channels.
pub fn softmax_s8(x: &[i8], scale: &SoftmaxScale, y: &mut [i8]) {
    debug_assert_eq!(x.len(), y.len());
    let largest = x.iter().copied().max().unwrap_or(0);
    let exponential = |x: i8| scale.exponential(i32::from(x) - i32::from(largest));
    let terms = x.iter().filter_map(|&x| exponential(x));
    let sum = terms.fold(0_i32, |sum, e| sum.wrapping_add(rounding_divide_by_pot(e, SUM_BITS)));
    let (reciprocal, bits_over_unit) = reciprocal(sum);
    for (y, &x) in y.iter_mut().zip(x) {
        *y = exponential(x).map_or(i8::MIN, |e| {
            let exponent = (bits_over_unit + 31 - 8).max(0).unsigned_abs();
            let scaled = doubling_high_mul(reciprocal, e);
            // From a sum of 512 on every probability is below half a step.
            let probability =
                if exponent > 31 { 0 } else { rounding_divide_by_pot(scaled, exponent) };
            probability.saturating_sub(128).clamp(-128, 127) as i8
        });
    }
}

/// gemmlowp's `GetReciprocal`: `1 / x` for `x` with [`SUM_BITS`] integer bits, as F0 and the bits
/// by which `x` is larger than 1.
fn reciprocal(x: i32) -> (i32, i32) {
    let headroom = x.leading_zeros();
    let mantissa = (x as u32).checked_shl(headroom).unwrap_or(0).wrapping_sub(1 << 31);
    (one_over_one_plus(mantissa as i32), SUM_BITS as i32 - headroom as i32)
}

/// gemmlowp's `one_over_one_plus_x_for_x_in_0_1`: three steps of Newton and Raphson.
fn one_over_one_plus(x: i32) -> i32 {
    const ONE_F2: i32 = 1 << 29;
    const F2_48_OVER_17: i32 = 1_515_870_810;
    const F2_MINUS_32_OVER_17: i32 = -1_010_580_540;
    let half_denominator = ((i64::from(x) + i64::from(i32::MAX) + 1) / 2) as i32;
    let mut estimate =
        F2_48_OVER_17.wrapping_add(doubling_high_mul(half_denominator, F2_MINUS_32_OVER_17));
    for _ in 0..3 {
        let error = ONE_F2.wrapping_sub(doubling_high_mul(half_denominator, estimate));
        let correction = saturating_shl(doubling_high_mul(estimate, error), 2);
        estimate = estimate.wrapping_add(correction);
    }
    saturating_shl(estimate, 1)
}

/// gemmlowp's `exp_on_negative_values`: the exponential (F0) of `x <= 0` (F5).
fn exponential_of_negative(x: i32) -> i32 {
    const FRACTION_BITS: u32 = 31 - DIFFERENCE_BITS;
    const QUARTER: i32 = 1 << (FRACTION_BITS - 2);
    /// `exp(-2^(i-2))`, F0.
    const POWERS: [i32; 7] =
        [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
    if x == 0 {
        return i32::MAX;
    }
    let fraction = (x & (QUARTER - 1)) - QUARTER;
    let remainder = fraction.wrapping_sub(x);
    let small = exponential_near_zero(saturating_shl(fraction, DIFFERENCE_BITS));
    (FRACTION_BITS - 2..).zip(POWERS).fold(small, |result, (bit, power)| {
        if remainder & (1 << bit) == 0 { result } else { doubling_high_mul(result, power) }
    })
}

/// The exponential of `-1/4 <= a < 0` (F0): a Taylor polynomial around -1/8.
fn exponential_near_zero(a: i32) -> i32 {
    const EXP_OF_MINUS_EIGHTH: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let x = a.wrapping_add(1 << 28);
    let x2 = doubling_high_mul(x, x);
    let x3 = doubling_high_mul(x2, x);
    let x4_over_4 = rounding_divide_by_pot(doubling_high_mul(x2, x2), 2);
    let cubic = doubling_high_mul(x4_over_4.wrapping_add(x3), THIRD).wrapping_add(x2);
    let tail = x.wrapping_add(rounding_divide_by_pot(cubic, 1));
    EXP_OF_MINUS_EIGHTH.wrapping_add(doubling_high_mul(EXP_OF_MINUS_EIGHTH, tail))
}

/// `x << bits`, saturated.
fn saturating_shl(x: i32, bits: u32) -> i32 {
    x.saturating_mul(1 << bits)
}
