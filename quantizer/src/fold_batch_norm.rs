//! Folds each batch normalization into the convolution before it: from checkpoint to integers.
//!
//! Owns the arithmetic of folding and what it refuses; not quantization. In evaluation a batch
//! normalization is `y = s·x + t`, a channel each, so it is part of the weights and the bias.

use ndarray::{Array1, Axis};
use thiserror::Error;

use crate::graph::{BatchNorm, Conv2d, Graph, GraphError, NodeId, Op};

/// Why a graph could not be folded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FoldError {
    /// The batch normalization does not follow a convolution.
    #[error("`{name}` normalizes `{input}`, which is {kind} and not conv2d: it cannot be folded")]
    NotAfterConv2d {
        /// The batch normalization.
        name: String,
        /// What it reads.
        input: String,
        /// The operator of what it reads.
        kind: &'static str,
    },
    /// The convolution's output is read by others too, who want it as it is.
    #[error("`{name}` normalizes `{input}`, which {readers} nodes read: it cannot be folded")]
    Shared {
        /// The batch normalization.
        name: String,
        /// The convolution.
        input: String,
        /// How many nodes read it.
        readers: usize,
    },
    /// The graph is not well formed.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The graph without batch normalizations: the same function in evaluation mode.
///
/// Convolutions keep their names and get a bias; what read a normalization reads its convolution.
pub fn fold(graph: &Graph) -> Result<Graph, FoldError> {
    graph.validate()?;
    let consumers = graph.consumers();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    // For each old node, where its value is made now.
    let mut moved = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let Op::BatchNorm(norm) = &node.op else {
            let mut node = node.clone();
            node.inputs.iter_mut().for_each(|input| *input = moved[input.0]);
            moved.push(NodeId(nodes.len()));
            nodes.push(node);
            continue;
        };
        let from = node.inputs[0];
        let (name, input) = (node.name.clone(), graph.node(from).name.clone());
        let readers = consumers[from.0].len();
        let target: NodeId = moved[from.0];
        match &mut nodes[target.0].op {
            Op::Conv2d(_) if readers != 1 => {
                return Err(FoldError::Shared { name, input, readers });
            }
            // A second normalization of one convolution reads the first, whose kind this is.
            Op::Conv2d(conv) if !matches!(graph.node(from).op, Op::BatchNorm(_)) => {
                fold_into(conv, norm);
            }
            _ => {
                let kind = graph.node(from).op.kind();
                return Err(FoldError::NotAfterConv2d { name, input, kind });
            }
        }
        moved.push(target);
    }
    let folded = Graph {
        name: graph.name.clone(),
        nodes,
        normalization: graph.normalization.clone(),
        class_names: graph.class_names.clone(),
    };
    folded.validate()?;
    Ok(folded)
}

/// `w' = s·w`, `b' = s·(b - mean) + beta` with `s = gamma / sqrt(variance + epsilon)`, in f64 so
/// that folding rounds once.
fn fold_into(conv: &mut Conv2d, norm: &BatchNorm) {
    let outputs = conv.weights.len_of(Axis(0));
    let bias = conv.bias.take().unwrap_or_else(|| Array1::zeros(outputs));
    let scale: Vec<f64> = (0..outputs)
        .map(|o| {
            let variance = f64::from(norm.variance[o]) + f64::from(norm.epsilon);
            f64::from(norm.gamma[o]) / variance.sqrt()
        })
        .collect();
    for (mut weights, &scale) in conv.weights.outer_iter_mut().zip(&scale) {
        weights.mapv_inplace(|weight| (f64::from(weight) * scale) as f32);
    }
    conv.bias = Some(Array1::from_shape_fn(outputs, |o| {
        let centred = f64::from(bias[o]) - f64::from(norm.mean[o]);
        (centred * scale[o] + f64::from(norm.beta[o])) as f32
    }));
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::engine::Executor;
    use crate::graph::resnet::{Block, ResNetSpec, Shortcut, Stem, by_name};

    /// Folded against unfolded logits, after random values for every normalization.
    #[track_caller]
    fn check(spec: ResNetSpec, seed: u64) {
        let spec = ResNetSpec { input: [13, 11, 2], classes: 5, width: 6, ..spec };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut graph = spec.build(seed).unwrap();
        for node in &mut graph.nodes {
            if let Op::BatchNorm(norm) = &mut node.op {
                norm.gamma.mapv_inplace(|_| rng.random_range(-1.5..1.5));
                norm.beta.mapv_inplace(|_| rng.random_range(-0.5..0.5));
                norm.mean.mapv_inplace(|_| rng.random_range(-0.5..0.5));
                norm.variance.mapv_inplace(|_| rng.random_range(0.5..2.0));
            }
        }
        let folded = fold(&graph).unwrap();
        assert!(folded.nodes.iter().all(|node| !matches!(node.op, Op::BatchNorm(_))));
        let batch = Array4::from_shape_fn([5, 13, 11, 2], |_| rng.random_range(-2.0..2.0));
        let executor = Executor::new();
        let expected = executor.forward_eval(&graph, batch.view()).unwrap();
        let found = executor.forward_eval(&folded, batch.view()).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            let bound = 1e-4 * expected.abs().max(1.0);
            assert!((found - expected).abs() < bound, "{found}, expected {expected}");
        }
    }

    #[test]
    fn folded_networks_are_the_unfolded_ones() {
        let bottleneck = Block::Bottleneck { stride_on_3x3: true };
        for seed in 0..4 {
            for shortcut in
                [Shortcut::Pad, Shortcut::Project, Shortcut::ProjectAll, Shortcut::Plain]
            {
                check(ResNetSpec::cifar(1, shortcut), seed);
            }
            check(ResNetSpec::imagenet(bottleneck, [1, 1, 1, 1]), seed);
            check(ResNetSpec { stem: Stem::Conv7x7Pool, ..ResNetSpec::cifar(2, Shortcut::Pad) }, 9);
        }
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut Graph), expected: &str) {
        let mut graph = by_name("resnet8").unwrap().build(0).unwrap();
        change(&mut graph);
        let found = fold(&graph).unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn what_cannot_be_folded_is_named() {
        let norm = Op::BatchNorm(BatchNorm::identity(16));
        check_refused(|graph| graph.nodes[3].op = norm.clone(), "`stem.relu` normalizes `stem.bn`");
        check_refused(
            |graph| graph.nodes[4].inputs = vec![NodeId(1)],
            "`stem.bn` normalizes `stem.conv`, which 2 nodes read",
        );
        check_refused(|graph| graph.nodes[2].inputs.clear(), "takes 1 inputs, has 0");
    }
}
