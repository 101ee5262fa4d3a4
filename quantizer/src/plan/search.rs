//! Which schedule, and which kernels: the smallest memory, or the least time in a budget of memory.
//!
//! For every stretch of nodes and several numbers of rows at a time the walk counts the memory, and
//! the cost tables the time. A dynamic program over the ends of the segments then finds
//! the best chain: exactly, for the given order of the nodes, one number of rows a segment. The
//! kernels are chosen for each such segment, under a limit of scratch memory that is tried in
//! turn, and with a price for a byte of flash that is raised until the weights fit; then anew for
//! the schedules on both sides of that price, so that what is left of the budget is used.

use super::schedule::{Rhythm, Schedule, group};
use super::segments::Segments;
use crate::kernels::{Candidate, Limits, Time, candidates_by_rows, pick};
use crate::quantized::QuantizedGraph;
use resmcu_int8_kernels::packed::Kernel;
use std::collections::BTreeSet;

/// What a plan's memory shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Whole tensors.
    Whole,
    /// Arena and scratch as small as they can be.
    Least,
    /// Arena and scratch of at most so many bytes, and as fast as that allows.
    AtMost(usize),
}

/// Rows at a time that are tried.
const ROWS: [usize; 5] = [1, 2, 4, 8, usize::MAX];

/// Nodes of the longest segment in a first search, whose result bounds the full one.
const SHORT: usize = 10;

/// Instructions and cycles of each run of a step besides its kernel's, and of each byte that moves.
const RUN: [u64; 2] = [300, 450];
const MOVE: f64 = 0.6;

/// How often the price of flash is halved between too low and too high.
const PRICES: usize = 14;

/// A schedule with its kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How each node runs.
    pub schedule: Schedule,
    /// The kernel of each node (none: generic), and its scratch in bytes.
    pub kernels: Vec<(Option<Kernel>, usize)>,
    /// Bytes of the rings that live together, at most: a bound of the arena.
    pub arena: usize,
    /// Bytes of scratch.
    pub scratch: usize,
    /// What one inference takes, by the cost tables.
    pub time: Time,
    /// Bytes of the convolutions' weights.
    pub weight_bytes: usize,
}

/// The search over one graph, which remembers what it counted.
pub struct Search<'g> {
    graph: &'g QuantizedGraph,
    segments: Segments<'g>,
    /// By rows at a time and node.
    candidates: Vec<Vec<Vec<Candidate>>>,
    /// Each run of a step besides its kernel.
    run: Time,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    /// Bytes of arena and scratch.
    memory: usize,
    /// Bytes of scratch.
    scratch: usize,
    /// What a byte of weights is worth, in units of cost.
    price: f64,
    /// Whether less memory is better than less time.
    least: bool,
    /// Nodes of the longest segment.
    longest: usize,
}

/// The best way to an end.
#[derive(Clone, Copy, Debug)]
struct Way {
    arena: usize,
    cost: f64,
    /// Where the last segment begins, and its rows at a time.
    from: usize,
    rows: usize,
}

impl<'g> Search<'g> {
    /// For a graph whose order and residuals were checked.
    #[must_use]
    pub fn new(graph: &'g QuantizedGraph, limits: &Limits) -> Self {
        let nodes = || 0..graph.nodes.len();
        let by_rows = |&rows: &usize| {
            let of = |node| candidates_by_rows(graph, node, limits, group(graph, node, rows));
            nodes().map(of).collect()
        };
        let candidates = ROWS.iter().map(by_rows).collect();
        let run = Time::of_any_kernel(limits, RUN);
        Self { graph, segments: Segments::new(graph), candidates, run }
    }

    /// The best schedule whose convolutions' weights have at most `weight_bytes`; none where there
    /// is no such one.
    #[must_use]
    pub fn find(&mut self, memory: Memory, weight_bytes: usize) -> Option<Found> {
        let (limit, least) = match memory {
            Memory::Whole | Memory::Least => (usize::MAX, memory == Memory::Least),
            Memory::AtMost(bytes) => (bytes, false),
        };
        let mut best: Option<Found> = None;
        for scratch in self.scratch_limits() {
            let bound = best.as_ref().map_or(limit, |best| {
                if least { limit.min(best.arena + best.scratch) } else { limit }
            });
            let mut wish = Wish { memory: bound, scratch, price: 0.0, least, longest: SHORT };
            if let (true, Some(short)) = (least, self.chain(wish)) {
                wish.memory = bound.min(short.arena + scratch);
            }
            wish.longest = usize::MAX;
            let Some(found) = self.within_flash(wish, weight_bytes) else { continue };
            let key = |f: &Found| {
                let bytes = f.arena + f.scratch;
                if least { (bytes as u64, f.time.cost) } else { (f.time.cost, bytes as u64) }
            };
            if best.as_ref().is_none_or(|best| key(&found) < key(best)) {
                best = Some(found);
            }
        }
        if let (Some(found), true) = (&best, least) {
            // Of all plans of that memory the fastest.
            return self.find(Memory::AtMost(found.arena + found.scratch), weight_bytes);
        }
        best
    }

