//! `ADD` of the profile `tflite`.

use super::requantize::rescale;
use super::{Tensor, clamp};
use resmcu_int8_kernels::ops::add::AddConstants;

/// Both inputs `<< 20` and rescaled, added, and rescaled.
pub(crate) fn add(a: &Tensor<i8>, b: &Tensor<i8>, c: &AddConstants, bounds: [i8; 2]) -> Tensor<i8> {
    assert_eq!(a.shape, b.shape);
    let input = |k: usize, x: i8| {
        let shifted = (i64::from(x) + i64::from(c.input_offsets[k])) * (1 << 20);
        rescale(shifted, c.input_multipliers[k], c.input_shifts[k])
    };
    Tensor::from_fn(a.shape, |at| {
        let sum = input(0, a.at(at)) + input(1, b.at(at));
        let y = rescale(sum, c.output_multiplier, c.output_shift) + i64::from(c.output_offset);
        clamp(y, bounds)
    })
}
