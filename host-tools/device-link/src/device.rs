//! What every way of reaching a device has in common.

use crate::error::LinkError;
use std::time::Instant;

/// A device that runs: its serial line and whether it lives. Its log goes where the one who
/// started it wished.
pub trait Device {
    /// Sends all bytes.
    ///
    /// # Errors
    /// When the device is gone or takes nothing.
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError>;

    /// Waits for bytes until `deadline`, and gives how many came; 0 after the deadline.
    ///
    /// # Errors
    /// When the device is gone.
    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, LinkError>;

    /// The last that the device logged, for an error's text; empty where nothing is known.
    fn last_words(&self) -> String {
        String::new()
    }

    /// Waits until `deadline` for the device to end by itself, after it was told to stop; its exit
    /// code if it has one.
    ///
    /// # Errors
    /// When it does not end.
    fn wait(&mut self, deadline: Instant) -> Result<Option<i32>, LinkError>;
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        (**self).send(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, LinkError> {
        (**self).receive(buffer, deadline)
    }

    fn last_words(&self) -> String {
        (**self).last_words()
    }

    fn wait(&mut self, deadline: Instant) -> Result<Option<i32>, LinkError> {
        (**self).wait(deadline)
    }
}
