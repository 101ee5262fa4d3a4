//! Requantization of sixteen output channels at once, in both profiles.
//!
//! Both are `t = (sum << left) + bias + residual * skip`, then a product with `multiplier`, a
//! rounding shift and a clamp; plain loops over sixteen lanes, which compilers turn into the
//! vectors of the unit into which this is inlined.

use super::{HostChannels, HostConv2d, OUTPUTS};

/// The constants of sixteen outputs.
pub(crate) struct Lanes {
    left: [u32; OUTPUTS],
    bias: [i32; OUTPUTS],
    residual: [i32; OUTPUTS],
    multiplier: [i64; OUTPUTS],
    right: [i64; OUTPUTS],
    /// Half of `2^right`, and whether it is less by one below zero: profile `tflite`.
    half: [i64; OUTPUTS],
    ties: [i64; OUTPUTS],
    /// Smallest and largest result before the zero point is added.
    ends: [i64; 2],
    zero_point: i64,
    tflite: bool,
    join: bool,
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
            half: [0; OUTPUTS],
            ties: [0; OUTPUTS],
            ends: layer.clamp.map(i64::from),
            zero_point: 0,
            tflite: false,
            join: false,
        };
        let added = sums.map(|sum| sum.wrapping_mul(i32::from(flip)));
        match layer.channels {
            HostChannels::Native { channels, join } => {
                lanes.join = join;
                for (lane, c) in channels.iter().skip(first).take(OUTPUTS).enumerate() {
                    lanes.left[lane] = c.pre_shift.into();
                    let added = added[lane].wrapping_shl(c.pre_shift.into());
                    lanes.bias[lane] = c.bias.wrapping_sub(added);
                    lanes.residual[lane] = c.skip_multiplier;
                    lanes.multiplier[lane] = c.multiplier.into();
                    lanes.right[lane] = 16 + i64::from(c.post_shift);
                }
            }
            HostChannels::Tflite { channels, zero_point } => {
                lanes.tflite = true;
                lanes.zero_point = zero_point.into();
                lanes.ends = lanes.ends.map(|end| end - lanes.zero_point);
                for (lane, c) in channels.iter().skip(first).take(OUTPUTS).enumerate() {
                    lanes.left[lane] = c.shift.max(0).unsigned_abs();
                    let bias = c.bias.wrapping_sub(added[lane]);
                    lanes.bias[lane] = bias.wrapping_shl(lanes.left[lane]);
                    lanes.multiplier[lane] = c.multiplier.into();
                    lanes.right[lane] = c.shift.min(0).unsigned_abs().into();
                    lanes.half[lane] = (1 << lanes.right[lane]) >> 1;
                    lanes.ties[lane] = if lanes.right[lane] == 0 { 0 } else { -1 };
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
        if self.join {
            for lane in 0..OUTPUTS {
                let skip = self.residual[lane].wrapping_mul(y[lane].into());
                t[lane] = t[lane].wrapping_add(skip);
            }
        }
        let [low, high] = self.ends;
        if self.tflite {
            for lane in 0..OUTPUTS {
                // Doubling high product, half towards +infinity: `multiplier >= 0`, so that it is
                // gemmlowp's. Then half away from zero.
                let high_product = (i64::from(t[lane]) * self.multiplier[lane] + (1 << 30)) >> 31;
                let sign = (high_product >> 63) & self.ties[lane];
                let q = (high_product + self.half[lane] + sign) >> self.right[lane];
                y[lane] = (q.max(low).min(high) + self.zero_point) as i8;
            }
        } else {
            for lane in 0..OUTPUTS {
                let q = (i64::from(t[lane]) * self.multiplier[lane]) >> self.right[lane];
                y[lane] = q.max(low).min(high) as i8;
            }
        }
    }
}
