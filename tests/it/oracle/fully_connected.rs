//! The classifier of both profiles.

use super::clamp;
use super::requantize::{native, tflite};
use resmcu_int8_kernels::requantize::{NativeChannel, TfliteChannel};

fn sum(x: &[i64], weights: &[i8], o: usize) -> i64 {
    (0..x.len()).map(|i| x[i] * i64::from(weights[o * x.len() + i])).sum()
}

/// Logits, int32, not clamped.
pub(crate) fn fully_connected_native(
    x: &[i64],
    weights: &[i8],
    channels: &[NativeChannel],
) -> Vec<i32> {
    let logits = channels.iter().enumerate();
    logits.map(|(o, c)| i32::try_from(native(sum(x, weights, o), 0, c)).unwrap()).collect()
}

/// int8 scores.
pub(crate) fn fully_connected_tflite(
    x: &[i64],
    weights: &[i8],
    channels: &[TfliteChannel],
    zero_point: i16,
    bounds: [i8; 2],
) -> Vec<i8> {
    let scores = channels.iter().enumerate();
    scores.map(|(o, c)| clamp(tflite(sum(x, weights, o), c, zero_point), bounds)).collect()
}
