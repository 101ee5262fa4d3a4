//! Offsets for buffers of known lives (dynamic storage allocation).
//!
//! First fit in several orders, then in seeded shuffles of the best one, until the peak meets the
//! lower bound or the tries are used up. The result is always valid; how good it is can be read
//! from the bound. Deterministic.

use super::Buffer;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;

/// Shuffles that are tried where the plain orders do not meet the bound.
const SHUFFLES: usize = 2_000;

/// Sets the buffers' offsets and gives their peak, in bytes.
pub(super) fn place(buffers: &mut [Buffer], lower_bound: usize) -> usize {
    let mut orders: Vec<Vec<usize>> = vec![(0..buffers.len()).collect(); 3];
    orders[0].sort_by_key(|&b| (Reverse(buffers[b].bytes), buffers[b].first));
    orders[1].sort_by_key(|&b| (Reverse(buffers[b].last - buffers[b].first), buffers[b].first));
    orders[2]
        .sort_by_key(|&b| Reverse(buffers[b].bytes * (buffers[b].last - buffers[b].first + 1)));
    let mut best = (usize::MAX, Vec::new(), Vec::new());
    for order in orders {
        keep_better(&mut best, first_fit(buffers, &order), order);
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
        keep_better(&mut best, first_fit(buffers, &order), order);
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
fn first_fit(buffers: &[Buffer], order: &[usize]) -> (usize, Vec<usize>) {
    let mut offsets = vec![0; buffers.len()];
    let mut peak = 0;
    for (placed, &index) in order.iter().enumerate() {
        let buffer = &buffers[index];
        let mut taken: Vec<(usize, usize)> = order[..placed]
            .iter()
            .filter(|&&o| buffers[o].first <= buffer.last && buffer.first <= buffers[o].last)
            .map(|&o| (offsets[o], offsets[o] + buffers[o].bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if start >= offset + buffer.bytes {
                break;
            }
            offset = offset.max(end);
        }
        offsets[index] = offset;
        peak = peak.max(offset + buffer.bytes);
    }
    (peak, offsets)
}