    /// Bytes of the convolutions' weights that no choice of kernels is below.
    #[must_use]
    pub fn weight_bytes_least(&self) -> usize {
        let whole = self.candidates.last().into_iter().flatten();
        whole.filter_map(|all| all.iter().map(|c| c.weight_bytes).min()).sum()
    }

    /// The plans that no other one beats in both memory and time, the fastest first.
    #[must_use]
    pub fn curve(&mut self, weight_bytes: usize, points: usize) -> Vec<Found> {
        let mut curve: Vec<Found> = Vec::new();
        let mut memory = Memory::AtMost(usize::MAX);
        while curve.len() < points {
            let Some(found) = self.find(memory, weight_bytes) else { break };
            let bytes = found.arena + found.scratch;
            memory = Memory::AtMost(bytes - 1);
            curve.push(found);
        }
        curve
    }

    /// Limits of scratch at which a kernel becomes possible, the smallest first.
    fn scratch_limits(&self) -> Vec<usize> {
        let mut all = BTreeSet::new();
        let mut least = 0;
        for by_node in &self.candidates {
            for node in by_node {
                all.extend(node.iter().map(|c| c.scratch_bytes));
                least = least.max(node.iter().map(|c| c.scratch_bytes).min().unwrap_or(0));
            }
        }
        all.insert(least);
        all.into_iter().filter(|&scratch| scratch >= least).collect()
    }

    /// The best chain of segments whose weights fit, by the prices of flash around the lowest at
    /// which they do.
    fn within_flash(&mut self, wish: Wish, weight_bytes: usize) -> Option<Found> {
        let found = self.chain(wish)?;
        if found.weight_bytes <= weight_bytes {
            return Some(found);
        }
        let (mut above, mut fits) = (found, None);
        let (mut low, mut high) = (0.0, 1e6);
        for _ in 0..PRICES {
            // Prices span many orders: the middle is that of their logarithms.
            let price = if low == 0.0 { high / 1e3 } else { f64::sqrt(low * high) };
            let found = self.chain(Wish { price, ..wish })?;
            if found.weight_bytes <= weight_bytes {
                (fits, high) = (Some(found), price);
            } else {
                (above, low) = (found, price);
            }
        }
        let both = [Some(above), fits].into_iter().flatten();
        let refilled = both.map(|found| self.refilled(found, wish.scratch, weight_bytes));
        let fitting = refilled.filter(|found| found.weight_bytes <= weight_bytes);
        let arena = |found: &Found| if wish.least { found.arena } else { 0 };
        fitting.min_by_key(|found| (arena(found), found.time.cost))
    }

    /// The same schedule with the kernels of least time within so much scratch and flash.
    fn refilled(&self, found: Found, scratch: usize, weight_bytes: usize) -> Found {
        let of_node = |(node, rhythm): (usize, &Rhythm)| {
            let all = &self.candidates[index_of(rhythm.rows)][node];
            all.iter().filter(|c| c.scratch_bytes <= scratch).copied().collect()
        };
        let table: Vec<Vec<_>> = found.schedule.iter().enumerate().map(of_node).collect();
        let picks = pick(&table, weight_bytes);
        let kernels: Vec<_> = table.iter().zip(picks).map(|(all, pick)| all.get(pick)).collect();
        self.with_kernels(found.schedule, found.arena, &kernels)
    }

