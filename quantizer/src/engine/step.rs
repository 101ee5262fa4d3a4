//! One training step: forward with batch statistics, loss, and the gradient of every parameter.
//!
//! Owns the order of the work and the sums over groups; not the optimizer. Each group of images
//! walks the graph by itself as far as the next batch normalization, where all must meet, because
//! its statistics are the whole batch's.

use ndarray::ArrayView4;
use rayon::prelude::*;

use super::batch_norm::{self, Gradient, Statistics};
use super::forward::{self, Activations, Prepared};
use super::softmax_cross_entropy::{self, Loss, Targets};
use super::{EngineError, GROUP_IMAGES, add, check_batch, conv2d};
use super::{fully_connected, global_avg_pool, max_pool2d, relu, subsample_pad};
use crate::graph::{BatchNorm, Graph, Op};

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutput {
    /// Mean cross-entropy of the batch against its targets.
    pub loss: f64,
    /// Images of the batch that were classified as their first label.
    pub correct: usize,
}

/// The memory of training steps on one graph, and the last step's gradients.
#[derive(Debug, Default)]
pub struct TrainStep {
    groups: Vec<Group>,
    prepared: Prepared,
    statistics: Vec<Statistics>,
    gradients: Vec<Vec<f32>>,
}

/// One group of images on its way.
#[derive(Debug, Default)]
struct Group {
    activations: Activations,
    /// The gradient of each node's output; empty before the first node that adds to it.
    dy: Vec<Vec<f32>>,
    /// The gradient of each node's weights, `[KH,KW,I,O]`, and bias.
    parameters: Vec<(Vec<f32>, Vec<f32>)>,
    /// The two sums of each batch normalization, forward, then backward.
    sums: Vec<Vec<f64>>,
    loss: Loss,
}

impl TrainStep {
    /// Steps that have no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradients of the last step: one vector a trained parameter, in the order of
    /// [`Graph::parameters`] without the running averages, row-major.
    pub fn gradients(&self) -> &[Vec<f32>] {
        &self.gradients
    }

    /// Runs `batch` (`[N,H,W,C]`, normalized) forward and backward towards `targets`. The running
    /// averages of `graph` move towards the batch's by `momentum`; nothing else of it changes.
    #[expect(clippy::needless_pass_by_value, reason = "views are passed by value, as in ndarray")]
    pub fn run(
        &mut self,
        graph: &mut Graph,
        batch: ArrayView4<'_, f32>,
        targets: &Targets<'_>,
        momentum: f32,
    ) -> Result<StepOutput, EngineError> {
        check_batch(graph, &batch)?;
        targets.check(batch.dim().0, graph.classes())?;
        self.start(graph, &batch);
        // The walk pauses before each batch normalization.
        let mut cuts = vec![0];
        cuts.extend((1..graph.nodes.len()).filter(|&i| norm_at(graph, i).is_some()));
        cuts.push(graph.nodes.len());
        for cut in cuts.windows(2) {
            self.forward(graph, cut[0], cut[1], momentum);
        }
        let images = targets.len();
        self.groups.par_iter_mut().enumerate().for_each(|(index, group)| {
            let first = index * GROUP_IMAGES;
            let targets = targets.slice(first..first + group.activations.images);
            group.loss(graph, &targets, images);
        });
        for cut in cuts.windows(2).rev() {
            self.backward(graph, cut[0], cut[1]);
        }
        self.reduce(graph);
        let sum: f64 = self.groups.iter().map(|group| group.loss.sum).sum();
        let correct = self.groups.iter().map(|group| group.loss.correct).sum();
        Ok(StepOutput { loss: sum / images.max(1) as f64, correct })
    }

