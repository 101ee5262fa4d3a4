//! What packed kernels store of each output channel, in either profile.
//!
//! All of them compute `t = (a << j) + bias` modulo 2^32 and end in one multiplication and one
//! floor. In the profile `native` that is its arithmetic. In the profile `tflite` it comes to the
//! same as the double rounding, with `j = 6`, as long as `|a + b| < 2^25` (`b` the channel's bias)
//! and the shift is `-e`, `1 <= e <= 17`. With `v = a + b` and multiplier `m`, both roundings are
//! floors of something with a half added:
//!
//! ```text
//! u = srdhm(v, m)  = floor((v m + 2^30) / 2^31)              a tie goes up, of either sign
//! q = rdpot(u, e)  = floor((u + 2^(e-1) - [u < 0]) / 2^e)    a tie goes away from zero
//! ```
//!
//! `[v < 0]` does for `[u < 0]`: where only the first holds, `u = 0`, and `q = 0` with both. A
//! floor of a floor with integers between them is one floor, so that with `t = 64 v` and
//! `h = floor(t m / 2^32)`, the upper half of one product,
//!
//! ```text
//! z + q = floor((h + 16 + 32 (2^(e-1) + z 2^e - [t < 0])) / 2^(e+5))
//! ```
//!
//! With `s = e + 5 <= 22` no sum reaches 2^31. A channel's last word is
//! `z 2^s + 2^(s-1) + s`: since `s >= 6`, its lower five bits are `s`, and the rest is what is
//! added to `h + 16`.

use crate::requantize::{NativeChannel, TfliteChannel, multiply_high_31};

/// The shift of sums in the profile `tflite`.
pub(crate) const TFLITE_PRE_SHIFT: u8 = 6;

/// Largest absolute value that the accumulator of the profile `tflite` may take in a packed kernel
/// with constants of this module.
pub const TFLITE_PACKED_ACCUMULATOR_MAX: u32 = (1 << 25) - 1;

/// The largest right shift of the profile `tflite` of such a kernel.
pub(crate) const TFLITE_SHIFT_MAX: i32 = 17;

/// The bits of the last word that are the shift.
const SHIFT_BITS: u32 = 31;

/// The output channels of a layer, in its profile.
#[derive(Clone, Copy, Debug)]
pub enum Channels<'a> {
    /// Of the profile `native`.
    Native(&'a [NativeChannel]),
    /// Of the profile `tflite`.
    Tflite {
        /// Of each output channel.
        channels: &'a [TfliteChannel],
        /// Of the output.
        zero_point: i8,
    },
}

impl<'a> From<&'a [NativeChannel]> for Channels<'a> {
    fn from(channels: &'a [NativeChannel]) -> Self {
        Self::Native(channels)
    }
}

/// The constants of one channel as a packed kernel wants them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Constants {
    /// `bias`, modulo 2^32.
    pub(crate) bias: u32,
    /// `j`.
    pub(crate) pre_shift: u8,
    /// What `t` is multiplied by; the upper half of the product counts.
    pub(crate) scale: u32,
    /// The weight of the residual; in the profile `tflite` the header's last word.
    pub(crate) last: u32,
}

impl Constants {
    /// The same with a `j` of at least `least`, for channels that
    /// [reach](Channels::reach_pre_shift) it.
    ///
    /// A `j` of one less becomes it with `2 t` for `t` and half the scale, which give the same
    /// product: `m * 2^(16 - e)` is even for `e <= 15`. Since the profile's `|t|` is below 2^30,
    /// `2 t` is an int32, and so is twice the weight of a residual, which is below 2^23.
    pub(super) fn with_pre_shift_of(self, least: u8) -> Self {
        if self.pre_shift >= least {
            return self;
        }
        let Self { bias, pre_shift, scale, last } = self;
        Self { bias: bias << 1, pre_shift: pre_shift + 1, scale: scale >> 1, last: last << 1 }
    }
}

