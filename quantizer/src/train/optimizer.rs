//! One step of SGD or `AdamW`, and the moving average of the parameters.
//!
//! Owns the arithmetic of a step and its memory; not the learning rate, which the schedule gives.
//! A step allocates nothing: it walks the graph's own tensors, large ones in pieces. Each value is
//! computed alone, so the bits do not depend on the number of threads.

use rayon::prelude::*;

use super::TrainConfig;
use super::config::Optimizer;
use crate::graph::{Graph, ParameterKind, STEP_MIN};

/// Values that one thread updates at a time.
const PIECE: usize = 1 << 14;

/// What an optimizer keeps of each trained parameter.
#[derive(Clone, Debug, Default)]
pub(super) struct OptimizerState {
    nodes: Vec<NodeState>,
    /// The sum of squares of each gradient.
    squares: Vec<f64>,
}

#[derive(Clone, Debug)]
struct NodeState {
    /// The place of the node's first gradient.
    first: usize,
    /// One a trained tensor of the node.
    tensors: Vec<Moments>,
}

/// The memory of one tensor, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    /// SGD's velocity, or `AdamW`'s mean of gradients.
    pub(super) first: Vec<f32>,
    /// `AdamW`'s mean of squared gradients; empty with SGD.
    pub(super) second: Vec<f32>,
}

impl OptimizerState {
    /// At rest.
    pub(super) fn new(graph: &Graph, optimizer: Optimizer) -> Self {
        let mut count = 0;
        let nodes = graph.nodes.iter().map(|node| {
            let trained = node.parameters().into_iter().filter(|p| p.kind.is_trained());
            let tensors: Vec<Moments> = trained
                .map(|parameter| {
                    let len = parameter.values.len();
                    let second = if optimizer == Optimizer::AdamW { len } else { 0 };
                    Moments { first: vec![0.0; len], second: vec![0.0; second] }
                })
                .collect();
            let first = count;
            count += tensors.len();
            NodeState { first, tensors }
        });
        let nodes = nodes.collect();
        Self { nodes, squares: vec![0.0; count] }
    }

    /// The memory of each trained parameter, in the order of [`Graph::parameters`].
    pub(super) fn moments(&self) -> impl Iterator<Item = &Moments> {
        self.nodes.iter().flat_map(|node| &node.tensors)
    }

    /// The same, to be changed; lengths stay.
    pub(super) fn moments_mut(&mut self) -> impl Iterator<Item = &mut Moments> {
        self.nodes.iter_mut().flat_map(|node| &mut node.tensors)
    }

    /// Moves the trained parameters of `graph` along `gradients`, which are in the order of
    /// [`Graph::parameters`]. `done` steps came before this one.
    pub(super) fn step(
        &mut self,
        graph: &mut Graph,
        gradients: &[Vec<f32>],
        rate: f32,
        done: usize,
        config: &TrainConfig,
    ) {
        let scale = self.clip(gradients, config.clip_norm);
        let update = Update::new(config, rate, scale, done);
        graph.nodes.par_iter_mut().zip(&mut self.nodes).for_each(|(node, state)| {
            let trained = node.slices_mut().into_iter().flatten();
            let trained = trained.filter(|(kind, _)| kind.is_trained());
            let gradients = &gradients[state.first..];
            for ((kind, w), (moments, g)) in trained.zip(state.tensors.iter_mut().zip(gradients)) {
                let decays = match kind {
                    ParameterKind::Weights => true,
                    ParameterKind::Step => false,
                    _ => config.decay_norms_and_biases,
                };
                let decay = if decays { config.weight_decay } else { 0.0 };
                update.apply(w, g, moments, decay);
                if kind == ParameterKind::Step {
                    w.iter_mut().for_each(|step| *step = step.max(STEP_MIN));
                }
            }
        });
    }

    /// What gradients are multiplied with so that their norm is at most `limit`; 0 for no limit.
    /// As PyTorch's `clip_grad_norm_` has it.
    fn clip(&mut self, gradients: &[Vec<f32>], limit: f32) -> f32 {
        if limit == 0.0 {
            return 1.0;
        }
        gradients.par_iter().zip(&mut self.squares).for_each(|(g, sum)| *sum = sum_of_squares(g));
        let norm = self.squares.iter().sum::<f64>().sqrt();
        (f64::from(limit) / (norm + 1e-6)).min(1.0) as f32
    }
}

/// In eight lanes, which the compiler turns into vectors, of 64 bits, which do not overflow.
pub(super) fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()
}

/// A step's numbers.
#[derive(Clone, Copy)]
enum Update {
    /// `g += decay · w; v = momentum · v + g; w -= rate · v`, as PyTorch has it; with Nesterov
    /// `w -= rate · (g + momentum · v)`.
    Sgd { rate: f32, scale: f32, momentum: f32, nesterov: bool },
    /// `m` and `v` are means of `g` and `g²`; `w -= rate · (decay · w + m' / (√v' + epsilon))`,
    /// where `m'` and `v'` are without the zero that they began with (Loshchilov & Hutter 2019,
    /// algorithm 2, with the rate on the decay as PyTorch has it).
    AdamW { rate: f32, scale: f32, beta1: f32, beta2: f32, epsilon: f32, unbias: [f32; 2] },
}

