//! A light at a pin of SiFive's GPIO that is driven low to shine.

use resmcu_board_support::Register;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin};

/// A light.
#[derive(Debug)]
pub(crate) struct Led {
    value: Register<u32>,
    bit: u32,
}

impl Led {
    /// The dark light at `pin` of the GPIO at `base`.
    ///
    /// # Safety
    /// It is there, and nothing else changes its pins meanwhile.
    pub(crate) unsafe fn new(base: usize, pin: u8) -> Self {
        // SAFETY: the caller's promise; the offsets are those of the FE310's manual.
        let [output_enable, value] =
            [0x08, 0x0C].map(|offset| unsafe { Register::<u32>::new(base + offset) });
        let bit = 1 << pin;
        value.write(value.read() | bit);
        output_enable.write(output_enable.read() | bit);
        Self { value, bit }
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.value.write(self.value.read() | self.bit);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.value.write(self.value.read() & !self.bit);
        Ok(())
    }
}
