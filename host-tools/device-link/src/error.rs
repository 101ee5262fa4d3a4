//! What can go wrong between here and a device: what, where, and what to do.

use crate::load_failure;
use crate::probe::ProbeError;
use resmcu_wire_protocol::{LoadFailure, PROTOCOL_VERSION, Refusal, rejection};
use std::path::PathBuf;
use std::time::Duration;

/// Why a device could not be used. [`LinkError::help`] is the line that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No target of that name.
    #[error("there is no target `{name}`; there are {known}")]
    UnknownTarget {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No real board of that name.
    #[error("there is no board `{name}`; there are {known}")]
    UnknownBoard {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A real board that another tool writes.
    #[error("`{name}` cannot be written by this tool's probes: {reason}")]
    OtherTool {
        /// The board.
        name: &'static str,
        /// Why not.
        reason: &'static str,
        /// What does it.
        command: &'static str,
    },
    /// A debug probe, or the chip behind it.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// No such serial port.
    #[error("there is no serial port {port}{}", there_are(known))]
    PortMissing {
        /// What was asked for.
        port: String,
        /// Those that there are.
        known: String,
    },
    /// The serial port may not be opened by this user.
    #[error("the serial port {port} may not be opened by this user")]
    PortDenied {
        /// Its name.
        port: String,
    },
    /// The serial port cannot be opened.
    #[error("the serial port {port} cannot be opened: {reason}")]
    PortUnusable {
        /// Its name.
        port: String,
        /// What the system says.
        reason: String,
    },
    /// The serial port was there and is gone.
    #[error("the serial port {port} is gone: {reason}")]
    PortGone {
        /// Its name.
        port: String,
        /// What the system says.
        reason: String,
    },
    /// Nothing on a serial port answers.
    #[error("nothing answers on {place} within {} s", waited.as_secs_f32())]
    Silent {
        /// The port, with its baud, or the probe.
        place: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The device runs another model than the one at hand.
    #[error("the device runs the model {found}, not {expected}")]
    OtherModel {
        /// Name and CRC-32 of the device's.
        found: String,
        /// Name and CRC-32 of the one at hand.
        expected: String,
    },
    /// The emulator is not installed.
    #[error("`{program}` is not in PATH")]
    ToolMissing {
        /// The program.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// The firmware's image cannot be used.
    #[error("{}: {reason}", path.display())]
    Firmware {
        /// The ELF file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model file does not fit the board.
    #[error("the model file has {bytes} bytes, and the slot of {target} holds {slot}")]
    ModelTooLarge {
        /// Size of the file.
        bytes: u64,
        /// Size of the slot.
        slot: u64,
        /// The target.
        target: &'static str,
    },
    /// The plugin that counts instructions by address was not built.
    #[error("{}: the plugin that counts instructions by address is not there", path.display())]
    PluginMissing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The plugin's counts cannot be used.
    #[error("the profile of the emulator's plugin: {reason}")]
    Profile {
        /// What is wrong with it.
        reason: String,
    },
    /// The emulator, or what it needs, could not be started.
    #[error("{what}: {reason}")]
    Start {
        /// What was being done.
        what: &'static str,
        /// What the system says.
        reason: String,
    },
    /// The device is gone.
    #[error("the device ended ({how}){}", tail(said))]
    Died {
        /// Exit code or signal, in words.
        how: String,
        /// The last that it logged, or its emulator said.
        said: String,
    },
    /// Nothing came in time.
    #[error("no answer to {request} within {} s{}", waited.as_secs_f32(), tail(said))]
    TimedOut {
        /// What was asked.
        request: &'static str,
        /// How long was waited.
        waited: Duration,
        /// The last that the device logged, or its emulator said.
        said: String,
    },
    /// The serial line failed.
    #[error("the serial line failed: {reason}")]
    Line {
        /// What the system says.
        reason: String,
    },
    /// An answer that does not belong to the question.
    #[error("the answer to {request} was {answer}")]
    Unexpected {
        /// What was asked.
        request: &'static str,
        /// What came.
        answer: String,
    },
    /// The device speaks another version of the protocol.
    #[error("the device speaks protocol version {device}, this tool version {PROTOCOL_VERSION}")]
    Version {
        /// The device's version.
        device: u16,
    },
    /// The device refused the request.
    #[error("the device refused {request}: {refusal:?}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// Its reason.
        refusal: Refusal,
    },
    /// The device's loader refused the model.
    #[error("the device refused the model: {}", load_failure::words(failure))]
    NoModel {
        /// The loader's reason.
        failure: LoadFailure,
    },
    /// The device went back to its old model.
    #[error("the device gave the new model up and runs the old one: {}", reason(*code))]
    RolledBack {
        /// The loader's error, or one of the protocol's `rejection`.
        code: u16,
    },
    /// The image is not of the model's input size.
    #[error("the image has {have} bytes, and the model's input {need}")]
    ImageSize {
        /// Bytes given.
        have: usize,
        /// Bytes of the input tensor.
        need: usize,
    },
}

impl LinkError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::UnknownTarget { .. } => "`resmcu boards` lists the targets".into(),
            Self::UnknownBoard { .. } => {
                "`resmcu boards` lists the boards; emulated ones take `--target qemu-...`".into()
            }
            Self::OtherTool { command, .. } => {
                format!("{command}; then `--target serial:PORT` speaks with it")
            }
            Self::Probe(error) => error.help(),
            Self::PortMissing { .. } => {
                "plug the board in with a cable that carries data; `resmcu probe` lists the ports"
                    .into()
            }
            Self::PortDenied { .. } => {
                "on Linux: `sudo usermod -aG dialout $USER`, then log out and in again".into()
            }
            Self::PortUnusable { .. } => {
                "close the program that uses it (a terminal, a monitor), or name a serial port"
                    .into()
            }
            Self::PortGone { .. } => {
                "plug the board in again and repeat the command; its flash is as it was".into()
            }
            Self::Silent { .. } => {
                "check port and baud, and that this firmware is on the board: `resmcu flash` \
                 writes it"
                    .into()
            }
            Self::OtherModel { .. } => "`--update` writes this model to the device first".into(),
            Self::ToolMissing { package, .. } => format!(
                "`cargo xtask setup` installs what is missing, or install QEMU yourself \
                 (Debian, Ubuntu: `apt install {package}`)"
            ),
            Self::Firmware { .. } | Self::PluginMissing { .. } => {
                "build the firmware again with `cargo xtask boards`".into()
            }
            Self::Version { .. } => {
                "build the firmware again with `cargo xtask boards`; a real board then takes \
                 `resmcu flash`"
                    .into()
            }
            Self::Profile { .. } => {
                "build firmware and plugin again with `cargo xtask boards`".into()
            }
            Self::ModelTooLarge { .. } => {
                "choose a target with a larger slot (`resmcu boards`) or a smaller network".into()
            }
            Self::Start { .. } => "`resmcu doctor` shows what is missing".into(),
            Self::Died { .. } | Self::TimedOut { .. } => {
                "run it again with `--log` to see the device's log; `resmcu doctor` checks QEMU"
                    .into()
            }
            Self::Line { .. } | Self::Unexpected { .. } => {
                "check the connection and that nothing else uses it, then run it again".into()
            }
            Self::Refused { .. } => {
                "firmware/wire-protocol/README.md says what each refusal means".into()
            }
            Self::NoModel { failure } => load_failure::help(failure.code),
            Self::RolledBack { code } => load_failure::help(*code),
            Self::ImageSize { .. } => {
                "give an image of the model's size; `resmcu inspect` prints it".into()
            }
        }
    }
}

/// Why a model was rejected, in words.
fn reason(code: u16) -> String {
    match code {
        rejection::NOT_INTACT => "its bytes changed in flash".into(),
        rejection::WRONG_ANSWER => "it answers otherwise than it should".into(),
        rejection::UNFINISHED => "its trial began several times and never ended".into(),
        rejection::REASON_LOST => "it failed its trial, and a power cut took the reason".into(),
        code => load_failure::what(code),
    }
}

fn there_are(known: &str) -> String {
    if known.is_empty() { ", nor any other".into() } else { format!("; there are {known}") }
}

fn tail(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it last said: {said}") }
}
