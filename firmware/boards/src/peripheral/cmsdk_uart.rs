//! The UART of Arm's Cortex-M System Design Kit, polled.

use resmcu_board_support::Register;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

const TX_FULL: u32 = 1 << 0;
const RX_FULL: u32 = 1 << 1;
const TX_RX_ENABLE: u32 = 0b11;

/// A serial line.
#[derive(Debug)]
pub(crate) struct CmsdkUart {
    data: Register<u32>,
    state: Register<u32>,
}

impl CmsdkUart {
    /// Enables the UART at `base`, at the fastest rate that it has.
    ///
    /// # Safety
    /// It is there, and nothing else uses it.
    pub(crate) unsafe fn new(base: usize) -> Self {
        // SAFETY: the caller's promise; the offsets are those of the CMSDK's manual.
        let (data, state, control, divider) = unsafe {
            (
                Register::<u32>::new(base),
                Register::new(base + 0x4),
                Register::<u32>::new(base + 0x8),
                Register::<u32>::new(base + 0x10),
            )
        };
        divider.write(16); // the least that the manual allows
        control.write(TX_RX_ENABLE);
        data.read(); // empties the receiver, and lets QEMU offer what came before
        Self { data, state }
    }
}

impl ErrorType for CmsdkUart {
    type Error = Infallible;
}

impl Read for CmsdkUart {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = chunk.first_mut() else { return Ok(0) };
        while self.state.read() & RX_FULL == 0 {}
        *first = self.data.read() as u8;
        Ok(1)
    }
}

impl Write for CmsdkUart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        while self.state.read() & TX_FULL != 0 {}
        self.data.write(u32::from(first));
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while self.state.read() & TX_FULL != 0 {}
        Ok(())
    }
}
