//! Average pooling of the profile `tflite`: the mean under the window; padding does not count.

use crate::requantize::clamp;
use crate::shape::Window;

/// Channels that are summed up at once: as many as fit the registers of a small core, or some
/// vectors of a host.
const LANES: usize = if cfg!(target_os = "none") { 4 } else { 64 };

/// `y[h,w,c] = round(mean of x under the window)`, half away from zero, clamped (TensorFlow Lite's
/// int8 `AVERAGE_POOL_2D`).
///
/// `x`: `[H,W,C]` int8. `y`: `[OH,OW,C]` int8 of the same scale and zero point. Each window has at
/// least one position inside the input.
pub fn average_pool2d_s8(window: &Window, x: &[i8], bounds: [i8; 2], y: &mut [i8]) {
    let channels = usize::from(window.output[2]);
    debug_assert_eq!(y.len(), window.positions() * channels);
    let mut pixels = y.chunks_exact_mut(channels.max(1));
    for row in 0..usize::from(window.output[0]) {
        for column in 0..usize::from(window.output[1]) {
            let Some(pixel) = pixels.next() else { return };
            for (block, y) in pixel.chunks_mut(LANES).enumerate() {
                let (mut sums, mut count) = ([0_i32; LANES], 0_i32);
                window.for_each_pixel(row, column, x, |inside| {
                    let inside = inside.get(block * LANES..).unwrap_or_default();
                    add(inside, &mut sums);
                    count += 1;
                });
                y.iter_mut().zip(sums).for_each(|(y, sum)| {
                    *y = clamp(rounded_mean(sum, count), bounds);
                });
            }
        }
    }
}

/// Adds the first bytes of `x`; those of a whole block in a loop that has no other length.
#[inline]
fn add(x: &[i8], sums: &mut [i32; LANES]) {
    if let Some(x) = x.first_chunk::<LANES>() {
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += i32::from(x));
    } else {
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += i32::from(x));
    }
}

/// The same of sums over one whole window of `count` positions.
///
/// `sums`, `y`: `[C]`.
pub fn mean_of_sums_s16(sums: &[i16], count: u16, bounds: [i8; 2], y: &mut [i8]) {
    for (y, &sum) in y.iter_mut().zip(sums) {
        *y = clamp(rounded_mean(sum.into(), count.into()), bounds);
    }
}

/// `sum / count`, half away from zero; zero for a count of zero.
fn rounded_mean(sum: i32, count: i32) -> i32 {
    let half = if sum < 0 { -(count / 2) } else { count / 2 };
    (sum + half).checked_div(count).unwrap_or(0)
}
