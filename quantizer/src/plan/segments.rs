//! What a segment costs: its memory, and how its rows move.
//!
//! A segment is a stretch of nodes in the graph's order that makes its last tensor and all others
//! on demand. Its memory depends on nothing but itself: tensors that cross its ends are whole. So
//! the best segmentation is a shortest path over the ends, which `search` finds. Owns the memory of
//! each segment, counted by the walk itself and remembered, and a bound that is quick to see.

use super::arrange::{Behind, disjoint, row_bytes, shared};
use super::schedule::{Rows, group};
use crate::quantized::{QuantizedGraph, QuantizedOp};
use resmcu_model_format::ALIGNMENT;
use std::collections::HashMap;
use std::ops::Range;

/// A ring of a graph.
#[derive(Clone, Debug)]
struct Ring {
    /// The node that makes its first tensor; the input has none.
    made_by: Option<usize>,
    /// The last node that reads one of its tensors.
    last: usize,
    rows: usize,
    row_bytes: usize,
    /// Rows that its readers look at together, at least.
    rows_min: usize,
}

/// What a segment needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Bytes of all rings that live in it.
    pub(super) bytes: usize,
    /// Bytes that move within rings.
    pub(super) moved: usize,
}

/// The segments of a graph.
pub(super) struct Segments<'g> {
    graph: &'g QuantizedGraph,
    rows: Rows,
    row_bytes: Vec<usize>,
    rings: Vec<(usize, Ring)>,
    known: HashMap<(usize, usize, usize), Need>,
}

impl<'g> Segments<'g> {
    pub(super) fn new(graph: &'g QuantizedGraph) -> Self {
        let (rows, row_bytes) = (Rows::new(graph), row_bytes(graph));
        let owners = (0..graph.tensors.len()).filter(|&t| rows.ring(t) == t);
        let rings = owners.map(|owner| (owner, Ring::new(graph, &rows, &row_bytes, owner)));
        let rings = rings.collect();
        Self { graph, rows, row_bytes, rings, known: HashMap::new() }
    }

    /// A bound of the bytes that a segment needs, whatever its groups.
    pub(super) fn bound(&self, segment: &Range<usize>) -> usize {
        let (mut old, mut new, mut inner, mut shared) = (0, 0, 0, 0);
        for (_, ring) in self.live(segment) {
            let bytes = |rows: usize| (rows * ring.row_bytes).next_multiple_of(ALIGNMENT as usize);
            match ring.part(segment) {
                Part::Before if ring.last < segment.end => old += bytes(ring.rows),
                Part::Before => inner += bytes(ring.rows), // stays: nothing enters it
                Part::Begins if ring.last >= segment.end => new += bytes(ring.rows),
                Part::Begins if ring.may_share() => shared = shared.max(bytes(1)),
                Part::Begins => inner += bytes(ring.rows_min),
            }
        }
        inner + shared + old.max(new)
    }

    /// A bound that only grows as a segment gets longer.
    pub(super) fn inner_bound(&self, segment: &Range<usize>) -> usize {
        let begun = self.live(segment).filter(|(_, ring)| ring.part(segment) == Part::Begins);
        let begun = begun.filter(|(_, ring)| !ring.may_share());
        begun.map(|(_, ring)| ring.rows_min * ring.row_bytes).sum()
    }

    /// What a segment needs that makes `rows` rows at a time.
    pub(super) fn need(&mut self, segment: &Range<usize>, rows: usize) -> Need {
        let key = (segment.start, segment.end, rows);
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let need = self.count(segment, rows);
        self.known.insert(key, need);
        need
    }

