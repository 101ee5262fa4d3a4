//! The float engine: runs a graph forward and backward on the host's threads.
//!
//! A graph is rewritten as a [`program`] of few, fused operations, laid out in memory once, and run
//! by shards: groups of images, whose number does not depend on that of threads. Sums over shards
//! are taken in their order, so the bits do not depend on the number of threads either. Threads are
//! those of the ambient rayon pool. Activations are `[N,H,W,C]`, their channels padded to whole
//! vectors inside. [`TrainStep`] owns the order of a training step, the executor here evaluation.

mod batch_norm;
mod conv;
mod fake_quantize;
#[cfg(test)]
mod fake_quantize_tests;
mod global_avg_pool;
mod layout;
mod max_pool2d;
#[cfg(test)]
mod numeric;
mod program;
mod shard;
mod softmax_cross_entropy;
mod step;
mod subsample_pad;

use ndarray::{Array2, Array4, ArrayView4};
use rayon::prelude::*;
use thiserror::Error;

use crate::graph::{Graph, GraphError, Op, ParameterKind};
use batch_norm::State;
use fake_quantize::Grid;
use layout::{Keep, Layout};
use program::{Kind, Program};
use shard::{Pool, Shard, Shared};

pub(crate) use softmax_cross_entropy::argmax;
pub use softmax_cross_entropy::{Mixed, Targets, Teacher};
pub use step::{StepOutput, TrainStep};

/// Why the engine refused a batch.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EngineError {
    /// The graph is not well formed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The images do not have the shape of the graph's input.
    #[error("images are {found:?}, the network takes {expected:?} (height, width, channels)")]
    BatchShape {
        /// `[H,W,C]` of the batch.
        found: [usize; 3],
        /// `[H,W,C]` of the input.
        expected: [usize; 3],
    },
    /// Not one label an image.
    #[error("{labels} labels for {images} images")]
    LabelCount {
        /// Labels given.
        labels: usize,
        /// Images given.
        images: usize,
    },
    /// A label past the last class.
    #[error("label {label} of image {image} in the batch; the network has {classes} classes")]
    Label {
        /// The label.
        label: usize,
        /// Its image's position in the batch.
        image: usize,
        /// Classes of the output.
        classes: usize,
    },
    /// A share of a label that is none.
    #[error("{what} is {found}, expected a share from 0 to 1, smoothing below 1")]
    Target {
        /// Which share.
        what: &'static str,
        /// Its value.
        found: String,
    },
}

/// Values of the largest tensor of the images that are evaluated at a time, so that activations
/// stay in the cache.
const EVALUATION_VALUES: usize = 256 * 1024;
/// The most images that are evaluated at a time.
const EVALUATION_IMAGES: usize = 16;

/// Runs graphs in evaluation mode. Keeps its memory from one call to the next.
#[derive(Debug, Default)]
pub struct Executor {
    shards: std::sync::Mutex<Vec<Shard>>,
    scratch: Pool,
}

impl Executor {
    /// An executor without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The output of each image, `[N,O]`: logits of a classifier. Batch normalization uses the
    /// running averages. An image's logits do not depend on the others in the batch.
    #[expect(clippy::needless_pass_by_value, reason = "views are passed by value, as in ndarray")]
    pub fn forward_eval(
        &self,
        graph: &Graph,
        batch: ArrayView4<'_, f32>,
    ) -> Result<Array2<f32>, EngineError> {
        let values: usize = graph.node(graph.output()).shape.iter().product();
        let mut logits = Array2::zeros([batch.dim().0, values]);
        let shared = self.prepare(graph, &batch, Keep::ForReaders)?;
        let out = logits.as_slice_mut().unwrap_or_default();
        let outs = out.par_chunks_mut((shared.layout.images * values).max(1));
        self.run(&shared, &batch, outs, |shard, _, out| {
            let output = shared.program.output();
            let padded = shared.program.tensors[output].shape[2];
            let values = shard.activation(&shared, output, &(0..shard.images));
            copy_channels(values, padded, out, graph.classes());
        });
        Ok(logits)
    }

    /// The output of every node in the order of [`Graph::nodes`], each `[N,H,W,C]`: for
    /// calibration and error reports. Node 0 is the batch itself.
    #[expect(clippy::needless_pass_by_value, reason = "views are passed by value, as in ndarray")]
    pub fn forward_all(
        &self,
        graph: &Graph,
        batch: ArrayView4<'_, f32>,
    ) -> Result<Vec<Array4<f32>>, EngineError> {
        let images = batch.dim().0;
        let shared = self.prepare(graph, &batch, Keep::All)?;
        let mut all: Vec<Array4<f32>> = Vec::with_capacity(graph.nodes.len());
        all.extend(graph.nodes.iter().map(|node| {
            let [h, w, c] = node.shape;
            Array4::zeros([images, h, w, c])
        }));
        // For each group of images, its part of each node's output.
        let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
        parts.resize_with(images.div_ceil(shared.layout.images), Vec::new);
        for (array, node) in all.iter_mut().zip(&graph.nodes) {
            let group = shared.layout.images * node.shape.iter().product::<usize>();
            let values = array.as_slice_mut().unwrap_or_default();
            let chunks = values.chunks_mut(group.max(1));
            parts.iter_mut().zip(chunks).for_each(|(part, out)| part.push(out));
        }
        self.run(&shared, &batch, parts.into_par_iter(), |shard, batch, outs| {
            let mut values = Vec::new();
            for ((out, node), source) in
                outs.into_iter().zip(&graph.nodes).zip(&shared.program.values)
            {
                let padded = shard.evaluate(&shared, source, batch, &mut values);
                copy_channels(&values, padded, out, node.shape[2]);
            }
        });
        Ok(all)
    }

