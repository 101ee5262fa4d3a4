//! When a graph's rows are made, and how many rows of each tensor are there at the same time.
//!
//! Owns the walk over a graph by the format's own order (`model_format::flow`), with memory for all
//! rows, and what it counts: the most rows of each ring, and how far a new tensor stays behind an
//! old one whose memory it may enter. Does not know which schedule is good, nor where tensors lie.

use super::together::{Set, Together};
use crate::quantized::{QuantizedGraph, QuantizedOp, TensorId};
use resmcu_model_format::flow::{Flow, Flows, NONE, Next, Reach, Walk};
use std::ops::Range;

/// How one node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Rows that it makes at a time; more than there are stand for all of them.
    pub rows: usize,
    /// Whether it runs when a later node lacks rows.
    pub on_demand: bool,
}

impl Rhythm {
    /// The whole tensor, in its turn.
    pub const WHOLE: Self = Self { rows: usize::MAX, on_demand: false };
}

/// How a graph runs: a rhythm a node.
pub type Schedule = Vec<Rhythm>;

/// Every node makes its whole tensor.
#[must_use]
pub fn whole(graph: &QuantizedGraph) -> Schedule {
    vec![Rhythm::WHOLE; graph.nodes.len()]
}

/// The segments of a schedule, as ranges of nodes: each ends with a node that is not on demand.
pub(crate) fn segments(schedule: &[Rhythm]) -> Vec<Range<usize>> {
    let (mut segments, mut start) = (Vec::new(), 0);
    for (node, rhythm) in schedule.iter().enumerate() {
        if !rhythm.on_demand || node + 1 == schedule.len() {
            segments.push(start..node + 1);
            start = node + 1;
        }
    }
    segments
}

/// The input (0 or 1) whose memory the output of each node takes over: always a convolution's
/// residual, and an input of an add that ends there.
pub(crate) fn in_place(graph: &QuantizedGraph) -> Vec<Option<usize>> {
    let ends_at = |index, tensor: TensorId| tensor.0 != 0 && super::life(graph, tensor).1 == index;
    let choose = |(index, op): (usize, &QuantizedOp)| match op {
        QuantizedOp::Conv2d { skip: Some(_), .. } => Some(1),
        QuantizedOp::Add { inputs, .. } if inputs[0] != inputs[1] => {
            inputs.iter().position(|&input| ends_at(index, input))
        }
        _ => None,
    };
    graph.nodes.iter().map(|node| &node.op).enumerate().map(choose).collect()
}

/// Rows that a node may make at a time: all of them where a group of fewer could lie in the
/// padding.
pub(crate) fn group(graph: &QuantizedGraph, node: usize, rows: usize) -> usize {
    let op = &graph.nodes[node].op;
    let height = match op {
        QuantizedOp::GlobalSum { input } => graph.tensors[input.0].shape[0],
        _ => graph.tensors[node + 1].shape[0],
    };
    match op {
        QuantizedOp::Conv2d { sliding, .. }
            if sliding.padding[0].max(sliding.padding[2]) >= sliding.size[0] =>
        {
            height
        }
        _ => rows.clamp(1, height.max(1)),
    }
}

/// A graph as the walk sees it: one byte a row, every tensor whole and alone.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    flows: Vec<Flow>,
    /// The tensor that first had the memory of each tensor.
    ring: Vec<usize>,
}

/// What a walk over a segment counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// The most rows of each ring that are there at the same time, by its first tensor.
    pub(crate) rows: Vec<usize>,
    /// `(new, old, distance)`: a ring that is begun here may lie in the memory of one that was
    /// there before, if it begins so many bytes before it.
    pub(crate) behind: Vec<(usize, usize, i64)>,
    /// Which rings hold rows at the same time, of those that were asked for.
    pub(crate) together: Together,
}

impl Rows {
    pub(crate) fn new(graph: &QuantizedGraph) -> Self {
        let mut flows = vec![Flow::VACANT; graph.tensors.len()];
        let in_place = in_place(graph);
        for tensor in 0..graph.tensors.len() {
            let (flow, residual) = flow(graph, &in_place, tensor, &flows);
            let number = fit(tensor);
            let entered = Flows(&mut flows).enter(number, flow, residual);
            debug_assert!(entered.is_ok(), "the graph's residuals were checked");
        }
        let ring = flows.iter().map(|flow| usize::from(flow.ring)).collect();
        Self { flows, ring }
    }

    /// The tensor that first had the memory of `tensor`.
    pub(crate) fn ring(&self, tensor: usize) -> usize {
        self.ring[tensor]
    }

