//! The classifier: a fully connected layer. Profile `native`: int32 logits of one common scale;
//! profile `tflite`: int8.
//!
//! Owns the walk over outputs, a few at a time, so that an input is loaded once for all of them.
//! Their sums are a pass of the core's (`arch`); weights are read as they lie, whatever their
//! number and alignment.

use crate::arch::passes::fully_connected as passes;
use crate::requantize::{NativeChannel, Requantize, Tflite, TfliteChannel};

/// Outputs whose sums are computed at once.
pub(crate) const ROWS: usize = 4;

/// An input: int8, or int16 sums of [`super::global_sum`].
pub trait Input: Copy + Into<i32> {
    /// The products of `x` with each row of weights, summed up modulo 2^32. All have its length.
    #[doc(hidden)]
    fn sums(x: &[Self], rows: [&[i8]; ROWS]) -> [i32; ROWS];
}

impl Input for i8 {
    #[inline]
    fn sums(x: &[Self], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
        passes::sums_s8(x, rows)
    }
}

impl Input for i16 {
    #[inline]
    fn sums(x: &[Self], rows: [&[i8]; ROWS]) -> [i32; ROWS] {
        passes::sums_s16(x, rows)
    }
}

/// `y[o] = (t * m) >> (16 + e)`, `t = (sum_i x[i] w[o,i] << j) + bias`, not clamped.
///
/// `x`: `[I]` int8, or int16 sums of [`super::global_sum`]. `weights`: `[O,I]` int8. `channels`,
/// `y`: `[O]`.
pub fn fully_connected_native<T: Input>(
    x: &[T],
    weights: &[i8],
    channels: &[NativeChannel],
    y: &mut [i32],
) {
    debug_assert_eq!((weights.len(), channels.len()), (x.len() * y.len(), y.len()));
    fully_connected(x, weights, channels, y, |sum, channel, y| *y = channel.scale(sum));
}

/// `y[o] = requantize(sum_i x[i] w[o,i])`, double rounding (TensorFlow Lite Micro's int8
/// `FULLY_CONNECTED`).
///
/// `x`: `[I]` int8. `weights`: `[O,I]` int8. `channels`, `y`: `[O]`.
pub fn fully_connected_tflite(
    x: &[i8],
    weights: &[i8],
    channels: &[TfliteChannel],
    requantize: Tflite,
    y: &mut [i8],
) {
    debug_assert_eq!((weights.len(), channels.len()), (x.len() * y.len(), y.len()));
    let store = |sum, channel: &_, y: &mut _| requantize.requantize(sum, channel, y);
    fully_connected(x, weights, channels, y, store);
}

/// [`ROWS`] outputs after another, of which `store` makes a result of each sum.
#[inline]
fn fully_connected<T: Input, C, Y>(
    x: &[T],
    weights: &[i8],
    channels: &[C],
    y: &mut [Y],
    store: impl Fn(i32, &C, &mut Y),
) {
    let mut rest = weights;
    for (y, channels) in y.chunks_mut(ROWS).zip(channels.chunks(ROWS)) {
        let Some((block, after)) = rest.split_at_checked(x.len() * y.len()) else { return };
        rest = after;
        let first = block.get(..x.len()).unwrap_or_default();
        // What is missing in the last block reads the first row again.
        let row = |row: usize| block.get(row * x.len()..(row + 1) * x.len()).unwrap_or(first);
        let sums = T::sums(x, core::array::from_fn(row));
        for ((y, sum), channel) in y.iter_mut().zip(sums).zip(channels) {
            store(sum, channel, y);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::cases::Random;
    use std::vec;
    use std::vec::Vec;

    /// By the definition, in wide integers.
    fn scores<T: Input>(x: &[T], weights: &[i8], channels: &[NativeChannel]) -> Vec<i32> {
        let sum = |o: usize| -> i64 {
            let row = &weights[o * x.len()..(o + 1) * x.len()];
            x.iter().zip(row).map(|(&x, &w)| i64::from(x.into()) * i64::from(w)).sum()
        };
        let score = |(o, c): (usize, &NativeChannel)| {
            let t = (sum(o) << c.pre_shift) + i64::from(c.bias);
            i32::try_from((t * i64::from(c.multiplier)) >> (16 + c.post_shift)).unwrap()
        };
        channels.iter().enumerate().map(score).collect()
    }

    /// With the weights at an odd place of memory.
    #[track_caller]
    fn check<T: Input>(x: &[T], weights: &[i8], channels: &[NativeChannel]) {
        let mut moved = vec![0];
        moved.extend(weights);
        let mut y = vec![i32::MIN; channels.len()];
        fully_connected_native(x, &moved[1..], channels, &mut y);
        let sizes = (x.len(), channels.len(), size_of::<T>());
        assert_eq!(y, scores(x, weights, channels), "inputs, outputs, bytes: {sizes:?}");
    }

    fn channels(random: &mut Random, outputs: usize) -> Vec<NativeChannel> {
        let mut channel = || NativeChannel {
            bias: random.range(-(1 << 20), 1 << 20) as i32,
            skip_multiplier: 0,
            multiplier: random.range(0, 32_767) as i16,
            pre_shift: random.range(0, 1) as u8,
            post_shift: random.range(0, 12) as u8,
        };
        (0..outputs).map(|_| channel()).collect()
    }

    #[test]
    fn any_number_of_inputs_and_outputs_gives_the_sums_of_the_definition() {
        let random = &mut Random::new(0xFC);
        for inputs in (1..=34).chain([63, 64, 65, 127, 130]) {
            for outputs in (1..=9).chain([33]) {
                let channels = channels(random, outputs);
                let weights = random.bytes(inputs * outputs);
                check(&random.bytes(inputs), &weights, &channels);
                let sums: Vec<i16> =
                    (0..inputs).map(|_| random.range(-32_768, 32_512) as i16).collect();
                check(&sums, &weights, &channels);
            }
        }
    }

    #[test]
    fn ends_of_the_ranges_do_not_overflow() {
        let channels = channels(&mut Random::new(0xE), 5);
        for w in [i8::MIN, i8::MAX] {
            let weights = vec![w; 5 * 67];
            for x in [i8::MIN, i8::MAX] {
                check(&[x; 67], &weights, &channels);
            }
            for x in [i16::MIN, 32_512] {
                check(&[x; 67], &weights, &channels);
            }
        }
    }
}