    /// The first node, in order, that held a value which is not finite in the last step, in its
    /// parameters or in its output.
    pub fn first_non_finite<'g>(&self, graph: &'g Graph) -> Option<&'g str> {
        let bad = |values: &[f32]| values.iter().any(|value| !value.is_finite());
        let position = graph.nodes.iter().enumerate().position(|(index, node)| {
            let outputs = self.groups.iter().filter_map(|g| g.activations.values.get(index));
            node.parameters().iter().any(|p| p.values.iter().any(|value| !value.is_finite()))
                || outputs.into_iter().any(|values| bad(values))
        });
        position.map(|index| graph.nodes[index].name.as_str())
    }

    fn start(&mut self, graph: &Graph, batch: &ArrayView4<'_, f32>) {
        let nodes = graph.nodes.len();
        self.prepared.update(graph, true);
        self.statistics.resize_with(nodes, Statistics::default);
        self.groups.resize_with(batch.dim().0.div_ceil(GROUP_IMAGES), Group::default);
        let batch = batch.as_standard_layout();
        let size = GROUP_IMAGES * graph.input_shape().iter().product::<usize>();
        let images = batch.as_slice().unwrap_or_default().par_chunks(size);
        self.groups.par_iter_mut().zip(images).for_each(|(group, images)| {
            group.activations.start(graph, images);
            group.dy.resize_with(nodes, Vec::new);
            group.parameters.resize_with(nodes, Default::default);
            group.sums.resize_with(nodes, Vec::new);
        });
    }

    /// Nodes `start..end`; `end` is the next batch normalization, or past the last node.
    fn forward(&mut self, graph: &mut Graph, start: usize, end: usize, momentum: f32) {
        let count = self.positions(graph, start);
        let sums = self.total(start);
        if let Op::BatchNorm(norm) = &mut graph.nodes[start].op {
            let (affine, found) = batch_norm::finish_forward(norm, &sums, count, momentum);
            self.prepared.nodes[start].affine = affine;
            self.statistics[start] = found;
        }
        let (prepared, graph) = (&self.prepared, &*graph);
        self.groups.par_iter_mut().for_each(|group| {
            for index in start..end {
                group.activations.forward_node(graph, prepared, index);
            }
            if let Some(norm) = norm_at(graph, end) {
                let channels = norm.gamma.len();
                let x = group.activations.get(graph.nodes[end].inputs[0].0);
                clear(&mut group.sums[end], 2 * channels);
                batch_norm::forward_sums(x, channels, &mut group.sums[end]);
            }
        });
    }

    /// Nodes `start..end` in reverse; `start` is a batch normalization, or the input.
    fn backward(&mut self, graph: &Graph, start: usize, end: usize) {
        let (prepared, statistics) = (&self.prepared, &self.statistics);
        self.groups.par_iter_mut().for_each(|group| {
            for index in (start + 1..end).rev() {
                group.backward_node(graph, prepared, index);
            }
            if let Some(norm) = norm_at(graph, start) {
                let x = group.activations.get(graph.nodes[start].inputs[0].0);
                let sums = &mut group.sums[start];
                clear(sums, 2 * norm.gamma.len());
                batch_norm::backward_sums(&statistics[start], x, &group.dy[start], sums);
            }
        });
        let Some(norm) = norm_at(graph, start) else { return };
        let (sums, count) = (self.total(start), self.positions(graph, start));
        let gradient = batch_norm::finish_backward(norm, &self.statistics[start], &sums, count);
        let statistics = &self.statistics[start];
        self.groups
            .par_iter_mut()
            .for_each(|group| group.backward_norm(graph, start, &gradient, statistics));
    }

    /// Positions of a node in the whole batch.
    fn positions(&self, graph: &Graph, index: usize) -> usize {
        let [rows, columns, _] = graph.nodes[index].shape;
        self.groups.iter().map(|group| group.activations.images).sum::<usize>() * rows * columns
    }

    /// The sums of a batch normalization over all groups, in their order.
    fn total(&self, index: usize) -> Vec<f64> {
        let mut total = Vec::new();
        for group in &self.groups {
            total.resize(group.sums[index].len(), 0.0);
            total.iter_mut().zip(&group.sums[index]).for_each(|(total, sum)| *total += sum);
        }
        total
    }

    /// The gradient of each trained parameter over all groups, in their order.
    fn reduce(&mut self, graph: &Graph) {
        let groups = &self.groups;
        let node_gradients = |(index, node): (usize, &crate::graph::Node)| -> Vec<Vec<f32>> {
            let sum = |part: &dyn Fn(&Group) -> &[f32]| {
                let mut sum = vec![0.0; groups.first().map_or(0, |group| part(group).len())];
                for group in groups {
                    sum.iter_mut().zip(part(group)).for_each(|(sum, value)| *sum += value);
                }
                sum
            };
            match &node.op {
                Op::BatchNorm(norm) => {
                    let (channels, sums) = (norm.gamma.len(), self.total(index));
                    let to_f32 = |sums: &[f64]| sums.iter().map(|&sum| sum as f32).collect();
                    vec![to_f32(&sums[channels..]), to_f32(&sums[..channels])]
                }
                Op::Conv2d(_) | Op::FullyConnected(_) => {
                    let outputs = node.shape[2];
                    let packed = sum(&|group| &group.parameters[index].0);
                    let weights = transpose(&packed, outputs);
                    let bias = sum(&|group| &group.parameters[index].1);
                    if bias.is_empty() { vec![weights] } else { vec![weights, bias] }
                }
                _ => Vec::new(),
            }
        };
        let nodes: Vec<_> = graph.nodes.par_iter().enumerate().map(node_gradients).collect();
        self.gradients = nodes.into_iter().flatten().collect();
    }
}

impl Group {
    fn loss(&mut self, graph: &Graph, targets: &Targets<'_>, images: usize) {
        let output = graph.output().0;
        let logits = &self.activations.values[output];
        let mut dlogits = self.activations.free.pop().unwrap_or_default();
        dlogits.resize(logits.len(), 0.0);
        let weight = 1.0 / images as f32;
        self.loss = softmax_cross_entropy::forward_backward(logits, targets, weight, &mut dlogits);
        self.dy[output] = dlogits;
    }