    /// Walks over the nodes of `segment`, all on demand but the last, by their groups. `row_bytes`:
    /// of each tensor. `asked`: whether a ring's rows are followed; `moment` is given the followed
    /// rings that hold rows whenever one of them is written.
    pub(crate) fn count(
        &self,
        segment: &Range<usize>,
        group: impl Fn(usize) -> usize,
        row_bytes: &[usize],
        (asked, mut moment): (impl Fn(usize) -> bool, impl FnMut(Set)),
    ) -> Count {
        let mut flows = self.flows.clone();
        for (tensor, flow) in flows.iter_mut().enumerate() {
            if tensor > 0 && tensor <= segment.start || tensor == 0 && segment.start > 0 {
                flow.made = flow.height;
            } else if tensor > 0 {
                flow.group = fit(group(tensor - 1));
                flow.on_demand = tensor != segment.end;
            }
        }
        let together = Together::new(flows.len());
        let mut count = Count { rows: vec![0; flows.len()], behind: Vec::new(), together };
        let old: Vec<usize> = self.ended_in(segment);
        let mut flows = Flows(&mut flows);
        let mut walk = Walk::new();
        loop {
            let (tensor, rows) = match walk.next(&mut flows) {
                Next::Done => break,
                Next::Make { tensor, .. } if usize::from(tensor) > segment.end => break,
                Next::Make { tensor, rows } => (tensor, rows),
                Next::Input => {
                    let made = flows.at(0).made;
                    (0, [made, made.saturating_add(1)])
                }
            };
            let ring = self.ring[usize::from(tensor)];
            if ring == usize::from(tensor) {
                let keep = flows.keep(tensor, rows[0]);
                let need = if flows.at(tensor).sums { 1 } else { rows[1] - keep };
                count.rows[ring] = count.rows[ring].max(need.into());
            }
            let is_new = ring > segment.start;
            for &old in old.iter().filter(|_| is_new) {
                let number = fit(old);
                let first = usize::from(flows.keep(number, flows.at(number).height));
                if old == ring || first >= usize::from(flows.at(number).height) {
                    continue;
                }
                let end = if flows.at(tensor).sums { 1 } else { rows[1].into() };
                let distance = (end * row_bytes[ring]) as i64 - (first * row_bytes[old]) as i64;
                let known = count.behind.iter_mut().find(|b| (b.0, b.1) == (ring, old));
                match known {
                    Some(known) => known.2 = known.2.max(distance),
                    None => count.behind.push((ring, old, distance)),
                }
            }
            if asked(ring) {
                moment(count.together.write(ring));
            }
            walk.made(&mut flows, tensor, rows[1]);
            let read = flows.at(tensor).inputs.into_iter().filter(|&input| input != NONE);
            for ring in read.map(|input| self.ring[usize::from(input)]).chain([ring]) {
                if asked(ring) {
                    count.together.update(&flows, ring);
                }
            }
        }
        count
    }

    /// Rings that are whole before a segment and that nothing reads after it.
    fn ended_in(&self, segment: &Range<usize>) -> Vec<usize> {
        let chain = |ring: usize| (0..self.ring.len()).filter(move |&t| self.ring[t] == ring);
        let ends = |&ring: &usize| {
            let begun = self.ring[ring] == ring && (ring > 0 || segment.start > 0);
            let last = chain(ring).map(|t| usize::from(self.flows[t].last)).max();
            begun && ring <= segment.start && last.is_some_and(|last| segment.contains(&last))
        };
        (0..=segment.start).filter(ends).collect()
    }
}

/// The part of a tensor in the walk, and the residual that it takes over.
fn flow(
    graph: &QuantizedGraph,
    in_place: &[Option<usize>],
    tensor: usize,
    before: &[Flow],
) -> (Flow, u16) {
    let (_, last) = super::life(graph, TensorId(tensor));
    let height = fit(graph.tensors[tensor].shape[0]);
    // Each tensor's memory is its own, so that nothing overlaps.
    let flow = Flow { row_bytes: 1, height, capacity: height, last: fit(last), ..Flow::VACANT };
    let Some(node) = tensor.checked_sub(1) else {
        return (Flow { on_demand: true, ..flow }, NONE);
    };
    let op = &graph.nodes[node].op;
    let mut inputs = op.inputs();
    let residual = in_place[node].map_or(NONE, |input| fit(inputs[input].0));
    if in_place[node] == Some(0) {
        inputs.reverse();
    }
    let mut numbers = [NONE; 2];
    numbers.iter_mut().zip(&inputs).for_each(|(number, input)| *number = fit(input.0));
    let sums = matches!(op, QuantizedOp::GlobalSum { .. });
    let height = if sums { before[inputs[0].0].height } else { height };
    (Flow { inputs: numbers, reach: reach(op), height, sums, ..flow }, residual)
}

fn reach(op: &QuantizedOp) -> Reach {
    match op {
        QuantizedOp::Conv2d { sliding, .. }
        | QuantizedOp::MaxPool2d { sliding, .. }
        | QuantizedOp::AveragePool2d { sliding, .. } => Reach {
            size: fit(sliding.size[0]),
            stride: u8::try_from(sliding.stride[0]).unwrap_or(u8::MAX),
            top: u8::try_from(sliding.padding[0]).unwrap_or(u8::MAX),
        },
        QuantizedOp::SubsamplePad { stride, .. } => {
            Reach { stride: u8::try_from(*stride).unwrap_or(u8::MAX), ..Reach::SAME }
        }
        QuantizedOp::Add { .. } | QuantizedOp::GlobalSum { .. } => Reach::SAME,
        QuantizedOp::GlobalMean { .. }
        | QuantizedOp::FullyConnected { .. }
        | QuantizedOp::Softmax { .. } => Reach::ALL,
    }
}

/// A number of the format, or its largest: `lower` refuses what does not fit.
fn fit(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