    /// What all groups of images share.
    fn prepare(
        &self,
        graph: &Graph,
        batch: &ArrayView4<'_, f32>,
        keep: Keep,
    ) -> Result<Shared, EngineError> {
        check_batch(graph, batch)?;
        let program = Program::new(graph);
        let largest = program.tensors.iter().map(program::Tensor::values).max().unwrap_or(1);
        let images = (EVALUATION_VALUES / largest.max(1)).clamp(1, EVALUATION_IMAGES);
        let layout = Layout::new(&program, images, keep);
        let mut shared = Shared { program, layout, ..Shared::default() };
        for norm in &shared.program.norms {
            if let Op::BatchNorm(norm) = &graph.nodes[norm.node].op {
                shared.norms.push(State::evaluation(norm));
            }
        }
        prepare_weights(graph, &mut shared, false);
        Ok(shared)
    }

    /// Runs each group of images, and hands it to `work` with its images and its share of the
    /// results.
    fn run<Out: Send>(
        &self,
        shared: &Shared,
        batch: &ArrayView4<'_, f32>,
        outs: impl IndexedParallelIterator<Item = Out>,
        work: impl Fn(&Shard, &[f32], Out) + Sync,
    ) {
        let batch = batch.as_standard_layout();
        let images = batch.as_slice().unwrap_or_default();
        let values = shared.program.tensors[0].values();
        let group = shared.layout.images * values;
        images.par_chunks(group).zip(outs).for_each(|(images, out)| {
            let taken = self.shards.lock().ok().and_then(|mut shards| shards.pop());
            let mut shard = taken.unwrap_or_default();
            shard.start(&shared.layout, images.len() / values);
            shard::with_scratch(&self.scratch, &shared.layout, |scratch| {
                for level in 0..shared.program.levels.len() {
                    let order = (shard::Order::Ascending, None);
                    shard.forward(shared, level, order, images, scratch);
                }
            });
            work(&shard, images, out);
            if let Ok(mut shards) = self.shards.lock() {
                shards.push(shard);
            }
        });
    }
}

/// Packs every operation's parameters, in the memory of the last time.
fn prepare_weights(graph: &Graph, shared: &mut Shared, backward: bool) {
    let Shared { program, weights, biases, grids, .. } = shared;
    grids.clear();
    grids.extend(program.operations.iter().map(|operation| match operation.kind {
        Kind::Store { rounded_by: Some(node) } => match &graph.nodes[node].op {
            Op::FakeQuantize(quantizer) => Some(Grid::new(quantizer)),
            _ => None,
        },
        _ => None,
    }));
    weights.resize_with(program.operations.len(), Default::default);
    biases.resize_with(program.operations.len(), Vec::new);
    let all = weights.par_iter_mut().zip(biases).zip(&program.operations);
    all.for_each(|((packed, bias), operation)| {
        let Kind::Convolution(convolution) = &operation.kind else { return };
        let node = &graph.nodes[operation.node];
        let parameters = node.parameters();
        let weights = parameters[0].values.as_standard_layout();
        let weights = weights.as_slice().unwrap_or_default();
        match node.op.weight_quantizer() {
            Some(quantizer) => {
                let mut rounded = Vec::with_capacity(weights.len());
                fake_quantize::round_weights(quantizer, weights, &mut rounded);
                convolution.pack(&rounded, backward, packed);
            }
            None => convolution.pack(weights, backward, packed),
        }
        if let Some(parameter) = parameters.iter().find(|p| p.kind == ParameterKind::Bias) {
            bias.clear();
            bias.extend(parameter.values.iter());
            bias.resize(convolution.geometry.output[2], 0.0);
        }
    });
}

/// Copies pixels of `padded` channels to pixels of fewer.
fn copy_channels(values: &[f32], padded: usize, out: &mut [f32], channels: usize) {
    for (values, out) in values.chunks_exact(padded).zip(out.chunks_exact_mut(channels)) {
        out.copy_from_slice(&values[..channels]);
    }
}

fn check_batch(graph: &Graph, batch: &ArrayView4<'_, f32>) -> Result<(), EngineError> {
    graph.validate()?;
    let (_, h, w, c) = batch.dim();
    let (found, expected) = ([h, w, c], graph.input_shape());
    if found == expected { Ok(()) } else { Err(EngineError::BatchShape { found, expected }) }
}

#[cfg(test)]
mod tests;
