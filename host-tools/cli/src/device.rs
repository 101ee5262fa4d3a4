//! Boards from the command line, emulated and real: firmware, log, errors in words.

use crate::failure::{Failure, Outcome};
use crate::model::Model;
use resmcu_device_link::probe::{AttachOptions, Attached, ProbeLine, Probes};
use resmcu_device_link::{
    BAUD, Client, Device, Firmware, Hardware, ImageSizes, LinkError, LogLine, ProbeError, Profiler,
    Qemu, Serial, Target, Timeouts, find_hardware, find_probed, find_target,
};
use resmcu_int8_runtime::pixel_to_input;
use resmcu_model_format::Isa;
use resmcu_quantizer::kernels::Core;
use std::path::PathBuf;
use std::time::Duration;

/// Where the firmware's images are, if the variable does not say it: where `cargo xtask boards`
/// puts them, in the repository that this program was built from.
const IMAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/boards/target/images");

/// Overrides the folder of the firmware's images.
const IMAGES_VARIABLE: &str = "RESMCU_FIRMWARE";

/// How long a device on a line may take to answer its first greeting.
const GREETING: Duration = Duration::from_secs(5);

/// Where a model runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// In this process.
    Host,
    /// In QEMU.
    Emulated(&'static Target),
    /// On the board behind a serial port.
    Serial { port: String, baud: u32 },
    /// On the board behind a debug probe, the only one or the one of this serial number.
    Probe { serial: Option<String> },
}

impl Place {
    /// What the user calls it.
    pub(crate) fn find(name: &str) -> Outcome<Self> {
        if let Some(port) = name.strip_prefix("serial:") {
            return Self::serial(port);
        }
        match name.split_once(':') {
            Some(("probe", serial)) => Ok(Self::Probe { serial: Some(serial.to_owned()) }),
            None if name == "probe" => Ok(Self::Probe { serial: None }),
            None if name == "host" => Ok(Self::Host),
            _ => Ok(Self::Emulated(find_target(name)?)),
        }
    }

    /// `PORT`, or `PORT@BAUD`.
    pub(crate) fn serial(text: &str) -> Outcome<Self> {
        let (port, baud) = match text.rsplit_once('@') {
            None => (text, Ok(BAUD)),
            Some((port, baud)) => (port, baud.parse()),
        };
        let help = "`serial:/dev/ttyACM0` or `serial:COM3@115200`; `resmcu probe` lists the ports";
        match baud {
            Ok(baud) if baud > 0 && !port.is_empty() => {
                Ok(Self::Serial { port: port.to_owned(), baud })
            }
            _ => Err(Failure::input(format!("`{text}` is no port with its baud")).help(help)),
        }
    }
}

/// What a command does with the board that it runs on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes<'a> {
    /// The board's name, where the place does not say it.
    pub(crate) board: Option<&'a str>,
    /// Print the device's log on standard error.
    pub(crate) log: bool,
    /// Write the model to the device, if it runs another.
    pub(crate) update: bool,
    /// Count by address.
    pub(crate) profile: bool,
}

/// A board that runs a model.
pub(crate) struct Board {
    /// Talks to it.
    pub(crate) client: Client<Box<dyn Device>>,
    /// The linked image's sizes, where the image is known.
    pub(crate) sizes: Option<ImageSizes>,
    /// Counts instructions by address, if asked for.
    pub(crate) profiler: Option<Profiler>,
    /// The emulator ends with it.
    is_emulated: bool,
}

impl Board {
    /// The board at `place` with `model`; `None` for the host itself.
    pub(crate) fn start(place: &Place, model: &Model, wishes: Wishes<'_>) -> Outcome<Option<Self>> {
        let mut board = match place {
            Place::Host => return Ok(None),
            Place::Emulated(target) => return Self::emulate(target, model, wishes).map(Some),
            Place::Serial { .. } | Place::Probe { .. } => Self::connect(place, wishes)?,
        };
        board.expect_model(model, wishes.update)?;
        Ok(Some(board))
    }

