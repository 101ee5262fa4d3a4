//! The fully connected layer: a 1x1 convolution whose row of pixels is the group of images.
//!
//! Its packing and its gradients are [`super::conv2d`]'s, over the shapes made here.

use super::conv2d::Geometry;
use crate::graph::Padding;

/// The convolution that `images` rows of `inputs` values through `outputs` neurons are.
pub(super) fn geometry(images: usize, inputs: usize, outputs: usize) -> Geometry {
    Geometry {
        input: [1, images, inputs],
        output: [1, images, outputs],
        kernel: [1, 1],
        stride: 1,
        padding: Padding::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::conv2d::{self, Scratch};
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    #[track_caller]
    fn check(images: usize, inputs: usize, outputs: usize) {
        let geometry = geometry(images, inputs, outputs);
        let (x, weights) = (noise(1, images * inputs), noise(2, outputs * inputs));
        let (bias, dy) = (noise(3, outputs), noise(4, images * outputs));
        let naive = |weights: &[f32], x: &[f32]| -> Vec<f32> {
            let neuron = |x: &[f32], o: usize| {
                let weights = &weights[o * inputs..(o + 1) * inputs];
                bias[o] + x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>()
            };
            x.chunks(inputs).flat_map(|x| (0..outputs).map(move |o| neuron(x, o))).collect()
        };
        let (mut packed, mut scratch) = (Vec::new(), Scratch::default());
        let mut y = vec![f32::NAN; images * outputs];
        conv2d::pack_forward(&weights, &geometry, &mut packed);
        conv2d::forward(&geometry, &packed, Some(&bias), &x, &mut y, &mut scratch);
        for (y, expected) in y.iter().zip(naive(&weights, &x)) {
            assert!((y - expected).abs() < 1e-5, "{y}, expected {expected}");
        }
        conv2d::pack_backward(&weights, &geometry, &mut packed);
        let mut dx = vec![0.0; x.len()];
        conv2d::backward_data(&geometry, &packed, &dy, &mut dx, &mut scratch);
        check_gradient(&x, &dy, &dx, |x| naive(&weights, x));
        let mut dw = vec![0.0; weights.len()];
        conv2d::backward_weights(&geometry, &x, &dy, &mut dw, &mut scratch);
        let dw: Vec<f32> = (0..dw.len()).map(|i| dw[i % inputs * outputs + i / inputs]).collect();
        check_gradient(&weights, &dy, &dw, |weights| naive(weights, &x));
    }

    #[test]
    fn gradient_is_numeric() {
        check(1, 1, 1);
        check(3, 5, 10);
        check(4, 64, 17);
    }
}
