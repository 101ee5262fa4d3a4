//! Requantization of sixteen output channels at once, in both profiles.
//!
//! Both are `t = (sum << left) + bias + residual * skip`, then a product with `multiplier`, a
//! rounding shift and a clamp; plain loops over sixteen lanes, which compilers turn into the
//! vectors of the unit into which this is inlined. All in 32 bits but for the product, of which
//! the upper half is taken.

use super::{HostChannels, HostConv2d, OUTPUTS};
use crate::requantize::{Form, clamp};

/// The constants of sixteen outputs.
pub(crate) struct Lanes {
    pub(crate) left: [u32; OUTPUTS],
    pub(crate) bias: [i32; OUTPUTS],
    pub(crate) residual: [i32; OUTPUTS],
    /// Native: `m * 2^(16 - e)`, or `m` where `e > 16`.
    pub(crate) multiplier: [i32; OUTPUTS],
    /// At most 31. Native: what of `e` the multiplier leaves.
    pub(crate) right: [u32; OUTPUTS],
    /// Smallest and largest result.
    pub(crate) clamp: [i8; 2],
    /// Added before the clamp.
    pub(crate) zero_point: i16,
    pub(crate) form: Form,
}

impl Lanes {
    /// Those from output `first` on. `sums`: of the weights, which undo the `flip` of the input.
    pub(super) fn new(
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
            clamp: layer.clamp,
            zero_point: 0,
            form: Form::Native,
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
                for (lane, c) in channels.iter().skip(first).take(OUTPUTS).enumerate() {
                    lanes.left[lane] = c.shift.max(0).unsigned_abs();
                    let bias = c.bias.wrapping_sub(added[lane]);
                    lanes.bias[lane] = bias.wrapping_shl(lanes.left[lane]);
                    lanes.multiplier[lane] = c.multiplier;
                    lanes.right[lane] = c.shift.min(0).unsigned_abs().min(31);
                }
            }
        }
        lanes
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
        if self.form == Form::Tflite {
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
