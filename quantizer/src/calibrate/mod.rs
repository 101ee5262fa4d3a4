//! The ranges of activations, from the images that calibrate.
//!
//! Owns what is collected while the float network runs, and the choice of ranges from it; the
//! grids that follow are `quantize`'s. Calibration images come from the training set, never from
//! the test set.

mod histogram;
mod images;
mod method;

pub use histogram::Histogram;
pub use images::Images;
pub use method::Method;

use crate::engine::{EngineError, Executor};
use crate::graph::{Graph, NodeId};
use crate::quantize::{QuantizeError, fuse};
use ndarray::ArrayView4;
use rayon::prelude::*;

/// Values that a thread counts at a time.
const CHUNK: usize = 1 << 16;

/// Values of all activations that are held at a time.
const VALUES_MAX: usize = 1 << 25;

/// The most images that run at a time.
const BATCH_MAX: usize = 32;

/// The smallest and the largest value of each node's activation over all images so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranges {
    ranges: Vec<(f32, f32)>,
    images: usize,
}

impl Ranges {
    /// Of `graph` before any image.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        Self { ranges: vec![(f32::INFINITY, f32::NEG_INFINITY); graph.nodes.len()], images: 0 }
    }

    /// Widens the ranges by a batch of normalized images, `[N,H,W,C]`.
    ///
    /// # Errors
    /// Where the batch is not of the graph's input shape.
    pub fn observe(
        &mut self,
        graph: &Graph,
        executor: &Executor,
        batch: &ArrayView4<'_, f32>,
    ) -> Result<(), EngineError> {
        self.images += batch.dim().0;
        let activations = executor.forward_all(graph, batch.view())?;
        for (range, activation) in self.ranges.iter_mut().zip(&activations) {
            let widened = |(low, high): (f32, f32), &v: &f32| (low.min(v), high.max(v));
            *range = activation.iter().fold(*range, widened);
        }
        Ok(())
    }

    /// Smallest and largest value of a node's activation; zero before any image.
    #[must_use]
    pub fn of(&self, node: NodeId) -> (f32, f32) {
        let range = self.ranges.get(node.0).copied().filter(|(low, high)| low <= high);
        range.unwrap_or((0.0, 0.0))
    }

    /// Gives a node's activation another range, which holds zero.
    ///
    /// # Panics
    /// If the node is of another graph.
    pub fn set(&mut self, node: NodeId, (low, high): (f64, f64)) {
        self.ranges[node.0] = (low as f32, high as f32);
    }

    /// Images that were observed.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }
}

/// Histograms of the activations that integers will stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Histograms {
    /// Node, whether a `ReLU` made it, and its values.
    counted: Vec<(NodeId, bool, Histogram)>,
    images: usize,
}

impl Histograms {
    /// Of `graph`, whose batch normalizations are folded, before any image.
    ///
    /// # Errors
    /// Where a node has no integer operator.
    pub fn new(graph: &Graph) -> Result<Self, QuantizeError> {
        let counted = fuse(graph)?
            .into_iter()
            .map(|layer| (layer.output, layer.relu, Histogram::default()))
            .collect();
        Ok(Self { counted, images: 0 })
    }

    /// Counts the activations of `images`, and tells `progress` how many are done.
    ///
    /// # Errors
    /// Where the images are not of the graph's input shape.
    pub fn observe(
        &mut self,
        graph: &Graph,
        executor: &Executor,
        images: &Images,
        progress: &dyn Fn(usize),
    ) -> Result<(), EngineError> {
        let values: usize = graph.nodes.iter().map(|n| n.shape.iter().product::<usize>()).sum();
        let size = (VALUES_MAX / values.max(1)).clamp(1, BATCH_MAX);
        for first in (0..images.len()).step_by(size) {
            let range = first..(first + size).min(images.len());
            let batch = images.batch(range.clone(), &graph.normalization);
            let activations = executor.forward_all(graph, batch.view())?;
            for (node, _, histogram) in &mut self.counted {
                let values = activations[node.0].as_slice().unwrap_or_default();
                let parts: Vec<Histogram> = values
                    .par_chunks(CHUNK)
                    .map(|values| {
                        let mut part = Histogram::default();
                        part.add(values);
                        part
                    })
                    .collect();
                parts.iter().for_each(|part| histogram.merge(part));
            }
            self.images += range.len();
            progress(self.images);
        }
        Ok(())
    }

    /// The ranges that `method` chooses, each by itself. The last layer's, the logits', are whole:
    /// their integers are fine enough for all of it.
    #[must_use]
    pub fn ranges(&self, graph: &Graph, method: Method) -> Ranges {
        let mut ranges = Ranges { images: self.images, ..Ranges::new(graph) };
        for (node, relu, histogram) in &self.counted {
            let is_last = *node == graph.output();
            let method = if is_last { Method::MinMax } else { method };
            ranges.set(*node, method.range(histogram, *relu));
        }
        ranges
    }

    /// The histogram of a node, if it is one that integers will stand for.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<&Histogram> {
        self.counted.iter().find(|(counted, ..)| *counted == node).map(|(.., histogram)| histogram)
    }
}

#[cfg(test)]
mod tests;
