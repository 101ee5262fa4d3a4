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
pub mod frame;
mod link;
mod log;
mod look;
#[cfg(feature = "ssd1306")]
mod oled;
mod panel;
pub mod scores;
mod self_test;
mod serial_queue;
mod store;
mod tap;

pub use app::{App, End, Identity, Ram};
pub use counter::{Calibration, Counter};
pub use embedded_storage;
pub use look::{Eye, Look};
#[cfg(feature = "ssd1306")]
pub use oled::Oled;
pub use panel::{Answer, Light, Panel, Watched};
pub use resmcu_int8_runtime as int8_runtime;
pub use resmcu_model_slots as model_slots;
pub use resmcu_wire_protocol as wire_protocol;
pub use self_test::{Findings, self_test};
pub use serial_queue::{QueuedSerial, Received, SerialQueue};
pub use store::{NoSlots, SlotStore, Store};
