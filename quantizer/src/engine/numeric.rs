//! Numeric gradients, which every backward is tested against.

/// Seeded values in (-1, 1), none closer than 0.02 to zero, so that a difference crosses no kink.
pub(super) fn noise(seed: u64, len: usize) -> Vec<f32> {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut value = || {
        let value: f32 = rng.random_range(0.02..1.0);
        if rng.random_range(0..2) == 0 { -value } else { value }
    };
    (0..len).map(|_| value()).collect()
}

/// Checks `dx`, the gradient of `Σ dy · f(x)`, by central differences of step 0.01.
#[track_caller]
pub(super) fn check_gradient(x: &[f32], dy: &[f32], dx: &[f32], f: impl Fn(&[f32]) -> Vec<f32>) {
    assert_eq!(x.len(), dx.len());
    let project = |x: &[f32]| -> f64 {
        let y = f(x);
        assert_eq!(y.len(), dy.len());
        y.iter().zip(dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum()
    };
    let step = 0.01;
    for (index, &dx) in dx.iter().enumerate() {
        let mut moved = x.to_vec();
        moved[index] = x[index] + step;
        let above = project(&moved);
        moved[index] = x[index] - step;
        let expected = ((above - project(&moved)) / f64::from(2.0 * step)) as f32;
        let bound = 2e-3 * (1.0 + expected.abs());
        assert!((dx - expected).abs() < bound, "at {index}: {dx}, expected {expected}");
    }
}
