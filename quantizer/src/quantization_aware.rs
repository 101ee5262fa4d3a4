//! Quantization-aware fine-tuning: a network put on the grids of its integers, and taken off them.
//!
//! [`on_grids`] makes of what was chosen after training a float network that rounds where the
//! integers will: each int8 activation, after residual add and `ReLU` as the device's one
//! requantization has it, and every weight. It trains as any other network. [`off_grids`] makes
//! the exact integers of the result, and of networks that other tools put on grids. Not simulated:
//! the multiplier of 15 bits, the rounding of biases and of the residual's factor, and the weights
//! of a first layer whose image channels are normalized by different deviations; all are small
//! against a step.

use ndarray::arr1;

use crate::calibrate::{Images, Ranges};
use crate::engine::Executor;
use crate::graph::{FakeQuantize, Graph, GraphError, Node, NodeId, Op, STEP_MIN, WeightQuantizer};
use crate::post_training::{PostTrained, PostTrainingError};
use crate::quantize::{
    Grids, Layer, LayerWeights, RealWeights, Stored, WeightBits, WeightScale, fuse,
};

/// What ends the names of the nodes that round.
const SUFFIX: &str = ".grid";

/// Images that run at a time.
const BATCH: usize = 32;

/// Whether `graph` rounds to grids.
#[must_use]
pub fn is_on_grids(graph: &Graph) -> bool {
    graph.nodes.iter().any(|node| matches!(node.op, Op::FakeQuantize(_)))
}

/// The network that rounds as the integers of `chosen` do, with steps that can be trained. Weights
/// are the float network's, not yet rounded.
///
/// # Errors
/// Where an operator has no integers.
pub fn on_grids(chosen: &PostTrained) -> Result<Graph, PostTrainingError> {
    let layers = fuse(&chosen.graph)?;
    let grids = Grids::new(&chosen.graph, &layers, &chosen.ranges)?;
    let mut graph = chosen.graph.clone();
    let mut grid_after = vec![None; graph.nodes.len()];
    for layer in &layers {
        if let Some(real) = RealWeights::of(&chosen.graph, layer, &grids)? {
            let weights = chosen.weights[layer.node.0]
                .clone()
                .unwrap_or_else(|| real.nearest(WeightBits::Eight, WeightScale::Largest, &[1.0]));
            let quantizer = real.unit().map(|unit| WeightQuantizer {
                steps: weights.scales.iter().map(|s| ((s * unit) as f32).max(STEP_MIN)).collect(),
                bits: weights.bits.bits(),
            });
            if let Some(slot) = graph.nodes[layer.node.0].op.weight_quantizer_mut() {
                *slot = quantizer;
            }
        }
        let is_conv = is_conv(&chosen.graph, layer);
        if let (Stored::Int8(grid), true) = (grids.of(&chosen.graph, layer.output)?, is_conv) {
            grid_after[layer.output.0] = Some(FakeQuantize {
                step: arr1(&[(grid.scale as f32).max(STEP_MIN)]),
                zero_point: grid.zero_point as i8,
            });
        }
    }
    Ok(with_grids(graph, grid_after)?)
}

/// The graph with a node that rounds after each that has a grid.
fn with_grids(graph: Graph, grid_after: Vec<Option<FakeQuantize>>) -> Result<Graph, GraphError> {
    let mut nodes = Vec::with_capacity(2 * graph.nodes.len());
    // Where each old node's value is now.
    let mut moved = Vec::with_capacity(graph.nodes.len());
    for (node, grid) in graph.nodes.into_iter().zip(grid_after) {
        let inputs = node.inputs.iter().map(|input: &NodeId| moved[input.0]).collect();
        let (name, shape) = (format!("{}{SUFFIX}", node.name), node.shape);
        nodes.push(Node { inputs, ..node });
        let mut last = NodeId(nodes.len() - 1);
        if let Some(grid) = grid {
            nodes.push(Node { name, op: Op::FakeQuantize(grid), inputs: vec![last], shape });
            last = NodeId(nodes.len() - 1);
        }
        moved.push(last);
    }
    let graph = Graph { nodes, ..graph };
    graph.validate()?;
    Ok(graph)
}

