//! Convolution of both profiles.

use super::requantize::{native, tflite};
use super::{Tensor, clamp, positions, taps, under};
use resmcu_quantizer::quantized::{Channels, PadValue, Sliding};

/// A convolution's constants.
pub(crate) struct Conv2d<'a> {
    pub(crate) sliding: &'a Sliding,
    pub(crate) pad_value: &'a PadValue,
    /// `[O,KH,KW,I]`.
    pub(crate) weights: &'a [i8],
    pub(crate) channels: &'a Channels,
    pub(crate) clamp: [i8; 2],
    /// Of the output, in the profile `tflite`.
    pub(crate) zero_point: i16,
}

/// `requantize(sum of x * w)`, with the residual in the profile `native`.
pub(crate) fn conv2d(x: &Tensor<i8>, layer: &Conv2d<'_>, skip: Option<&Tensor<i8>>) -> Tensor<i8> {
    let inputs = x.shape[2];
    let outputs = match layer.channels {
        Channels::Native(channels) => channels.len(),
        Channels::Tflite(channels) => channels.len(),
    };
    let [rows, columns] = positions(x.shape, layer.sliding);
    Tensor::from_fn([rows, columns, outputs], |[oh, ow, o]| {
        let mut sum = 0;
        for [kh, kw] in taps(layer.sliding) {
            let [h, w] = under(layer.sliding, [oh, ow], [kh, kw]);
            for i in 0..inputs {
                let outside = match layer.pad_value {
                    PadValue::Uniform(value) => *value,
                    PadValue::PerChannel(values) => values[i],
                };
                let [height, width] = layer.sliding.size;
                let weight = layer.weights[((o * height + kh) * width + kw) * inputs + i];
                sum += i64::from(x.inside(h, w, i).unwrap_or(outside)) * i64::from(weight);
            }
        }
        let q = match layer.channels {
            Channels::Native(channels) => {
                let skip = skip.map_or(0, |skip| skip.at([oh, ow, o]).into());
                native(sum, skip, &channels[o])
            }
            Channels::Tflite(channels) => tflite(sum, &channels[o], layer.zero_point),
        };
        clamp(q, layer.clamp)
    })
}