impl Update {
    fn new(config: &TrainConfig, rate: f32, scale: f32, done: usize) -> Self {
        let &TrainConfig { momentum, nesterov, beta1, beta2, epsilon, .. } = config;
        match config.optimizer {
            Optimizer::Sgd => Self::Sgd { rate, scale, momentum, nesterov },
            Optimizer::AdamW => {
                let left = |beta: f32| 1.0 - f64::from(beta).powf(done as f64 + 1.0);
                let unbias = [1.0 / left(beta1), 1.0 / left(beta2).sqrt()].map(|v| v as f32);
                Self::AdamW { rate, scale, beta1, beta2, epsilon, unbias }
            }
        }
    }

    fn apply(self, w: &mut [f32], g: &[f32], moments: &mut Moments, decay: f32) {
        let Moments { first, second } = moments;
        let pieces = w.par_chunks_mut(PIECE).zip(g.par_chunks(PIECE));
        let pieces = pieces.zip(first.par_chunks_mut(PIECE));
        match self {
            Self::Sgd { nesterov: false, .. } => pieces.for_each(|((w, g), v)| {
                self.sgd::<false>(w, g, v, decay);
            }),
            Self::Sgd { nesterov: true, .. } => pieces.for_each(|((w, g), v)| {
                self.sgd::<true>(w, g, v, decay);
            }),
            Self::AdamW { .. } => {
                let pieces = pieces.zip(second.par_chunks_mut(PIECE));
                pieces.for_each(|(((w, g), m), v)| self.adam(w, g, [m, v], decay));
            }
        }
    }

    fn sgd<const NESTEROV: bool>(self, w: &mut [f32], g: &[f32], v: &mut [f32], decay: f32) {
        let Self::Sgd { rate, scale, momentum, .. } = self else { return };
        for ((w, v), g) in w.iter_mut().zip(v).zip(g) {
            let g = scale * g + decay * *w;
            *v = momentum * *v + g;
            *w -= rate * if NESTEROV { g + momentum * *v } else { *v };
        }
    }

    fn adam(self, w: &mut [f32], g: &[f32], [m, v]: [&mut [f32]; 2], decay: f32) {
        let Self::AdamW { rate, scale, beta1, beta2, epsilon, unbias } = self else { return };
        let keep = 1.0 - rate * decay;
        let rate = rate * unbias[0];
        for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
            let g = scale * g;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w = keep * *w - rate * *m / (v.sqrt() * unbias[1] + epsilon);
        }
    }
}