/// The integers of a network on grids. The range of the logits, which are not rounded, is that over
/// `images`, and so is that of an activation without a grid, of which [`on_grids`] leaves none.
/// Grids of what no integers hold fall away: of the image, of a convolution's sum before its
/// residual is added, of a mean.
///
/// The float network of the answer has the rounded weights, and rounds no activation.
///
/// # Errors
/// Where an operator has no integers, or there are no images.
pub fn off_grids(graph: &Graph, images: &Images) -> Result<PostTrained, PostTrainingError> {
    if images.is_empty() {
        return Err(PostTrainingError::NoImages);
    }
    let (mut plain, ends) = without_grids(graph)?;
    let layers = fuse(&plain)?;
    let has_grid = |layer: &Layer| ends.iter().any(|(node, _)| *node == layer.output);
    let mut ranges = Ranges::new(&plain);
    if !layers.iter().all(|layer| has_grid(layer) || !is_conv(&plain, layer)) {
        observe(&plain, images, &mut ranges)?;
    }
    for (node, ends) in ends {
        ranges.set(node, ends);
    }
    ranges.set(plain.output(), output_range(graph, images)?);
    let grids = Grids::new(&plain, &layers, &ranges)?;
    let mut weights = vec![None; plain.nodes.len()];
    for layer in &layers {
        let quantizer = plain.node(layer.node).op.weight_quantizer().cloned();
        let Some(real) = RealWeights::of(&plain, layer, &grids)? else { continue };
        if let (Some(quantizer), Some(unit)) = (quantizer, real.unit()) {
            let layer_weights = integers(&real, &quantizer, unit);
            set_weights(&mut plain.nodes[layer.node.0].op, &real.dequantize(&layer_weights));
            weights[layer.node.0] = Some(layer_weights);
        }
        if let Some(slot) = plain.nodes[layer.node.0].op.weight_quantizer_mut() {
            *slot = None;
        }
    }
    Ok(PostTrained {
        float: plain.clone(),
        graph: plain,
        ranges,
        weights,
        choices: Vec::new(),
        blocks: Vec::new(),
        equalized: 0,
        weight_images: 0,
    })
}

/// The ends of a grid, by the node that it follows.
type Ends = Vec<(NodeId, (f64, f64))>;

/// The graph without the nodes that round, and the grids' ends.
fn without_grids(graph: &Graph) -> Result<(Graph, Ends), GraphError> {
    graph.validate()?;
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    let (mut moved, mut ends) = (Vec::with_capacity(graph.nodes.len()), Vec::new());
    for node in &graph.nodes {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| moved[input.0]).collect();
        if let Op::FakeQuantize(grid) = &node.op {
            let step = grid.step.first().copied().map_or(1.0, f64::from);
            let [low, high] = grid.levels().map(|level| f64::from(level) * step);
            ends.push((inputs[0], (low, high)));
            moved.push(inputs[0]);
        } else {
            moved.push(NodeId(nodes.len()));
            nodes.push(Node { inputs, ..node.clone() });
        }
    }
    let plain = Graph { nodes, ..graph.clone() };
    plain.validate()?;
    Ok((plain, ends))
}

/// Whether the layer requantizes to a grid of its own.
fn is_conv(graph: &Graph, layer: &Layer) -> bool {
    matches!(graph.node(layer.node).op, Op::Conv2d(_))
}

/// The ranges of all activations over `images`.
fn observe(graph: &Graph, images: &Images, ranges: &mut Ranges) -> Result<(), PostTrainingError> {
    let executor = Executor::new();
    for first in (0..images.len()).step_by(BATCH) {
        let range = first..(first + BATCH).min(images.len());
        let batch = images.batch(range, &graph.normalization);
        ranges.observe(graph, &executor, &batch.view())?;
    }
    Ok(())
}

/// The smallest and the largest logit over `images`.
fn output_range(graph: &Graph, images: &Images) -> Result<(f64, f64), PostTrainingError> {
    let executor = Executor::new();
    let (mut low, mut high) = (0.0_f32, 0.0_f32);
    for first in (0..images.len()).step_by(BATCH) {
        let range = first..(first + BATCH).min(images.len());
        let batch = images.batch(range, &graph.normalization);
        for &logit in &executor.forward_eval(graph, batch.view())? {
            (low, high) = (low.min(logit), high.max(logit));
        }
    }
    Ok((low.into(), high.into()))
}

/// The integers on the quantizer's grid; a step below the layer's floor is raised to it.
fn integers(real: &RealWeights, quantizer: &WeightQuantizer, unit: f64) -> LayerWeights {
    let bound = f64::from(quantizer.bound());
    let steps = quantizer.steps.iter().map(|&step| f64::from(step));
    let scales: Vec<f64> = steps.map(|step| (step / unit).max(real.scale_min)).collect();
    let rows = real.rows.iter().zip(&scales);
    let values = rows.flat_map(|(row, scale)| {
        row.iter().map(move |w| (w / scale).round().clamp(-bound, bound) as i8)
    });
    let bits = if quantizer.bits <= 4 { WeightBits::Four } else { WeightBits::Eight };
    LayerWeights { bits, values: values.collect(), scales }
}

fn set_weights(op: &mut Op, values: &[f32]) {
    let weights: &mut dyn Iterator<Item = &mut f32> = match op {
        Op::Conv2d(conv) => &mut conv.weights.iter_mut(),
        Op::FullyConnected(fc) => &mut fc.weights.iter_mut(),
        _ => return,
    };
    weights.zip(values).for_each(|(weight, value)| *weight = *value);
}

#[cfg(test)]
mod tests;
