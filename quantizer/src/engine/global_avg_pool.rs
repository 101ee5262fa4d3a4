//! Global average pooling over `[N,H,W,C]`, forward and backward.

/// `y[n,c]` is the mean of `x[n,h,w,c]` over `positions` of `H·W`.
pub(super) fn forward(x: &[f32], positions: usize, channels: usize, y: &mut [f32]) {
    for (x, y) in x.chunks_exact(positions * channels).zip(y.chunks_exact_mut(channels)) {
        y.fill(0.0);
        for x in x.chunks_exact(channels) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        }
        y.iter_mut().for_each(|y| *y /= positions as f32);
    }
}

/// Adds the gradient to `dx`: each position gets its share.
pub(super) fn backward(dy: &[f32], positions: usize, channels: usize, dx: &mut [f32]) {
    for (dx, dy) in dx.chunks_exact_mut(positions * channels).zip(dy.chunks_exact(channels)) {
        for dx in dx.chunks_exact_mut(channels) {
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy / positions as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    #[track_caller]
    fn check(images: usize, positions: usize, channels: usize) {
        let x = noise(1, images * positions * channels);
        let dy = noise(2, images * channels);
        let mut dx = vec![0.0; x.len()];
        backward(&dy, positions, channels, &mut dx);
        check_gradient(&x, &dy, &dx, |x| {
            let mut y = vec![f32::NAN; images * channels];
            forward(x, positions, channels, &mut y);
            y
        });
    }

    #[test]
    fn gradient_is_numeric() {
        check(1, 1, 1);
        check(2, 9, 3);
        check(3, 49, 1);
    }
}
