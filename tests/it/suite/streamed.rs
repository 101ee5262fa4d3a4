//! Rows in rings: every graph of the other suites, run by schedules that split it in segments at
//! random and make one or several rows at a time, has the same bytes as whole.

use super::{Case, check};
use crate::oracle::network::outputs;
use crate::rng::Rng;
use resmcu_model_format::{Isa, ModelFile};
use resmcu_quantizer::kernels::{Limits, Packing};
use resmcu_quantizer::plan::search::Memory;
use resmcu_quantizer::plan::{Rhythm, Schedule};

/// Segments of random lengths, or one for all; rows at a time by node.
fn random_schedule(rng: &mut Rng, nodes: usize) -> Schedule {
    let one_segment = rng.one_in(2);
    let rows = rng.pick(&[1, 1, 2, 4, 0]);
    let rhythm = |node: usize| Rhythm {
        rows: if rows == 0 { rng.pick(&[1, 2, 3, 4, 5, usize::MAX]) } else { rows },
        on_demand: node + 1 < nodes && (one_segment || rng.one_in(2)),
    };
    (0..nodes).map(rhythm).collect()
}

/// The same case by a schedule.
fn streamed(case: Case, rng: &mut Rng) -> Case {
    let schedule = random_schedule(rng, case.graph.nodes.len());
    Case { name: format!("{}, {schedule:?}", case.name), schedule: Some(schedule), ..case }
}

/// Edges of the other suites, by rows.
pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0x5EED);
    super::operators().into_iter().map(|case| streamed(case, &mut rng)).collect()
}

pub(crate) fn random(seed: u64) -> Vec<Case> {
    let mut rng = Rng::new(seed);
    super::whole::random(seed).into_iter().map(|case| streamed(case, &mut rng)).collect()
}

#[test]
fn rings_are_smaller_than_their_tensors() {
    let (mut rings, mut smaller) = (0, 0);
    for case in (1..=50).flat_map(random) {
        let file = case.lower().file;
        let model = ModelFile::parse(&file).unwrap();
        rings += model.tensors().filter(|tensor| tensor.rows < tensor.shape[0]).count();
        let whole = Case { schedule: None, ..case }.lower().plan.arena_bytes;
        smaller += usize::from((model.header().arena_bytes as usize) < whole);
    }
    assert!(rings > 200 && smaller > 20, "{rings} rings, {smaller} of 100 arenas");
}

/// Arena and scratch of a case under a budget, which has to keep it and the oracle's bytes.
#[track_caller]
fn check_budget(case: &Case, isa: Isa, memory: Memory) -> usize {
    let limits = Limits { scratch_bytes: 1 << 14, memory, ..Limits::none(isa) };
    let (name, graph, input) = (&case.name, case.graph.clone(), case.input.clone());
    let name = format!("{name}, {isa:?}, {memory:?}");
    let packing = Packing::Fastest(limits);
    let planned = Case { name, graph, packing, schedule: None, input };
    check(&planned);
    let lowered = planned.lower();
    // Means that became sums and means of sums are still the same.
    let answer = |graph| outputs(graph, &case.input).pop().unwrap().bytes();
    assert_eq!(answer(&lowered.plan.graph), answer(&case.graph), "{}", planned.name);
    let header = *ModelFile::parse(&lowered.file).unwrap().header();
    assert!(header.arena_lower_bound <= header.arena_bytes, "{}", planned.name);
    header.arena_bytes.next_multiple_of(16) as usize + header.scratch_bytes as usize
}

#[test]
fn plans_within_budgets_keep_them_and_are_the_oracles() {
    for seed in 1..=60 {
        for case in super::whole::random(seed) {
            for isa in [Isa::Generic, Isa::Armv7em] {
                let most = check_budget(&case, isa, Memory::AtMost(usize::MAX));
                let least = check_budget(&case, isa, Memory::Least);
                assert!(least <= most, "{}: {least} of {most}", case.name);
                let middle = usize::midpoint(least, most);
                let got = check_budget(&case, isa, Memory::AtMost(middle));
                assert!(got <= middle, "{}: {got} in a budget of {middle}", case.name);
            }
        }
    }
}

#[test]
fn operators_by_rows_are_the_oracles() {
    edges().iter().for_each(check);
    for seed in 1..=200 {
        let mut rng = Rng::new(seed);
        for case in super::random_operators(seed) {
            check(&streamed(case, &mut rng));
        }
    }
}

#[test]
fn networks_by_rows_are_the_oracles() {
    (1..=1000).flat_map(random).for_each(|case| check(&case));
}
