//! `SOFTMAX` of the profile `tflite`: gemmlowp's fixed point from its definitions, and the real
//! one in f64 with a bound between both.
//!
//! A fixed-point number is an integer of 32 bits and the number of its integer bits; its real
//! value is `raw / 2^(31 - integer_bits)`. Written after gemmlowp's `fixedpoint.h` and TensorFlow
//! Lite's `reference/softmax.h`, whose template parameters are run-time values here.

use super::requantize::{rounded, srdhm};
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;

/// `FixedPoint<int32, integer_bits>`.
#[derive(Clone, Copy, Debug)]
struct Fixed {
    raw: i64,
    integer_bits: i32,
}

const MAX: i64 = (1 << 31) - 1;
const MIN: i64 = -(1 << 31);

impl Fixed {
    fn new(raw: i64, integer_bits: i32) -> Self {
        assert!((MIN..=MAX).contains(&raw), "{raw} is no int32");
        Self { raw, integer_bits }
    }

    /// `FixedPoint::FromDouble`: round and saturate.
    fn from_real(real: f64, integer_bits: i32) -> Self {
        let scaled = (real * 2_f64.powi(31 - integer_bits)).round();
        Self::new(scaled.clamp(MIN as f64, MAX as f64) as i64, integer_bits)
    }

    /// `FixedPoint::One`: saturated where one does not fit.
    fn one(integer_bits: i32) -> Self {
        let raw = if integer_bits == 0 { MAX } else { 1 << (31 - integer_bits) };
        Self::new(raw, integer_bits)
    }

    /// `SaturatingRoundingMultiplyByPOT`: the same bits, another value.
    fn times_power(self, exponent: i32) -> Self {
        let raw = if exponent < 0 {
            rounded(self.raw, exponent.unsigned_abs())
        } else {
            (self.raw << exponent).clamp(MIN, MAX)
        };
        Self::new(raw, self.integer_bits)
    }

    /// `Rescale`: the same value, other bits.
    fn rescaled(self, integer_bits: i32) -> Self {
        let raw = self.times_power(self.integer_bits - integer_bits).raw;
        Self::new(raw, integer_bits)
    }

    fn plus(self, other: Self) -> Self {
        assert_eq!(self.integer_bits, other.integer_bits);
        Self::new(self.raw + other.raw, self.integer_bits)
    }

    fn minus(self, other: Self) -> Self {
        assert_eq!(self.integer_bits, other.integer_bits);
        Self::new(self.raw - other.raw, self.integer_bits)
    }

    fn times(self, other: Self) -> Self {
        Self::new(srdhm(self.raw, other.raw), self.integer_bits + other.integer_bits)
    }
}

/// `exp_on_interval_between_negative_one_quarter_and_0_excl`, F0 to F0.
fn exp_near_zero(a: Fixed) -> Fixed {
    let constant_term = Fixed::new(1_895_147_668, 0); // exp(-1/8)
    let one_third = Fixed::new(715_827_883, 0);
    let x = a.plus(Fixed::from_real(0.125, 0));
    let x2 = x.times(x);
    let x3 = x2.times(x);
    let x4 = x2.times(x2);
    let x4_over_4 = x4.times_power(-2);
    let sum = x4_over_4.plus(x3).times(one_third).plus(x2).times_power(-1);
    constant_term.plus(constant_term.times(x.plus(sum)))
}