    fn count(&self, segment: &Range<usize>, rows: usize) -> Need {
        let group = |node| group(self.graph, node, rows);
        let is_whole = segment.len() == 1 && rows == usize::MAX;
        let may_share = |owner: usize| {
            let ring = self.rings.iter().find(|(ring, _)| *ring == owner).map(|(_, ring)| ring);
            ring.is_some_and(|ring| ring.may_share() && ring.is_inside(segment))
        };
        let asked: Vec<bool> = (0..self.row_bytes.len()).map(may_share).collect();
        let watch = (|ring: usize| asked[ring], |_| ());
        let count = self.rows.count(segment, group, &self.row_bytes, watch);
        let mut need = Need { bytes: 0, moved: 0 };
        let mut bytes_of = HashMap::new();
        let mut sharing = Vec::new();
        for (owner, ring) in self.live(segment) {
            let stays = is_whole || ring.last >= segment.end;
            let rows = match ring.part(segment) {
                Part::Begins if !stays => count.rows[*owner].clamp(1, ring.rows),
                _ => ring.rows,
            };
            let bytes = (rows * ring.row_bytes).next_multiple_of(ALIGNMENT as usize);
            if asked[*owner] {
                sharing.push((bytes, *owner));
            } else {
                need.bytes += bytes;
            }
            if rows < ring.rows {
                let group = owner.checked_sub(1).map_or(1, group).min(rows);
                let moves = (ring.rows - rows).div_ceil(group);
                need.moved += moves * (rows - group) * ring.row_bytes;
            }
            bytes_of.insert(*owner, (bytes, rows == ring.rows));
        }
        let pairs = count.behind.iter().filter_map(|&(new, old, distance)| {
            let is_whole = bytes_of.get(&new)?.1 && bytes_of.contains_key(&old);
            is_whole.then_some(Behind { new, old, distance })
        });
        let bytes = |ring: usize| bytes_of.get(&ring).map_or(0, |known: &(usize, bool)| known.0);
        let pairs = disjoint(pairs.collect(), bytes);
        let saved = pairs.iter().map(|p| shared(bytes(p.new), bytes(p.old), p.distance));
        need.bytes -= saved.sum::<usize>();
        need.bytes += bytes_of_groups(sharing, |a, b| count.together.are(a, b));
        need
    }

    fn live(&self, segment: &Range<usize>) -> impl Iterator<Item = &(usize, Ring)> {
        let (start, end) = (segment.start, segment.end);
        self.rings.iter().filter(move |(_, ring)| {
            ring.made_by.is_none_or(|node| node < end) && ring.last >= start
        })
    }
}

/// Bytes of rings, in groups whose members never hold rows at the same time.
fn bytes_of_groups(
    mut rings: Vec<(usize, usize)>,
    together: impl Fn(usize, usize) -> bool,
) -> usize {
    rings.sort_unstable_by(|a, b| b.cmp(a));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for (size, ring) in rings {
        let fits = |group: &&mut Vec<usize>| group.iter().all(|&other| !together(ring, other));
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(ring),
            None => {
                bytes += size; // the largest of its group, as it is the first
                groups.push(vec![ring]);
            }
        }
    }
    bytes
}

/// Where a ring begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    Begins,
}

impl Ring {
    fn new(graph: &QuantizedGraph, rows: &Rows, row_bytes: &[usize], owner: usize) -> Self {
        let tensors: Vec<usize> =
            (owner..row_bytes.len()).filter(|&t| rows.ring(t) == owner).collect();
        let height = graph.tensors[owner].shape[0];
        let (mut last, mut rows_min) = (owner.saturating_sub(1), 1);
        for (node, op) in graph.nodes.iter().map(|node| &node.op).enumerate() {
            let reads = op.inputs().iter().any(|input| tensors.contains(&input.0));
            if !reads {
                continue;
            }
            last = last.max(node);
            rows_min = rows_min.max(match op {
                QuantizedOp::Conv2d { input, sliding, .. }
                | QuantizedOp::MaxPool2d { input, sliding, .. }
                | QuantizedOp::AveragePool2d { input, sliding, .. }
                    if tensors.contains(&input.0) =>
                {
                    sliding.size[0]
                        .saturating_sub(sliding.padding[0].max(sliding.padding[2]))
                        .max(1)
                }
                _ => 1,
            });
        }
        last = tensors.iter().fold(last, |last, &t| last.max(t.saturating_sub(1)));
        let made_by = owner.checked_sub(1);
        Self {
            made_by,
            last,
            rows: height,
            row_bytes: row_bytes[owner],
            rows_min: rows_min.min(height),
        }
    }

    /// Whether others may have its memory when it holds no row: its readers look at one row, so
    /// that it mostly holds none. The input's rows come when they like.
    fn may_share(&self) -> bool {
        self.rows_min == 1 && self.made_by.is_some()
    }

    /// Whether it begins and ends in a segment.
    fn is_inside(&self, segment: &Range<usize>) -> bool {
        self.part(segment) == Part::Begins && self.last < segment.end
    }

    fn part(&self, segment: &Range<usize>) -> Part {
        match self.made_by {
            None if segment.start == 0 => Part::Begins,
            Some(node) if node >= segment.start => Part::Begins,
            _ => Part::Before,
        }
    }
}
