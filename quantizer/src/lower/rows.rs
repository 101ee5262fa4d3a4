//! Model files whose layers run in rings of rows, within budgets of memory and of flash.
//!
//! Owns the way from a budget to a file that keeps it: the search knows the rings' sizes and the
//! kernels' costs, but how tightly rings pack, and what besides weights is in a file, shows only in
//! the finished plan.

use super::sums::sums_before_means;
use super::{LowerError, Lowered, write};
use crate::kernels::{Limits, Packing, Time, choose};
use crate::plan::search::{Memory, Search};
use crate::plan::{ordered, plan, plan_by};
use crate::quantized::QuantizedGraph;
use resmcu_model_format::ALIGNMENT;

/// How often a schedule is sought whose rings also pack as its budget wants.
const TRIES: usize = 16;

/// One plan of the trade between memory and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Bytes of the arena, as placed.
    pub arena: usize,
    /// No placement of the schedule needs less.
    pub lower_bound: usize,
    /// Bytes of scratch.
    pub scratch: usize,
    /// What one inference takes, by the cost tables.
    pub time: Time,
    /// Bytes of the model file.
    pub file: usize,
    /// Segments of more than one node.
    pub streamed: usize,
}

/// The plans of `graph` that no other one beats in both memory and time, the fastest first; at most
/// so many as `points` that the search finds.
///
/// # Errors
/// As [`super::lower`].
pub fn curve(
    graph: &QuantizedGraph,
    limits: Limits,
    points: usize,
) -> Result<Vec<Point>, LowerError> {
    let (graph, _) = ordered(&sums_before_means(graph))?;
    let packing = Packing::Fastest(limits);
    let (file, weights) = write(&plan(&graph)?, packing, &choose(&graph, packing, usize::MAX))?;
    let besides = file.len() - weights;
    let budget = limits.file_bytes.map_or(usize::MAX, |bytes| bytes.saturating_sub(besides));
    let mut curve: Vec<Point> = Vec::new();
    for found in Search::new(&graph, &limits).curve(budget, points) {
        let streamed = found.schedule.windows(2).filter(|w| w[0].on_demand && !w[1].on_demand);
        let streamed = streamed.count();
        let plan = plan_by(&graph, found.schedule)?;
        let (arena, lower_bound, scratch) = (plan.arena_bytes, plan.lower_bound, found.scratch);
        let (time, file) = (found.time, besides + found.weight_bytes);
        let point = Point { arena, lower_bound, scratch, time, file, streamed };
        // What packs badly may be beaten by the one before.
        if curve.last().is_none_or(|last| arena + scratch < last.arena + last.scratch) {
            curve.push(point);
        }
    }
    Ok(curve)
}

/// By the schedule that the limits allow.
pub(super) fn lower(graph: &QuantizedGraph, limits: Limits) -> Result<Lowered, LowerError> {
    let (graph, _) = ordered(&sums_before_means(graph))?;
    let mut search = Search::new(&graph, &limits);
    let (mut memory, mut weights, mut file_least) = (limits.memory, usize::MAX, 0);
    let file_limit = limits.file_bytes.unwrap_or(usize::MAX);
    for _ in 0..TRIES {
        let Some(found) = search.find(memory, weights) else { break };
        let plan = plan_by(&graph, found.schedule)?;
        let (file, weight_bytes) = write(&plan, Packing::Fastest(limits), &found.kernels)?;
        file_least = file.len() - weight_bytes + search.weight_bytes_least();
        let excess = file.len().saturating_sub(file_limit);
        let bytes = plan.arena_bytes.next_multiple_of(ALIGNMENT as usize) + found.scratch;
        let fits = !matches!(limits.memory, Memory::AtMost(most) if bytes > most);
        match memory {
            _ if excess > 0 => weights = weight_bytes.saturating_sub(excess),
            // Rings did not pack as tightly as they might: a schedule with less may.
            Memory::AtMost(most) if !fits => {
                let limit = most.min(found.arena + found.scratch);
                memory = Memory::AtMost(limit.saturating_sub(1));
            }
            _ => return Ok(Lowered { file, plan }),
        }
    }
    let least = search.find(Memory::Least, usize::MAX);
    let found = least.map_or(0, |least| least.arena + least.scratch);
    Err(match limits.memory {
        Memory::AtMost(limit) if found > limit => LowerError::Memory { found, limit },
        _ if file_least > file_limit => LowerError::Budget { found: file_least, limit: file_limit },
        _ => LowerError::Budgets { found, limit: file_limit },
    })
}
