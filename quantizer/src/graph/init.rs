//! How weights start: normal noise from a seed, scaled as He et al. 2015 have it.
//!
//! Owns the distribution and its seed; not which layers there are.

use ndarray::{Array, Dimension};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of seeded weights. The values depend on the seed and on the order of the calls alone.
#[derive(Clone, Debug)]
pub(super) struct Initializer {
    /// None leaves every weight zero, for whoever fills them.
    rng: Option<ChaCha8Rng>,
}

impl Initializer {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Some(ChaCha8Rng::seed_from_u64(seed)) }
    }

    pub(super) fn zeros() -> Self {
        Self { rng: None }
    }

    /// Weights before a ReLU: deviation `sqrt(2 / fan_in)`, `fan_in` being `KH·KW·I`.
    ///
    /// Fan-in (equation 10 of "Delving Deep into Rectifiers", which the paper follows) keeps the
    /// forward variance; batch normalization takes away what the choice would do to gradients.
    pub(super) fn he<D: Dimension>(&mut self, array: &mut Array<f32, D>) {
        self.normal(array, 2.0);
    }

    /// Weights before no ReLU (the classifier): deviation `sqrt(1 / fan_in)`.
    pub(super) fn linear<D: Dimension>(&mut self, array: &mut Array<f32, D>) {
        self.normal(array, 1.0);
    }

    fn normal<D: Dimension>(&mut self, array: &mut Array<f32, D>, gain: f64) {
        let Some(rng) = &mut self.rng else { return };
        let outputs = array.shape().first().copied().unwrap_or(1).max(1);
        let deviation = (gain / (array.len() / outputs).max(1) as f64).sqrt();
        for value in array.iter_mut() {
            *value = (standard_normal(rng) * deviation) as f32;
        }
    }
}

/// Box and Muller's transform; the first uniform is in (0, 1], so that its logarithm is finite.
fn standard_normal(rng: &mut ChaCha8Rng) -> f64 {
    let unit = 1.0 / (1_u64 << 53) as f64;
    let mut uniform = || (rng.next_u64() >> 11) as f64;
    let (u, v) = ((uniform() + 1.0) * unit, uniform() * unit);
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn he_has_the_deviation_of_its_fan_in_and_repeats() {
        let mut first = Array4::zeros([64, 3, 3, 32]);
        let mut second = first.clone();
        Initializer::new(7).he(&mut first);
        Initializer::new(7).he(&mut second);
        assert_eq!(first, second);
        let count = first.len() as f32;
        let mean = first.sum() / count;
        let deviation = (first.mapv(|v| v * v).sum() / count - mean * mean).sqrt();
        let expected = (2.0_f32 / (9.0 * 32.0)).sqrt();
        assert!(mean.abs() < expected * 0.03, "mean {mean}");
        assert!((deviation / expected - 1.0).abs() < 0.02, "{deviation} of {expected}");
    }
}