    /// The real board at `place`, with whatever model it runs.
    pub(crate) fn connect(place: &Place, wishes: Wishes<'_>) -> Outcome<Self> {
        let board = match place {
            Place::Host | Place::Emulated(_) => {
                return Err(Failure::input("there is no real board at this target").help(
                    "`--target serial:PORT` or `--target probe`; `resmcu probe` lists both",
                ));
            }
            Place::Serial { port, baud } => {
                let device: Box<dyn Device> = Box::new(Serial::open(port, *baud)?);
                let place = format!("{port} at {baud} baud");
                Self::real(greet(device, place)?, None)
            }
            Place::Probe { serial } => Self::on_probe(serial.as_deref(), wishes)?,
        };
        board.expect_board(wishes.board)?;
        Ok(board)
    }

    fn emulate(target: &'static Target, model: &Model, wishes: Wishes<'_>) -> Outcome<Self> {
        let firmware = Firmware::open(image(target.board()))?;
        let sizes = Some(firmware.sizes());
        let profiler = wishes.profile.then(|| Profiler::new(plugin(), &firmware)).transpose()?;
        let model = Some(model.bytes());
        let log = print_log(target.name, wishes.log);
        let device = Qemu::start_profiled(target, &firmware, model, profiler.as_ref(), log)?;
        let client = Client::connect(Box::new(device) as Box<dyn Device>)?;
        client.model()?;
        Ok(Self { client, sizes, profiler, is_emulated: true })
    }

    fn on_probe(serial: Option<&str>, wishes: Wishes<'_>) -> Outcome<Self> {
        let board = wishes.board.ok_or_else(|| {
            Failure::input("a debug probe does not say which board is behind it")
                .help("name it with `--board`; `resmcu boards` lists them")
        })?;
        let board = find_probed(board)?;
        let firmware = Firmware::open(crate::commands::flash::built(board)?)?;
        let attached = Attached::open(&Probes::default(), serial, board, AttachOptions::default())?;
        let log = print_log(board.name, wishes.log);
        let device: Box<dyn Device> = Box::new(ProbeLine::attach(attached, &firmware, log)?);
        let client = greet(device, format!("the RTT channels of {}", board.name))?;
        Ok(Self::real(client, Some(firmware.sizes())))
    }

    fn real(client: Client<Box<dyn Device>>, sizes: Option<ImageSizes>) -> Self {
        Self { client, sizes, profiler: None, is_emulated: false }
    }

    /// That the board which answers is the one that was named.
    fn expect_board(&self, named: Option<&str>) -> Outcome {
        let found = &self.client.summary().board;
        match named.map(|name| name.strip_prefix("qemu-").unwrap_or(name)) {
            Some(named) if named != found => {
                let failure = Failure::input(format!("the board is a {found}, not a {named}"));
                Err(failure.help("name the board that is connected, or leave `--board` out"))
            }
            _ => Ok(()),
        }
    }

    /// That the device runs `model`, or writes it there.
    fn expect_model(&mut self, model: &Model, update: bool) -> Outcome {
        let name = model.name()?;
        let words = |name: &str, hash: &str| format!("{name} [{hash}]");
        let other = match &self.client.summary().model {
            Ok(loaded) if format!("{:08x}", loaded.crc) == name.hash => return Ok(()),
            Ok(loaded) => Ok(words(&loaded.name, &format!("{:08x}", loaded.crc))),
            Err(failure) => Err(LinkError::NoModel { failure: *failure }),
        };
        if update {
            let bar = crate::progress::bar(model.bytes().len(), "writing the model");
            self.client.update(model.bytes(), &[], |done, _| bar.set_position(done as u64))?;
            bar.finish_and_clear();
            return Ok(());
        }
        let expected = words(&name.name, &name.hash);
        Err(match other {
            Ok(found) => LinkError::OtherModel { found, expected }.into(),
            Err(none) => Failure::from(none).help("`--update` writes this model to the device"),
        })
    }

    /// Ends what was started for it; a real board goes on.
    pub(crate) fn end(self) -> Outcome<Option<Profiler>> {
        if self.is_emulated {
            self.client.stop()?;
        }
        Ok(self.profiler)
    }
}

