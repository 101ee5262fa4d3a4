//! `AVERAGE_POOL_2D` of the profile `tflite`.

use super::{Tensor, clamp, positions, taps, under};
use resmcu_quantizer::quantized::Sliding;

/// The mean of a window whose sums are known.
pub(crate) fn mean_of_sums(sums: &Tensor<i16>, sliding: &Sliding, bounds: [i8; 2]) -> Tensor<i8> {
    let count = (sliding.size[0] * sliding.size[1]) as i64;
    Tensor::from_fn(sums.shape, |at| {
        let sum = i64::from(sums.at(at));
        clamp((sum + sum.signum() * (count / 2)) / count, bounds)
    })
}

/// The mean of what lies inside, half away from zero.
pub(crate) fn average_pool2d(x: &Tensor<i8>, sliding: &Sliding, bounds: [i8; 2]) -> Tensor<i8> {
    let [rows, columns] = positions(x.shape, sliding);
    Tensor::from_fn([rows, columns, x.shape[2]], |[oh, ow, c]| {
        let places = taps(sliding).map(|tap| under(sliding, [oh, ow], tap));
        let inside: Vec<i64> =
            places.filter_map(|[h, w]| x.inside(h, w, c)).map(i64::from).collect();
        let (sum, count) = (inside.iter().sum::<i64>(), inside.len() as i64);
        clamp((sum + sum.signum() * (count / 2)) / count, bounds)
    })
}
