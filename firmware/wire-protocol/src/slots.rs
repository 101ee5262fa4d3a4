//! What a device says of the two slots that its models lie in.
//!
//! As in `message`, order is meaning: postcard numbers variants and writes fields one by one.

use serde::{Deserialize, Serialize};

/// The two slots of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsInfo {
    /// The slot whose model runs: 0 or 1.
    pub running: Option<u8>,
    /// Signatures are verified; without it they are kept and not looked at.
    pub verified: bool,
    /// Both slots.
    pub slots: [SlotInfo; 2],
}

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// Bytes of the largest model that it holds.
    pub capacity: u32,
    /// What it holds.
    pub state: SlotState,
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotState {
    /// No model.
    Empty,
    /// A header, and a model that is not the one it names.
    Damaged,
    /// A whole model.
    Whole {
        /// Its number: the larger one is the newer model.
        sequence: u32,
        /// Its size.
        bytes: u32,
        /// The CRC-32 of all its bytes.
        crc: u32,
        /// A signature came with it.
        signed: bool,
        /// How it fared.
        standing: Standing,
    },
}

/// How the model of a slot fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It passed its trial.
    Confirmed,
    /// Its trial is to come, or was interrupted.
    OnTrial {
        /// How often it began.
        begun: u8,
    },
    /// It failed its trial and does not run again.
    Rejected {
        /// The loader's error, or one of [`rejection`].
        code: u16,
    },
}

/// Why a model was rejected that the loader accepted.
pub mod rejection {
    /// Its bytes changed while it was tried.
    pub const NOT_INTACT: u16 = 1000;
    /// A known answer came out otherwise.
    pub const WRONG_ANSWER: u16 = 1001;
    /// Its trials began and never ended.
    pub const UNFINISHED: u16 = 0xFFFE;
    /// The reason was lost in a power cut.
    pub const REASON_LOST: u16 = 0xFFFF;
}
