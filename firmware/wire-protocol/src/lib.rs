#![no_std]
//! The messages between host and device, and the frames that carry them.
//!
//! One home for the protocol: host and device both use this crate. The README beside it is the
//! specification. It guarantees that any bytes at all may arrive: a [`Decoder`] hands out whole,
//! intact frames and counts nothing else, and finds the next frame after garbage. It knows no
//! serial port, no model and no time-out; who sends what and when is up to the two ends.

pub mod cobs;
mod frame;
mod message;
mod slots;

pub use frame::{
    BufferTooSmall, Decoder, FRAME_BYTES_MAX, FRAME_BYTES_MIN, FRAME_OVERHEAD_BYTES, FrameFault,
    READ_BYTES, decode, encode, encode_response, line_bytes, tensor_crc,
};
pub use message::{
    CounterUnit, DeviceInfo, LoadFailure, MemoryUse, ModelInfo, ModelState, PROTOCOL_VERSION,
    Refusal, Request, Response, SEQUENCE_NONE, SelfTestReport, Sight, SignatureFault, TOP_MAX,
    TopClass, WRITE_BYTES_MAX, Watch,
};
pub use slots::{SlotInfo, SlotState, SlotsInfo, Standing, rejection};
