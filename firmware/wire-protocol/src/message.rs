//! The messages. Order is meaning: postcard numbers variants, so new ones go to the end.
//!
//! Every number of the wire stands here or in the README's tables; both sides read these types.

use crate::frame::FrameFault;
use crate::slots::SlotsInfo;
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// Version of the messages. A device that is asked in another refuses and names its own.
pub const PROTOCOL_VERSION: u16 = 4;

/// The sequence number of an answer to no request (a broken frame, a boot message).
pub const SEQUENCE_NONE: u16 = 0;

/// Most classes that an inference's answer names.
pub const TOP_MAX: usize = 5;

/// Most bytes that one write, or [`Response::Output`], carries.
pub const WRITE_BYTES_MAX: usize = 512;

/// What is told of the steps that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watch {
    /// Nothing.
    Nothing,
    /// [`Response::StepCost`], each time that a step has made rows.
    Costs,
    /// [`Response::TensorCrc`] of the input, where its memory holds all of it, and of the rows that
    /// a step has made.
    Tensors,
}

/// What the host asks. Every request has one answer, which a [`Watch`] precedes by a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who is there? `version` is the host's [`PROTOCOL_VERSION`].
    Hello {
        /// The host's protocol version.
        version: u16,
    },
    /// Bytes of the input tensor, in order: `offset` 0 begins a new image.
    WriteInput {
        /// Where in the input tensor.
        offset: u32,
        /// At most [`WRITE_BYTES_MAX`], and no more than the device's frame holds.
        bytes: &'a [u8],
    },
    /// Run the model on the image that was written.
    Infer,
    /// As [`Request::Infer`], with the cost of every step that did not run as the image came;
    /// [`Request::InferRows`] tells of all.
    Bench,
    /// The same with a CRC of the input and of every step's output.
    Trace,
    /// Bytes of the last run's output tensor.
    ReadOutput {
        /// Where in the output tensor.
        offset: u32,
        /// How many bytes, at most [`WRITE_BYTES_MAX`].
        len: u32,
    },
    /// Where the RAM went.
    Memory,
    /// Run code of known length under the counter: 100 `nop`s if `rounds` is 0, otherwise a loop
    /// of two instructions.
    Calibrate {
        /// Rounds of the loop.
        rounds: u32,
    },
    /// End the application (an emulated board exits with code 0, a real one resets).
    Stop,
    /// As [`Request::WriteInput`]; the piece that completes the image is answered by its inference,
    /// which may begin before, as rows arrive.
    InferRows {
        /// Where in the input tensor.
        offset: u32,
        /// What is told of the steps that run; then the last answer is [`Response::Done`].
        watch: Watch,
        /// At most [`WRITE_BYTES_MAX`], and no more than the device's frame holds.
        bytes: &'a [u8],
    },
    /// Test the model, and say how deep the stack was. Takes the place of the image and the output.
    SelfTest,
    /// What do the slots hold?
    Slots,
    /// Begin an update: erase the slot that is not in use.
    UpdateBegin {
        /// Bytes of the new model.
        bytes: u32,
        /// CRC-32 (ISO-HDLC) of them.
        crc: u32,
    },
    /// Bytes of the new model, in order.
    UpdateWrite {
        /// Where in the model.
        offset: u32,
        /// At most [`WRITE_BYTES_MAX`], and no more than the device's frame holds.
        bytes: &'a [u8],
    },
    /// End the update: the new model runs after the next reset, on trial.
    UpdateCommit {
        /// Its ed25519 signature, of 64 bytes, or none.
        signature: &'a [u8],
    },
    /// Begin anew, as after power on.
    Reset,
    /// What did the camera see last?
    Seen,
}

