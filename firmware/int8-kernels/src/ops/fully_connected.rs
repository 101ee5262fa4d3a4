//! The classifier: a fully connected layer. Profile `native`: int32 logits of one common scale;
//! profile `tflite`: int8.

use crate::requantize::{NativeChannel, Requantize, Tflite, TfliteChannel};

/// `y[o] = (t * m) >> (16 + e)`, `t = (sum_i x[i] w[o,i] << j) + bias`, not clamped.
///
/// `x`: `[I]` int8, or int16 sums of [`super::global_sum`]. `weights`: `[O,I]` int8. `channels`,
/// `y`: `[O]`.
pub fn fully_connected_native<T: Copy + Into<i32>>(
    x: &[T],
    weights: &[i8],
    channels: &[NativeChannel],
    y: &mut [i32],
) {
    debug_assert_eq!((weights.len(), channels.len()), (x.len() * y.len(), y.len()));
    let mut rows = weights.chunks_exact(x.len().max(1));
    for (y, channel) in y.iter_mut().zip(channels) {
        let Some(row) = rows.next() else { return };
        *y = channel.scale(dot(x, row));
    }
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
    let mut rows = weights.chunks_exact(x.len().max(1));
    for (y, channel) in y.iter_mut().zip(channels) {
        let Some(row) = rows.next() else { return };
        requantize.requantize(dot(x, row), channel, y);
    }
}

#[inline]
fn dot<T: Copy + Into<i32>>(x: &[T], row: &[i8]) -> i32 {
    let products = x.iter().zip(row).map(|(&x, &w)| x.into().wrapping_mul(w.into()));
    products.fold(0, i32::wrapping_add)
}
