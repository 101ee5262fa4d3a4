//! Cross-layer equalization: channels between two convolutions get like ranges (Nagel et al.
//! 2019, section 4.1).
//!
//! Owns the rescaling of weights and biases; the float network's outputs stay what they were.
//! Valid where a `ReLU` alone, or nothing, lies between two convolutions and nobody else reads
//! what is between: `relu(s x) = s relu(x)` for `s > 0`. So it works inside of residual blocks,
//! never across their adds.

use crate::graph::{Graph, NodeId, Op};
use ndarray::Axis;

/// Passes over all pairs: chains of three convolutions settle in a few.
const PASSES_MAX: usize = 20;

/// Scales that differ by less than this from one are settled.
const SETTLED: f64 = 1e-3;

/// Equalizes `graph`, whose batch normalizations are folded, and returns the number of pairs of
/// convolutions that it rescaled.
pub fn equalize(graph: &mut Graph) -> usize {
    let pairs = pairs(graph);
    for _ in 0..PASSES_MAX {
        let moves = pairs.iter().map(|&(first, second)| rescale(graph, first, second));
        if moves.fold(0.0, f64::max) < SETTLED {
            break;
        }
    }
    pairs.len()
}

/// The pairs of convolutions with nothing but a `ReLU` between them.
fn pairs(graph: &Graph) -> Vec<(NodeId, NodeId)> {
    let consumers = graph.consumers();
    let only_consumer = |node: NodeId| match consumers[node.0][..] {
        [consumer] => Some(consumer),
        _ => None,
    };
    let is_conv = |node: &NodeId| matches!(graph.node(*node).op, Op::Conv2d(_));
    let pair = |first: NodeId| {
        let next = only_consumer(first)?;
        let after_relu = || match graph.node(next).op {
            Op::Relu => only_consumer(next),
            _ => None,
        };
        let second = if is_conv(&next) { Some(next) } else { after_relu() };
        second.filter(is_conv).map(|second| (first, second))
    };
    (0..graph.nodes.len()).map(NodeId).filter(is_conv).filter_map(pair).collect()
}

/// Gives each channel between the two the same largest weight before and after it, and returns
/// how far the furthest scale was from one.
fn rescale(graph: &mut Graph, first: NodeId, second: NodeId) -> f64 {
    let (Op::Conv2d(before), Op::Conv2d(after)) = (&graph.node(first).op, &graph.node(second).op)
    else {
        return 0.0;
    };
    let largest = |weights: ndarray::ArrayView3<'_, f32>| {
        weights.iter().fold(0.0_f64, |largest, &w| largest.max(f64::from(w).abs()))
    };
    let makes = before.weights.axis_iter(Axis(0)).map(largest);
    let reads = after.weights.axis_iter(Axis(3)).map(largest);
    let scale = |(makes, reads): (f64, f64)| {
        // A channel without weights on one side is left alone.
        let scale = (makes / reads).sqrt();
        if scale.is_finite() && scale > 0.0 { scale } else { 1.0 }
    };
    let scales: Vec<f64> = makes.zip(reads).map(scale).collect();
    if let Op::Conv2d(conv) = &mut graph.nodes[first.0].op {
        for (mut row, scale) in conv.weights.axis_iter_mut(Axis(0)).zip(&scales) {
            row.mapv_inplace(|w| (f64::from(w) / scale) as f32);
        }
        let biases = conv.bias.iter_mut().flatten();
        biases.zip(&scales).for_each(|(b, scale)| *b = (f64::from(*b) / scale) as f32);
    }
    if let Op::Conv2d(conv) = &mut graph.nodes[second.0].op {
        for (mut column, scale) in conv.weights.axis_iter_mut(Axis(3)).zip(&scales) {
            column.mapv_inplace(|w| (f64::from(w) * scale) as f32);
        }
    }
    scales.iter().fold(0.0, |furthest, scale| furthest.max((scale - 1.0).abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Executor;
    use crate::fold_batch_norm::fold;
    use crate::graph::resnet::{Activation, Block, ResNetSpec, Shortcut};
    use ndarray::{Array4, ArrayView3};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Outputs are as they were; ranges on both sides of a channel are alike.
    #[track_caller]
    fn check(spec: ResNetSpec, expected_pairs: usize) {
        let spec = ResNetSpec { input: [12, 12, 3], width: 6, ..spec };
        let mut graph = fold(&spec.build(4).unwrap()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for node in &mut graph.nodes {
            let Op::Conv2d(conv) = &mut node.op else { continue };
            for mut row in conv.weights.axis_iter_mut(Axis(0)) {
                let scale = 2_f32.powf(rng.random_range(-3.0..3.0));
                row.mapv_inplace(|w| w * scale);
            }
        }
        let image = Array4::from_shape_simple_fn([3, 12, 12, 3], || rng.random_range(-1.0..1.0));
        let executor = Executor::new();
        let expected = executor.forward_eval(&graph, image.view()).unwrap();
        assert_eq!(equalize(&mut graph), expected_pairs);
        let found = executor.forward_eval(&graph, image.view()).unwrap();
        let size = expected.iter().fold(0.0_f32, |size, v| size.max(v.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-5 * size, "{found}, expected {expected}");
        }
        let largest = |row: ArrayView3<'_, f32>| row.iter().fold(0.0_f32, |l, w| l.max(w.abs()));
        for (first, second) in pairs(&graph) {
            let (Op::Conv2d(a), Op::Conv2d(b)) = (&graph.node(first).op, &graph.node(second).op)
            else {
                unreachable!()
            };
            let channels = a.weights.axis_iter(Axis(0)).zip(b.weights.axis_iter(Axis(3)));
            for (makes, reads) in channels.map(|(a, b)| (largest(a), largest(b))) {
                assert!((makes / reads - 1.0).abs() < 0.1, "{makes} and {reads}");
            }
        }
    }

    #[test]
    fn outputs_stay_and_ranges_become_alike() {
        check(ResNetSpec::cifar(1, Shortcut::Pad), 3);
        check(ResNetSpec::cifar(1, Shortcut::Project), 3);
        check(ResNetSpec::cifar(1, Shortcut::Plain), 6);
        let bottleneck = Block::Bottleneck { stride_on_3x3: true };
        check(ResNetSpec { block: bottleneck, ..ResNetSpec::cifar(1, Shortcut::Project) }, 6);
        let before = Activation::Before;
        check(ResNetSpec { activation: before, ..ResNetSpec::cifar(1, Shortcut::Project) }, 3);
    }
}
