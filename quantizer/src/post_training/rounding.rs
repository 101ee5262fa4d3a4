//! Rounding that is learnt: every weight goes up or down by a variable of its own (`AdaRound`,
//! Nagel et al. 2020, section 3).
//!
//! Owns the variables of one layer, their gradient and their optimizer; what error they lower is
//! `reconstruct`'s, and the grid is the layer's [`LayerWeights`].

use crate::quantize::{LayerWeights, RealWeights};

/// The stretched sigmoid (Louizos et al. 2018), which reaches 0 and 1.
const STRETCH: (f64, f64) = (-0.1, 1.1);

/// Adam's (Kingma and Ba 2015).
const MOMENTUM: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// How far up each weight of a layer is rounded.
#[derive(Clone, Debug)]
pub(super) struct SoftRounding {
    limit: f64,
    /// The float graph's worth of one step, one a weight.
    steps: Vec<f32>,
    /// Where a weight is rounded down to.
    floors: Vec<f32>,
    /// The variables: `h = clamp(1.2 sigmoid(v) - 0.1, 0, 1)` is how far up a weight is.
    variables: Vec<f64>,
    moments: Vec<(f64, f64)>,
    iterations: i32,
}

/// How strongly variables are driven to 0 or 1: `weight * (1 - |2h - 1|^exponent)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pressure {
    pub(super) weight: f64,
    pub(super) exponent: f64,
}

impl SoftRounding {
    /// Begins with the real weights themselves.
    pub(super) fn new(real: &RealWeights, weights: &LayerWeights) -> Self {
        let limit = f64::from(weights.bits.limit());
        let (mut steps, mut floors, mut variables) = (Vec::new(), Vec::new(), Vec::new());
        for (row, &scale) in real.rows.iter().zip(&weights.scales) {
            for (w, unit) in row.iter().zip(real.units.iter().cycle()) {
                let exact = if scale > 0.0 { (w / scale).clamp(-limit, limit) } else { 0.0 };
                let floor = exact.floor().min(limit - 1.0);
                steps.push((scale * unit) as f32);
                floors.push(floor as f32);
                variables.push(variable(exact - floor));
            }
        }
        let moments = vec![(0.0, 0.0); variables.len()];
        Self { limit, steps, floors, variables, moments, iterations: 0 }
    }

    /// The float graph's weights, as soft as they are now.
    pub(super) fn write(&self, weights: &mut [f32]) {
        let each = self.floors.iter().zip(&self.variables).zip(&self.steps);
        for (weight, ((floor, &v), step)) in weights.iter_mut().zip(each) {
            *weight = (floor + height(v) as f32) * step;
        }
    }

    /// The integers that the variables are nearer to.
    pub(super) fn harden(&self) -> Vec<i8> {
        let each = self.floors.iter().zip(&self.variables);
        each.map(|(floor, &v)| {
            let up = if height(v) >= 0.5 { 1.0 } else { 0.0 };
            (f64::from(*floor) + up).clamp(-self.limit, self.limit) as i8
        })
        .collect()
    }

    /// Moves the variables against `gradient`, that of the float graph's weights, under
    /// `pressure`.
    pub(super) fn step(&mut self, gradient: &[f32], rate: f64, pressure: Option<Pressure>) {
        self.iterations += 1;
        let corrections =
            (1.0 - MOMENTUM.0.powi(self.iterations), 1.0 - MOMENTUM.1.powi(self.iterations));
        let each = self.variables.iter_mut().zip(&mut self.moments).zip(gradient).zip(&self.steps);
        for (((variable, moments), &gradient), &step) in each {
            let h = height(*variable);
            let mut slope = f64::from(gradient) * f64::from(step);
            if let Some(Pressure { weight, exponent }) = pressure {
                let from_middle = 2.0 * h - 1.0;
                slope -= 2.0
                    * weight
                    * exponent
                    * from_middle.abs().powf(exponent - 1.0)
                    * from_middle.signum();
            }
            let slope = slope * height_slope(*variable);
            moments.0 = MOMENTUM.0 * moments.0 + (1.0 - MOMENTUM.0) * slope;
            moments.1 = MOMENTUM.1 * moments.1 + (1.0 - MOMENTUM.1) * slope * slope;
            let (mean, square) = (moments.0 / corrections.0, moments.1 / corrections.1);
            *variable -= rate * mean / (square.sqrt() + EPSILON);
        }
    }
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// How far up a weight is rounded, 0 to 1.
fn height(v: f64) -> f64 {
    (sigmoid(v) * (STRETCH.1 - STRETCH.0) + STRETCH.0).clamp(0.0, 1.0)
}

/// Its derivative; none where it is 0 or 1.
fn height_slope(v: f64) -> f64 {
    let (s, h) = (sigmoid(v), height(v));
    if h > 0.0 && h < 1.0 { (STRETCH.1 - STRETCH.0) * s * (1.0 - s) } else { 0.0 }
}

/// The variable of a height.
fn variable(height: f64) -> f64 {
    let s = (height - STRETCH.0) / (STRETCH.1 - STRETCH.0);
    (s / (1.0 - s)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{WeightBits, WeightScale};

    fn soft(row: &[f64]) -> (RealWeights, LayerWeights, SoftRounding) {
        let real = RealWeights { rows: vec![row.to_vec()], units: vec![2.0], scale_min: 0.0 };
        let weights = real.nearest(WeightBits::Four, WeightScale::Largest, &[1.0]);
        let soft = SoftRounding::new(&real, &weights);
        (real, weights, soft)
    }

    #[test]
    fn it_begins_with_the_real_weights() {
        let row = [0.7, -0.7, 0.0, 0.33, -0.21, 0.06, -0.64, 0.099];
        let (_, nearest, soft) = soft(&row);
        let mut weights = [0.0; 8];
        soft.write(&mut weights);
        for (found, expected) in weights.iter().zip(row) {
            assert!((f64::from(*found) - 2.0 * expected).abs() < 1e-6, "{found}, {expected}");
        }
        assert_eq!(soft.harden(), nearest.values);
    }

    #[test]
    fn a_row_of_zeros_stays_zeros() {
        let (_, _, mut soft) = soft(&[0.0, 0.0]);
        soft.step(&[1.0, -1.0], 1.0, Some(Pressure { weight: 1.0, exponent: 2.0 }));
        let mut weights = [1.0; 2];
        soft.write(&mut weights);
        assert_eq!(weights, [0.0; 2]);
    }

    #[test]
    fn the_slope_is_numeric() {
        for v in [-2.0, -0.5, 0.0, 0.3, 1.9] {
            let expected = (height(v + 1e-6) - height(v - 1e-6)) / 2e-6;
            assert!((height_slope(v) - expected).abs() < 1e-6);
            assert!((height(variable(height(v))) - height(v)).abs() < 1e-12);
        }
        assert_eq!((height(9.0), height_slope(9.0), height(-9.0)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn pressure_drives_to_the_nearer_end_and_a_gradient_over_it() {
        // Weights of a third and two thirds of a step; the gradient asks for the opposite.
        let row = [0.7, 1.0 / 30.0, 2.0 / 30.0];
        let run = |gradient: [f32; 3]| {
            let (_, _, mut soft) = soft(&row);
            for _ in 0..500 {
                let pressure = Pressure { weight: 0.1, exponent: 2.0 };
                soft.step(&gradient, 0.02, Some(pressure));
            }
            soft.harden()
        };
        assert_eq!(run([0.0; 3]), [7, 0, 1]);
        assert_eq!(run([0.0, -9.0, 9.0]), [7, 1, 0]);
    }
}
