//! Shortcut option A: every `stride`-th position, with zero channels around its own.

/// The shapes of one shortcut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// `[H,W,C]`.
    pub(super) input: [usize; 3],
    /// `[H,W,O]`.
    pub(super) output: [usize; 3],
    pub(super) stride: usize,
    /// Channels that are moved; more are padding.
    pub(super) channels: usize,
    /// Zero channels before them.
    pub(super) before: usize,
}

impl Geometry {
    /// For each output pixel of one image, the first element of its own channels there and of the
    /// input pixel.
    fn pixels(self) -> impl Iterator<Item = (usize, usize)> {
        let Self { input: [_, w, c], output: [oh, ow, oc], stride, before, .. } = self;
        (0..oh).flat_map(move |y| {
            (0..ow).map(move |x| ((y * ow + x) * oc + before, (y * stride * w + x * stride) * c))
        })
    }
}

/// `y[n,h,w,before + c] = x[n,h·stride,w·stride,c]`, and zero elsewhere.
pub(super) fn forward(geometry: &Geometry, x: &[f32], y: &mut [f32]) {
    let (inputs, outputs) = (geometry.input.iter().product(), geometry.output.iter().product());
    let channels = geometry.channels;
    y.fill(0.0);
    for (x, y) in x.chunks_exact(inputs).zip(y.chunks_exact_mut(outputs)) {
        for (to, from) in geometry.pixels() {
            y[to..to + channels].copy_from_slice(&x[from..from + channels]);
        }
    }
}

/// Adds the gradient to `dx`.
pub(super) fn backward(geometry: &Geometry, dy: &[f32], dx: &mut [f32]) {
    let (inputs, outputs) = (geometry.input.iter().product(), geometry.output.iter().product());
    let channels = geometry.channels;
    for (dx, dy) in dx.chunks_exact_mut(inputs).zip(dy.chunks_exact(outputs)) {
        for (to, from) in geometry.pixels() {
            let dx = &mut dx[from..from + channels];
            dx.iter_mut().zip(&dy[to..to + channels]).for_each(|(dx, dy)| *dx += dy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    #[track_caller]
    fn check(input: [usize; 3], channels: usize, stride: usize) {
        let output = [input[0].div_ceil(stride), input[1].div_ceil(stride), channels];
        let before = (channels - input[2]) / 2;
        let geometry = Geometry { input, output, stride, channels: input[2], before };
        let x = noise(1, 2 * input.iter().product::<usize>());
        let dy = noise(2, 2 * output.iter().product::<usize>());
        let mut dx = vec![0.0; x.len()];
        backward(&geometry, &dy, &mut dx);
        check_gradient(&x, &dy, &dx, |x| {
            let mut y = vec![f32::NAN; dy.len()];
            forward(&geometry, x, &mut y);
            y
        });
    }

    #[test]
    fn gradient_is_numeric() {
        check([1, 1, 1], 1, 1);
        check([5, 7, 2], 5, 2);
        check([4, 4, 3], 6, 2);
    }

    #[test]
    fn zeros_stand_on_both_sides() {
        let geometry =
            Geometry { input: [2, 2, 1], output: [1, 1, 4], stride: 2, channels: 1, before: 1 };
        let mut y = [9.0; 4];
        forward(&geometry, &[5.0, 6.0, 7.0, 8.0], &mut y);
        assert_eq!(y, [0.0, 5.0, 0.0, 0.0]);
    }
}
