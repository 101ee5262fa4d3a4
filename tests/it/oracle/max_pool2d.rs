//! Max pooling of both profiles.

use super::{Tensor, clamp, positions, taps, under};
use resmcu_quantizer::quantized::Sliding;

/// The largest of what lies inside.
pub(crate) fn max_pool2d(x: &Tensor<i8>, sliding: &Sliding, bounds: [i8; 2]) -> Tensor<i8> {
    let [rows, columns] = positions(x.shape, sliding);
    Tensor::from_fn([rows, columns, x.shape[2]], |[oh, ow, c]| {
        let places = taps(sliding).map(|tap| under(sliding, [oh, ow], tap));
        let largest = places.filter_map(|[h, w]| x.inside(h, w, c)).max().unwrap();
        clamp(largest.into(), bounds)
    })
}
