//! Executed instructions by address, and loads from flash: what the plugin of `qemu-plugin` counts
//! while a board runs.
//!
//! Owns the plugin's arguments, its file, and the matching of its sections with the spans that the
//! board measured itself. Guarantees that both agree to the instruction, or says where they do not.
//! [`Profile::functions`] and [`CycleModel`] make figures of the counts.

mod code;
mod cycles;
mod sections;

pub use cycles::{Core, CycleModel};
pub use sections::Block;

use crate::client::Counted;
use crate::error::LinkError;
use crate::firmware::{Firmware, Image};
use code::Code;
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use tempfile::TempPath;

/// The plugin, ready to be loaded into an emulator.
pub struct Profiler {
    plugin: PathBuf,
    out: TempPath,
    code: Code,
    /// Where code, constants and models lie.
    flash: Vec<Range<u64>>,
}

/// What was executed in the spans that the device measured.
pub struct Profile {
    /// Translation blocks that ran, a list a step: those of all its runs, one after another.
    pub steps: Vec<Vec<Block>>,
    /// Words of data that each step loaded from flash: a load of less than a word is one, too.
    pub flash_loads: Vec<u64>,
    code: Code,
}

/// A function's part of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionCount {
    /// Its name, demangled.
    pub name: String,
    /// Executed instructions.
    pub instructions: u64,
    /// Cycles that its core would take, without waiting for flash.
    pub cycles: Option<u64>,
}

impl Profiler {
    /// A profiler for boards that run `firmware`; `plugin` is the built library.
    ///
    /// # Errors
    /// Where the plugin is missing, or the firmware's counter is not to be found in its image.
    pub fn new(plugin: impl Into<PathBuf>, firmware: &Firmware) -> Result<Self, LinkError> {
        let plugin = plugin.into();
        if !plugin.is_file() {
            return Err(LinkError::PluginMissing { path: plugin });
        }
        let code = Code::open(firmware.path())
            .map_err(|reason| LinkError::Firmware { path: firmware.path().to_owned(), reason })?;
        let out = tempfile::NamedTempFile::with_prefix("resmcu-profile-")
            .map_err(|error| LinkError::Start {
                what: "making a temporary file for the profile",
                reason: error.to_string(),
            })?
            .into_temp_path();
        let Image { segments, slots, .. } = firmware.image();
        let segments = segments.iter().map(|(start, bytes)| *start..start + bytes.len() as u64);
        let flash = segments.chain(slots.iter().cloned()).collect();
        Ok(Self { plugin, out, code, flash })
    }

    /// What the emulator is started with.
    pub(crate) fn arguments(&self) -> [String; 2] {
        let path = |path: &std::path::Path| path.display().to_string().replace(',', ",,");
        let (plugin, out) = (path(&self.plugin), path(&self.out));
        let ranges =
            self.flash.iter().map(|range| format!(",flash={:x}-{:x}", range.start, range.end));
        let ranges: String = ranges.collect();
        ["-plugin".into(), format!("{plugin},mark={:x},out={out}{ranges}", self.code.mark)]
    }

    /// The counts of a bench, after its device ended: `counted` is what the device counted, and was
    /// the last that it did.
    ///
    /// # Errors
    /// Where the plugin wrote nothing, or other counts than the device's.
    pub fn finish(self, counted: &Counted) -> Result<Profile, LinkError> {
        let refuse = |reason: String| LinkError::Profile { reason };
        let text = std::fs::read_to_string(&self.out).map_err(|e| refuse(e.to_string()))?;
        let sections = sections::parse(&text).map_err(refuse)?;
        let counts: Vec<u64> = counted.runs.iter().map(|&(_, count)| count).collect();
        let spans = sections::spans(sections, &counts, counted.requests).map_err(refuse)?;
        let mut steps = vec![Vec::new(); counted.steps.len()];
        let mut flash_loads = vec![0; steps.len()];
        for (&(step, _), span) in counted.runs.iter().zip(spans) {
            let step = usize::from(step);
            if let (Some(blocks), Some(loads)) = (steps.get_mut(step), flash_loads.get_mut(step)) {
                blocks.extend(span.blocks);
                *loads += span.flash_loads;
            }
        }
        Ok(Profile { steps, flash_loads, code: self.code })
    }
}

impl Profile {
    /// Instructions of all steps by function, the largest first; and cycles by `model`.
    #[must_use]
    pub fn functions(&self, model: Option<CycleModel>) -> Vec<FunctionCount> {
        let mut counts = HashMap::new();
        for block in self.steps.iter().flatten() {
            let (instructions, cycles) =
                counts.entry(self.code.function(block.start)).or_insert((0, 0));
            *instructions += block.executed * block.instructions;
            *cycles += model.map_or(0, |model| model.cycles(&self.code, block));
        }
        let function = |(name, (instructions, cycles)): (&str, (u64, u64))| {
            let name = name.to_owned();
            FunctionCount { name, instructions, cycles: model.map(|_| cycles) }
        };
        let mut functions: Vec<_> = counts.into_iter().map(function).collect();
        functions.sort_by(|a, b| b.instructions.cmp(&a.instructions).then(a.name.cmp(&b.name)));
        functions
    }

    /// Cycles that a core would take for each step, by `model`.
    #[must_use]
    pub fn cycles(&self, model: CycleModel) -> Vec<u64> {
        let step = |(blocks, &loads): (&Vec<Block>, &u64)| -> u64 {
            let cycles: u64 = blocks.iter().map(|block| model.cycles(&self.code, block)).sum();
            cycles + loads * model.flash_wait_states
        };
        self.steps.iter().zip(&self.flash_loads).map(step).collect()
    }
}