impl Channels<'_> {
    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Native(channels) => channels.len(),
            Self::Tflite { channels, .. } => channels.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one multiplication and one floor make each channel's outputs.
    pub(super) fn are_folded(&self) -> bool {
        match self {
            Self::Native(channels) => {
                channels.iter().all(|c| c.post_shift <= super::PACKED_POST_SHIFT_MAX)
            }
            Self::Tflite { channels, .. } => {
                channels.iter().all(|c| (-TFLITE_SHIFT_MAX..=-1).contains(&c.shift))
            }
        }
    }

    /// The largest `j`.
    pub(super) fn pre_shift_max(&self) -> u8 {
        match self {
            Self::Native(channels) => channels.iter().map(|c| c.pre_shift).max().unwrap_or(0),
            Self::Tflite { .. } => TFLITE_PRE_SHIFT,
        }
    }

    /// Whether each `j` is at least `least`, or [becomes](Constants::with_pre_shift_of) so.
    pub(super) fn reach_pre_shift(&self, least: u8) -> bool {
        match self {
            Self::Native(channels) => channels.iter().all(|c| {
                let can_double = c.post_shift < super::PACKED_POST_SHIFT_MAX;
                c.pre_shift >= least || (c.pre_shift + 1 == least && can_double)
            }),
            Self::Tflite { .. } => TFLITE_PRE_SHIFT >= least,
        }
    }

    /// The constants of channel `index`, zeros if there is none.
    pub(super) fn get(&self, index: usize) -> Constants {
        match *self {
            Self::Native(channels) => channels.get(index).map_or(Constants::default(), |c| {
                let (bias, scale, last) = (c.bias, c.scale_32(), c.skip_multiplier);
                let [bias, scale, last] = [bias, scale, last].map(i32::cast_unsigned);
                Constants { bias, pre_shift: c.pre_shift, scale, last }
            }),
            Self::Tflite { channels, zero_point } => {
                channels.get(index).map_or(Constants::default(), |c| {
                    let bias = c.bias.wrapping_shl(TFLITE_PRE_SHIFT.into()).cast_unsigned();
                    let scale = c.multiplier.cast_unsigned();
                    let last = rounding(c.shift.min(0).unsigned_abs(), zero_point);
                    Constants { bias, pre_shift: TFLITE_PRE_SHIFT, scale, last }
                })
            }
        }
    }
}

/// The last word of a channel of the profile `tflite`, of its right shift.
fn rounding(shift: u32, zero_point: i8) -> u32 {
    let shift = (shift + u32::from(TFLITE_PRE_SHIFT) - 1) & SHIFT_BITS;
    let zero = i32::from(zero_point).wrapping_shl(shift);
    (zero.wrapping_add(1 << shift >> 1).cast_unsigned() & !SHIFT_BITS) | shift
}

/// From `t` to an output of the profile `tflite`: the header's last line.
#[derive(Clone, Copy)]
pub(crate) struct Rounding {
    pub(crate) multiplier: i32,
    pub(crate) addend: i32,
    pub(crate) shift: u32,
}

impl Rounding {
    /// Of the last two words of a channel's constants.
    #[inline]
    pub(crate) fn new(scale: u32, last: u32) -> Self {
        let addend = (last & !SHIFT_BITS).wrapping_add(16);
        Self {
            multiplier: scale.cast_signed(),
            addend: addend.cast_signed(),
            shift: last & SHIFT_BITS,
        }
    }

