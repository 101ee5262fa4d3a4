//! From a schedule to memory: how large each ring is, how long it lives, where it lies.
//!
//! Owns the sizes and lives of buffers, and the lower bound of a schedule. [`arrange`] is the one
//! way to a plan, for whole tensors and for rows. Does not know why a schedule was chosen.

use super::place;
use super::schedule::{Rows, Schedule, group, in_place, segments};
use super::{Buffer, Plan};
use crate::quantized::{QuantizedGraph, TensorId};
use resmcu_model_format::ALIGNMENT;
use std::ops::Range;

/// A buffer that may lie partly in the memory of one that ends where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// The buffer that begins.
    pub(crate) new: usize,
    /// The buffer that ends.
    pub(crate) old: usize,
    /// How many bytes the new one has to begin before the old one, at least.
    pub(crate) distance: i64,
}

/// Bytes of a row of each tensor.
pub(crate) fn row_bytes(graph: &QuantizedGraph) -> Vec<usize> {
    let bytes =
        |t: &crate::quantized::QuantizedTensor| t.shape[1] * t.shape[2] * t.dtype.bytes() as usize;
    graph.tensors.iter().map(bytes).collect()
}

/// The plan of `graph`, whose residuals were checked, by `schedule`.
pub(crate) fn arrange(graph: &QuantizedGraph, schedule: Schedule, order_is_optimal: bool) -> Plan {
    let rows = Rows::new(graph);
    let row_bytes = row_bytes(graph);
    let segments = segments(&schedule);
    let mut buffers = buffers(graph, &rows, &segments, &row_bytes);
    let mut behind = Vec::new();
    for segment in &segments {
        let is_whole = segment.len() == 1
            && group(graph, segment.start, schedule[segment.start].rows)
                == group(graph, segment.start, usize::MAX);
        if is_whole {
            continue; // the buffers are as they are
        }
        let count = rows.count(segment, |node| group(graph, node, schedule[node].rows), &row_bytes);
        for buffer in &mut buffers {
            let ring = buffer.tensors[0].0;
            let begins_here =
                segment.contains(&ring.saturating_sub(1)) && (ring > segment.start || ring == 0);
            let stays = buffer.last >= segment.end;
            if begins_here && !stays && count.rows[ring] > 0 {
                buffer.rows = count.rows[ring].min(buffer.rows);
                buffer.bytes = (buffer.rows * row_bytes[ring]).next_multiple_of(ALIGNMENT as usize);
            }
        }
        let number = |ring: usize| buffers.iter().position(|b| b.tensors[0].0 == ring);
        let pairs = count.behind.iter().filter_map(|&(new, old, distance)| {
            let pair = Behind { new: number(new)?, old: number(old)?, distance };
            (buffers[pair.new].rows == graph.tensors[new].shape[0]).then_some(pair)
        });
        behind.extend(disjoint(pairs.collect(), |buffer| buffers[buffer].bytes));
    }
    let lower_bound = peak_of_live(&buffers, &behind, graph.nodes.len());
    let arena_bytes = place::place(&mut buffers, &behind, lower_bound);
    let in_place = in_place(graph);
    let graph = graph.clone();
    Plan { graph, buffers, schedule, in_place, arena_bytes, lower_bound, order_is_optimal }
}

/// The buffers of a graph, whole and not yet placed; they live in whole segments.
fn buffers(
    graph: &QuantizedGraph,
    rows: &Rows,
    segments: &[Range<usize>],
    row_bytes: &[usize],
) -> Vec<Buffer> {
    let segment_of = |node: usize| segments.iter().find(|segment| segment.contains(&node));
    let mut buffers: Vec<Buffer> = Vec::new();
    for id in (0..graph.tensors.len()).map(TensorId) {
        let (first, last) = super::life(graph, id);
        let first = segment_of(first).map_or(first, |segment| segment.start);
        let last = segment_of(last).map_or(last, |segment| segment.end - 1);
        let ring = rows.ring(id.0);
        match buffers.iter_mut().find(|b| b.tensors[0].0 == ring) {
            Some(owner) => {
                owner.tensors.push(id);
                owner.last = owner.last.max(last);
            }
            None => {
                let rows = graph.tensors[id.0].shape[0];
                let bytes = (rows * row_bytes[id.0]).next_multiple_of(ALIGNMENT as usize);
                buffers.push(Buffer { tensors: vec![id], rows, bytes, first, last, offset: 0 });
            }
        }
    }
    buffers
}

/// The most bytes that live in one step: no placement needs less. A buffer and the one that it
/// stays behind count together.
pub(crate) fn peak_of_live(buffers: &[Buffer], behind: &[Behind], steps: usize) -> usize {
    let lives = |b: &Buffer, step| b.first <= step && step <= b.last;
    let live = |step| {
        let all: usize = buffers.iter().filter(|b| lives(b, step)).map(|b| b.bytes).sum();
        let both =
            behind.iter().map(|pair| (&buffers[pair.new], &buffers[pair.old], pair.distance));
        let both = both.filter(|(new, old, _)| lives(new, step) && lives(old, step));
        let saved: usize = both.map(|(new, old, far)| shared(new.bytes, old.bytes, far)).sum();
        all - saved
    };
    (0..steps).map(live).max().unwrap_or(0)
}

/// Bytes that a new buffer and an old one have in common at most.
pub(crate) fn shared(new: usize, old: usize, distance: i64) -> usize {
    let distance = usize::try_from(distance).unwrap_or(0);
    let together = (old + distance).max(new);
    (new + old).saturating_sub(together)
}

/// Pairs that have no buffer in common; of those that had, the ones that save most.
pub(crate) fn disjoint(mut pairs: Vec<Behind>, bytes: impl Fn(usize) -> usize) -> Vec<Behind> {
    let saves = |pair: &Behind| shared(bytes(pair.new), bytes(pair.old), pair.distance);
    pairs.sort_by_key(|pair| std::cmp::Reverse(saves(pair)));
    let mut taken: Vec<usize> = Vec::new();
    pairs.retain(|pair| {
        let free = !taken.contains(&pair.new) && !taken.contains(&pair.old);
        if free {
            taken.extend([pair.new, pair.old]);
        }
        free
    });
    pairs
}