/// What the device answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response<'a> {
    /// The request, or the frame, was refused.
    Error(Refusal),
    /// Answers [`Request::Hello`].
    #[serde(borrow)]
    Hello(DeviceInfo<'a>),
    /// Answers [`Request::WriteInput`].
    Written {
        /// Bytes of the image that are there, from its start.
        have: u32,
    },
    /// Answers [`Request::Infer`].
    Inferred {
        /// Instructions or cycles of the whole inference.
        count: u64,
        /// The margin between the two best is below the model's threshold: the answer is
        /// «unknown», and `top` what it would have been.
        unknown: bool,
        /// Best classes first; of equal ones the smaller index first.
        top: Vec<TopClass, TOP_MAX>,
    },
    /// One run of a step, under [`Watch::Costs`]; those of a step add up to its cost.
    StepCost {
        /// Step, from 0.
        step: u16,
        /// Instructions or cycles of it.
        count: u64,
    },
    /// Rows of a tensor, or all of it, under [`Watch::Tensors`].
    TensorCrc {
        /// 0 is the input, `n` the output of step `n - 1`.
        tensor: u16,
        /// The first byte of the tensor that it is about.
        at: u32,
        /// CRC-32 (ISO-HDLC) of its bytes in raster order.
        crc: u32,
        /// How many bytes.
        bytes: u32,
    },
    /// Ends an inference under a [`Watch`].
    Done {
        /// Sum of the costs that this answer told of.
        total: u64,
    },
    /// Answers [`Request::ReadOutput`].
    Output {
        /// Where in the output tensor.
        offset: u32,
        /// At most [`WRITE_BYTES_MAX`].
        bytes: &'a [u8],
    },
    /// Answers [`Request::Memory`].
    Memory(MemoryUse),
    /// Answers [`Request::Calibrate`].
    Calibrated {
        /// What the counter said, its own cost taken off.
        count: u64,
        /// What the code's length is.
        expected: u64,
    },
    /// Answers [`Request::Stop`]; nothing follows.
    Stopped,
    /// Answers [`Request::SelfTest`].
    SelfTest(SelfTestReport),
    /// Answers [`Request::Slots`].
    Slots(SlotsInfo),
    /// Answers [`Request::UpdateBegin`].
    UpdateBegun {
        /// The slot that was erased: 0 or 1.
        slot: u8,
    },
    /// Answers [`Request::UpdateCommit`].
    UpdateCommitted {
        /// The number of the new model.
        sequence: u32,
    },
    /// Answers [`Request::Reset`]; nothing follows until the device has begun anew.
    Resetting,
    /// Answers [`Request::Seen`].
    Seen {
        /// Pictures that were classified since the start.
        looks: u32,
        /// Pictures that the camera failed to give.
        failures: u32,
        /// The last of the former.
        last: Option<Sight>,
    },
}

/// What a picture of the camera was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Index of the best class.
    pub class: u16,
    /// Its softmax, 0 to 1, for people.
    pub score: f32,
    /// The margin is below the model's threshold: the answer is «unknown», and `class` what it
    /// would have been.
    pub unknown: bool,
}

/// Who the device is and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceInfo<'a> {
    /// The device's [`PROTOCOL_VERSION`].
    pub version: u16,
    /// Version of the firmware.
    pub firmware: &'a str,
    /// The board, as `resmcu boards` names it without its way of connection.
    pub board: &'a str,
    /// The instruction set that the firmware was built for.
    pub isa: &'a str,
    /// What its counts count.
    pub unit: CounterUnit,
    /// The longest frame that it takes, delimiter included.
    pub frame_bytes_max: u16,
    /// Bytes of arena that a model may use.
    pub arena_capacity: u32,
    /// Bytes of flash that a model may fill.
    pub slot_capacity: u32,
    /// The model in the slot.
    #[serde(borrow)]
    pub model: ModelState<'a>,
}

/// What a count counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CounterUnit {
    /// Executed instructions (an emulator).
    Instructions,
    /// Clock cycles (a chip).
    Cycles,
}

/// The model in the slot, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelState<'a> {
    /// Ready to run.
    #[serde(borrow)]
    Loaded(ModelInfo<'a>),
    /// The loader refused what the slot holds.
    Refused(LoadFailure),
}

/// A loaded model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo<'a> {
    /// Its name.
    pub name: &'a str,
    /// The CRC-32 that its file carries.
    pub crc: u32,
    /// Height, width, channels.
    pub input_shape: [u16; 3],
    /// Bytes of the output tensor.
    pub output_bytes: u32,
    /// Classes.
    pub classes: u16,
    /// Steps of its plan.
    pub steps: u16,
}

impl ModelInfo<'_> {
    /// Bytes of the input tensor.
    pub fn input_bytes(&self) -> usize {
        self.input_shape.iter().map(|&side| usize::from(side)).fold(1, usize::saturating_mul)
    }
}