    fn chain(&mut self, wish: Wish) -> Option<Found> {
        let nodes = self.graph.nodes.len();
        let limit = wish.memory.checked_sub(wish.scratch)?;
        let mut ways: Vec<Option<Way>> = vec![None; nodes + 1];
        ways[0] = Some(Way { arena: 0, cost: 0.0, from: 0, rows: 0 });
        let costs = self.costs(&wish)?;
        for start in 0..nodes {
            let Some(before) = ways[start] else { continue };
            for end in start + 1..=nodes.min(start.saturating_add(wish.longest)) {
                let segment = start..end;
                let bound = before.arena.max(self.segments.bound(&segment));
                let known = ways[end].filter(|_| wish.least).map_or(limit, |way| way.arena);
                if bound > limit.min(known) {
                    // Rings inside only grow in number; what crosses the end may yet shrink.
                    if self.segments.inner_bound(&segment) > limit {
                        break;
                    }
                    continue;
                }
                for (index, &rows) in ROWS.iter().enumerate() {
                    if rows == usize::MAX && segment.len() > 1 {
                        continue;
                    }
                    let need = self.segments.need(&segment, rows);
                    let arena = before.arena.max(need.bytes);
                    if arena > limit {
                        if rows == usize::MAX || segment.len() > 1 {
                            break; // more rows at a time need more
                        }
                        continue;
                    }
                    let cost = before.cost
                        + MOVE * need.moved as f64
                        + (costs[index][end] - costs[index][start]);
                    let way = Way { arena, cost, from: start, rows };
                    if ways[end].is_none_or(|known| way.is_better(&known, wish.least)) {
                        ways[end] = Some(way);
                    }
                }
            }
        }
        ways[nodes].map(|last| self.found(&ways, last, &wish))
    }

    /// Sums of the costs of the nodes before each, by rows at a time; none where a node needs more
    /// scratch than is wished.
    fn costs(&self, wish: &Wish) -> Option<Vec<Vec<f64>>> {
        let by_rows = |(index, &rows): (usize, &usize)| {
            let mut sums = vec![0.0];
            for node in 0..self.graph.nodes.len() {
                let height = group(self.graph, node, usize::MAX);
                let runs = height.div_ceil(group(self.graph, node, rows)) as u64;
                let kernel = self.pick(index, node, wish)?;
                let cost = kernel.map_or(0.0, |c| wish.cost(c)) + (runs * self.run.cost) as f64;
                sums.push(sums[node] + cost);
            }
            Some(sums)
        };
        ROWS.iter().enumerate().map(by_rows).collect()
    }

    /// The best kernel of a node, `Some(None)` where it has no choice, `None` where none fits.
    fn pick(&self, index: usize, node: usize, wish: &Wish) -> Option<Option<&Candidate>> {
        let all = &self.candidates[index][node];
        let fits = all.iter().filter(|c| c.scratch_bytes <= wish.scratch);
        let best = fits.min_by(|a, b| wish.cost(a).total_cmp(&wish.cost(b)));
        if best.is_none() && !all.is_empty() { None } else { Some(best) }
    }

    /// The schedule and the kernels of a way.
    fn found(&self, ways: &[Option<Way>], last: Way, wish: &Wish) -> Found {
        let nodes = self.graph.nodes.len();
        let (mut schedule, mut kernels) = (vec![Rhythm::WHOLE; nodes], vec![None; nodes]);
        let (mut end, mut way) = (nodes, last);
        loop {
            for node in way.from..end {
                schedule[node] = Rhythm { rows: way.rows, on_demand: node + 1 < end };
                kernels[node] = self.pick(index_of(way.rows), node, wish).flatten();
            }
            end = way.from;
            match ways[end] {
                Some(before) if end > 0 => way = before,
                _ => break,
            }
        }
        self.with_kernels(schedule, last.arena, &kernels)
    }

    /// A schedule with a kernel for each node that has a choice.
    fn with_kernels(
        &self,
        schedule: Schedule,
        arena: usize,
        kernels: &[Option<&Candidate>],
    ) -> Found {
        let runs = schedule.iter().enumerate().map(|(node, rhythm)| {
            let height = group(self.graph, node, usize::MAX);
            height.div_ceil(group(self.graph, node, rhythm.rows)) as u64
        });
        let picked = || kernels.iter().flatten();
        Found {
            arena,
            scratch: picked().map(|c| c.scratch_bytes).max().unwrap_or(0),
            time: picked().fold(self.run.times(runs.sum()), |time, c| time.and(c.time)),
            weight_bytes: picked().map(|c| c.weight_bytes).sum(),
            kernels: kernels
                .iter()
                .map(|kernel| kernel.map_or((None, 0), |c| (c.kernel, c.scratch_bytes)))
                .collect(),
            schedule,
        }
    }
}

/// Of a number of rows in [`ROWS`].
fn index_of(rows: usize) -> usize {
    ROWS.iter().position(|&known| known == rows).unwrap_or(0)
}

impl Wish {
    fn cost(&self, candidate: &Candidate) -> f64 {
        candidate.time.cost as f64 + self.price * candidate.weight_bytes as f64
    }
}

impl Way {
    fn is_better(&self, known: &Self, least: bool) -> bool {
        let memory = self.arena.cmp(&known.arena);
        let time = self.cost.total_cmp(&known.cost);
        let order = if least { memory.then(time) } else { time.then(memory) };
        order.is_lt()
    }
}

#[cfg(test)]
mod tests;
