//! SiFive's UART, polled.

use resmcu_board_support::Register;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

/// The sender's queue is full, the receiver's empty.
const FULL_OR_EMPTY: u32 = 1 << 31;
const ENABLE: u32 = 1 << 0;

/// A serial line.
#[derive(Debug)]
pub(crate) struct SifiveUart {
    tx: Register<u32>,
    rx: Register<u32>,
}

impl SifiveUart {
    /// Enables the UART at `base`.
    ///
    /// # Safety
    /// It is there, and nothing else uses it.
    pub(crate) unsafe fn new(base: usize) -> Self {
        // SAFETY: the caller's promise; the offsets are those of the FE310's manual.
        let [tx, rx, tx_control, rx_control] =
            [0x00, 0x04, 0x08, 0x0C].map(|offset| unsafe { Register::<u32>::new(base + offset) });
        tx_control.write(ENABLE);
        rx_control.write(ENABLE);
        Self { tx, rx }
    }
}

impl ErrorType for SifiveUart {
    type Error = Infallible;
}

impl Read for SifiveUart {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = chunk.first_mut() else { return Ok(0) };
        loop {
            let received = self.rx.read();
            if received & FULL_OR_EMPTY == 0 {
                *first = received as u8;
                return Ok(1);
            }
        }
    }
}

impl Write for SifiveUart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        self.flush()?;
        self.tx.write(u32::from(first));
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while self.tx.read() & FULL_OR_EMPTY != 0 {}
        Ok(())
    }
}
