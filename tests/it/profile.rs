//! The emulator's plugin against the boards' own counters.
//!
//! Needs QEMU and what `cargo xtask boards` builds.

use crate::devices::{IMAGE, firmware, images, two_pools};
use resmcu_device_link::{Client, CortexM4, LinkError, Profile, Profiler, Qemu, Target, targets};
use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};

/// A bench of the model of two pools, and its profile, which fails where the plugin's counts are
/// not those of the board to the instruction.
fn profile(target: &Target) -> (Vec<u64>, Profile) {
    let plugin = images().join(format!("{DLL_PREFIX}resmcu_qemu_plugin{DLL_SUFFIX}"));
    let (firmware, model) = (firmware(target), two_pools());
    let run = || -> Result<_, LinkError> {
        let profiler = Profiler::new(plugin, &firmware)?;
        let device =
            Qemu::start_profiled(target, &firmware, Some(&model), Some(&profiler), |_| {})?;
        let mut client = Client::connect(device)?;
        client.infer(&IMAGE)?;
        client.calibrate(1000)?;
        let steps = client.bench(&IMAGE)?.steps;
        client.memory()?;
        client.stop()?;
        let profile = profiler.finish(&steps)?;
        Ok((steps, profile))
    };
    run().unwrap_or_else(|error| panic!("{}: {error}; {}", target.name, error.help()))
}

#[test]
fn the_plugin_counts_what_every_board_counts() {
    for target in targets() {
        let (steps, profile) = profile(target);
        assert_eq!(profile.spans.len(), steps.len(), "{}", target.name);
        let functions = profile.functions();
        let all: u64 = functions.iter().map(|function| function.instructions).sum();
        let reads = all - steps.iter().sum::<u64>();
        assert!(reads.is_multiple_of(steps.len() as u64), "{}: what a read costs", target.name);
        let most = functions.first().map(|function| function.name.as_str()).unwrap_or_default();
        let works = most.contains("max_pool2d") || most.contains("int8_runtime::step");
        assert!(works, "{}: {functions:?}", target.name);
        if target.core == "Cortex-M4" {
            let cycles: u64 = profile.cycles(CortexM4::default()).iter().sum();
            let refills: u64 = profile.cycles(CortexM4 { refill: 3 }).iter().sum();
            assert!((all..4 * all).contains(&cycles), "{cycles} cycles of {all} instructions");
            let taken: u64 = profile.spans.iter().flatten().map(|block| block.taken).sum();
            assert!((cycles + 1..=cycles + taken).contains(&refills), "{taken} branches taken");
        }
    }
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
