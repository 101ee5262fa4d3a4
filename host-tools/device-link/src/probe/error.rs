//! What can go wrong between a debug probe and a chip: what, where, found against limit.

use std::error::Error;
use std::path::PathBuf;

/// Why a probe, or the chip behind it, could not be used. [`ProbeError::help`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// No probe at all.
    #[error("no debug probe is connected")]
    NoProbe,
    /// None of those that there are was meant.
    #[error("no connected debug probe is `{wanted}`; there are: {found}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Those that there are.
        found: String,
    },
    /// More than one, and no choice.
    #[error("{count} debug probes fit, and none was chosen: {found}")]
    Several {
        /// How many.
        count: usize,
        /// Which.
        found: String,
    },
    /// The user may not open it.
    #[error("the debug probe {probe} may not be opened by this user")]
    Denied {
        /// Which.
        probe: String,
    },
    /// It cannot be opened.
    #[error("the debug probe {probe} cannot be used: {reason}")]
    Unusable {
        /// Which.
        probe: String,
        /// What probe-rs says.
        reason: String,
    },
    /// The chip does not answer.
    #[error("the debug probe does not reach the {chip} of {board}: {reason}")]
    Unreachable {
        /// The board.
        board: &'static str,
        /// Its chip.
        chip: &'static str,
        /// What probe-rs says.
        reason: String,
    },
    /// The chip lets nobody in before it is erased.
    #[error("the {chip} of {board} is locked: {reason}")]
    Locked {
        /// The board.
        board: &'static str,
        /// Its chip.
        chip: &'static str,
        /// What probe-rs says.
        reason: String,
    },
    /// Another chip.
    #[error(
        "the chip is no {chip}: its word at {address:#x} is {found:#x}, and that of {board} is \
         {expected:#x} in the bits {mask:#x}"
    )]
    WrongChip {
        /// The board that was named.
        board: &'static str,
        /// Its chip.
        chip: &'static str,
        /// Where chips of its kind say what they are.
        address: u64,
        /// What is there.
        found: u32,
        /// What should be.
        expected: u32,
        /// The bits that count.
        mask: u32,
    },
    /// It does not fit the chip.
    #[error("{what} needs {start:#x} to {end:#x}, and the flash of {board} is {flash}")]
    OutOfFlash {
        /// The firmware, or a slot.
        what: &'static str,
        /// Its first byte.
        start: u64,
        /// The byte after its last.
        end: u64,
        /// The board.
        board: &'static str,
        /// The ranges that there are.
        flash: String,
    },
    /// It does not fit the firmware's memory map.
    #[error("the firmware's code ends at {end:#x}, in its model slots, which begin at {slots:#x}")]
    InSlots {
        /// The byte after its last.
        end: u64,
        /// The slots' first byte.
        slots: u64,
    },
    /// The model is too large for both slots.
    #[error("the model file has {bytes} bytes, and the largest slot of {board} holds {slot}")]
    ModelTooLarge {
        /// Size of the file.
        bytes: u64,
        /// Size of the slot.
        slot: u64,
        /// The board.
        board: &'static str,
    },
    /// Only a model was to be written, beside another firmware.
    #[error(
        "the firmware on the board is not {}: the byte at {address:#x} is {found:#04x}, not \
         {expected:#04x}",
        path.display()
    )]
    OtherFirmware {
        /// The image.
        path: PathBuf,
        /// The first byte that differs.
        address: u64,
        /// What is there.
        found: u8,
        /// What the image has.
        expected: u8,
    },
    /// Flash could not be erased or written.
    #[error("writing {what} failed: {reason}")]
    Write {
        /// The firmware or the model.
        what: &'static str,
        /// What probe-rs says.
        reason: String,
    },
    /// Flash does not hold what was written.
    #[error(
        "{what} was written and reads back otherwise: the byte at {address:#x} is {found:#04x}, \
         not {expected:#04x}"
    )]
    Verify {
        /// The firmware or the model.
        what: &'static str,
        /// The first byte that differs.
        address: u64,
        /// What is there.
        found: u8,
        /// What was written.
        expected: u8,
    },
    /// Memory could not be read.
    #[error("the chip's memory at {address:#x} cannot be read: {reason}")]
    Read {
        /// Where.
        address: u64,
        /// What probe-rs says.
        reason: String,
    },
    /// The chip was written and does not begin anew.
    #[error("the chip cannot be reset: {reason}")]
    Reset {
        /// What probe-rs says.
        reason: String,
    },
    /// Ctrl-C.
    #[error("interrupted; {done}")]
    Interrupted {
        /// What is on the board now.
        done: &'static str,
    },
    /// The firmware has no channels in memory.
    #[error("{}: this firmware has no RTT channels", path.display())]
    NoRtt {
        /// The image.
        path: PathBuf,
    },
    /// The channels are not set up.
    #[error("the board's RTT channels at {address:#x} cannot be used: {reason}")]
    Rtt {
        /// Where the image has its control block.
        address: u64,
        /// What probe-rs says.
        reason: String,
    },
    /// The firmware has other channels.
    #[error("the firmware has no RTT channel `{wanted}`; it has {found}")]
    NoChannel {
        /// Its name.
        wanted: &'static str,
        /// Those that there are.
        found: String,
    },
}

