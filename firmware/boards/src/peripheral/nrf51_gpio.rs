//! A light of the micro:bit's matrix, by the nRF51's GPIO.

use resmcu_board_support::Register;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin};

const GPIO: usize = 0x5000_0000;

/// A light between a row, which is driven high, and a column, which is driven low.
#[derive(Debug)]
pub(crate) struct Led {
    set: Register<u32>,
    clear: Register<u32>,
    row: u32,
}

impl Led {
    /// The dark light at these pins.
    ///
    /// # Safety
    /// Nothing else uses these pins.
    pub(crate) unsafe fn new(row: u8, column: u8) -> Self {
        // SAFETY: the offsets are those of the nRF51's manual; writing a pin's bit to these
        // registers changes no other pin.
        let [set, clear, outputs] =
            [0x508, 0x50C, 0x518].map(|offset| unsafe { Register::<u32>::new(GPIO + offset) });
        let (row, column) = (1 << row, 1 << column);
        clear.write(row | column);
        outputs.write(row | column);
        Self { set, clear, row }
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.clear.write(self.row);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set.write(self.row);
        Ok(())
    }
}
