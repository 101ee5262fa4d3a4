//! `max(x, 0)`, forward and backward. NaN stays NaN, so that a diverging run is seen.

/// `y = max(x, 0)`.
pub(super) fn forward(x: &[f32], y: &mut [f32]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = if x < 0.0 { 0.0 } else { x };
    }
}

/// Adds the gradient to `dx`; at 0 it is 0.
pub(super) fn backward(y: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
        *dx += if y > 0.0 { dy } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    #[test]
    fn gradient_is_numeric() {
        let (x, dy) = (noise(1, 50), noise(2, 50));
        let apply = |x: &[f32]| {
            let mut y = vec![0.0; x.len()];
            forward(x, &mut y);
            y
        };
        let mut dx = vec![0.0; 50];
        backward(&apply(&x), &dy, &mut dx);
        check_gradient(&x, &dy, &dx, apply);
        assert!(apply(&[f32::NAN])[0].is_nan());
    }
}
