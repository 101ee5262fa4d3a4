//! Rounding to a grid in the middle of float training, and its gradients.
//!
//! Learned step sizes (Esser et al. 2020, sections 2.1 and 2.2): inside the grid the gradient
//! passes as if nothing was rounded, outside it stops; a step's own gradient is
//! `Σ dy · (level - x/step)` inside and `Σ dy · level` outside, times `1 / √(values · levels)`,
//! so that steps move as fast as weights. Owns that arithmetic on slices; which slices, the
//! shards and the step say.

use crate::graph::{FakeQuantize, WeightQuantizer};

/// The grid of one activation tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Grid {
    step: f32,
    lowest: f32,
    highest: f32,
}

impl Grid {
    pub(super) fn new(quantizer: &FakeQuantize) -> Self {
        let [lowest, highest] = quantizer.levels();
        Self { step: quantizer.step.first().copied().unwrap_or(1.0), lowest, highest }
    }

    /// The level of `x`: ties go up, as the device's requantization has it.
    fn level(&self, x: f32) -> f32 {
        (x / self.step + 0.5).floor().clamp(self.lowest, self.highest)
    }

    /// Rounds values to the grid.
    pub(super) fn round(&self, values: &mut [f32]) {
        values.iter_mut().for_each(|x| *x = self.level(*x) * self.step);
    }

    /// The gradient before the grid from that after it, in place, `x` being what was rounded; and
    /// the sum that [`Grid::step_gradient`] takes.
    pub(super) fn backward(&self, x: &[f32], gradient: &mut [f32]) -> f64 {
        let mut sum = 0.0;
        for (&x, gradient) in x.iter().zip(gradient) {
            let (level, exact) = (self.level(x), x / self.step);
            let is_inside = exact >= self.lowest && exact <= self.highest;
            let slope = if is_inside { level - exact } else { level };
            sum += f64::from(*gradient * slope);
            if !is_inside {
                *gradient = 0.0;
            }
        }
        sum
    }

    /// The gradient of the step, from the sum over all positions of the batch, for a tensor of
    /// `values` values an image.
    pub(super) fn step_gradient(&self, sum: f64, values: usize) -> f32 {
        let levels = f64::from(self.highest.max(-self.lowest));
        (sum / (values as f64 * levels).sqrt()) as f32
    }
}

/// Weights `[O, ..]` as their grid has them.
pub(super) fn round_weights(quantizer: &WeightQuantizer, weights: &[f32], out: &mut Vec<f32>) {
    let bound = quantizer.bound();
    out.clear();
    for (weights, step) in channels(quantizer, weights) {
        out.extend(weights.iter().map(|w| (w / step).round().clamp(-bound, bound) * step));
    }
}

/// The gradients of weights and of their steps, from that of the rounded weights, which is changed
/// in place.
pub(super) fn weight_gradients(
    quantizer: &WeightQuantizer,
    weights: &[f32],
    gradient: &mut [f32],
    steps: &mut [f32],
) {
    let bound = quantizer.bound();
    let row = weights.len() / quantizer.steps.len().max(1);
    let rows = gradient.chunks_exact_mut(row.max(1));
    for (((weights, step), gradient), slot) in channels(quantizer, weights).zip(rows).zip(steps) {
        let mut sum = 0.0;
        for (&w, gradient) in weights.iter().zip(gradient) {
            let exact = w / step;
            let level = exact.round().clamp(-bound, bound);
            let is_inside = exact.abs() <= bound;
            sum += f64::from(*gradient * if is_inside { level - exact } else { level });
            if !is_inside {
                *gradient = 0.0;
            }
        }
        *slot = (sum / (row as f64 * f64::from(bound)).sqrt()) as f32;
    }
}

/// Each output channel's weights and step.
fn channels<'a>(
    quantizer: &'a WeightQuantizer,
    weights: &'a [f32],
) -> impl Iterator<Item = (&'a [f32], f32)> {
    let row = weights.len() / quantizer.steps.len().max(1);
    weights.chunks_exact(row.max(1)).zip(quantizer.steps.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    fn grid(step: f32, zero_point: i8) -> Grid {
        Grid::new(&FakeQuantize { step: arr1(&[step]), zero_point })
    }

    #[track_caller]
    fn check(grid: Grid, x: f32, rounded: f32, [gradient, slope]: [f32; 2]) {
        let mut values = [x];
        grid.round(&mut values);
        assert_eq!(values, [rounded], "{x} on {grid:?}");
        let mut dy = [2.0];
        let sum = grid.backward(&[x], &mut dy);
        assert_eq!((dy, sum as f32), ([2.0 * gradient], 2.0 * slope), "{x} on {grid:?}");
    }

    #[test]
    fn activations_round_half_up_and_stop_at_the_ends() {
        // int8 from -128 to 127 with zero at -128: levels 0 to 255.
        let positive = grid(0.5, -128);
        check(positive, 0.0, 0.0, [1.0, 0.0]);
        check(positive, 0.25, 0.5, [1.0, 0.5]);
        check(positive, 0.375, 0.5, [1.0, 0.25]);
        check(positive, 127.5, 127.5, [1.0, 0.0]);
        check(positive, 127.625, 127.5, [0.0, 255.0]);
        check(positive, -0.25, 0.0, [0.0, 0.0]);
        // Zero at 27: levels -155 to 100.
        let both = grid(2.0, 27);
        check(both, -3.0, -2.0, [1.0, 0.5]);
        check(both, -311.0, -310.0, [0.0, -155.0]);
        check(both, 201.0, 200.0, [0.0, 100.0]);
    }

    #[test]
    fn weights_round_by_channel_and_pass_gradients_inside() {
        let quantizer = WeightQuantizer { steps: arr1(&[1.0, 0.5]), bits: 4 };
        let weights = [0.375, -9.0, 7.0, 0.375, -9.0, 3.5];
        let mut rounded = Vec::new();
        round_weights(&quantizer, &weights, &mut rounded);
        assert_eq!(rounded, [0.0, -7.0, 7.0, 0.5, -3.5, 3.5]);
        let (mut gradient, mut steps) = ([1.0; 6], [0.0; 2]);
        weight_gradients(&quantizer, &weights, &mut gradient, &mut steps);
        assert_eq!(gradient, [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
        let scale = (3.0_f32 * 7.0).sqrt();
        assert!((steps[0] - (-0.375 - 7.0) / scale).abs() < 1e-6, "{steps:?}");
        assert!((steps[1] - (0.25 - 7.0) / scale).abs() < 1e-6, "{steps:?}");
    }
}
