//! Batch normalization: what its statistics make of a channel, forward and backward.
//!
//! Owns the formulas (Ioffe and Szegedy 2015, algorithm 1 and section 3) and their coefficients a
//! channel; the passes over pixels are the kernels', the sums over the batch the step's. Channels
//! are padded to whole lanes, with coefficients of zero.

use crate::graph::BatchNorm;
use resmcu_engine_kernels::{NormCoefficients, pad_lanes};

/// The coefficients of one batch normalization.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// `y = x · scale + shift`.
    scale: Vec<f32>,
    shift: Vec<f32>,
    mean: Vec<f32>,
    /// One over the deviation.
    inverse: Vec<f32>,
    /// `dx = dy · per_dy + (x - mean) · per_x + constant`.
    per_dy: Vec<f32>,
    per_x: Vec<f32>,
    constant: Vec<f32>,
    /// The gradients of gamma and beta, without padding.
    pub(super) gamma_gradient: Vec<f32>,
    pub(super) beta_gradient: Vec<f32>,
}

impl State {
    /// Makes room for the channels.
    pub(super) fn resize(&mut self, channels: usize) {
        let padded = pad_lanes(channels);
        for values in [
            &mut self.scale,
            &mut self.shift,
            &mut self.mean,
            &mut self.inverse,
            &mut self.per_dy,
            &mut self.per_x,
            &mut self.constant,
        ] {
            values.resize(padded, 0.0);
        }
        self.gamma_gradient.resize(channels, 0.0);
        self.beta_gradient.resize(channels, 0.0);
    }

    /// Scale and shift, a channel each.
    pub(super) fn affine(&self) -> [&[f32]; 2] {
        [&self.scale, &self.shift]
    }

