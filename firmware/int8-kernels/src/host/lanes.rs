//! Requantization of sixteen output channels at once, in both profiles.
//!
//! Both are `t = (sum << left) + bias + residual * skip`, then a product with `multiplier`, a
//! rounding shift and a clamp. Where sums are small enough, one floor does for both roundings of
//! the profile `tflite`, as in the kernels that are packed for cores. Plain loops over sixteen
//! lanes, which compilers turn into the vectors of the unit into which this is inlined. All in 32
//! bits but for the product, of which the upper half is taken.

use super::{HostChannels, HostConv2d, OUTPUTS};
use crate::packed::TFLITE_PACKED_ACCUMULATOR_MAX;
use crate::packed::constants::{TFLITE_PRE_SHIFT, TFLITE_SHIFT_MAX};
use crate::requantize::{Form, clamp};
use core::ops::RangeInclusive;

/// Largest product of two int8.
const PRODUCT_MAX: u64 = 1 << 14;

/// What one floor subtracts from a negative value.
pub(crate) const BELOW_ZERO: i32 = 1 << (TFLITE_PRE_SHIFT - 1);

/// The shifts of the profile `tflite` with which one floor may do.
const ONE_FLOOR_SHIFTS: RangeInclusive<i32> = -TFLITE_SHIFT_MAX..=-1;

/// The constants of sixteen outputs.
pub(crate) struct Lanes {
    pub(crate) left: [u32; OUTPUTS],
    pub(crate) bias: [i32; OUTPUTS],
    pub(crate) residual: [i32; OUTPUTS],
    /// Native: `m * 2^(16 - e)`, or `m` where `e > 16`.
    pub(crate) multiplier: [i32; OUTPUTS],
    /// At most 31. Native: what of `e` the multiplier leaves.
    pub(crate) right: [u32; OUTPUTS],
    /// Of one floor: added before the shift, with the zero point in it.
    pub(crate) addend: [i32; OUTPUTS],
    /// Smallest and largest result.
    pub(crate) clamp: [i8; 2],
    /// Added before the clamp.
    pub(crate) zero_point: i16,
    pub(crate) form: Form,
    /// In the profile `tflite`: whether one floor does for both roundings, as
    /// `packed/constants.rs` proves, of every channel and all inputs.
    pub(crate) is_one_floor: bool,
}

impl Lanes {
    /// Those from output `first` on. `sums`: of the weights, which undo the `flip` of the input.
    pub(crate) fn new(
        layer: &HostConv2d<'_>,
        first: usize,
        sums: [i32; OUTPUTS],
        flip: u8,
    ) -> Self {
        let mut lanes = Self {
            left: [0; OUTPUTS],
            bias: [0; OUTPUTS],
            residual: [0; OUTPUTS],
            multiplier: [0; OUTPUTS],
            right: [0; OUTPUTS],
            addend: [0; OUTPUTS],
            clamp: layer.clamp,
            zero_point: 0,
            form: Form::Native,
            is_one_floor: false,
        };
        let added = sums.map(|sum| sum.wrapping_mul(i32::from(flip)));
        match layer.channels {
            HostChannels::Native { channels, join } => {
                lanes.form = if join { Form::NativeJoin } else { Form::Native };
                for (lane, c) in channels.iter().skip(first).take(OUTPUTS).enumerate() {
                    lanes.left[lane] = c.pre_shift.into();
                    let added = added[lane].wrapping_shl(c.pre_shift.into());
                    lanes.bias[lane] = c.bias.wrapping_sub(added);
                    lanes.residual[lane] = c.skip_multiplier;
                    // `(t m) >> (16 + e)` is `(t m 2^(16 - e)) >> 32`, of one floor, or of two
                    // after another, which are one.
                    lanes.multiplier[lane] = c.scale_32();
                    lanes.right[lane] = c.post_shift.saturating_sub(16).min(31).into();
                }
            }
            HostChannels::Tflite { channels, zero_point } => {
                lanes.form = Form::Tflite;
                lanes.zero_point = zero_point;
                let products = layer.window.patch_len() as u64 * PRODUCT_MAX;
                lanes.is_one_floor = channels.iter().skip(first).take(OUTPUTS).all(|c| {
                    let bound = products + u64::from(c.bias.unsigned_abs());
                    ONE_FLOOR_SHIFTS.contains(&c.shift)
                        && bound <= TFLITE_PACKED_ACCUMULATOR_MAX.into()
                });
                for (lane, c) in channels.iter().skip(first).take(OUTPUTS).enumerate() {
                    lanes.left[lane] = c.shift.max(0).unsigned_abs();
                    let bias = c.bias.wrapping_sub(added[lane]);
                    lanes.bias[lane] = bias.wrapping_shl(lanes.left[lane]);
                    lanes.multiplier[lane] = c.multiplier;
                    lanes.right[lane] = c.shift.min(0).unsigned_abs().min(31);
                    if lanes.is_one_floor {
                        lanes.fold(lane);
                    }
                }
            }
        }
        lanes
    }

    /// Turns the constants of both roundings into those of one floor.
    fn fold(&mut self, lane: usize) {
        let further = u32::from(TFLITE_PRE_SHIFT) - 1;
        let (shift, zero) = (self.right[lane] + further, i32::from(self.zero_point));
        self.left[lane] = TFLITE_PRE_SHIFT.into();
        self.bias[lane] = self.bias[lane].wrapping_shl(TFLITE_PRE_SHIFT.into());
        self.right[lane] = shift;
        self.addend[lane] = (zero << shift) + (1 << (shift - 1)) + BELOW_ZERO / 2;
    }

    /// Requantizes `sums` into `y`, which holds the residual where one is joined.
    #[inline(always)]
    pub(crate) fn finish(&self, sums: &[i32; OUTPUTS], y: &mut [i8; OUTPUTS]) {
        let mut t = [0; OUTPUTS];
        for lane in 0..OUTPUTS {
            t[lane] = sums[lane].wrapping_shl(self.left[lane]).wrapping_add(self.bias[lane]);
        }
        if self.form == Form::NativeJoin {
            for lane in 0..OUTPUTS {
                let skip = self.residual[lane].wrapping_mul(y[lane].into());
                t[lane] = t[lane].wrapping_add(skip);
            }
        }
        let product = |lane: usize| i64::from(t[lane]) * i64::from(self.multiplier[lane]);
        if self.is_one_floor {
            for (lane, y) in y.iter_mut().enumerate() {
                let high = (product(lane) >> 32) as i32;
                let rounded = high.wrapping_add(self.addend[lane]) - ((t[lane] >> 31) & BELOW_ZERO);
                *y = clamp(rounded >> self.right[lane], self.clamp);
            }
        } else if self.form == Form::Tflite {
            let zero = i32::from(self.zero_point);
            let [low, high] = self.clamp.map(|end| i32::from(end) - zero);
            for (lane, y) in y.iter_mut().enumerate() {
                // Doubling high product, half towards +infinity: `multiplier >= 0`, so that it is
                // gemmlowp's. Then half away from zero.
                let high_product = ((product(lane) + (1 << 30)) >> 31) as i32;
                let mask = (1_i32 << self.right[lane]).wrapping_sub(1);
                let threshold = (mask >> 1) - (high_product >> 31);
                let up = i32::from((high_product & mask) > threshold);
                let q = (high_product >> self.right[lane]) + up;
                *y = (q.max(low).min(high) + zero) as i8;
            }
        } else {
            for (lane, y) in y.iter_mut().enumerate() {
                let q = (product(lane) >> 32) as i32 >> self.right[lane];
                *y = clamp(q, self.clamp);
            }
        }
    }
}
