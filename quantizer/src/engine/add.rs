//! The residual addition, forward and backward.

/// `y = a + b`.
pub(super) fn forward(a: &[f32], b: &[f32], y: &mut [f32]) {
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y = a + b;
    }
}

/// Adds the gradient to `dx`, which is one of the two inputs': it passes through as it is.
pub(super) fn backward(dy: &[f32], dx: &mut [f32]) {
    dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    #[test]
    fn gradient_is_numeric() {
        let (x, dy) = (noise(1, 20), noise(2, 20));
        for b in [noise(3, 20), vec![0.0; 20]] {
            let mut dx = vec![0.5; 20];
            backward(&dy, &mut dx);
            dx.iter_mut().for_each(|dx| *dx -= 0.5);
            check_gradient(&x, &dy, &dx, |x| {
                let mut y = vec![0.0; 20];
                forward(x, &b, &mut y);
                y
            });
        }
    }
}
