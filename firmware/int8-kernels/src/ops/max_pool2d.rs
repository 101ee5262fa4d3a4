//! Max pooling: the largest value under the window; padding does not count.

use crate::requantize::clamp;
use crate::shape::Window;

/// `y[h,w,c] = max of x under the window`, clamped.
///
/// `x`: `[H,W,C]` int8. `y`: `[OH,OW,C]` int8 of the same scale and zero point. Each window has at
/// least one position inside the input.
pub fn max_pool2d_s8(window: &Window, x: &[i8], bounds: [i8; 2], y: &mut [i8]) {
    let channels = usize::from(window.output[2]);
    debug_assert_eq!(y.len(), window.positions() * channels);
    let mut pixels = y.chunks_exact_mut(channels.max(1));
    for row in 0..usize::from(window.output[0]) {
        for column in 0..usize::from(window.output[1]) {
            let Some(pixel) = pixels.next() else { return };
            pixel.fill(i8::MIN);
            window.for_each_pixel(row, column, x, |inside| {
                for (y, &x) in pixel.iter_mut().zip(inside) {
                    *y = x.max(*y);
                }
            });
            for y in pixel {
                *y = clamp(i32::from(*y), bounds);
            }
        }
    }
}
