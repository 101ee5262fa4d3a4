//! Scales from the multipliers that TensorFlow Lite Micro would prepare from them.

use crate::import::tflite::constants::{self, Quantization};

/// Floats on each side of the estimate that are tried. The estimate is off by the rounding of a
/// multiplier of 31 bits alone, and where a product was rounded to a float by that too.
const NEIGHBOURS: i32 = 4;

/// The positive floats next to `estimate`, the nearest first.
fn near(estimate: f64) -> impl Iterator<Item = f32> {
    let bits = (estimate as f32).to_bits() as i32;
    let steps = (0..=NEIGHBOURS).flat_map(|step| [step, -step]);
    let floats = steps.filter_map(move |step| u32::try_from(bits.checked_add(step)?).ok());
    floats.map(f32::from_bits).filter(|value| value.is_finite() && *value > 0.0)
}

/// The real number of a multiplier.
fn real((multiplier, shift): (i32, i32)) -> f64 {
    f64::from(multiplier) * 2_f64.powi(shift - 31)
}

/// The scale of a channel's weights. A multiplier of zero stands for a scale so small that it
/// vanishes.
pub(super) fn of_channel(x: Quantization, y: Quantization, multiplier: (i32, i32)) -> Option<f32> {
    let estimate = real(multiplier) * f64::from(y.scale) / f64::from(x.scale);
    if multiplier == (0, 0) {
        let least = f32::MIN_POSITIVE;
        let vanishes = constants::channel_multiplier(x, least, y) == Ok(multiplier);
        return vanishes.then_some(least);
    }
    near(estimate).find(|&scale| constants::channel_multiplier(x, scale, y) == Ok(multiplier))
}

/// The scale of all weights of a fully connected layer.
pub(super) fn of_tensor(x: Quantization, y: Quantization, multiplier: (i32, i32)) -> Option<f32> {
    let estimate = real(multiplier) * f64::from(y.scale) / f64::from(x.scale);
    near(estimate).find(|&scale| constants::tensor_multiplier(x, scale, y) == Ok(multiplier))
}

/// The beta of a softmax.
pub(super) fn of_softmax(
    x: Quantization,
    expected: resmcu_int8_kernels::ops::softmax::SoftmaxScale,
) -> Option<f32> {
    const FRACTION_BITS: i32 = 26;
    let multiplier = (expected.multiplier, i32::from(expected.shift));
    let estimate = real(multiplier) / f64::from(x.scale) * 2_f64.powi(-FRACTION_BITS);
    let mut betas = std::iter::once(1.0).chain(near(estimate));
    betas.find(|&beta| constants::softmax(beta, x) == Ok(expected))
}
