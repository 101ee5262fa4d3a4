//! Boards in QEMU, on a serial port or behind a probe, behind one trait.
//!
//! Owns the host's end of `wire-protocol`: the list of targets, starting one, talking to it, its
//! log, and what to say when it does not answer. Guarantees that every wait ends: a device that
//! is missing, hangs, dies or talks nonsense becomes a [`LinkError`] that says what, where and
//! what to do. Does not know models: it takes the bytes of a model file, and bytes of images as
//! the input tensor holds them.
//!
#![doc = include_str!("../README.md")]

mod client;
mod conversation;
mod device;
mod error;
mod firmware;
mod hardware;
mod leash;
mod load_failure;
mod log;
mod maintain;
pub mod probe;
mod profile;
mod qemu;
mod serial;
mod target;

pub use client::{Client, Counted, DeviceSummary, Inference, LoadedModel, TensorCrc, Timeouts};
pub use device::Device;
pub use error::LinkError;
pub use firmware::{Firmware, Image, ImageSizes};
pub use hardware::{Hardware, Identity, OtherTool, find_hardware, find_probed, hardware};
pub use log::{LogLevel, LogLine};
pub use maintain::{Seen, Updated};
pub use probe::ProbeError;
pub use profile::{Block, Core, CycleModel, FunctionCount, Profile, Profiler};
pub use qemu::Qemu;
pub use resmcu_wire_protocol as wire_protocol;
pub use serial::{BAUD, PortInfo, Serial, ports};
pub use target::{Emulator, Target, find_target, targets};