/// Why a model was refused; the README lists the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadFailure {
    /// Which check failed.
    pub code: u16,
    /// What it found, and against what.
    pub details: [u32; 2],
}

/// A class and the softmax of its logit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopClass {
    /// Index of the class.
    pub class: u16,
    /// 0 to 1, for people: no test for equality rests on it.
    pub score: f32,
}

/// Where the RAM went, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Arena that the model's plan uses for tensors.
    pub arena: u32,
    /// Arena that its kernels use beside them.
    pub scratch: u32,
    /// Arena that this firmware has.
    pub arena_capacity: u32,
    /// The decoded plan as this firmware reserves it (lives on the stack, not counted there).
    pub plan: u32,
    /// `.data` and `.bss` without the arena.
    pub statics: u32,
    /// Deepest stack since the start, without the plan.
    pub stack: u32,
    /// Bytes of stack that this firmware has.
    pub stack_capacity: u32,
}

/// What the device found of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestReport {
    /// The bytes of the model are those that its CRC-32 was made from.
    pub intact: bool,
    /// Known answers that the model carries.
    pub answers: u16,
    /// Those among them that came out otherwise.
    pub wrong: u16,
    /// Deepest stack since the start, in bytes.
    pub stack: u32,
    /// Bytes of stack that this firmware has.
    pub stack_capacity: u32,
}

impl SelfTestReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_passed(&self) -> bool {
        self.intact && self.wrong == 0
    }
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignatureFault {
    /// The device takes signed models only.
    Missing,
    /// It is not the signature of these bytes by the device's key.
    Wrong,
    /// It does not have 64 bytes.
    Length,
}

/// Why the device did not do what it was asked. The number of a variant is its error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The host speaks another version.
    UnsupportedVersion {
        /// The device's version.
        device: u16,
        /// The host's version.
        host: u16,
    },
    /// A frame could not be read.
    BadFrame {
        /// What was wrong with it.
        fault: FrameFault,
        /// Bad frames since the start, this one among them.
        count: u32,
    },
    /// The slot holds no model that the loader accepts.
    NoModel(LoadFailure),
    /// A write passes the end of the input tensor.
    InputOutOfRange {
        /// Where the write would end.
        end: u32,
        /// Bytes of the input tensor.
        bytes: u32,
    },
    /// A write does not begin where the last one ended, or before.
    InputGap {
        /// Where it begins.
        offset: u32,
        /// Bytes that are there.
        have: u32,
    },
    /// A run needs a complete, new image: a run consumes the one before it.
    NotAllInputWritten {
        /// Bytes that are there.
        have: u32,
        /// Bytes of the input tensor.
        need: u32,
    },
    /// There is no output to read: nothing ran, or a new image began since.
    NoOutput,
    /// A read passes the end of the output tensor, or asks for more than a frame holds.
    OutputOutOfRange {
        /// Where the read would end.
        end: u32,
        /// Bytes of the output tensor.
        bytes: u32,
    },
    /// This board's counter cannot be calibrated.
    NotCalibratable,
    /// This firmware cannot update its model.
    NoSlots,
    /// The new model is larger than the slot.
    UpdateTooLarge {
        /// Bytes of the model.
        bytes: u32,
        /// Bytes of the largest that the slot holds.
        capacity: u32,
    },
    /// A piece or a commit without an update: none was begun, or it failed.
    UpdateNotBegun,
    /// A piece does not begin where the last one ended, or before.
    UpdateGap {
        /// Where it begins.
        offset: u32,
        /// Bytes that are there.
        have: u32,
    },
    /// A piece passes the end of the new model.
    UpdateOutOfRange {
        /// Where it would end.
        end: u32,
        /// Bytes of the model.
        bytes: u32,
    },
    /// A commit before all of the model is there.
    UpdateIncomplete {
        /// Bytes that are there.
        have: u32,
        /// Bytes of the model.
        need: u32,
    },
    /// The model in flash is not the one that was announced.
    UpdateCrc {
        /// The CRC-32 of what was read back.
        found: u32,
        /// The CRC-32 that was announced.
        expected: u32,
    },
    /// The signature was not accepted.
    Signature(SignatureFault),
    /// The flash could not be read, written or erased.
    Flash,
}
