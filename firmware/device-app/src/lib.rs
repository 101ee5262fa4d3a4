#![no_std]
//! The board-independent application: a model in flash, a serial line, a counter and a light.
//!
//! Owns what a device does with each request of `wire-protocol`, and which model it starts with.
//! Guarantees that any bytes on the line leave it running, and that a run only ever sees a complete
//! new image. Knows no board: the serial line, the flash, the counter and the pin come in as
//! traits, sizes as constants. Floats occur in
//! [`scores`] alone, for people to read; output bytes are exact.

mod app;
mod counter;
mod link;
mod log;
pub mod scores;
mod self_test;
mod store;
mod tap;

pub use app::{App, End, Identity, Ram};
pub use counter::{Calibration, Counter};
pub use embedded_storage;
pub use resmcu_int8_runtime as int8_runtime;
pub use resmcu_model_slots as model_slots;
pub use resmcu_wire_protocol as wire_protocol;
pub use self_test::{Findings, self_test};
pub use store::{NoSlots, SlotStore, Store};
