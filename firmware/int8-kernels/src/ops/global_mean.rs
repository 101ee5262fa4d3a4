//! Global average pooling to int8: in the profile `native` where a sum would not fit int16, in the
//! profile `tflite` its `MEAN`.

use crate::requantize::Requantize;

/// `y[c] = requantize(sum over all positions of x[p,c])`, with one record for all channels.
///
/// `x`: `[H,W,C]` int8, at most 65,535 positions. `y`: `[C]` int8.
pub fn global_mean_s8<R: Requantize>(
    x: &[i8],
    constants: &R::Channel,
    requantize: R,
    y: &mut [i8],
) {
    let channels = y.len().max(1);
    for (c, y) in y.iter_mut().enumerate() {
        let sum: i32 = x.iter().skip(c).step_by(channels).map(|&x| i32::from(x)).sum();
        requantize.requantize(sum, constants, y);
    }
}

/// The same of the sums, `[C]`.
pub fn global_mean_s16<R: Requantize>(
    sums: &[i16],
    constants: &R::Channel,
    requantize: R,
    y: &mut [i8],
) {
    for (y, &sum) in y.iter_mut().zip(sums) {
        requantize.requantize(sum.into(), constants, y);
    }
}
