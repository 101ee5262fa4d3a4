//! The order of execution with the smallest peak of live memory.
//!
//! A dynamic program over the sets of nodes that may have run (the order ideals of the graph): the
//! peak of the best way to each. Residual networks are chains of blocks, so there are few more such
//! sets than nodes; where there are too many, the given order stays.

use super::arrange::arrange;
use super::schedule::whole;
use crate::quantized::{QuantizedGraph, QuantizedOp, TensorId};
use std::collections::{BTreeMap, BTreeSet};

/// Sets that are looked at before the search gives up.
const SETS_MAX: usize = 20_000;

/// The graph in the best order, and whether all orders were searched.
pub(super) fn smallest_peak(graph: &QuantizedGraph) -> (QuantizedGraph, bool) {
    let Some(order) = search(graph) else { return (graph.clone(), false) };
    let reordered = reorder(graph, &order);
    // The search's cost is that of `peak_of_live`; on a tie the given order stays.
    let peak = |g: &QuantizedGraph| arrange(g, whole(g), true).lower_bound;
    if peak(&reordered) < peak(graph) { (reordered, true) } else { (graph.clone(), true) }
}

/// A set of nodes that have run.
type Done = BTreeSet<usize>;

fn search(graph: &QuantizedGraph) -> Option<Vec<usize>> {
    // From set to (peak so far, order so far); sets of one size after those of the size before.
    let mut sets: BTreeMap<Done, (usize, Vec<usize>)> = BTreeMap::new();
    sets.insert(Done::new(), (0, Vec::new()));
    let mut looked_at = 0;
    for _ in 0..graph.nodes.len() {
        let mut next: BTreeMap<Done, (usize, Vec<usize>)> = BTreeMap::new();
        for (done, (peak, order)) in &sets {
            for node in ready(graph, done) {
                looked_at += 1;
                if looked_at > SETS_MAX {
                    return None;
                }
                let peak = (*peak).max(live_bytes(graph, done, node));
                let mut after = done.clone();
                after.insert(node);
                let known = next.get(&after).is_some_and(|(known, _)| *known <= peak);
                if !known {
                    let mut order = order.clone();
                    order.push(node);
                    next.insert(after, (peak, order));
                }
            }
        }
        sets = next;
    }
    sets.into_values().next().map(|(_, order)| order)
}

/// Nodes that have not run and whose inputs, and whose residual's other readers, have.
fn ready(graph: &QuantizedGraph, done: &Done) -> Vec<usize> {
    let made = |tensor: &TensorId| tensor.0 == 0 || done.contains(&(tensor.0 - 1));
    let runnable = |&node: &usize| {
        let op = &graph.nodes[node].op;
        let residual_is_free = match op {
            QuantizedOp::Conv2d { skip: Some(skip), .. } => {
                readers(graph, *skip).all(|reader| reader == node || done.contains(&reader))
            }
            _ => true,
        };
        residual_is_free && op.inputs().iter().all(made)
    };
    // Ids grow along the graph, so only the first few that have not run can be ready; all are
    // asked.
    (0..graph.nodes.len()).filter(|node| !done.contains(node)).filter(runnable).collect()
}

fn readers(graph: &QuantizedGraph, tensor: TensorId) -> impl Iterator<Item = usize> {
    let nodes = graph.nodes.iter().enumerate();
    nodes.filter(move |(_, node)| node.op.inputs().contains(&tensor)).map(|(index, _)| index)
}

/// Bytes that live while `node` runs after the nodes in `done`.
fn live_bytes(graph: &QuantizedGraph, done: &Done, node: usize) -> usize {
    let bytes = |t: usize| {
        graph.tensors[t].bytes().next_multiple_of(resmcu_model_format::ALIGNMENT as usize)
    };
    let made = std::iter::once(0).chain(done.iter().map(|&node| node + 1));
    let still_read = |&t: &usize| readers(graph, TensorId(t)).any(|reader| !done.contains(&reader));
    let live: usize = made.filter(still_read).map(bytes).sum();
    let takes_over = match &graph.nodes[node].op {
        QuantizedOp::Conv2d { skip, .. } => skip.is_some(),
        QuantizedOp::Add { inputs, .. } => {
            inputs[0] != inputs[1]
                && inputs.iter().any(|&input| {
                    input.0 != 0
                        && readers(graph, input)
                            .all(|reader| reader == node || done.contains(&reader))
                })
        }
        _ => false,
    };
    live + if takes_over { 0 } else { bytes(node + 1) }
}

/// The same graph with its nodes in another order.
fn reorder(graph: &QuantizedGraph, order: &[usize]) -> QuantizedGraph {
    let mut place = vec![0; graph.tensors.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old + 1] = new + 1;
    }
    let mut reordered = graph.clone();
    for (new, &old) in order.iter().enumerate() {
        reordered.tensors[new + 1] = graph.tensors[old + 1].clone();
        reordered.nodes[new] = graph.nodes[old].clone();
        for input in reordered.nodes[new].op.inputs_mut() {
            *input = TensorId(place[input.0]);
        }
    }
    reordered
}
