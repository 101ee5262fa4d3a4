//! The memory plan: in which order nodes run, how many rows at a time, and where tensors lie.
//!
//! Owns lives, orders and offsets. [`plan`] picks the order with the smallest peak of live memory
//! (exactly, for graphs of residual blocks), lets outputs take over the memory of the residual that
//! ends with them, and places the rest; it says how far the result is from the lower bound of its
//! schedule. With whole tensors, or by a [`Schedule`] in rings of rows, which [`search`]
//! finds.
//! Does not know what a node computes, nor boards.

mod arrange;
mod order;
mod place;
pub mod schedule;
pub mod search;
mod segments;
mod together;

pub use schedule::{Rhythm, Schedule};

use crate::quantized::{QuantizedGraph, QuantizedOp, TensorId};

/// Memory that one tensor has, or several that take it over from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its tensors in the order of their lives.
    pub tensors: Vec<TensorId>,
    /// Rows that it holds at the same time.
    pub rows: usize,
    /// Size in bytes, a multiple of the alignment.
    pub bytes: usize,
    /// The step that writes it first; 0 for the network's input.
    pub first: usize,
    /// The last step that reads it.
    pub last: usize,
    /// Where it begins in the arena, in bytes.
    pub offset: usize,
}

/// A graph in the order of its execution, with a place for each tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The graph, its nodes in the order in which they run.
    pub graph: QuantizedGraph,
    /// Every tensor is in exactly one.
    pub buffers: Vec<Buffer>,
    /// How each node runs.
    pub schedule: Schedule,
    /// The input (0 or 1) whose memory the output of a node takes over, if one.
    pub in_place: Vec<Option<usize>>,
    /// Peak of the placed buffers, in bytes.
    pub arena_bytes: usize,
    /// No placement of this order and schedule needs less; of whole tensors no order does, where
    /// [`Plan::order_is_optimal`].
    pub lower_bound: usize,
    /// Whether all orders were searched.
    pub order_is_optimal: bool,
}

/// Why a graph has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A residual that is read again after the convolution that joins it.
    #[error(
        "layer `{layer}` writes over its residual `{tensor}`, which `{reader}` reads again later"
    )]
    ResidualReadLater {
        /// The layer that joins the residual.
        layer: String,
        /// The residual.
        tensor: String,
        /// The later reader.
        reader: String,
    },
    /// A node reads a tensor that does not exist before it.
    #[error("layer `{layer}` reads a tensor that is not made before it")]
    Order {
        /// The layer.
        layer: String,
    },
}

impl Plan {
    /// First and last step of a tensor's own life.
    #[must_use]
    pub fn life(&self, tensor: TensorId) -> (usize, usize) {
        life(&self.graph, tensor)
    }

    /// Where a tensor begins in the arena, in bytes, and how many of its rows are there.
    #[must_use]
    pub fn place(&self, tensor: TensorId) -> (usize, usize) {
        let mut buffers = self.buffers.iter();
        let buffer = buffers.find(|b| b.tensors.contains(&tensor));
        buffer.map_or((0, 0), |buffer| (buffer.offset, buffer.rows))
    }

    /// Rows that a node makes at a time.
    #[must_use]
    pub fn group(&self, node: usize) -> usize {
        schedule::group(&self.graph, node, self.schedule[node].rows)
    }
}

/// Plans the memory of `graph` with whole tensors.
///
/// # Errors
/// Where a node reads what is not there, or a residual is read after it was overwritten.
pub fn plan(graph: &QuantizedGraph) -> Result<Plan, PlanError> {
    let (graph, order_is_optimal) = ordered(graph)?;
    let schedule = schedule::whole(&graph);
    Ok(arrange::arrange(&graph, schedule, order_is_optimal))
}

/// Plans the memory of `graph`, whose order stays, by a schedule with a rhythm for each node.
///
/// # Errors
/// As [`plan`].
pub fn plan_by(graph: &QuantizedGraph, schedule: Schedule) -> Result<Plan, PlanError> {
    check_order(graph)?;
    check_residuals(graph)?;
    Ok(arrange::arrange(graph, schedule, false))
}

/// The graph in the order with the smallest peak of whole tensors, and whether all were searched.
pub(crate) fn ordered(graph: &QuantizedGraph) -> Result<(QuantizedGraph, bool), PlanError> {
    check_order(graph)?;
    let (graph, order_is_optimal) = order::smallest_peak(graph);
    check_residuals(&graph)?;
    Ok((graph, order_is_optimal))
}

fn check_order(graph: &QuantizedGraph) -> Result<(), PlanError> {
    let mut nodes = graph.nodes.iter().enumerate();
    let wrong = nodes.find(|(index, node)| node.op.inputs().iter().any(|i| i.0 > *index));
    wrong.map_or(Ok(()), |(_, node)| Err(PlanError::Order { layer: node.name.clone() }))
}

/// First step and last step of a tensor.
fn life(graph: &QuantizedGraph, tensor: TensorId) -> (usize, usize) {
    let first = tensor.0.saturating_sub(1);
    let reads = |node: &&crate::quantized::QuantizedNode| node.op.inputs().contains(&tensor);
    let last = graph.nodes.iter().rposition(|node| reads(&node)).unwrap_or(first);
    (first, last.max(first))
}

fn check_residuals(graph: &QuantizedGraph) -> Result<(), PlanError> {
    for (index, node) in graph.nodes.iter().enumerate() {
        let QuantizedOp::Conv2d { skip: Some(skip), .. } = node.op else { continue };
        let (_, last) = life(graph, skip);
        if last > index {
            return Err(PlanError::ResidualReadLater {
                layer: node.name.clone(),
                tensor: graph.tensors[skip.0].name.clone(),
                reader: graph.nodes[last].name.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
