//! Batch normalization over `[N,H,W,C]`: batch statistics, forward and backward.
//!
//! Owns the formulas (Ioffe and Szegedy 2015, algorithm 1 and section 3); the sums over all
//! groups of a batch are the executor's, which calls `finish_*` once they are complete.

use crate::graph::BatchNorm;

/// Pixels that are summed in f32 before they join the sum in f64.
const BLOCK_PIXELS: usize = 64;

/// `y = x · scale + shift`, a channel each: evaluation and training alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Affine {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

/// `dx += dy · per_dy + (x - mean) · per_x + constant`, a channel each.
#[derive(Clone, Debug, Default)]
pub(super) struct Gradient {
    per_dy: Vec<f32>,
    per_x: Vec<f32>,
    constant: Vec<f32>,
}

/// Mean and inverse deviation of the batch, a channel each.
#[derive(Clone, Debug, Default)]
pub(super) struct Statistics {
    pub(super) mean: Vec<f32>,
    pub(super) inverse: Vec<f32>,
}

/// With the running averages: evaluation mode.
pub(super) fn evaluation(norm: &BatchNorm) -> Affine {
    let mut affine = Affine::default();
    for c in 0..norm.gamma.len() {
        let scale = norm.gamma[c] / (norm.variance[c] + norm.epsilon).sqrt();
        affine.scale.push(scale);
        affine.shift.push(norm.beta[c] - norm.mean[c] * scale);
    }
    affine
}

/// Adds `Σ x` to the first half of `sums` and `Σ x²` to the second, a channel each.
pub(super) fn forward_sums(x: &[f32], channels: usize, sums: &mut [f64]) {
    let mut partial = vec![0.0_f32; 2 * channels];
    for block in x.chunks(channels * BLOCK_PIXELS) {
        partial.fill(0.0);
        let (first, second) = partial.split_at_mut(channels);
        for x in block.chunks_exact(channels) {
            for ((first, second), &x) in first.iter_mut().zip(second.iter_mut()).zip(x) {
                *first += x;
                *second += x * x;
            }
        }
        sums.iter_mut().zip(&partial).for_each(|(sum, &p)| *sum += f64::from(p));
    }
}

/// The batch's statistics from the complete sums over `count` positions of all images, and the
/// running averages moved towards them by `momentum`. The variance that normalizes is biased, the
/// running one unbiased, as PyTorch has them.
pub(super) fn finish_forward(
    norm: &mut BatchNorm,
    sums: &[f64],
    count: usize,
    momentum: f32,
) -> (Affine, Statistics) {
    let (mut affine, mut statistics) = (Affine::default(), Statistics::default());
    let channels = norm.gamma.len();
    let count = count as f64;
    for c in 0..channels {
        let mean = sums[c] / count;
        let square = sums[channels + c] / count - mean * mean;
        // Rounding may take a constant channel below zero; NaN stays, so that it is seen.
        let variance = if square < 0.0 { 0.0 } else { square };
        let inverse = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
        let scale = f64::from(norm.gamma[c]) * inverse;
        affine.scale.push(scale as f32);
        affine.shift.push((f64::from(norm.beta[c]) - mean * scale) as f32);
        statistics.mean.push(mean as f32);
        statistics.inverse.push(inverse as f32);
        let unbiased = variance * count / (count - 1.0).max(1.0);
        norm.mean[c] += momentum * (mean as f32 - norm.mean[c]);
        norm.variance[c] += momentum * (unbiased as f32 - norm.variance[c]);
    }
    (affine, statistics)
}

/// `y = x · scale + shift`.
pub(super) fn forward(affine: &Affine, x: &[f32], y: &mut [f32]) {
    let Affine { scale, shift } = affine;
    for (x, y) in x.chunks_exact(scale.len()).zip(y.chunks_exact_mut(scale.len())) {
        for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
            *y = x * scale + shift;
        }
    }
}

/// Adds `Σ dy` (the gradient of beta) to the first half of `sums` and `Σ dy · x̂` (that of gamma)
/// to the second, a channel each.
pub(super) fn backward_sums(statistics: &Statistics, x: &[f32], dy: &[f32], sums: &mut [f64]) {
    let channels = statistics.mean.len();
    let mut partial = vec![0.0_f32; 2 * channels];
    let block = channels * BLOCK_PIXELS;
    for (x, dy) in x.chunks(block).zip(dy.chunks(block)) {
        partial.fill(0.0);
        let (first, second) = partial.split_at_mut(channels);
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            let terms = x.iter().zip(dy).zip(&statistics.mean);
            for (((x, &dy), mean), (first, second)) in
                terms.zip(first.iter_mut().zip(second.iter_mut()))
            {
                *first += dy;
                *second += dy * (x - mean);
            }
        }
        let inverse = std::iter::repeat_n(&1.0, channels).chain(&statistics.inverse);
        for ((sum, &partial), &inverse) in sums.iter_mut().zip(&partial).zip(inverse) {
            *sum += f64::from(partial) * f64::from(inverse);
        }
    }
}

