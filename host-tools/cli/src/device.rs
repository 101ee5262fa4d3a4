//! Emulated boards from the command line: firmware, log, errors in words.

use crate::failure::{Failure, Outcome};
use crate::model::Model;
use resmcu_device_link::{Client, Firmware, LinkError, Profiler, Qemu, Target, find_target};
use resmcu_int8_runtime::pixel_to_input;
use resmcu_model_format::Isa;
use std::path::PathBuf;

/// Where the firmware's images are, if the variable does not say it: where `cargo xtask boards`
/// puts them, in the repository that this program was built from.
const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/boards/target/images");

/// Overrides the folder of the firmware's images.
const IMAGES_VARIABLE: &str = "RESMCU_FIRMWARE";

/// A board that runs a model.
pub(crate) struct Board {
    /// Talks to it.
    pub(crate) client: Client<Qemu>,
    /// The linked image's sizes.
    pub(crate) sizes: resmcu_device_link::ImageSizes,
    /// Counts instructions by address, if asked for.
    pub(crate) profiler: Option<Profiler>,
}

impl Board {
    /// Starts `target` with `model`; `log` prints the device's log on standard error.
    pub(crate) fn start(target: &'static Target, model: &Model, log: bool) -> Outcome<Self> {
        Self::start_with(target, model, log, false)
    }

    /// The same, with a profiler if `profile` asks for one.
    pub(crate) fn start_with(
        target: &'static Target,
        model: &Model,
        log: bool,
        profile: bool,
    ) -> Outcome<Self> {
        let firmware = Firmware::open(image(target))?;
        let sizes = firmware.sizes();
        let profiler = profile.then(|| Profiler::new(plugin(), &firmware)).transpose()?;
        let model = Some(model.bytes());
        let log = move |line| {
            if log {
                eprintln!("{}: {line}", target.name);
            }
        };
        let device = Qemu::start_profiled(target, &firmware, model, profiler.as_ref(), log)?;
        let client = Client::connect(device)?;
        client.model()?;
        Ok(Self { client, sizes, profiler })
    }
}

/// The target of that name, or `None` for the host itself.
pub(crate) fn target(name: &str) -> Outcome<Option<&'static Target>> {
    if name == "host" { Ok(None) } else { Ok(Some(find_target(name)?)) }
}

/// The instruction set whose kernels a board's firmware has.
pub(crate) fn isa(target: &Target) -> Isa {
    match target.triple.split('-').next().unwrap_or_default() {
        _ if target.isa == "ARMv8.1-M" => Isa::Armv81mMve,
        _ if target.isa == "RV32GCV" => Isa::Rv32v,
        _ if target.triple.ends_with("-eabihf") => Isa::Armv7em,
        "thumbv6m" | "thumbv8m.base" => Isa::Armv6m,
        core if core.starts_with("riscv32") => Isa::Rv32,
        _ => Isa::Armv7m,
    }
}

/// An image's bytes as the input tensor holds them.
pub(crate) fn input(pixels: &[u8]) -> Vec<u8> {
    pixels.iter().map(|&v| pixel_to_input(v)).collect()
}

fn image(target: &Target) -> PathBuf {
    images().join(format!("{}.elf", target.board()))
}

/// Where the emulator's plugin is.
pub(crate) fn plugin() -> PathBuf {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    images().join(format!("{DLL_PREFIX}resmcu_qemu_plugin{DLL_SUFFIX}"))
}

fn images() -> PathBuf {
    std::env::var_os(IMAGES_VARIABLE).map_or(PathBuf::from(IMAGES), PathBuf::from)
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let help = error.help();
        Self::input(error).help(help)
    }
}
