//! Stochastic gradient descent with momentum, Nesterov's form by choice.
//!
//! Owns one step and its memory; not the learning rate, which the schedule gives.

use rayon::prelude::*;

use super::TrainConfig;
use crate::graph::{Graph, ParameterKind, ParameterMut};

/// The velocity of each trained parameter, in the order of [`Graph::parameters`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sgd {
    pub(super) velocity: Vec<Vec<f32>>,
}

impl Sgd {
    /// At rest.
    pub(super) fn new(graph: &Graph) -> Self {
        let trained = graph.parameters().into_iter().filter(|p| p.kind.is_trained());
        Self { velocity: trained.map(|p| vec![0.0; p.values.len()]).collect() }
    }

    /// `g += decay · w; v = momentum · v + g; w -= rate · v`, as PyTorch has it; with Nesterov
    /// `w -= rate · (g + momentum · v)`.
    pub(super) fn step(
        &mut self,
        graph: &mut Graph,
        gradients: &[Vec<f32>],
        rate: f32,
        config: &TrainConfig,
    ) {
        let &TrainConfig { momentum, nesterov, weight_decay, .. } = config;
        let trained: Vec<ParameterMut<'_>> =
            graph.parameters_mut().into_iter().filter(|p| p.kind.is_trained()).collect();
        let states = self.velocity.par_iter_mut().zip(gradients);
        trained.into_par_iter().zip(states).for_each(|(parameter, (velocity, gradient))| {
            let decay = if parameter.kind == ParameterKind::Weights { weight_decay } else { 0.0 };
            for ((w, v), g) in parameter.values.iter_mut().zip(velocity).zip(gradient) {
                let g = g + decay * *w;
                *v = momentum * *v + g;
                *w -= rate * if nesterov { g + momentum * *v } else { *v };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{FullyConnected, GraphBuilder, Normalization, Op};
    use ndarray::{arr1, arr2};

    /// Two steps with gradient 1 from weight 2 and bias 2, at rate 0.5, momentum 0.5, decay 0.25.
    #[track_caller]
    fn check(nesterov: bool, weight: f32, bias: f32) {
        let mut builder = GraphBuilder::new("one", [1, 1, 1]).unwrap();
        let fc = FullyConnected { weights: arr2(&[[2.0]]), bias: arr1(&[2.0]) };
        builder.push("fc", Op::FullyConnected(fc), &[Graph::INPUT]).unwrap();
        let mut graph = builder.finish(Normalization::identity(1), vec![]).unwrap();
        let config =
            TrainConfig { momentum: 0.5, weight_decay: 0.25, nesterov, ..TrainConfig::default() };
        let mut sgd = Sgd::new(&graph);
        for _ in 0..2 {
            sgd.step(&mut graph, &[vec![1.0], vec![1.0]], 0.5, &config);
        }
        let found: Vec<f32> = graph
            .parameters()
            .iter()
            .map(|p| p.values[[0; 2].split_at(p.values.ndim()).0])
            .collect();
        assert_eq!(found, [weight, bias]);
    }

    #[test]
    fn steps_are_the_formula() {
        // g = 1.5, v = 1.5, w = 1.25; g = 1.3125, v = 2.0625, w = 0.21875. Bias: v = 1, 1.5.
        check(false, 0.218_75, 0.75);
        // w -= 0.5 * (1.5 + 0.75) = 0.875; g = 1.21875, v = 1.96875, w -= 0.5 * 2.203125.
        check(true, -0.226_562_5, 0.375);
    }
}