/// The gradient of the input from the complete sums over `count` positions of all images:
/// `gamma / σ · (dy - mean(dy) - x̂ · mean(dy · x̂))`.
pub(super) fn finish_backward(
    norm: &BatchNorm,
    statistics: &Statistics,
    sums: &[f64],
    count: usize,
) -> Gradient {
    let channels = norm.gamma.len();
    let mut gradient = Gradient::default();
    for c in 0..channels {
        let inverse = f64::from(statistics.inverse[c]);
        let scale = f64::from(norm.gamma[c]) * inverse;
        gradient.per_dy.push(scale as f32);
        gradient.per_x.push((-scale * inverse * sums[channels + c] / count as f64) as f32);
        gradient.constant.push((-scale * sums[c] / count as f64) as f32);
    }
    gradient
}

/// Adds the gradient to `dx`.
pub(super) fn backward(
    gradient: &Gradient,
    statistics: &Statistics,
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    let Gradient { per_dy, per_x, constant } = gradient;
    let channels = per_dy.len();
    let pixels = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
    for ((x, dy), dx) in pixels.zip(dx.chunks_exact_mut(channels)) {
        let terms = per_dy.iter().zip(per_x).zip(constant).zip(&statistics.mean);
        for ((dx, (x, dy)), (((per_dy, per_x), constant), mean)) in
            dx.iter_mut().zip(x.iter().zip(dy)).zip(terms)
        {
            *dx += dy * per_dy + (x - mean) * per_x + constant;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;
    use ndarray::Array1;

    fn norm(gamma: &[f32], beta: &[f32]) -> BatchNorm {
        let mut norm = BatchNorm::identity(gamma.len());
        norm.gamma = Array1::from(gamma.to_vec());
        norm.beta = Array1::from(beta.to_vec());
        norm
    }

    /// Training-mode forward, in f64 from the definition.
    fn naive(x: &[f32], gamma: &[f32], beta: &[f32]) -> Vec<f32> {
        let channels = gamma.len();
        let count = (x.len() / channels) as f64;
        let column = |c: usize| x.iter().skip(c).step_by(channels).map(|&x| f64::from(x));
        let normalize = |(i, &x): (usize, &f32)| {
            let c = i % channels;
            let mean = column(c).sum::<f64>() / count;
            let variance = column(c).map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            let unit = (f64::from(x) - mean) / (variance + 1e-5).sqrt();
            (unit * f64::from(gamma[c]) + f64::from(beta[c])) as f32
        };
        x.iter().enumerate().map(normalize).collect()
    }

    #[track_caller]
    fn check(pixels: usize, channels: usize) {
        let mut x = noise(1, pixels * channels);
        x.iter_mut().for_each(|x| *x += 3.0); // a mean that a careless variance would drown in
        let (gamma, beta) = (noise(2, channels), noise(3, channels));
        let (dy, mut norm) = (noise(4, x.len()), norm(&gamma, &beta));
        let mut sums = vec![0.0; 2 * channels];
        forward_sums(&x, channels, &mut sums);
        let (affine, statistics) = finish_forward(&mut norm, &sums, pixels, 0.1);
        let mut y = vec![f32::NAN; x.len()];
        forward(&affine, &x, &mut y);
        for (y, expected) in y.iter().zip(naive(&x, &gamma, &beta)) {
            assert!((y - expected).abs() < 1e-4, "{y}, expected {expected}");
        }
        let mut sums = vec![0.0; 2 * channels];
        backward_sums(&statistics, &x, &dy, &mut sums);
        let gradient = finish_backward(&norm, &statistics, &sums, pixels);
        let mut dx = vec![0.0; x.len()];
        backward(&gradient, &statistics, &x, &dy, &mut dx);
        check_gradient(&x, &dy, &dx, |x| naive(x, &gamma, &beta));
        let to_f32 = |sums: &[f64]| sums.iter().map(|&sum| sum as f32).collect::<Vec<_>>();
        let (dbeta, dgamma) = (to_f32(&sums[..channels]), to_f32(&sums[channels..]));
        check_gradient(&beta, &dy, &dbeta, |beta| naive(&x, &gamma, beta));
        check_gradient(&gamma, &dy, &dgamma, |gamma| naive(&x, gamma, &beta));
    }

    #[test]
    fn gradient_is_numeric() {
        check(30, 1);
        check(70, 3);
        check(130, 2);
    }

    #[test]
    fn one_position_and_constant_channels_stay_finite() {
        let mut norm = norm(&[1.0], &[0.5]);
        let mut sums = vec![0.0; 2];
        forward_sums(&[7.0], 1, &mut sums);
        let (affine, _) = finish_forward(&mut norm, &sums, 1, 0.1);
        let mut y = [0.0];
        forward(&affine, &[7.0], &mut y);
        assert!((y[0] - 0.5).abs() < 1e-3 && norm.variance[0].is_finite(), "{y:?}");
    }

    #[test]
    fn running_averages_follow_pytorch() {
        let mut norm = norm(&[1.0], &[0.0]);
        let mut sums = vec![0.0; 2];
        forward_sums(&[1.0, 3.0], 1, &mut sums);
        finish_forward(&mut norm, &sums, 2, 0.1);
        assert!((norm.mean[0] - 0.2).abs() < 1e-6);
        assert!((norm.variance[0] - (0.9 + 0.1 * 2.0)).abs() < 1e-6);
        let affine = evaluation(&norm);
        assert!((affine.scale[0] - 1.0 / (1.1_f32 + 1e-5).sqrt()).abs() < 1e-6);
    }
}
