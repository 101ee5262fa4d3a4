//! From a schedule to memory: how large each ring is, how long it lives, where it lies.
//!
//! Owns the sizes and lives of buffers, and the lower bound of a schedule. [`arrange`] is the one
//! way to a plan, for whole tensors and for rows. Does not know why a schedule was chosen.

use super::place;
use super::schedule::{Rows, Schedule, group, in_place, segments};
use super::together::Set;
use super::{Buffer, Plan};
use crate::quantized::{QuantizedGraph, TensorId};
use resmcu_model_format::ALIGNMENT;
use std::collections::BTreeSet;
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

/// What buffers may have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relations {
    /// Those that stay behind an old one.
    pub(crate) behind: Vec<Behind>,
    /// Pairs that never hold rows at the same time, the smaller number first.
    pub(crate) apart: BTreeSet<(usize, usize)>,
    /// By segment, which of the rings that begin and end in it hold rows together.
    moments: Vec<(Range<usize>, BTreeSet<Set>)>,
}

impl Relations {
    fn add_apart(
        &mut self,
        buffers: &[Buffer],
        inside: &[bool],
        together: impl Fn(usize, usize) -> bool,
    ) {
        for (b, second) in buffers.iter().enumerate() {
            for (a, first) in buffers[..b].iter().enumerate() {
                let [first, second] = [first, second].map(|buffer| buffer.tensors[0].0);
                if inside[first] && inside[second] && !together(first, second) {
                    self.apart.insert((a, b));
                }
            }
        }
    }

    /// Whether two buffers may lie in the same place.
    pub(crate) fn are_apart(&self, a: usize, b: usize) -> bool {
        self.apart.contains(&(a.min(b), a.max(b)))
    }

    /// The most bytes that live in one step: no placement of these buffers needs less. A buffer and
    /// the one that it stays behind count together; of rings inside of a segment, those that hold
    /// rows at one moment.
    fn peak_of_live(&self, buffers: &[Buffer], steps: usize) -> usize {
        let lives = |b: &Buffer, step| b.first <= step && step <= b.last;
        let live = |step: usize| {
            let moments = self.moments.iter().find(|(segment, _)| segment.contains(&step));
            let inside = |b: &Buffer| {
                let ring = b.tensors[0].0;
                let watched = |m: &(_, BTreeSet<Set>)| m.1.iter().any(|set| set.contains(ring));
                moments.is_some_and(watched)
            };
            let (inner, all): (Vec<_>, Vec<_>) =
                buffers.iter().filter(|b| lives(b, step)).partition(|b| inside(b));
            let at = |moment: &Set| -> usize {
                inner.iter().filter(|b| moment.contains(b.tensors[0].0)).map(|b| b.bytes).sum()
            };
            let inner = moments.and_then(|(_, sets)| sets.iter().map(at).max()).unwrap_or(0);
            let all: usize = all.iter().map(|b| b.bytes).sum();
            let both = self.behind.iter();
            let both = both.map(|pair| (&buffers[pair.new], &buffers[pair.old], pair.distance));
            let both = both.filter(|(new, old, _)| lives(new, step) && lives(old, step));
            let saved: usize = both.map(|(new, old, far)| shared(new.bytes, old.bytes, far)).sum();
            (all + inner).saturating_sub(saved)
        };
        (0..steps).map(live).max().unwrap_or(0)
    }
}

/// Whether the ring of this first tensor begins and ends in a segment. The input's rows come when
/// they like, so that its memory is its own.
fn is_inside(buffers: &[Buffer], segment: &Range<usize>, ring: usize) -> bool {
    let buffer = buffers.iter().find(|buffer| buffer.tensors[0].0 == ring);
    ring != 0 && buffer.is_some_and(|b| b.first == segment.start && b.last + 1 == segment.end)
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
    let mut relations = Relations::default();
    for segment in &segments {
        let is_whole = segment.len() == 1
            && group(graph, segment.start, schedule[segment.start].rows)
                == group(graph, segment.start, usize::MAX);
        if is_whole {
            continue; // the buffers are as they are
        }
        let inside: Vec<bool> =
            (0..row_bytes.len()).map(|t| is_inside(&buffers, segment, t)).collect();
        let mut moments = BTreeSet::new();
        let watch = (
            |ring: usize| inside[ring],
            |moment| {
                moments.insert(moment);
            },
        );
        let group = |node| group(graph, node, schedule[node].rows);
        let count = rows.count(segment, group, &row_bytes, watch);
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
        relations.behind.extend(disjoint(pairs.collect(), |buffer| buffers[buffer].bytes));
        relations.add_apart(&buffers, &inside, |a, b| count.together.are(a, b));
        relations.moments.push((segment.clone(), moments));
    }
    let lower_bound = relations.peak_of_live(&buffers, graph.nodes.len());
    let arena_bytes = place::place(&mut buffers, &relations, lower_bound);
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