impl ProbeError {
    /// What to do about it, in one line.
    #[must_use]
    pub fn help(&self) -> String {
        let help = match self {
            Self::NoProbe => {
                "plug the board in with a cable that carries data; on Linux a probe also needs \
                 udev rules (https://probe.rs/docs/getting-started/probe-setup); `resmcu probe` \
                 lists what is found"
            }
            Self::NotFound { .. } | Self::Several { .. } => {
                "choose one with `--probe SERIAL`, or `--probe VID:PID:SERIAL`; `resmcu probe` \
                 lists them"
            }
            Self::Denied { .. } => {
                "on Linux: install the udev rules of \
                 https://probe.rs/docs/getting-started/probe-setup, then plug it in again"
            }
            Self::Unusable { .. } => {
                "close the program that uses it (a debugger, another monitor), or plug it in again"
            }
            Self::Unreachable { .. } => {
                "check that the board has power and its debug pins are connected; \
                 `--connect-under-reset` reaches a chip whose firmware shuts the pins"
            }
            Self::Locked { .. } => "`--allow-erase-all` erases all of the chip, which unlocks it",
            Self::WrongChip { .. } => {
                "name the board that is connected (`resmcu boards`), or choose another probe with \
                 `--probe`"
            }
            Self::OutOfFlash { .. } | Self::InSlots { .. } => {
                "build this board's firmware with `cargo xtask boards`, or name its image with \
                 `--firmware`"
            }
            Self::ModelTooLarge { .. } => {
                "a smaller network, or `--flash-budget` of `resmcu quantize`"
            }
            Self::OtherFirmware { .. } => {
                "leave out `--model-only` to write this firmware too, or name the image that is on \
                 the board with `--firmware`"
            }
            Self::Write { .. } | Self::Verify { .. } => {
                "repeat the command: it writes all of it again; if it stays, try `--speed 1000` \
                 and a shorter cable, else the flash is worn out or protected"
            }
            Self::Read { .. } => "check the connection, then repeat the command",
            Self::Reset { .. } => "all is written: press the board's reset, or unplug it",
            Self::Interrupted { .. } => "repeat the command: it writes all of it again",
            Self::NoRtt { .. } | Self::NoChannel { .. } => {
                "this firmware speaks on its serial port: `--target serial:PORT`"
            }
            Self::Rtt { .. } => {
                "does this firmware run on the board? `resmcu flash` writes it; the image can be \
                 named with `--firmware`"
            }
        };
        help.into()
    }
}

/// An error and what caused it, in one line: probe-rs gives advice in further ones.
pub(super) fn chain(error: &dyn Error) -> String {
    let first_line = |error: &dyn Error| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
    };
    let (mut text, mut cause) = (first_line(error), error.source());
    while let Some(error) = cause {
        let said = first_line(error);
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