    pub(super) fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The coefficients of the gradient of the input.
    pub(super) fn coefficients(&self) -> NormCoefficients<'_> {
        let Self { per_dy: per_dz, per_x, mean, constant, .. } = self;
        NormCoefficients { per_dz, per_x, mean, constant }
    }

    /// With the running averages: evaluation mode.
    pub(super) fn evaluation(norm: &BatchNorm) -> Self {
        let mut state = Self::default();
        state.resize(norm.gamma.len());
        for c in 0..norm.gamma.len() {
            let scale = norm.gamma[c] / (norm.variance[c] + norm.epsilon).sqrt();
            state.scale[c] = scale;
            state.shift[c] = norm.beta[c] - norm.mean[c] * scale;
        }
        state
    }

    /// The batch's statistics from the complete sums, `Σ x` and `Σ x²` a (padded) channel each,
    /// over `count` positions of all images; the running averages are moved towards them by
    /// `momentum`. The variance that normalizes is biased, the running one unbiased, as PyTorch
    /// has them.
    pub(super) fn finish_forward(
        &mut self,
        norm: &mut BatchNorm,
        sums: &[f64],
        count: usize,
        momentum: f32,
    ) {
        let count = count as f64;
        let (first, second) = sums.split_at(sums.len() / 2);
        for c in 0..norm.gamma.len() {
            let mean = first[c] / count;
            let square = second[c] / count - mean * mean;
            // Rounding may take a constant channel below zero; NaN stays, so that it is seen.
            let variance = if square < 0.0 { 0.0 } else { square };
            let inverse = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
            let scale = f64::from(norm.gamma[c]) * inverse;
            self.scale[c] = scale as f32;
            self.shift[c] = (f64::from(norm.beta[c]) - mean * scale) as f32;
            self.mean[c] = mean as f32;
            self.inverse[c] = inverse as f32;
            let unbiased = variance * count / (count - 1.0).max(1.0);
            norm.mean[c] += momentum * (mean as f32 - norm.mean[c]);
            norm.variance[c] += momentum * (unbiased as f32 - norm.variance[c]);
        }
    }

    /// The gradients of gamma and beta, and the coefficients of the input's, from the complete
    /// sums `Σ dy` and `Σ dy · (x - mean)` over `count` positions of all images:
    /// `dx = gamma / σ · (dy - mean(dy) - x̂ · mean(dy · x̂))`.
    pub(super) fn finish_backward(
        &mut self,
        norm: &BatchNorm,
        [of_dy, of_products]: [&[f64]; 2],
        count: usize,
    ) {
        let count = count as f64;
        for c in 0..norm.gamma.len() {
            let inverse = f64::from(self.inverse[c]);
            let scale = f64::from(norm.gamma[c]) * inverse;
            let products = of_products[c] * inverse;
            self.per_dy[c] = scale as f32;
            self.per_x[c] = (-scale * inverse * products / count) as f32;
            self.constant[c] = (-scale * of_dy[c] / count) as f32;
            self.gamma_gradient[c] = products as f32;
            self.beta_gradient[c] = of_dy[c] as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    fn norm(gamma: f32, beta: f32) -> BatchNorm {
        BatchNorm { gamma: arr1(&[gamma]), beta: arr1(&[beta]), ..BatchNorm::identity(1) }
    }

    /// The state after a forward pass over `x`, one channel.
    fn forward(norm: &mut BatchNorm, x: &[f64]) -> State {
        let mut state = State::default();
        state.resize(1);
        let sums = [x.iter().sum(), x.iter().map(|x| x * x).sum()];
        state.finish_forward(norm, &sums, x.len(), 0.1);
        state
    }

    #[test]
    fn one_position_and_constant_channels_stay_finite() {
        let mut norm = norm(1.0, 0.5);
        let state = forward(&mut norm, &[7.0]);
        let y = 7.0 * state.scale[0] + state.shift[0];
        assert!((y - 0.5).abs() < 1e-3 && norm.variance[0].is_finite(), "{y}");
    }

    #[test]
    fn running_averages_follow_pytorch() {
        let mut norm = norm(1.0, 0.0);
        forward(&mut norm, &[1.0, 3.0]);
        assert!((norm.mean[0] - 0.2).abs() < 1e-6);
        assert!((norm.variance[0] - (0.9 + 0.1 * 2.0)).abs() < 1e-6);
        let affine = State::evaluation(&norm);
        assert!((affine.scale[0] - 1.0 / (1.1_f32 + 1e-5).sqrt()).abs() < 1e-6);
        assert!(affine.scale[1..].iter().chain(&affine.shift[1..]).all(|&x| x == 0.0));
    }

    /// The gradient of `Σ w · y` against differences of the definition, in f64.
    #[test]
    fn gradients_are_numeric() {
        let (x, w) = ([3.0, 4.5, 2.0, 7.0, 3.5], [0.5, -1.0, 2.0, 0.25, 1.0]);
        let loss = |x: &[f64], gamma: f64, beta: f64| -> f64 {
            let mean = x.iter().sum::<f64>() / 5.0;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 5.0;
            let unit = |x: f64| (x - mean) / (variance + 1e-5).sqrt();
            x.iter().zip(w).map(|(&x, w)| w * (gamma * unit(x) + beta)).sum()
        };
        let mut norm = norm(1.5, 0.25);
        let mut state = forward(&mut norm, &x);
        let mean = x.iter().sum::<f64>() / 5.0;
        let of_products: f64 = x.iter().zip(w).map(|(x, w)| w * (x - mean)).sum();
        state.finish_backward(&norm, [&[w.iter().sum()], &[of_products]], 5);
        let step = 1e-4;
        let check = |found: f32, up: f64, down: f64| {
            let expected = (up - down) / (2.0 * step);
            assert!((f64::from(found) - expected).abs() < 1e-4, "{found}, expected {expected}");
        };
        for i in 0..5 {
            let at = |d: f64| {
                let mut moved = x;
                moved[i] += d;
                loss(&moved, 1.5, 0.25)
            };
            let centred = x[i] as f32 - state.mean[0];
            let dx = w[i] as f32 * state.per_dy[0] + centred * state.per_x[0] + state.constant[0];
            check(dx, at(step), at(-step));
        }
        let [up, down] = [1.5 + step, 1.5 - step];
        check(state.gamma_gradient[0], loss(&x, up, 0.25), loss(&x, down, 0.25));
        let [up, down] = [0.25 + step, 0.25 - step];
        check(state.beta_gradient[0], loss(&x, 1.5, up), loss(&x, 1.5, down));
    }
}
