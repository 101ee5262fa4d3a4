//! The memory plan of whole-tensor execution: in which order nodes run, and where tensors lie.
//!
//! Owns lives, orders and offsets. [`plan`] picks the order with the smallest peak of live memory
//! (exactly, for graphs of residual blocks), lets outputs take over the memory of the residual that
//! ends with them, and places the rest; it says how far the result is from the lower bound of all
//! whole-tensor plans with that taking over. Does not know what a node computes, nor boards.

mod order;
mod place;

use crate::quantized::{QuantizedGraph, QuantizedOp, TensorId};
use resmcu_model_format::ALIGNMENT;

/// Memory that one tensor has, or several that take it over from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its tensors in the order of their lives.
    pub tensors: Vec<TensorId>,
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
    /// The input (0 or 1) whose memory the output of a node takes over, if one.
    pub in_place: Vec<Option<usize>>,
    /// Peak of the placed buffers, in bytes.
    pub arena_bytes: usize,
    /// No whole-tensor plan of this order needs less; of all orders, where
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

    /// Where a tensor begins in the arena, in bytes.
    #[must_use]
    pub fn offset(&self, tensor: TensorId) -> usize {
        let mut buffers = self.buffers.iter();
        buffers.find(|b| b.tensors.contains(&tensor)).map_or(0, |buffer| buffer.offset)
    }
}

/// Plans the memory of `graph`.
///
/// # Errors
/// Where a node reads what is not there, or a residual is read after it was overwritten.
pub fn plan(graph: &QuantizedGraph) -> Result<Plan, PlanError> {
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.op.inputs().iter().any(|input| input.0 > index) {
            return Err(PlanError::Order { layer: node.name.clone() });
        }
    }
    let (graph, order_is_optimal) = order::smallest_peak(graph);
    check_residuals(&graph)?;
    let in_place = in_place(&graph);
    let mut buffers = buffers(&graph, &in_place);
    let lower_bound = peak_of_live(&buffers, graph.nodes.len());
    let arena_bytes = place::place(&mut buffers, lower_bound);
    Ok(Plan { graph, buffers, in_place, arena_bytes, lower_bound, order_is_optimal })
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

/// Which input each node's output takes over: always a convolution's residual, and an input of an
/// add that ends there.
fn in_place(graph: &QuantizedGraph) -> Vec<Option<usize>> {
    let ends_at = |index, tensor: TensorId| tensor.0 != 0 && life(graph, tensor).1 == index;
    let choose = |(index, op): (usize, &QuantizedOp)| match op {
        QuantizedOp::Conv2d { skip: Some(_), .. } => Some(1),
        QuantizedOp::Add { inputs, .. } if inputs[0] != inputs[1] => {
            inputs.iter().position(|&input| ends_at(index, input))
        }
        _ => None,
    };
    graph.nodes.iter().map(|node| &node.op).enumerate().map(choose).collect()
}

/// The buffers of a graph, not yet placed.
fn buffers(graph: &QuantizedGraph, in_place: &[Option<usize>]) -> Vec<Buffer> {
    let mut buffers: Vec<Buffer> = Vec::new();
    for id in (0..graph.tensors.len()).map(TensorId) {
        let (first, last) = life(graph, id);
        let taken = id.0.checked_sub(1).and_then(|step| {
            let input = in_place[step]?;
            graph.nodes[step].op.inputs().get(input).copied()
        });
        let owner = taken.and_then(|t| buffers.iter_mut().find(|b| b.tensors.contains(&t)));
        if let Some(owner) = owner {
            owner.tensors.push(id);
            owner.last = last;
        } else {
            let bytes = graph.tensors[id.0].bytes().next_multiple_of(ALIGNMENT as usize);
            buffers.push(Buffer { tensors: vec![id], bytes, first, last, offset: 0 });
        }
    }
    buffers
}

/// The most bytes that live in one step: no placement needs less.
fn peak_of_live(buffers: &[Buffer], steps: usize) -> usize {
    let live = |step| {
        let live = buffers.iter().filter(move |b| b.first <= step && step <= b.last);
        live.map(|b| b.bytes).sum()
    };
    (0..steps).map(live).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
