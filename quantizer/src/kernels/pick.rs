//! Which of its kernels each layer gets within a budget of flash.
//!
//! A dynamic program over the layers: of the choices for all layers so far it keeps those that no
//! other one beats in both bytes and time. Exact where these are at most [`KEPT`], as in networks
//! of some ten layers with a kernel to choose; else of neighbours in bytes the fastest alone is
//! kept. Knows nothing of a kernel but its bytes and its cost.

use super::Candidate;

/// The most choices that are kept after a layer.
const KEPT: usize = 4096;

/// A choice for all layers up to one.
#[derive(Clone, Copy)]
struct Choice {
    bytes: usize,
    cost: u64,
    /// The candidate of the last layer, and the choice for those before it.
    pick: usize,
    before: usize,
}

/// Which candidate of each layer: of all choices within `budget` bytes one of the least cost; the
/// smallest one where there is none. Layers without candidates get 0.
pub(crate) fn pick(table: &[Vec<Candidate>], budget: usize) -> Vec<usize> {
    let least = |layer: &Vec<Candidate>| layer.iter().map(|c| c.weight_bytes).min().unwrap_or(0);
    let mut rest = table.iter().map(least).sum::<usize>();
    let budget = budget.max(rest);
    let mut layers: Vec<Vec<Choice>> = vec![];
    let start = Choice { bytes: 0, cost: 0, pick: 0, before: 0 };
    for layer in table {
        rest -= least(layer);
        let so_far = layers.last().map_or(std::slice::from_ref(&start), Vec::as_slice);
        layers.push(choices(so_far, layer, budget - rest));
    }
    let mut picks = vec![0; table.len()];
    // The last one is the fastest.
    let mut at = layers.last().map_or(0, |last| last.len() - 1);
    for (pick, choices) in picks.iter_mut().zip(&layers).rev() {
        (*pick, at) = (choices[at].pick, choices[at].before);
    }
    picks
}

/// The choices for one layer more, within `budget` bytes, in the order of their bytes, each faster
/// than all before it.
fn choices(so_far: &[Choice], layer: &[Candidate], budget: usize) -> Vec<Choice> {
    let with = |(before, choice): (usize, &Choice)| {
        let Choice { bytes, cost, .. } = *choice;
        let all = layer.iter().enumerate().map(move |(pick, candidate)| Choice {
            bytes: bytes + candidate.weight_bytes,
            cost: cost + candidate.time.cost,
            pick,
            before,
        });
        let none = layer.is_empty().then_some(Choice { bytes, cost, pick: 0, before });
        all.chain(none)
    };
    let mut all: Vec<Choice> = so_far.iter().enumerate().flat_map(with).collect();
    all.retain(|choice| choice.bytes <= budget);
    all.sort_by_key(|choice| (choice.bytes, choice.cost));
    let mut least = u64::MAX;
    all.retain(|choice| {
        let is_faster = choice.cost < least;
        least = least.min(choice.cost);
        is_faster
    });
    thinned(all)
}

/// The smallest, and at most [`KEPT`] more: of each stretch of bytes the fastest.
fn thinned(choices: Vec<Choice>) -> Vec<Choice> {
    let bytes = |choice: Option<&Choice>| choice.map_or(0, |choice| choice.bytes);
    let [first, last] = [bytes(choices.first()), bytes(choices.last())];
    if choices.len() <= KEPT {
        return choices;
    }
    let stretch = (last - first).div_ceil(KEPT).max(1);
    let index = |choice: &Choice| (choice.bytes - first).div_ceil(stretch);
    let stretches = choices.chunk_by(|a, b| index(a) == index(b));
    stretches.filter_map(|stretch| stretch.last().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Time;

    /// A layer's candidates, of bytes and cost.
    fn layer(candidates: &[(usize, u64)]) -> Vec<Candidate> {
        let of = |&(weight_bytes, cost): &(usize, u64)| {
            let time = Time { cost, ..Time::default() };
            Candidate { kernel: None, time, weight_bytes, scratch_bytes: 0 }
        };
        candidates.iter().map(of).collect()
    }

    fn sums(table: &[Vec<Candidate>], picks: &[usize]) -> (usize, u64) {
        let picked = table.iter().zip(picks).filter_map(|(layer, &pick)| layer.get(pick));
        picked.fold((0, 0), |(bytes, cost), c| (bytes + c.weight_bytes, cost + c.time.cost))
    }

    /// Where the exchange that costs the least for each byte saves far more than is needed.
    #[test]
    fn a_small_excess_takes_a_small_exchange() {
        let table =
            [layer(&[(1000, 10), (100, 110)]), vec![], layer(&[(50, 5), (45, 7), (40, 20)])];
        assert_eq!(pick(&table, 1050), [0, 0, 0]);
        assert_eq!(pick(&table, 1049), [0, 0, 1]);
        assert_eq!(pick(&table, 1041), [0, 0, 2]);
        assert_eq!(pick(&table, 1039), [1, 0, 0]);
        assert_eq!(pick(&table, 140), [1, 0, 2]);
        // There is no smaller one.
        assert_eq!(pick(&table, 0), [1, 0, 2]);
    }

    #[test]
    fn no_other_choice_is_faster() {
        let mut seed = 1_u64;
        let mut below = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % end
        };
        for _ in 0..50 {
            let mut candidate = || (below(40) as usize, below(1000));
            let table = [(); 5].map(|()| layer(&[(); 4].map(|()| candidate())));
            let budget = below(200) as usize;
            let all = (0..1 << 10).map(|bits| [0, 2, 4, 6, 8].map(|at| bits >> at & 3));
            let fitting = all.map(|picks| sums(&table, &picks)).filter(|sums| sums.0 <= budget);
            let got = sums(&table, &pick(&table, budget));
            match fitting.map(|sums| sums.1).min() {
                Some(least) => assert_eq!((got.0 <= budget, got.1), (true, least)),
                None => {
                    let least = table.iter().filter_map(|l| l.iter().map(|c| c.weight_bytes).min());
                    assert_eq!(got.0, least.sum::<usize>());
                }
            }
        }
    }

    /// More choices than are kept, in a budget that few of them fit.
    #[test]
    fn many_layers_keep_their_budget() {
        let bytes = |layer: usize, at: usize| 1000 + (7919 * layer + 104_729 * at) % 5000;
        let candidates = |index: usize| [0, 1, 2, 3].map(|at| (bytes(index, at), 1 << (8 + at)));
        let table: Vec<_> = (0..40).map(|index| layer(&candidates(index))).collect();
        let least: usize =
            table.iter().filter_map(|l| l.iter().map(|c| c.weight_bytes).min()).sum();
        for budget in [least, least + 1, least + 20_000, usize::MAX] {
            let (bytes, _) = sums(&table, &pick(&table, budget));
            assert!(bytes <= budget, "{bytes} of {budget}");
        }
        assert_eq!(pick(&table, usize::MAX), [0; 40]);
    }
}
