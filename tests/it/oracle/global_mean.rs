//! Global average pooling of both profiles, requantized.

use super::requantize::{native, tflite};
use super::{Tensor, clamp};
use resmcu_quantizer::quantized::Channels;

/// The sum over all positions (of sums there is one), requantized with one record.
pub(crate) fn global_mean(
    x: &Tensor<i64>,
    constants: &Channels,
    zero_point: i16,
    bounds: [i8; 2],
) -> Tensor<i8> {
    let [height, width, channels] = x.shape;
    Tensor::from_fn([1, 1, channels], |[_, _, channel]| {
        let mut sum = 0;
        for h in 0..height {
            for w in 0..width {
                sum += x.at([h, w, channel]);
            }
        }
        let q = match constants {
            Channels::Native(c) => native(sum, 0, &c[0]),
            Channels::Tflite(c) => tflite(sum, &c[0], zero_point),
        };
        clamp(q, bounds)
    })
}
