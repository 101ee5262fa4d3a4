//! The constants of one output channel in the profile `native`, from real numbers.
//!
//! Owns the choice of `j`, `m`, `e`, `R` and `bias` (README of `int8-kernels`) and the proof that
//! the accumulator stays below its limit; knows no layer and no tensor.

use resmcu_int8_kernels::packed::{PACKED_PRE_SHIFT_MAX, packed_post_shift_max};
use resmcu_int8_kernels::requantize::{
    NATIVE_ACCUMULATOR_MAX, NATIVE_POST_SHIFT_MAX, NATIVE_PRE_SHIFT_MAX, NATIVE_SKIP_MAX,
    NativeChannel,
};

/// A weight of the residual from here on is within 2^-13 of the real one.
const PRECISE_SKIP: i32 = 1 << 12;

/// What a channel has to compute: `q = zero_point + (sum_scale * a + constant + skip_scale *
/// (skip - skip_zero)) / output_scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Target {
    /// The real size of one step of the convolution's sum: input scale times weight scale.
    pub(crate) sum_scale: f64,
    /// The real constant: bias, and the zero points of input and image.
    pub(crate) constant: f64,
    /// Scale and zero point of the residual.
    pub(crate) skip: Option<(f64, f64)>,
    /// Scale and zero point of the output.
    pub(crate) output: (f64, f64),
    /// Largest absolute value that the sum of products can take.
    pub(crate) sum_bound: f64,
    /// Largest effective multiplier: half of it is how far rounding `bias` moves the output.
    pub(crate) multiplier_max: f64,
}

impl Target {
    /// The constants, or none where no shift keeps the accumulator inside its limit.
    ///
    /// Taken is the largest `j` with which the packed kernels compute it, where that meets
    /// `multiplier_max` and the precision of `R`. Else: with a residual the largest `j`, for the
    /// precision of `R`; without, the smallest that meets `multiplier_max`, and failing that the
    /// largest that fits.
    pub(crate) fn constants(&self) -> Option<NativeChannel> {
        let precise = |c: &NativeChannel| {
            let joined = self.skip.is_none() || c.skip_multiplier >= PRECISE_SKIP;
            self.multiplier(c.pre_shift) <= self.multiplier_max && joined
        };
        let packed = (0..=PACKED_PRE_SHIFT_MAX).rev();
        let packed = packed.filter_map(|j| self.with_shift(j, packed_post_shift_max(j)));
        if let Some(found) = packed.into_iter().find(precise) {
            return Some(found);
        }
        let any = NATIVE_POST_SHIFT_MAX;
        let shifts = 0..=NATIVE_PRE_SHIFT_MAX;
        if self.skip.is_none() {
            let effective = |j: &u8| self.multiplier(*j) <= self.multiplier_max;
            if let Some(found) =
                shifts.clone().filter(effective).find_map(|j| self.with_shift(j, any))
            {
                return Some(found);
            }
        }
        shifts.rev().find_map(|j| self.with_shift(j, any))
    }

    /// Output steps for each step of `t` after a shift by `j`.
    fn multiplier(&self, j: u8) -> f64 {
        self.sum_scale / self.output.0 / f64::from(1_u32 << j)
    }

    fn with_shift(&self, pre_shift: u8, post_shift_max: u8) -> Option<NativeChannel> {
        let unit = self.sum_scale / f64::from(1_u32 << pre_shift);
        let (multiplier, post_shift) = multiplier_of(self.multiplier(pre_shift), post_shift_max)?;
        // The zero point and the half of the rounding go through the rounded multiplier.
        let effective = f64::from(multiplier) / 2_f64.powi(16 + i32::from(post_shift));
        let mut bias = self.constant / unit;
        if effective > 0.0 {
            bias += (self.output.1 + 0.5) / effective;
        }
        let mut skip_multiplier = 0;
        if let Some((scale, zero)) = self.skip {
            let rounded = (scale / unit).round();
            let fits = (0.0..=f64::from(NATIVE_SKIP_MAX)).contains(&rounded);
            skip_multiplier = fits.then_some(rounded as i32)?;
            bias -= f64::from(skip_multiplier) * zero;
        }
        let bias = bias.round();
        let skip_bound = f64::from(skip_multiplier) * 128.0;
        let shifted = self.sum_bound * f64::from(1_u32 << pre_shift);
        if bias.abs() + skip_bound + shifted > f64::from(NATIVE_ACCUMULATOR_MAX) {
            return None;
        }
        let bias = bias as i32;
        Some(NativeChannel { bias, skip_multiplier, multiplier, pre_shift, post_shift })
    }
}