    /// The gradient of an input, zero before the first node that adds to it. The caller puts it
    /// back.
    fn gradient(&mut self, index: usize) -> Vec<f32> {
        let mut dx = std::mem::take(&mut self.dy[index]);
        if dx.is_empty() {
            dx = self.activations.free.pop().unwrap_or_default();
            dx.clear();
            dx.resize(self.activations.values[index].len(), 0.0);
        }
        dx
    }

    fn backward_norm(
        &mut self,
        graph: &Graph,
        index: usize,
        gradient: &Gradient,
        statistics: &Statistics,
    ) {
        let input = graph.nodes[index].inputs[0].0;
        let dy = std::mem::take(&mut self.dy[index]);
        let mut dx = self.gradient(input);
        batch_norm::backward(gradient, statistics, self.activations.get(input), &dy, &mut dx);
        self.dy[input] = dx;
        self.activations.free.push(dy);
    }

    /// Adds the gradients of a node's inputs, and makes those of its parameters.
    fn backward_node(&mut self, graph: &Graph, prepared: &Prepared, index: usize) {
        let node = &graph.nodes[index];
        // A node that the output does not depend on has no gradient.
        let dy = self.gradient(index);
        self.backward_parameters(graph, index, &dy);
        for input in &node.inputs {
            let from = graph.node(*input);
            if matches!(from.op, Op::Input) {
                continue;
            }
            let mut dx = self.gradient(input.0);
            let Activations { values, scratch, images, .. } = &mut self.activations;
            let (x, y) = (&values[input.0], &values[index]);
            let weights = &prepared.nodes[index].backward;
            match &node.op {
                Op::Conv2d(conv) => {
                    let geometry = forward::conv_geometry(graph, node, conv);
                    conv2d::backward_data(&geometry, weights, &dy, &mut dx, scratch);
                }
                Op::FullyConnected(fc) => {
                    let (o, i) = fc.weights.dim();
                    let geometry = fully_connected::geometry(*images, i, o);
                    conv2d::backward_data(&geometry, weights, &dy, &mut dx, scratch);
                }
                Op::Relu => relu::backward(y, &dy, &mut dx),
                Op::Add => add::backward(&dy, &mut dx),
                Op::MaxPool2d { .. } => {
                    if let Some(geometry) = forward::pool_geometry(graph, node) {
                        max_pool2d::backward(&geometry, x, y, &dy, &mut dx);
                    }
                }
                Op::GlobalAvgPool => {
                    let [h, w, c] = from.shape;
                    global_avg_pool::backward(&dy, h * w, c, &mut dx);
                }
                Op::SubsamplePad { stride, .. } => {
                    let geometry = forward::pad_geometry(graph, node, *stride);
                    subsample_pad::backward(&geometry, &dy, &mut dx);
                }
                // Batch normalization has a walk of its own, see `backward_norm`.
                Op::Input | Op::BatchNorm(_) => {}
            }
            self.dy[input.0] = dx;
        }
        self.activations.free.push(dy);
    }

    fn backward_parameters(&mut self, graph: &Graph, index: usize, dy: &[f32]) {
        let node = &graph.nodes[index];
        let (geometry, weights, bias) = match &node.op {
            Op::Conv2d(conv) => {
                let bias = conv.bias.as_ref().map_or(0, ndarray::Array1::len);
                (forward::conv_geometry(graph, node, conv), conv.weights.len(), bias)
            }
            Op::FullyConnected(fc) => {
                let (o, i) = fc.weights.dim();
                let geometry = fully_connected::geometry(self.activations.images, i, o);
                (geometry, fc.weights.len(), o)
            }
            _ => return,
        };
        let (dw, db) = &mut self.parameters[index];
        clear(dw, weights);
        clear(db, bias);
        let Activations { values, scratch, .. } = &mut self.activations;
        conv2d::backward_weights(&geometry, &values[node.inputs[0].0], dy, dw, scratch);
        if bias > 0 {
            conv2d::backward_bias(dy, db);
        }
    }
}

fn norm_at(graph: &Graph, index: usize) -> Option<&BatchNorm> {
    match graph.nodes.get(index)?.op {
        Op::BatchNorm(ref norm) => Some(norm),
        _ => None,
    }
}

fn clear<T: Default + Clone>(values: &mut Vec<T>, len: usize) {
    values.clear();
    values.resize(len, T::default());
}

/// `[.., O]` to `[O, ..]`.
fn transpose(packed: &[f32], outputs: usize) -> Vec<f32> {
    let mut weights = Vec::with_capacity(packed.len());
    for o in 0..outputs {
        weights.extend(packed.iter().skip(o).step_by(outputs));
    }
    weights
}
