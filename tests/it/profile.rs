//! The emulator's plugin against the boards' own counters.
//!
//! Needs QEMU and what `cargo xtask boards` builds.

use crate::devices::{IMAGE, firmware, images, two_pools};
use crate::rings_on_boards::seeded;
use crate::rng::Rng;
use crate::suite;
use resmcu_device_link::{
    Client, CortexM4, LinkError, Profile, Profiler, Qemu, Target, find_target, targets,
};
use resmcu_model_format::Isa;
use resmcu_quantizer::kernels::{Limits, Packing, Time, candidates};
use resmcu_quantizer::lower::lower_for;
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use zerocopy::IntoBytes;

/// A bench of the model of two pools, and its profile, which fails where the plugin's counts are
/// not those of the board to the instruction.
fn profile(target: &Target, model: &[u8], image: &[u8]) -> (Vec<u64>, Profile) {
    let plugin = images().join(format!("{DLL_PREFIX}resmcu_qemu_plugin{DLL_SUFFIX}"));
    let firmware = firmware(target);
    let run = || -> Result<_, LinkError> {
        let profiler = Profiler::new(plugin, &firmware)?;
        let device = Qemu::start_profiled(target, &firmware, Some(model), Some(&profiler), |_| {})?;
        let mut client = Client::connect(device)?;
        client.infer(image)?;
        client.calibrate(1000)?;
        let counted = client.bench(image)?;
        client.memory()?;
        client.stop()?;
        let profile = profiler.finish(&counted)?;
        Ok((counted.steps, profile))
    };
    run().unwrap_or_else(|error| panic!("{}: {error}; {}", target.name, error.help()))
}

#[test]
fn the_plugin_counts_what_every_board_counts() {
    for target in targets() {
        let (steps, profile) = profile(target, &two_pools(), &IMAGE);
        assert_eq!(profile.steps.len(), steps.len(), "{}", target.name);
        let functions = profile.functions();
        let all: u64 = functions.iter().map(|function| function.instructions).sum();
        let reads = all - steps.iter().sum::<u64>();
        assert!(reads.is_multiple_of(steps.len() as u64), "{}: what a read costs", target.name);
        let most = functions.first().map(|function| function.name.as_str()).unwrap_or_default();
        let works = most.contains("max_pool2d") || most.contains("int8_runtime::step");
        assert!(works, "{}: {functions:?}", target.name);
        if target.core == "Cortex-M4" {
            let cycles: u64 = profile.cycles(CortexM4::default()).iter().sum();
            let refills: u64 =
                profile.cycles(CortexM4 { refill: 3, ..CortexM4::default() }).iter().sum();
            assert!((all..4 * all).contains(&cycles), "{cycles} cycles of {all} instructions");
            let taken: u64 = profile.steps.iter().flatten().map(|block| block.taken).sum();
            assert!((cycles + 1..=cycles + taken).contains(&refills), "{taken} branches taken");
        }
    }
}

/// What the planner reckons for ResNet-8's convolutions on a Cortex-M4, against what is executed:
/// at most 4 % apart, with and without waiting for flash. It knows no residuals, and of the loads
/// only those of weights and their constants.
#[test]
fn cost_tables_are_near_what_is_counted() {
    let (graph, input) = (seeded("resnet8", 8), Rng::new(9).bytes(32 * 32 * 3));
    let target = find_target("qemu-mps2-an386").unwrap();
    for flash_wait_states in [0, 5] {
        let limits = Limits { flash_wait_states, ..Limits::none(Isa::Armv7em) };
        let file = lower_for(&graph, Packing::Fastest(limits)).unwrap().file;
        let (steps, profile) = profile(target, &file, &input);
        let core = CortexM4 { flash_wait_states: flash_wait_states.into(), ..CortexM4::default() };
        let cycles = profile.cycles(core);
        let (mut reckoned, mut counted) = ([0; 3], [0; 3]);
        for node in 0..steps.len() {
            let Some(best) = candidates(&graph, node, &limits).into_iter().next() else { continue };
            let Time { instructions, cycles: of_core, flash_loads, .. } = best.time;
            for (sum, more) in
                reckoned.iter_mut().zip([instructions, of_core.unwrap(), flash_loads])
            {
                *sum += more;
            }
            for (sum, more) in
                counted.iter_mut().zip([steps[node], cycles[node], profile.flash_loads[node]])
            {
                *sum += more;
            }
        }
        for (what, per_cent, index) in [("instructions", 4, 0), ("cycles", 4, 1), ("loads", 20, 2)]
        {
            let (reckoned, counted) = (reckoned[index], counted[index]);
            let is_near = 100 * reckoned.abs_diff(counted) <= per_cent * counted;
            assert!(is_near, "{flash_wait_states} wait states: {reckoned} {what} of {counted}");
        }
    }
}

/// Rows that run in many spans a step, some while the image comes, some after.
#[test]
fn the_plugin_counts_rows_in_rings_too() {
    let target = find_target("qemu-mps2-an386").unwrap();
    let cases = (1..=20).flat_map(suite::streamed::random);
    let mut streamed = 0;
    for case in cases.filter(|case| case.input.len() > 100).take(6) {
        let (steps, profile) = profile(target, &case.lower().file, case.input.as_bytes());
        assert_eq!(profile.steps.len(), steps.len(), "{}", case.name);
        let of_step = |blocks: &Vec<resmcu_device_link::Block>| -> u64 {
            blocks.iter().map(|block| block.instructions * block.executed).sum()
        };
        let seen: Vec<u64> = profile.steps.iter().map(of_step).collect();
        // With what reading the counter costs, once a run of the step.
        assert!(seen.iter().zip(&steps).all(|(seen, step)| seen > step), "{}", case.name);
        streamed += usize::from(case.schedule.is_some());
    }
    assert!(streamed > 3, "{streamed} in rings");
}

#[test]
fn a_missing_plugin_is_said() {
    let [target, ..] = targets() else { panic!("there are targets") };
    let Err(error) = Profiler::new("no-such-folder/plugin.so", &firmware(target)) else {
        panic!("it is not there")
    };
    assert!(error.to_string().contains("no-such-folder"), "{error}");
    assert!(error.help().contains("cargo xtask boards"), "{}", error.help());
}
