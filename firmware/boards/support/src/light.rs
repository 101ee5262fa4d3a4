//! A light at a pin that shines at one of its levels.

use embedded_hal::digital::{ErrorType, OutputPin};

/// A light.
#[derive(Debug)]
pub struct Led<P> {
    /// Its pin.
    pub pin: P,
    /// It shines while the pin is high.
    pub is_active_high: bool,
}

impl<P: ErrorType> ErrorType for Led<P> {
    type Error = P::Error;
}

impl<P: OutputPin> OutputPin for Led<P> {
    fn set_low(&mut self) -> Result<(), P::Error> {
        self.pin.set_state((!self.is_active_high).into())
    }

    fn set_high(&mut self) -> Result<(), P::Error> {
        self.pin.set_state(self.is_active_high.into())
    }
}
