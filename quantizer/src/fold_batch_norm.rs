//! Takes each batch normalization out of the graph: from checkpoint to integers.
//!
//! Owns the arithmetic of folding; not quantization. In evaluation a batch normalization is
//! `y = s·x + t`, a channel each. After a convolution that only it reads, it becomes part of the
//! weights and the bias. Elsewhere, as after the add of a pre-activation block (He et al. 2016),
//! it becomes a convolution of its own: 1x1, its weights `s` on the diagonal. That costs `C²`
//! multiplications a position, and keeps to the operators that integers have.

use ndarray::{Array1, Array4, Axis};

use crate::graph::{BatchNorm, Conv2d, Graph, GraphError, Node, NodeId, Op, Padding, STEP_MIN};

/// The graph without batch normalizations: the same function in evaluation mode.
///
/// Convolutions keep their names and get a bias; what read a normalization reads its convolution.
/// A normalization that becomes a convolution keeps its name.
///
/// # Errors
/// Where the graph is not well formed.
pub fn fold(graph: &Graph) -> Result<Graph, GraphError> {
    graph.validate()?;
    let consumers = graph.consumers();
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    // For each old node, where its value is made now.
    let mut moved = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| moved[input.0]).collect();
        let Op::BatchNorm(norm) = &node.op else {
            moved.push(NodeId(nodes.len()));
            nodes.push(Node { inputs, ..node.clone() });
            continue;
        };
        let alone = consumers[node.inputs[0].0].len() == 1;
        match &mut nodes[inputs[0].0].op {
            Op::Conv2d(conv) if alone => {
                fold_into(conv, norm);
                moved.push(inputs[0]);
            }
            _ => {
                moved.push(NodeId(nodes.len()));
                nodes.push(Node { op: Op::Conv2d(diagonal(norm)), inputs, ..node.clone() });
            }
        }
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

/// The normalization as a convolution.
fn diagonal(norm: &BatchNorm) -> Conv2d {
    let channels = norm.gamma.len();
    let mut weights = Array4::zeros([channels, 1, 1, channels]);
    (0..channels).for_each(|c| weights[[c, 0, 0, c]] = 1.0);
    let mut conv =
        Conv2d { weights, bias: None, stride: 1, padding: Padding::default(), quantizer: None };
    fold_into(&mut conv, norm);
    conv
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
    if let Some(quantizer) = &mut conv.quantizer {
        let steps = quantizer.steps.iter_mut().zip(&scale);
        steps.for_each(|(step, scale)| *step = (*step * scale.abs() as f32).max(STEP_MIN));
    }
    conv.bias = Some(Array1::from_shape_fn(outputs, |o| {
        let centred = f64::from(bias[o]) - f64::from(norm.mean[o]);
        (centred * scale[o] + f64::from(norm.beta[o])) as f32
    }));
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::engine::Executor;
    use crate::graph::resnet::{Activation, Block, ResNetSpec, Shortcut, Stem, by_name};
    use crate::graph::{GraphBuilder, Normalization};

    /// Folded against unfolded logits, after random values for every normalization.
    #[track_caller]
    fn check(spec: ResNetSpec, seed: u64) {
        let spec = ResNetSpec { input: [13, 11, 2], classes: 5, width: 6, ..spec };
        check_graph(&mut spec.build(seed).unwrap(), seed);
    }

    #[track_caller]
    fn check_graph(graph: &mut Graph, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for node in &mut graph.nodes {
            if let Op::BatchNorm(norm) = &mut node.op {
                norm.gamma.mapv_inplace(|_| rng.random_range(-1.5..1.5));
                norm.beta.mapv_inplace(|_| rng.random_range(-0.5..0.5));
                norm.mean.mapv_inplace(|_| rng.random_range(-0.5..0.5));
                norm.variance.mapv_inplace(|_| rng.random_range(0.5..2.0));
            }
        }
        let folded = fold(graph).unwrap();
        assert!(folded.nodes.iter().all(|node| !matches!(node.op, Op::BatchNorm(_))));
        let [h, w, c] = graph.input_shape();
        let batch = Array4::from_shape_fn([5, h, w, c], |_| rng.random_range(-2.0..2.0));
        let executor = Executor::new();
        let expected = executor.forward_eval(graph, batch.view()).unwrap();
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
                let activation = Activation::Before;
                check(ResNetSpec { activation, ..ResNetSpec::cifar(2, shortcut) }, seed);
            }
            check(ResNetSpec::imagenet(bottleneck, [1, 1, 1, 1]), seed);
            check(ResNetSpec { stem: Stem::Conv7x7Pool, ..ResNetSpec::cifar(2, Shortcut::Pad) }, 9);
        }
    }

    /// The same of a network of the zoo that was changed.
    #[track_caller]
    fn check_changed(change: impl FnOnce(&mut Graph), diagonals: &[&str]) {
        let mut graph = by_name("resnet8").unwrap().build(0).unwrap();
        change(&mut graph);
        check_graph(&mut graph, 11);
        let folded = fold(&graph).unwrap();
        let norms = graph.nodes.iter().filter(|node| matches!(node.op, Op::BatchNorm(_)));
        let kept = norms.filter(|node| folded.find(&node.name).is_some());
        assert!(kept.map(|node| node.name.as_str()).eq(diagonals.iter().copied()));
    }

    #[test]
    fn a_normalization_without_a_convolution_becomes_one() {
        let norm = Op::BatchNorm(BatchNorm::identity(16));
        check_changed(|_| {}, &[]);
        // After another normalization: both are folded.
        check_changed(|graph| graph.nodes[3].op = norm.clone(), &[]);
        // The convolution, or the first normalization, is read by others too.
        check_changed(|graph| graph.nodes[4].inputs = vec![NodeId(1)], &["stem.bn"]);
        check_changed(
            |graph| {
                graph.nodes[3].op = norm.clone();
                graph.nodes[4].inputs = vec![NodeId(2)];
            },
            &["stem.relu"],
        );
        // After a ReLU.
        check_changed(
            |graph| {
                let relu = graph.nodes.iter().position(|n| n.name == "stage1.block0.relu1");
                graph.nodes[relu.unwrap() - 1].op = Op::Relu;
                graph.nodes[relu.unwrap()].op = norm.clone();
            },
            &["stage1.block0.relu1"],
        );
    }

    #[test]
    fn a_normalization_of_the_image_becomes_a_convolution() {
        let mut builder = GraphBuilder::new("image", [2, 3, 3]).unwrap();
        let norm = Op::BatchNorm(BatchNorm::identity(3));
        builder.push("bn", norm, &[Graph::INPUT]).unwrap();
        let mut graph = builder.finish(Normalization::identity(3), vec![]).unwrap();
        check_graph(&mut graph, 12);
    }

    #[test]
    fn a_graph_that_is_not_well_formed_is_refused() {
        let mut graph = by_name("resnet8").unwrap().build(0).unwrap();
        graph.nodes[2].inputs.clear();
        let found = fold(&graph).unwrap_err().to_string();
        assert!(found.contains("takes 1 inputs, has 0"), "{found}");
    }
}