    // On `Armv6-M` one function: its flash is scarce.
    #[cfg_attr(all(target_arch = "arm", not(target_has_atomic = "32")), inline(never))]
    #[cfg_attr(not(all(target_arch = "arm", not(target_has_atomic = "32"))), inline)]
    pub(crate) fn apply(self, t: i32) -> i8 {
        let sign = (t >> 31) & 32;
        let high = multiply_high_31(t, self.multiplier);
        let q = high.wrapping_add(self.addend.wrapping_sub(sign)) >> self.shift;
        q.clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::packed_post_shift_max;
    use crate::requantize::{NATIVE_ACCUMULATOR_MAX, NATIVE_SKIP_MAX, Requantize, Tflite};

    /// Both roundings against the one, of accumulators around each tie and at the ends.
    #[test]
    fn one_floor_is_the_double_rounding() {
        const MAX: i64 = TFLITE_PACKED_ACCUMULATOR_MAX as i64;
        let multipliers = [0, 1, 2, 1 << 30, (1 << 30) + 1, 0x5555_5555, i32::MAX - 1, i32::MAX];
        let mut ties = 0;
        for (shift, multiplier) in (1..=TFLITE_SHIFT_MAX).flat_map(|e| multipliers.map(|m| (-e, m)))
        {
            let channel = TfliteChannel { bias: 0, multiplier, shift };
            for zero_point in [-128, -127, -1, 0, 1, 77, 127] {
                let channels = Channels::Tflite { channels: &[channel], zero_point };
                let Constants { pre_shift, scale, last, .. } = channels.get(0);
                let rounding = Rounding::new(scale, last);
                let requantize = Tflite { zero_point: zero_point.into(), clamp: [-128, 127] };
                let mut check = |a: i64| {
                    let a = a.clamp(-MAX, MAX) as i32;
                    let mut expected = 0;
                    requantize.requantize(a, &channel, &mut expected);
                    let got = rounding.apply(a << pre_shift);
                    assert_eq!(got, expected, "a {a}, m {multiplier}, {shift}, z {zero_point}");
                };
                (-3..=3).for_each(&mut check);
                [-MAX, -MAX + 1, MAX - 1, MAX].into_iter().for_each(&mut check);
                // Where q - z + 1/2 is a whole number: a = (2 n + 1) 2^(30 - shift) / m.
                for n in -257_i64..=257 {
                    let numerator = (2 * n + 1) << (30 - shift);
                    let tie = numerator.div_euclid(i64::from(multiplier).max(1));
                    ties += usize::from(tie.abs() < MAX);
                    (tie - 2..=tie + 2).for_each(&mut check);
                }
            }
        }
        assert!(ties > 100_000, "{ties}");
    }

    const NATIVE: NativeChannel =
        NativeChannel { bias: 0, skip_multiplier: 0, multiplier: 1, pre_shift: 0, post_shift: 0 };

    /// Twice the accumulator and half the scale, at the ends of both.
    #[test]
    fn doubled_channels_make_the_same_outputs() {
        const MAX: i32 = NATIVE_ACCUMULATOR_MAX as i32;
        for (multiplier, post_shift) in
            [0, 1, 20_000, i16::MAX].into_iter().flat_map(|m| (0..16).map(move |e| (m, e)))
        {
            // All of the accumulator in the bias, in the residual, and in the sum.
            for (bias, skip_multiplier, sum) in
                [(MAX, 0, 0), (-MAX, 0, 0), (127, NATIVE_SKIP_MAX, 0), (31, 0, MAX >> 5)]
            {
                let pre_shift = 5;
                let c = NativeChannel { bias, skip_multiplier, multiplier, pre_shift, post_shift };
                let [once, doubled] = [5, 6].map(|least| {
                    let c = Channels::Native(&[c]).get(0).with_pre_shift_of(least);
                    assert_eq!(c.pre_shift, least);
                    let joined = c.last.cast_signed().checked_mul(-128).unwrap();
                    let t = (sum << least) + c.bias.cast_signed() + joined;
                    (i64::from(t) * i64::from(c.scale)) >> 32
                });
                assert_eq!(once, doubled, "{c:?}");
            }
        }
    }

    #[test]
    fn channels_reach_one_shift_more_where_their_scale_is_even() {
        let reach = |pre_shift, post_shift| {
            let channel = NativeChannel { pre_shift, post_shift, ..NATIVE };
            Channels::Native(&[NativeChannel { pre_shift: 8, ..NATIVE }, channel])
                .reach_pre_shift(6)
        };
        for pre_shift in 0..=15 {
            let accepted = (0..=16).filter(|&post_shift| reach(pre_shift, post_shift));
            let most = packed_post_shift_max(pre_shift);
            let expected = if pre_shift < 5 { 0..0 } else { 0..most + 1 };
            assert!(accepted.eq(expected), "{pre_shift}");
        }
        assert_eq!([5, 6].map(packed_post_shift_max), [15, 16]);
    }

    #[test]
    fn channels_are_folded_where_the_header_says() {
        let folded = |shift| {
            let channels = [TfliteChannel { bias: 0, multiplier: 1, shift }];
            Channels::Tflite { channels: &channels, zero_point: 0 }.are_folded()
        };
        let accepted = (-31..=30).filter(|&shift| folded(shift));
        assert!(accepted.eq(-17..=-1));
    }
}
