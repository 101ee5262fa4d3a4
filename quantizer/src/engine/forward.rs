//! One node on one group of images: the dispatch from the graph's operators to their files.
//!
//! Owns a group's activations and what is prepared once for all groups (packed weights, the
//! affine form of batch normalization); not threads.

use rayon::prelude::*;

use super::batch_norm::{self, Affine};
use super::conv2d::{self, Scratch};
use super::{add, fully_connected, global_avg_pool, max_pool2d, relu, subsample_pad};
use crate::graph::{Conv2d, Graph, Node, NodeId, Op};

/// What all groups share of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct PreparedNode {
    /// Weights packed for the forward pass.
    pub(super) forward: Vec<f32>,
    /// Weights packed for the gradient of the input.
    pub(super) backward: Vec<f32>,
    /// Batch normalization: the running averages', until training sets the batch's.
    pub(super) affine: Affine,
}

/// What all groups share, a node each.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared {
    pub(super) nodes: Vec<PreparedNode>,
}

impl Prepared {
    pub(super) fn new(graph: &Graph, backward: bool) -> Self {
        let mut prepared = Self::default();
        prepared.update(graph, backward);
        prepared
    }

    /// Packs the graph's parameters anew, in the memory of the last time.
    pub(super) fn update(&mut self, graph: &Graph, backward: bool) {
        self.nodes.resize_with(graph.nodes.len(), PreparedNode::default);
        self.nodes.par_iter_mut().zip(&graph.nodes).for_each(|(prepared, node)| {
            let geometry = match &node.op {
                Op::BatchNorm(norm) => {
                    prepared.affine = batch_norm::evaluation(norm);
                    return;
                }
                Op::Conv2d(conv) => conv_geometry(graph, node, conv),
                Op::FullyConnected(fc) => {
                    fully_connected::geometry(1, fc.weights.ncols(), fc.weights.nrows())
                }
                _ => return,
            };
            let parameters = node.parameters();
            let weights = parameters[0].values.as_standard_layout();
            let weights = weights.as_slice().unwrap_or_default();
            conv2d::pack_forward(weights, &geometry, &mut prepared.forward);
            if backward {
                conv2d::pack_backward(weights, &geometry, &mut prepared.backward);
            }
        });
    }
}

/// A group's activations, a node each, and the memory that is free.
#[derive(Clone, Debug, Default)]
pub(super) struct Activations {
    pub(super) values: Vec<Vec<f32>>,
    pub(super) free: Vec<Vec<f32>>,
    pub(super) scratch: Scratch,
    pub(super) images: usize,
}

impl Activations {
    /// Begins with the group's images, `[N,H,W,C]`.
    pub(super) fn start(&mut self, graph: &Graph, images: &[f32]) {
        self.values.resize_with(graph.nodes.len(), Vec::new);
        self.images = images.len() / graph.input_shape().iter().product::<usize>();
        let mut input = self.take(0, images.len());
        input.copy_from_slice(images);
        self.values[0] = input;
    }

    pub(super) fn get(&self, index: usize) -> &[f32] {
        &self.values[index]
    }

    pub(super) fn release(&mut self, index: usize) {
        self.free.push(std::mem::take(&mut self.values[index]));
    }

    /// Memory of `len` values, whatever they are: the node's own, else some that is free.
    fn take(&mut self, index: usize, len: usize) -> Vec<f32> {
        let mut memory = std::mem::take(&mut self.values[index]);
        if memory.capacity() == 0 {
            memory = self.free.pop().unwrap_or_default();
        }
        memory.resize(len, 0.0);
        memory
    }

    /// Computes the node's activation from those of its inputs.
    pub(super) fn forward_node(&mut self, graph: &Graph, prepared: &Prepared, index: usize) {
        let node = &graph.nodes[index];
        if matches!(node.op, Op::Input) {
            return;
        }
        let mut y = self.take(index, self.images * node.shape.iter().product::<usize>());
        let input = |n: usize| (self.values[node.inputs[n].0].as_slice(), shape(graph, node, n));
        let (x, x_shape) = input(0);
        let prepared = &prepared.nodes[index];
        let scratch = &mut self.scratch;
        match &node.op {
            Op::Input => {}
            Op::Conv2d(conv) => {
                let geometry = conv_geometry(graph, node, conv);
                let bias = conv.bias.as_ref().map(|bias| bias.to_vec());
                let weights = &prepared.forward;
                conv2d::forward(&geometry, weights, bias.as_deref(), x, &mut y, scratch);
            }
            Op::FullyConnected(fc) => {
                let (o, i) = fc.weights.dim();
                let geometry = fully_connected::geometry(self.images, i, o);
                let bias = fc.bias.to_vec();
                conv2d::forward(&geometry, &prepared.forward, Some(&bias), x, &mut y, scratch);
            }
            Op::BatchNorm(_) => batch_norm::forward(&prepared.affine, x, &mut y),
            Op::Relu => relu::forward(x, &mut y),
            Op::Add => add::forward(x, input(1).0, &mut y),
            Op::MaxPool2d { .. } => {
                if let Some(geometry) = pool_geometry(graph, node) {
                    max_pool2d::forward(&geometry, x, &mut y);
                }
            }
            Op::GlobalAvgPool => {
                global_avg_pool::forward(x, x_shape[0] * x_shape[1], x_shape[2], &mut y);
            }
            Op::SubsamplePad { stride, .. } => {
                subsample_pad::forward(&pad_geometry(graph, node, *stride), x, &mut y);
            }
        }
        self.values[index] = y;
    }
}

/// The last node that reads each node; the node itself where there is none.
pub(super) fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last: Vec<usize> = (0..graph.nodes.len()).collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|&NodeId(input)| last[input] = index);
    }
    last
}

fn shape(graph: &Graph, node: &Node, input: usize) -> [usize; 3] {
    graph.node(node.inputs[input]).shape
}

pub(super) fn conv_geometry(graph: &Graph, node: &Node, conv: &Conv2d) -> conv2d::Geometry {
    let (_, kh, kw, _) = conv.weights.dim();
    conv2d::Geometry {
        input: shape(graph, node, 0),
        output: node.shape,
        kernel: [kh, kw],
        stride: conv.stride,
        padding: conv.padding,
    }
}

pub(super) fn pool_geometry(graph: &Graph, node: &Node) -> Option<max_pool2d::Geometry> {
    let Op::MaxPool2d { kernel, stride, padding } = node.op else { return None };
    let (input, output) = (shape(graph, node, 0), node.shape);
    Some(max_pool2d::Geometry { input, output, kernel, stride, padding })
}

pub(super) fn pad_geometry(graph: &Graph, node: &Node, stride: usize) -> subsample_pad::Geometry {
    subsample_pad::Geometry { input: shape(graph, node, 0), output: node.shape, stride }
}
