//! The emulator's plugin against the boards' own counters.
//!
//! Needs QEMU and what `cargo xtask boards` builds.

use crate::devices::{IMAGE, firmware, images, two_pools};
use crate::rings_on_boards::seeded;
use crate::rng::Rng;
use crate::suite;
use resmcu_device_link::{
    Client, Core, CycleModel, LinkError, Profile, Profiler, Qemu, Target, find_target, targets,
};
use resmcu_model_format::Isa;
use resmcu_quantizer::kernels::{self, Limits, Packing, Time, candidates};
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
        let core = Core::named(target.core);
        let functions = profile.functions(core.map(CycleModel::new));
        let all: u64 = functions.iter().map(|function| function.instructions).sum();
        let reads = all - steps.iter().sum::<u64>();
        assert!(reads.is_multiple_of(steps.len() as u64), "{}: what a read costs", target.name);
        let most = functions.first().map(|function| function.name.as_str()).unwrap_or_default();
        let works = most.contains("max_pool2d") || most.contains("int8_runtime::step");
        assert!(works, "{}: {functions:?}", target.name);
        if let Some(core) = core {
            let model = CycleModel::new(core);
            let sum = |model| profile.cycles(model).iter().sum::<u64>();
            let (cycles, of_functions) = (sum(model), functions.iter().filter_map(|f| f.cycles));
            assert_eq!(of_functions.sum::<u64>(), cycles, "{}", target.name);
            assert!((all..5 * all).contains(&cycles), "{cycles} cycles of {all} instructions");
            let refills = sum(CycleModel { refill: model.refill + 1, ..model });
            let taken: u64 = profile.steps.iter().flatten().map(|block| block.taken).sum();
            assert!((cycles + 1..=cycles + taken).contains(&refills), "{taken} branches taken");
        }
    }
}

/// What the planner reckons for ResNet-8's convolutions, against what is executed, with and without
/// waiting for flash: so many per cent apart in instructions, in loads of words from flash and in
/// cycles, as far as `off` goes. It knows no residuals, and of the loads only those of weights and
/// their constants.
#[track_caller]
fn check_costs(name: &str, limits: Limits, core: Option<Core>, off: &[u64]) {
    let (graph, input) = (seeded("resnet8", 8), Rng::new(9).bytes(32 * 32 * 3));
    for flash_wait_states in [0, 5] {
        let limits = Limits { flash_wait_states, ..limits };
        let file = lower_for(&graph, Packing::Fastest(limits)).unwrap().file;
        let (steps, profile) = profile(find_target(name).unwrap(), &file, &input);
        let model = core.map(|core| CycleModel::new(core).waiting(flash_wait_states));
        let cycles = model.map_or(vec![0; steps.len()], |model| profile.cycles(model));
        let (mut reckoned, mut counted) = ([0; 3], [0; 3]);
        for node in 0..steps.len() {
            let Some(best) = candidates(&graph, node, &limits).into_iter().next() else { continue };
            let Time { instructions, cycles: of_core, flash_loads, .. } = best.time;
            assert_eq!(of_core.is_some(), core.is_some(), "{name}: whether it has cycles");
            let time = [instructions, flash_loads, of_core.unwrap_or(0)];
            let seen = [steps[node], profile.flash_loads[node], cycles[node]];
            for ((sum, more), (all, one)) in
                reckoned.iter_mut().zip(time).zip(counted.iter_mut().zip(seen))
            {
                *sum += more;
                *all += one;
            }
        }
        let limits = ["instructions", "loads", "cycles"].into_iter().zip(off);
        for ((what, per_cent), (reckoned, counted)) in limits.zip(reckoned.into_iter().zip(counted))
        {
            let is_near = 100 * reckoned.abs_diff(counted) <= per_cent * counted;
            assert!(is_near, "{name}, {flash_wait_states} waits: {reckoned} {what} of {counted}");
        }
    }
}

#[test]
fn cost_tables_are_near_what_is_counted() {
    let none = Limits::none;
    let on = |core| Limits { core, ..none(Isa::Rv32) };
    let all = &[4, 20, 4];
    let cases: [(_, _, _, &[u64]); 7] = [
        ("qemu-mps2-an386", none(Isa::Armv7em), Some(Core::CortexM4), all),
        ("qemu-mps2-an385", none(Isa::Armv7m), Some(Core::CortexM3), all),
        ("qemu-mps2-an385-m0", none(Isa::Armv6m), Some(Core::CortexM0), all),
        ("qemu-virt-rv32imc", on(kernels::Core::E31), Some(Core::E31), all),
        ("qemu-virt-rv32imac", on(kernels::Core::Hazard3), Some(Core::Hazard3), all),
        ("qemu-mps3-an547", none(Isa::Armv81mMve), None, &all[..2]),
        // QEMU loads a vector byte by byte.
        ("qemu-virt-rv32v", none(Isa::Rv32v), None, &all[..1]),
    ];
    for (name, limits, core, off) in cases {
        check_costs(name, limits, core, off);
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
