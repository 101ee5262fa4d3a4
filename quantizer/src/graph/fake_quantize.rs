//! Quantization as training sees it: values on a grid whose step is learned.
//!
//! Learned step sizes (Esser et al. 2020, LSQ) with straight-through gradients (Bengio et al.
//! 2013). Owns the grids and their rounding, one for weights and one for activations, each the
//! integers' own: what a grid gives, times one over its step, is what the device computes with.
//! Not when to train so, nor where in a network; that is `quantization_aware`'s.

use ndarray::Array1;

/// The smallest step, so that a division by it stays finite.
pub const STEP_MIN: f32 = 1e-8;

/// The grid of weights: symmetric, a step for each output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightQuantizer {
    /// `[O]`, above zero.
    pub steps: Array1<f32>,
    /// Bits of an integer weight: 2 to 8.
    pub bits: u8,
}

impl WeightQuantizer {
    /// The largest integer weight; the smallest is its negative.
    #[must_use]
    pub fn bound(&self) -> f32 {
        f32::from((1_u8 << (self.bits - 1)) - 1)
    }

    pub(super) fn check(&self, outputs: usize) -> Result<(), String> {
        if !(2..=8).contains(&self.bits) {
            return Err(format!("integer weights of {} bits; 2 to 8 are possible", self.bits));
        }
        if self.steps.len() != outputs {
            return Err(format!("{} steps for {outputs} output channels", self.steps.len()));
        }
        self.steps.iter().try_for_each(|&step| check_step(step))
    }
}

/// The grid of activations: int8, one step and one zero point for all of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeQuantize {
    /// `[1]`, above zero.
    pub step: Array1<f32>,
    /// The integer that stands for zero.
    pub zero_point: i8,
}

impl FakeQuantize {
    /// The grid's ends in steps, the lowest at most zero and the highest at least zero.
    #[must_use]
    pub fn levels(&self) -> [f32; 2] {
        [i8::MIN, i8::MAX].map(|end| f32::from(end) - f32::from(self.zero_point))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self.step.as_slice() {
            Some(&[step]) => check_step(step),
            _ => Err(format!("{} steps for one tensor", self.step.len())),
        }
    }
}

fn check_step(step: f32) -> Result<(), String> {
    if step >= STEP_MIN && step.is_finite() {
        return Ok(());
    }
    Err(format!("a step of {step}"))
}
