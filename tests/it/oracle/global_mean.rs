//! Global average pooling of the profile `native`, requantized.

use super::requantize::native;
use super::{Tensor, clamp};
use resmcu_int8_kernels::requantize::NativeChannel;

/// The sum over all positions, requantized with one record.
pub(crate) fn global_mean(x: &Tensor<i8>, c: &NativeChannel, bounds: [i8; 2]) -> Tensor<i8> {
    let [height, width, channels] = x.shape;
    Tensor::from_fn([1, 1, channels], |[_, _, channel]| {
        let mut sum = 0;
        for h in 0..height {
            for w in 0..width {
                sum += i64::from(x.at([h, w, channel]));
            }
        }
        clamp(native(sum, 0, c), bounds)
    })
}
