//! Offsets for buffers of known lives (dynamic storage allocation).
//!
//! First fit in several orders, then in seeded shuffles of the best one, until the peak meets the
//! lower bound or the tries are used up. The result is always valid; how good it is can be read
//! from the bound. Deterministic.

use super::Buffer;
use super::arrange::Relations;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use resmcu_model_format::ALIGNMENT;
use std::cmp::Reverse;

/// Shuffles that are tried where the plain orders do not meet the bound.
const SHUFFLES: usize = 2_000;

/// Sets the buffers' offsets and gives their peak, in bytes.
pub(super) fn place(buffers: &mut [Buffer], relations: &Relations, lower_bound: usize) -> usize {
    let mut orders: Vec<Vec<usize>> = vec![(0..buffers.len()).collect(); 3];
    orders[0].sort_by_key(|&b| (Reverse(buffers[b].bytes), buffers[b].first));
    orders[1].sort_by_key(|&b| (Reverse(buffers[b].last - buffers[b].first), buffers[b].first));
    orders[2]
        .sort_by_key(|&b| Reverse(buffers[b].bytes * (buffers[b].last - buffers[b].first + 1)));
    let mut best = (usize::MAX, Vec::new(), Vec::new());
    for order in orders {
        keep_better(&mut best, first_fit(buffers, relations, &order), order);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for _ in 0..SHUFFLES {
        if best.0 == lower_bound {
            break;
        }
        let mut order = best.2.clone();
        // Short stretches: neighbours in a good order are what is worth exchanging.
        let start = rand::RngExt::random_range(&mut rng, 0..order.len());
        let end = (start + 4).min(order.len());
        order[start..end].shuffle(&mut rng);
        keep_better(&mut best, first_fit(buffers, relations, &order), order);
    }
    for (buffer, offset) in buffers.iter_mut().zip(best.1) {
        buffer.offset = offset;
    }
    best.0
}

fn keep_better(
    best: &mut (usize, Vec<usize>, Vec<usize>),
    (peak, offsets): (usize, Vec<usize>),
    order: Vec<usize>,
) {
    // An equal peak moves the search on to another order.
    if peak <= best.0 {
        *best = (peak, offsets, order);
    }
}

/// Places buffers one after another, each at the lowest offset where it fits.
fn first_fit(buffers: &[Buffer], relations: &Relations, order: &[usize]) -> (usize, Vec<usize>) {
    let mut offsets = vec![0; buffers.len()];
    let mut peak = 0;
    for (placed, &index) in order.iter().enumerate() {
        let buffer = &buffers[index];
        let mut taken: Vec<(i64, i64)> = order[..placed]
            .iter()
            .filter(|&&o| buffers[o].first <= buffer.last && buffer.first <= buffers[o].last)
            .filter(|&&o| !relations.are_apart(o, index))
            .map(|&o| taken(buffers, relations, (o, offsets[o] as i64), index))
            .collect();
        taken.sort_unstable();
        let mut offset = 0_i64;
        for (after, before) in taken {
            if after < offset && offset < before {
                offset = (before as u64).next_multiple_of(ALIGNMENT.into()) as i64;
            }
        }
        offsets[index] = offset as usize;
        peak = peak.max(offsets[index] + buffer.bytes);
    }
    (peak, offsets)
}

/// Between which two offsets buffer `index` cannot begin, because of one that lies at `offset`.
fn taken(
    buffers: &[Buffer],
    relations: &Relations,
    (other, offset): (usize, i64),
    index: usize,
) -> (i64, i64) {
    let [own, others] = [index, other].map(|b| buffers[b].bytes as i64);
    let (mut after, mut before) = (offset - own, offset + others);
    for pair in &relations.behind {
        if (pair.new, pair.old) == (index, other) {
            after = after.max(offset - pair.distance);
        } else if (pair.new, pair.old) == (other, index) {
            before = before.min(offset + pair.distance);
        }
    }
    (after, before)
}
