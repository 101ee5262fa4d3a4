//! Shortcut option A of the profile `native`.

use super::Tensor;

/// Every `stride`-th pixel, with `zero` in the channels around the input's.
pub(crate) fn subsample_pad(
    x: &Tensor<i8>,
    stride: usize,
    channels_before: usize,
    channels: usize,
    zero: i8,
) -> Tensor<i8> {
    let [height, width, inputs] = x.shape;
    let shape = [height.div_ceil(stride), width.div_ceil(stride), channels];
    Tensor::from_fn(shape, |[h, w, c]| {
        let source = c.checked_sub(channels_before).filter(|&source| source < inputs);
        source.map_or(zero, |source| x.at([h * stride, w * stride, source]))
    })
}
