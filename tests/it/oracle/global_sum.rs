//! Global average pooling of the profile `native`, its sums.

use super::Tensor;

/// The sums over all positions, int16.
pub(crate) fn global_sum(x: &Tensor<i8>) -> Tensor<i16> {
    let [height, width, channels] = x.shape;
    Tensor::from_fn([1, 1, channels], |[_, _, channel]| {
        let mut sum = 0_i64;
        for h in 0..height {
            for w in 0..width {
                sum += i64::from(x.at([h, w, channel]));
            }
        }
        i16::try_from(sum).unwrap()
    })
}