/// `exp_on_negative_values`, F5 to F0.
fn exp(a: Fixed) -> Fixed {
    let fraction_bits = 31 - a.integer_bits;
    let one_quarter = 1_i64 << (fraction_bits - 2);
    let in_quarter = a.raw.rem_euclid(one_quarter) - one_quarter;
    let mut result = exp_near_zero(Fixed::new(in_quarter, a.integer_bits).rescaled(0));
    let remainder = in_quarter - a.raw;
    for exponent in -2..=4 {
        // exp(-2^exponent) as gemmlowp lists it.
        let listed: [i64; 7] =
            [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
        let multiplier = Fixed::new(listed[(exponent + 2) as usize], 0);
        let real = (-(2_f64.powi(exponent))).exp();
        assert!((multiplier.raw - Fixed::from_real(real, 0).raw).abs() <= 1, "{exponent}");
        let bit = fraction_bits + exponent;
        if exponent < a.integer_bits && remainder & (1 << bit) != 0 {
            result = result.times(multiplier);
        }
    }
    if a.raw == 0 { Fixed::one(0) } else { result }
}

/// `one_over_one_plus_x_for_x_in_0_1`, F0 to F0.
fn one_over_one_plus(a: Fixed) -> Fixed {
    // RoundingHalfSum of `a` and one.
    let sum = a.raw + Fixed::one(0).raw;
    let half_denominator = Fixed::new((sum + if sum >= 0 { 1 } else { -1 }) / 2, 0);
    let constant_48_over_17 = Fixed::from_real(48.0 / 17.0, 2);
    let constant_neg_32_over_17 = Fixed::from_real(-32.0 / 17.0, 2);
    let mut x = constant_48_over_17.plus(half_denominator.times(constant_neg_32_over_17));
    for _ in 0..3 {
        let half_denominator_times_x = half_denominator.times(x);
        let one_minus = Fixed::one(2).minus(half_denominator_times_x);
        x = x.plus(x.times(one_minus).rescaled(2));
    }
    // ExactMulByPot<-1> of F2 is F1; then to F0.
    Fixed::new(x.raw, 1).rescaled(0)
}

/// `y = 256 * exp(x) / sum exp(x) - 128`.
pub(crate) fn softmax(x: &[i8], scale: &SoftmaxScale) -> Vec<i8> {
    const SCALED_DIFFERENCE_BITS: i32 = 5;
    const ACCUMULATION_BITS: i32 = 12;
    let largest = i64::from(*x.iter().max().unwrap());
    let exponential = |x: i8| {
        let difference = i64::from(x) - largest;
        let shifted = difference << scale.shift;
        (difference >= i64::from(scale.difference_min)).then(|| {
            assert!((MIN..=MAX).contains(&shifted));
            exp(Fixed::new(srdhm(shifted, scale.multiplier.into()), SCALED_DIFFERENCE_BITS))
        })
    };
    let terms = x.iter().filter_map(|&x| exponential(x));
    let sum = terms.fold(0, |sum, term| sum + term.rescaled(ACCUMULATION_BITS).raw);
    assert!((1..=MAX).contains(&sum));
    // GetReciprocal.
    let headroom = (sum as u32).leading_zeros() as i32;
    let bits_over_unit = ACCUMULATION_BITS - headroom;
    let mantissa = (sum << headroom) - (1 << 31);
    let reciprocal = one_over_one_plus(Fixed::new(mantissa, 0));
    let probability = |x: i8| {
        let Some(term) = exponential(x) else { return -128 };
        let unsaturated =
            rounded(reciprocal.times(term).raw, (bits_over_unit + 31 - 8).unsigned_abs());
        (unsaturated - 128).clamp(-128, 127) as i8
    };
    x.iter().map(|&x| probability(x)).collect()
}

/// The most that [`softmax`] may be away from the real one, in steps of 1/256: half a step of
/// rounding, and the errors of the sum's 2^-19 a term and of the exponentials.
pub(crate) const STEPS_OFF_MAX: f64 = 0.51;

/// The real one, in steps of 1/256 above zero; `step` is the real size of a step of `x`.
pub(crate) fn softmax_real(x: &[i8], step: f64) -> Vec<f64> {
    let largest = f64::from(*x.iter().max().unwrap());
    let terms: Vec<f64> = x.iter().map(|&x| ((f64::from(x) - largest) * step).exp()).collect();
    let sum: f64 = terms.iter().sum();
    terms.iter().map(|term| 256.0 * term / sum).collect()
}
