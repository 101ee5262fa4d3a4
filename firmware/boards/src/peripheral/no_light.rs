//! A board without a light.

use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin};

/// Takes every level and shows none.
#[derive(Debug)]
pub(crate) struct NoLight;

impl ErrorType for NoLight {
    type Error = Infallible;
}

impl OutputPin for NoLight {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
