//! Two slots for a model in flash, of which one is always whole.
//!
//! Owns the bytes of a slot (specified in `README.md`), the order of writes and erases that makes
//! an update survive a power cut at any of them, the trial of a new model and the way back to the
//! old one. Guarantees that a slot that once was confirmed stays whole until the other one is.
//! Knows neither what a model is (a slot holds bytes) nor where the flash lies: it comes in by the
//! traits of `embedded-storage`. No heap, no panic in release.
#![no_std]

mod header;
mod sign;
mod slots;
mod update;

pub use header::{HEADER_BYTES, Header, SIGNATURE_BYTES, image};
#[cfg(feature = "ed25519")]
pub use sign::PUBLIC_KEY_BYTES;
pub use sign::{SignatureFault, Trust};
pub use slots::{Choice, Slot, SlotRange, Slots, Standing, State, TRIALS, UNFINISHED};
pub use update::UpdateError;
