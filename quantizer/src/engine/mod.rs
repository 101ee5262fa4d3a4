//! The float engine: runs a graph forward and backward on the host's threads.
//!
//! Operators (one a file) work on a group of images, serially; the executor here owns threads and
//! memory, [`TrainStep`] the order of a training step. A group is [`GROUP_IMAGES`] images and sums
//! over groups are taken in their order, so the bits do not depend on the number of threads.
//! Threads are those of the ambient rayon pool. Activations are `[N,H,W,C]`.

mod add;
pub(crate) mod arch;
mod batch_norm;
mod conv2d;
mod forward;
mod fully_connected;
mod global_avg_pool;
mod max_pool2d;
#[cfg(test)]
mod numeric;
mod relu;
mod softmax_cross_entropy;
mod step;
mod subsample_pad;

use std::sync::Mutex;

use ndarray::{Array2, Array4, ArrayView4};
use rayon::prelude::*;
use thiserror::Error;

use crate::graph::{Graph, GraphError};
use forward::{Activations, Prepared};

pub(crate) use softmax_cross_entropy::argmax;
pub use softmax_cross_entropy::{Mixed, Targets};
pub use step::{StepOutput, TrainStep};

/// Images of one group: small enough that an operator's operands stay in the cache.
pub const GROUP_IMAGES: usize = 4;

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

/// Runs graphs in evaluation mode. Keeps its memory from one call to the next.
#[derive(Debug, Default)]
pub struct Executor {
    workspaces: Mutex<Vec<Activations>>,
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
        let output = graph.output().0;
        let values: usize = graph.node(graph.output()).shape.iter().product();
        let mut logits = Array2::zeros([batch.dim().0, values]);
        let out = logits.as_slice_mut().unwrap_or_default();
        self.run(graph, &batch, out.par_chunks_mut((GROUP_IMAGES * values).max(1)), |run, out| {
            for index in 0..=output {
                run.node(index);
                run.release(index);
            }
            out.copy_from_slice(run.activation(output));
        })?;
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
        let mut all: Vec<Array4<f32>> = Vec::with_capacity(graph.nodes.len());
        all.extend(graph.nodes.iter().map(|node| {
            let [h, w, c] = node.shape;
            Array4::zeros([images, h, w, c])
        }));
        // For each group, its part of each node's output.
        let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
        parts.resize_with(images.div_ceil(GROUP_IMAGES), Vec::new);
        for (array, node) in all.iter_mut().zip(&graph.nodes) {
            let group = (GROUP_IMAGES * node.shape.iter().product::<usize>()).max(1);
            let values = array.as_slice_mut().unwrap_or_default();
            parts.iter_mut().zip(values.chunks_mut(group)).for_each(|(part, out)| part.push(out));
        }
        self.run(graph, &batch, parts.into_par_iter(), |run, outs| {
            for (index, out) in outs.into_iter().enumerate() {
                run.node(index);
                out.copy_from_slice(run.activation(index));
            }
        })?;
        Ok(all)
    }

    /// Calls `work` for each group with its share of the results.
    fn run<Out: Send>(
        &self,
        graph: &Graph,
        batch: &ArrayView4<'_, f32>,
        outs: impl IndexedParallelIterator<Item = Out>,
        work: impl Fn(&mut Run<'_>, Out) + Sync,
    ) -> Result<(), EngineError> {
        check_batch(graph, batch)?;
        let prepared = Prepared::new(graph, false);
        let last_uses = forward::last_uses(graph);
        let batch = batch.as_standard_layout();
        let images = batch.as_slice().unwrap_or_default();
        let group = GROUP_IMAGES * graph.input_shape().iter().product::<usize>();
        images.par_chunks(group).zip(outs).for_each(|(images, out)| {
            let pop = |mut pool: std::sync::MutexGuard<'_, Vec<Activations>>| pool.pop();
            let activations = self.workspaces.lock().ok().and_then(pop).unwrap_or_default();
            let mut run = Run { graph, prepared: &prepared, last_uses: &last_uses, activations };
            run.activations.start(graph, images);
            work(&mut run, out);
            if let Ok(mut pool) = self.workspaces.lock() {
                pool.push(run.activations);
            }
        });
        Ok(())
    }
}

/// One group's way through the graph.
struct Run<'a> {
    graph: &'a Graph,
    prepared: &'a Prepared,
    last_uses: &'a [usize],
    activations: Activations,
}

impl Run<'_> {
    fn node(&mut self, index: usize) {
        self.activations.forward_node(self.graph, self.prepared, index);
    }

    fn activation(&self, index: usize) -> &[f32] {
        self.activations.get(index)
    }

    /// Hands back the memory of what no node after `index` reads.
    fn release(&mut self, index: usize) {
        let inputs = self.graph.nodes[index].inputs.iter();
        for input in inputs.filter(|input| self.last_uses[input.0] == index) {
            self.activations.release(input.0);
        }
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