/// `m` and `e <= most` with `m / 2^(16 + e)` nearest to `real`; none where it is too large.
fn multiplier_of(real: f64, most: u8) -> Option<(i16, u8)> {
    let scaled = |e: u8| (real * 2_f64.powi(16 + i32::from(e))).round();
    (0..=most).rev().find_map(|e| Some((to_i16(scaled(e))?, e)))
}

fn to_i16(value: f64) -> Option<i16> {
    (0.0..=f64::from(i16::MAX)).contains(&value).then_some(value as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants give the nearest integer, or one beside it where the exact value is within
    /// `slack` of the middle of two.
    #[track_caller]
    fn check(target: Target, slack: f64) {
        let c = target.constants().unwrap();
        assert!(c.is_valid());
        for a in [-1.0, -0.7, -0.33, -0.01, 0.0, 0.02, 0.4, 1.0].map(|s| s * target.sum_bound) {
            for skip in [-128, -3, 0, 127] {
                let a = a.round();
                let skip_real = target.skip.map_or(0.0, |(s, z)| s * (f64::from(skip) - z));
                let real = target.sum_scale * a + target.constant + skip_real;
                let exact = target.output.1 + real / target.output.0;
                let joined = i64::from(c.skip_multiplier) * i64::from(skip);
                let t = ((a as i64) << c.pre_shift) + i64::from(c.bias) + joined;
                let q = (t * i64::from(c.multiplier)) >> (16 + c.post_shift);
                let error = (q as f64 - exact).abs();
                // Clamped to int8, only what is inside its range counts.
                let matters = (-140.0..140.0).contains(&exact);
                assert!(!matters || error <= 0.5 + slack, "a {a}, skip {skip}: {q} for {exact}");
            }
        }
    }

    #[test]
    fn constants_round_to_nearest() {
        let plain = Target {
            sum_scale: 1e-4,
            constant: 0.3,
            skip: None,
            output: (0.02, -128.0),
            sum_bound: 2e5,
            multiplier_max: 1.0 / 256.0,
        };
        check(plain, 0.02);
        check(Target { sum_scale: 3e-7, output: (0.02, 5.0), ..plain }, 0.02);
        check(Target { skip: Some((0.025, -128.0)), ..plain }, 0.03);
        check(Target { skip: Some((0.01, 17.0)), sum_scale: 5e-6, ..plain }, 0.03);
        check(Target { sum_scale: 0.015, sum_bound: 300.0, ..plain }, 0.02); // nearly one to one
    }

    /// A channel that hardly matters, of the smallest worth that it gets, and one whose sum is as
    /// wide as a layer of 512 channels makes it, are ones that Winograd's kernels compute.
    #[test]
    fn small_and_wide_channels_keep_a_shift_of_five_at_least() {
        let output = (0.02, -128.0);
        let small = Target {
            sum_scale: super::super::MULTIPLIER_MIN * 0.02,
            constant: 2.0,
            skip: Some((0.02, -128.0)),
            output,
            sum_bound: 128.0 * 1000.0,
            multiplier_max: 1.0 / 256.0,
        };
        let wide = Target { sum_scale: 2e-5, sum_bound: 128.0 * 9.0 * 512.0 * 30.0, ..small };
        for target in [small, Target { skip: None, ..small }, wide, Target { skip: None, ..wide }] {
            let c = target.constants().unwrap();
            assert!(c.pre_shift >= 5, "{target:?}: {c:?}");
            assert!(c.post_shift <= packed_post_shift_max(c.pre_shift), "{target:?}: {c:?}");
            assert!(c.multiplier >= 1 << 8, "{target:?}: {c:?}");
            check(target, 0.1);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let too_large = Target {
            sum_scale: 1.0,
            constant: 1e12,
            skip: None,
            output: (1.0, 0.0),
            sum_bound: 1.0,
            multiplier_max: 1.0,
        };
        assert_eq!(too_large.constants(), None);
    }
}