/// Moves `average` towards `graph`, of which it is a copy from earlier: all parameters, and the
/// running averages of batch normalization. `done` steps came before this one.
pub(super) fn follow(average: &mut Graph, graph: &mut Graph, share: f32, done: usize) {
    let begun = (1.0 + done as f64) / (10.0 + done as f64);
    let step = (1.0 - f64::from(share).min(begun)) as f32;
    average.nodes.par_iter_mut().zip(&mut graph.nodes).for_each(|(average, node)| {
        let values = node.slices_mut().into_iter().flatten();
        for ((_, average), (_, values)) in average.slices_mut().into_iter().flatten().zip(values) {
            average.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE)).for_each(|(average, w)| {
                average
                    .iter_mut()
                    .zip(w)
                    .for_each(|(average, w)| *average += step * (w - *average));
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{FullyConnected, GraphBuilder, Normalization, Op};
    use ndarray::{arr1, arr2};

    fn graph(weight: f32, bias: f32) -> Graph {
        let mut builder = GraphBuilder::new("one", [1, 1, 1]).unwrap();
        let fc =
            FullyConnected { weights: arr2(&[[weight]]), bias: arr1(&[bias]), quantizer: None };
        builder.push("fc", Op::FullyConnected(fc), &[Graph::INPUT]).unwrap();
        builder.finish(Normalization::identity(1), vec![]).unwrap()
    }

    fn values(graph: &mut Graph) -> Vec<f32> {
        graph.parameters_mut().iter().map(|parameter| parameter.values[0]).collect()
    }

    /// Two steps with gradient 1 from weight 2 and bias 2, at rate 0.5, momentum 0.5, decay 0.25.
    #[track_caller]
    fn check(change: impl FnOnce(&mut TrainConfig), weight: f32, bias: f32) {
        let mut graph = graph(2.0, 2.0);
        let mut config =
            TrainConfig { momentum: 0.5, weight_decay: 0.25, ..TrainConfig::default() };
        change(&mut config);
        let mut state = OptimizerState::new(&graph, config.optimizer);
        for done in 0..2 {
            state.step(&mut graph, &[vec![1.0], vec![1.0]], 0.5, done, &config);
        }
        let found = values(&mut graph);
        for (found, expected) in found.iter().zip([weight, bias]) {
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
    }

    #[test]
    fn steps_are_the_formula() {
        // g = 1.5, v = 1.5, w = 1.25; g = 1.3125, v = 2.0625, w = 0.21875. Bias: v = 1, 1.5.
        check(|_| {}, 0.218_75, 0.75);
        // w -= 0.5 * (1.5 + 0.75) = 0.875; g = 1.21875, v = 1.96875, w -= 0.5 * 2.203125.
        check(|config| config.nesterov = true, -0.226_562_5, 0.375);
        check(|config| config.decay_norms_and_biases = true, 0.218_75, 0.218_75);
        // Both gradients of 1 together have a norm of sqrt(2): clipped to half of that.
        let half = |config: &mut TrainConfig| {
            (config.clip_norm, config.weight_decay) = (2.0_f32.sqrt() / 2.0, 0.0);
        };
        check(half, 1.375, 1.375);
        check(|config| (config.clip_norm, config.weight_decay) = (2.0, 0.0), 0.75, 0.75);
        // A constant gradient has m' = 1 and v' = 1: each step is the rate, but for the decay,
        // which takes an eighth of the weight before.
        check(|config| config.optimizer = Optimizer::AdamW, 0.593_75, 1.0);
    }

    #[test]
    fn adam_follows_the_definition_in_f64() {
        let config = TrainConfig {
            optimizer: Optimizer::AdamW,
            weight_decay: 0.1,
            beta1: 0.8,
            beta2: 0.95,
            ..TrainConfig::default()
        };
        let (mut graph, rate) = (graph(1.0, -1.0), 0.01_f32);
        let mut state = OptimizerState::new(&graph, config.optimizer);
        let (beta1, beta2) = (f64::from(config.beta1), f64::from(config.beta2));
        let (mut w, mut m, mut v) = ([1.0_f64, -1.0], [0.0; 2], [0.0; 2]);
        for done in 0..50 {
            let g = [(done as f64).sin(), 3.0 * (done as f64 * 0.3).cos()];
            let gradients = g.map(|g| vec![g as f32]);
            state.step(&mut graph, &gradients, rate, done, &config);
            let t = done as i32 + 1;
            for i in 0..2 {
                m[i] = beta1 * m[i] + (1.0 - beta1) * g[i];
                v[i] = beta2 * v[i] + (1.0 - beta2) * g[i] * g[i];
                let (mean, square) = (m[i] / (1.0 - beta1.powi(t)), v[i] / (1.0 - beta2.powi(t)));
                let decay = if i == 0 { 0.1 } else { 0.0 };
                w[i] -= f64::from(rate) * (decay * w[i] + mean / (square.sqrt() + 1e-8));
            }
        }
        for (found, expected) in values(&mut graph).iter().zip(w) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{found}, {expected}");
        }
    }

    #[test]
    fn averages_begin_quickly_and_then_keep_their_share() {
        let (mut average, mut network) = (graph(0.0, 10.0), graph(1.0, 10.0));
        follow(&mut average, &mut network, 0.9, 0);
        assert_eq!(values(&mut average), [0.9, 10.0]);
        follow(&mut average, &mut network, 0.9, 1_000_000);
        assert!((values(&mut average)[0] - 0.91).abs() < 1e-6);
    }

    #[test]
    fn squares_of_any_length_are_summed_without_overflow() {
        for len in [0, 1, 7, 8, 9, 1000] {
            assert_eq!(sum_of_squares(&vec![2.0; len]), 4.0 * len as f64);
        }
        assert_eq!(sum_of_squares(&[1e30, 1e30]), 2.0 * f64::from(1e30_f32).powi(2));
    }

    #[test]
    fn tensors_in_pieces_get_the_same_step() {
        let inputs = 2 * PIECE + 3;
        let mut builder = GraphBuilder::new("wide", [1, 1, inputs]).unwrap();
        let fc = FullyConnected {
            weights: ndarray::Array2::ones((1, inputs)),
            bias: arr1(&[1.0]),
            quantizer: None,
        };
        builder.push("fc", Op::FullyConnected(fc), &[Graph::INPUT]).unwrap();
        let mut graph = builder.finish(Normalization::identity(inputs), vec![]).unwrap();
        for optimizer in [Optimizer::Sgd, Optimizer::AdamW] {
            let config = TrainConfig { optimizer, ..TrainConfig::default() };
            let mut state = OptimizerState::new(&graph, optimizer);
            state.step(&mut graph, &[vec![0.5; inputs], vec![0.5]], 0.1, 0, &config);
            let first = graph.parameters_mut()[0].values[0];
            assert!(first < 1.0);
            assert!(graph.parameters_mut()[0].values.iter().all(|&value| value == first));
        }
    }
}
