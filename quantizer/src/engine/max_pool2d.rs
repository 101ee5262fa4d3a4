//! Max pooling over `[N,H,W,C]`, forward and backward. Padded positions take no part; of equal
//! values the first in row-major order is the maximum.

use crate::graph::Padding;

/// Channels that are looked at together: what is left of them needs no memory of its own.
const CHANNELS: usize = 64;

/// The shapes of one pooling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// `[H,W,C]`.
    pub(super) input: [usize; 3],
    /// `[H,W,C]`.
    pub(super) output: [usize; 3],
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: Padding,
}

impl Geometry {
    /// For each output pixel, its first element in one image's output and the first elements of
    /// the input pixels in its window.
    fn windows(self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize> + Clone)> {
        let Self { input: [h, w, c], output: [oh, ow, _], kernel, stride, padding } = self;
        (0..oh).flat_map(move |oy| (0..ow).map(move |ox| (oy, ox))).map(move |(oy, ox)| {
            let span = move |start: usize, pad: usize, size: usize| {
                let end = (start + kernel).saturating_sub(pad).min(size);
                start.saturating_sub(pad)..end
            };
            let columns = span(ox * stride, padding.left, w);
            let pixels = span(oy * stride, padding.top, h)
                .flat_map(move |y| columns.clone().map(move |x| (y * w + x) * c));
            ((oy * ow + ox) * c, pixels)
        })
    }
}

/// `y[n,oh,ow,c]` is the maximum of its window.
pub(super) fn forward(geometry: &Geometry, x: &[f32], y: &mut [f32]) {
    let channels = geometry.input[2];
    for (x, y) in images(geometry, x).zip(y.chunks_exact_mut(geometry.output.iter().product())) {
        y.fill(f32::NEG_INFINITY);
        for (to, pixels) in geometry.windows() {
            let y = &mut y[to..to + channels];
            for from in pixels {
                for (y, &x) in y.iter_mut().zip(&x[from..from + channels]) {
                    // NaN is kept, so that a diverging run is seen.
                    *y = if x > *y || x.is_nan() { x } else { *y };
                }
            }
        }
    }
}

/// Adds the gradient to `dx`, at the position of each maximum.
pub(super) fn backward(geometry: &Geometry, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32]) {
    let channels = geometry.input[2];
    let outputs = geometry.output.iter().product();
    let gradients =
        dy.chunks_exact(outputs).zip(dx.chunks_exact_mut(geometry.input.iter().product()));
    for ((x, y), (dy, dx)) in images(geometry, x).zip(y.chunks_exact(outputs)).zip(gradients) {
        for (to, pixels) in geometry.windows() {
            for start in (0..channels).step_by(CHANNELS) {
                let count = CHANNELS.min(channels - start);
                let of = |values: usize| values + start..values + start + count;
                // What no pixel has had yet: nothing is left after the first maximum.
                let mut left = [0.0; CHANNELS];
                left[..count].copy_from_slice(&dy[of(to)]);
                for from in pixels.clone() {
                    let values = x[of(from)].iter().zip(&y[of(to)]).zip(&mut left);
                    for (dx, ((x, y), left)) in dx[of(from)].iter_mut().zip(values) {
                        let is_maximum = x == y;
                        *dx += if is_maximum { *left } else { 0.0 };
                        *left = if is_maximum { 0.0 } else { *left };
                    }
                }
            }
        }
    }
}

fn images<'a>(geometry: &Geometry, x: &'a [f32]) -> std::slice::ChunksExact<'a, f32> {
    x.chunks_exact(geometry.input.iter().product())
}

#[cfg(test)]
mod tests {
    use super::super::numeric::check_gradient;
    use super::*;

    #[track_caller]
    fn check(input: [usize; 3], kernel: usize, stride: usize, pad: [usize; 4]) {
        let [top, left, bottom, right] = pad;
        let rows = (input[0] + top + bottom - kernel) / stride + 1;
        let columns = (input[1] + left + right - kernel) / stride + 1;
        let output = [rows, columns, input[2]];
        let padding = Padding { top, left, bottom, right };
        let geometry = Geometry { input, output, kernel, stride, padding };
        let len = 2 * input.iter().product::<usize>();
        // All values differ by more than twice the step, and all are below zero: a padded zero
        // would be seen.
        let x: Vec<f32> = (0..len).map(|i| -1.0 - (i * 7919 % len) as f32 * 0.05).collect();
        let apply = |x: &[f32]| {
            let mut y = vec![f32::NAN; 2 * output.iter().product::<usize>()];
            forward(&geometry, x, &mut y);
            y
        };
        let y = apply(&x);
        assert!(y.iter().all(|y| x.contains(y)), "{geometry:?}: {y:?}");
        let dy: Vec<f32> = (0..y.len()).map(|i| (i % 5) as f32 - 2.2).collect();
        let mut dx = vec![0.0; x.len()];
        backward(&geometry, &x, &y, &dy, &mut dx);
        check_gradient(&x, &dy, &dx, apply);
    }

    #[test]
    fn gradient_is_numeric() {
        check([1, 1, 1], 1, 1, [0; 4]);
        check([1, 1, 2], 3, 2, [1; 4]);
        check([5, 7, 3], 3, 2, [1; 4]);
        check([6, 6, 1], 2, 2, [0; 4]);
        check([6, 5, 2], 3, 2, [0, 0, 1, 1]);
        check([2, 3, CHANNELS + 1], 2, 1, [0; 4]);
    }

    #[test]
    fn of_equal_values_the_first_has_the_gradient() {
        let geometry = Geometry {
            input: [2, 2, 1],
            output: [1, 1, 1],
            kernel: 2,
            stride: 1,
            padding: Padding::default(),
        };
        let mut dx = [0.0; 4];
        backward(&geometry, &[0.0, 3.0, 3.0, 1.0], &[3.0], &[1.0], &mut dx);
        assert_eq!(dx, [0.0, 1.0, 0.0, 0.0]);
    }
}
