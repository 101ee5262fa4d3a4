//! The ranges of activations, from the images that calibrate.
//!
//! Owns what is collected while the float network runs; the choice of scales from it is
//! `quantize`'s. Calibration images come from the training set, never from the test set.

use crate::engine::{EngineError, Executor};
use crate::graph::{Graph, NodeId};
use ndarray::ArrayView4;

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

    /// Images that were observed.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }
}