/// Prints a log's lines on standard error, or nowhere.
pub(crate) fn print_log(name: &str, is_wanted: bool) -> impl FnMut(LogLine) + Send + use<> {
    let name = name.to_owned();
    move |line| {
        if is_wanted {
            eprintln!("{name}: {line}");
        }
    }
}

/// Greets a device that is there or is not: it needs no time to start.
fn greet(device: Box<dyn Device>, place: String) -> Outcome<Client<Box<dyn Device>>> {
    let timeouts = Timeouts { boot: GREETING, ..Timeouts::default() };
    Client::connect_with(device, timeouts).map_err(|error| match error {
        LinkError::TimedOut { waited, .. } => LinkError::Silent { place, waited }.into(),
        error => error.into(),
    })
}

/// A board that models are packed for: emulated, or real.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoardData {
    pub(crate) name: &'static str,
    pub(crate) flash_bytes: u64,
    pub(crate) ram_bytes: u64,
    /// Of the largest model that its first slot holds.
    pub(crate) slot_bytes: u64,
    /// Cycles that its core waits for a word of data from flash.
    pub(crate) flash_wait_states: u32,
    /// The instruction set whose kernels its firmware has.
    pub(crate) isa: Isa,
    /// The core that runs them.
    pub(crate) core: Core,
}

impl From<&Target> for BoardData {
    fn from(target: &Target) -> Self {
        let &Target { name, flash_bytes, ram_bytes, slot_bytes, flash_wait_states, .. } = target;
        let (isa, core) = (kernels_of(target.isa, target.triple), core_of(target.core));
        Self { name, flash_bytes, ram_bytes, slot_bytes, flash_wait_states, isa, core }
    }
}

impl From<&Hardware> for BoardData {
    fn from(board: &Hardware) -> Self {
        let &Hardware { name, flash_bytes, ram_bytes, slot_bytes, flash_wait_states, .. } = board;
        let (isa, core) = (kernels_of(board.isa, board.triple), core_of(board.core));
        Self { name, flash_bytes, ram_bytes, slot_bytes, flash_wait_states, isa, core }
    }
}

/// The emulated target or the real board of that name.
pub(crate) fn find_board(name: &str) -> Outcome<BoardData> {
    if let Ok(target) = find_target(name) {
        return Ok(target.into());
    }
    let board = find_hardware(name);
    Ok(board
        .map_err(|none| Failure::from(none).help("`resmcu boards` lists the emulated ones, too"))?
        .into())
}

/// The planner's name of a board's core.
fn core_of(name: &str) -> Core {
    match resmcu_device_link::Core::named(name) {
        Some(resmcu_device_link::Core::E31) => Core::E31,
        Some(resmcu_device_link::Core::Hazard3) => Core::Hazard3,
        _ => Core::Any,
    }
}

fn kernels_of(isa: &str, triple: &str) -> Isa {
    match triple.split('-').next().unwrap_or_default() {
        _ if isa == "ARMv8.1-M" => Isa::Armv81mMve,
        _ if isa == "RV32GCV" => Isa::Rv32v,
        _ if triple.ends_with("-eabihf") => Isa::Armv7em,
        "thumbv6m" | "thumbv8m.base" => Isa::Armv6m,
        core if core.starts_with("riscv32") => Isa::Rv32,
        _ => Isa::Armv7m,
    }
}

/// An image's bytes as the input tensor holds them.
pub(crate) fn input(pixels: &[u8]) -> Vec<u8> {
    pixels.iter().map(|&v| pixel_to_input(v)).collect()
}

/// Where the image of a board's firmware is.
pub(crate) fn image(board: &str) -> PathBuf {
    images().join(format!("{board}.elf"))
}

/// Where the emulator's plugin is.
pub(crate) fn plugin() -> PathBuf {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    images().join(format!("{DLL_PREFIX}resmcu_qemu_plugin{DLL_SUFFIX}"))
}

fn images() -> PathBuf {
    std::env::var_os(IMAGES_VARIABLE).map_or(PathBuf::from(IMAGES), PathBuf::from)
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        LinkError::from(error).into()
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let help = error.help();
        Self::input(error).help(help)
    }
}
