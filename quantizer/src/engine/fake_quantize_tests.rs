//! A whole network on grids against what its gradients mean: those of the network in which every
//! rounding is frozen, `x + c·step` inside a grid and `level·step` outside, numerically in f64.

use ndarray::{Array4, arr1, arr2};

use super::*;
use crate::graph::{
    Conv2d, FakeQuantize, FullyConnected, GraphBuilder, Normalization, Padding, WeightQuantizer,
};

/// `[conv weights 2x2, bias 2, steps 2, grid step 1, classifier weights 3x2, bias 3, steps 3]`.
const PARAMETERS: [f64; 21] = [
    0.53, -0.21, 0.34, 0.92, 0.1, -0.05, 0.13, 0.11,  // convolution, 4 bits
    0.017, // activations, 8 bits
    0.31, -0.77, 0.4513, 0.62, -0.28, 0.9, 0.1, 0.0, -0.1, 0.0061, 0.004,
    0.0071, // classifier
];
const IMAGES: [[f64; 2]; 3] = [[0.9, -0.4], [5.7, 1.3], [-0.6, 0.8]];
const LABELS: [usize; 3] = [0, 2, 1];

/// A rounding, and how it was done the first time: inside with its offset, or outside at its end.
#[derive(Clone, Copy)]
enum Frozen {
    Inside(f64),
    Outside(f64),
}

/// Rounds as at the first call in all later ones.
struct Roundings {
    frozen: Vec<Frozen>,
    next: usize,
}

impl Roundings {
    fn round(&mut self, x: f64, step: f64, [lowest, highest]: [f64; 2]) -> f64 {
        if self.next == self.frozen.len() {
            let exact = x / step;
            self.frozen.push(match exact {
                _ if exact < lowest => Frozen::Outside(lowest),
                _ if exact > highest => Frozen::Outside(highest),
                _ => Frozen::Inside((exact + 0.5).floor() - exact),
            });
        }
        self.next += 1;
        match self.frozen[self.next - 1] {
            Frozen::Inside(offset) => x + offset * step,
            Frozen::Outside(level) => level * step,
        }
    }
}

/// The mean loss, by the definition.
fn loss(p: &[f64], roundings: &mut Roundings) -> f64 {
    roundings.next = 0;
    let mut total = 0.0;
    for (image, label) in IMAGES.iter().zip(LABELS) {
        let hidden: [f64; 2] = std::array::from_fn(|o| {
            let mut sum = p[4 + o];
            for i in 0..2 {
                sum += roundings.round(p[o * 2 + i], p[6 + o], [-7.0, 7.0]) * image[i];
            }
            roundings.round(sum.max(0.0), p[8], [0.0, 255.0])
        });
        let logits: [f64; 3] = std::array::from_fn(|o| {
            let mut sum = p[15 + o];
            for i in 0..2 {
                sum += roundings.round(p[9 + o * 2 + i], p[18 + o], [-127.0, 127.0]) * hidden[i];
            }
            sum
        });
        let sum: f64 = logits.iter().map(|l| l.exp()).sum();
        total += sum.ln() - logits[label];
    }
    total / IMAGES.len() as f64
}

fn graph() -> Graph {
    let p = PARAMETERS.map(|value| value as f32);
    let mut builder = GraphBuilder::new("grids", [1, 1, 2]).unwrap();
    let conv = Conv2d {
        weights: Array4::from_shape_vec([2, 1, 1, 2], p[..4].to_vec()).unwrap(),
        bias: Some(arr1(&p[4..6])),
        stride: 1,
        padding: Padding::default(),
        quantizer: Some(WeightQuantizer { steps: arr1(&p[6..8]), bits: 4 }),
    };
    let conv = builder.push("conv", Op::Conv2d(conv), &[Graph::INPUT]).unwrap();
    let relu = builder.push("relu", Op::Relu, &[conv]).unwrap();
    let grid = FakeQuantize { step: arr1(&p[8..9]), zero_point: -128 };
    let grid = builder.push("grid", Op::FakeQuantize(grid), &[relu]).unwrap();
    let fc = FullyConnected {
        weights: arr2(&[[p[9], p[10]], [p[11], p[12]], [p[13], p[14]]]),
        bias: arr1(&p[15..18]),
        quantizer: Some(WeightQuantizer { steps: arr1(&p[18..21]), bits: 8 }),
    };
    builder.push("fc", Op::FullyConnected(fc), &[grid]).unwrap();
    builder.finish(Normalization::identity(2), Vec::new()).unwrap()
}

#[test]
fn gradients_are_those_of_frozen_roundings() {
    let mut graph = graph();
    let batch = Array4::from_shape_fn([3, 1, 1, 2], |(n, _, _, c)| IMAGES[n][c] as f32);
    let mut step = TrainStep::new();
    let output = step.run(&mut graph, batch.view(), &Targets::new(&LABELS), 0.1).unwrap();
    let mut roundings = Roundings { frozen: Vec::new(), next: 0 };
    let expected = loss(&PARAMETERS, &mut roundings);
    assert!((output.loss - expected).abs() < 1e-5, "{}, expected {expected}", output.loss);
    let outside = roundings.frozen.iter().filter(|f| matches!(f, Frozen::Outside(_))).count();
    assert!(outside > 0 && outside < roundings.frozen.len(), "the case covers too little");

    let found: Vec<f32> = step.gradients().concat();
    assert_eq!(found.len(), 21);
    // Steps' gradients are scaled by 1 / √(values · highest level).
    let scale = |index: usize| match index {
        6 | 7 => (2.0_f64 * 7.0).sqrt().recip(),
        8 => (2.0_f64 * 255.0).sqrt().recip(),
        18..21 => (2.0_f64 * 127.0).sqrt().recip(),
        _ => 1.0,
    };
    for (index, found) in found.into_iter().enumerate() {
        let mut at = |offset: f64| {
            let mut moved = PARAMETERS;
            moved[index] += offset;
            loss(&moved, &mut roundings)
        };
        let expected = (at(1e-6) - at(-1e-6)) / 2e-6 * scale(index);
        let error = (f64::from(found) - expected).abs();
        assert!(error < 1e-4 * (1.0 + expected.abs()), "at {index}: {found}, expected {expected}");
    }
}
