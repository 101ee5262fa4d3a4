//! The 16550 UART, polled.

use resmcu_board_support::Register;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

const DATA_READY: u8 = 1 << 0;
const TX_EMPTY: u8 = 1 << 5;
const FIFO_ENABLE: u8 = 1 << 0;
const EIGHT_BITS: u8 = 0b11;

/// A serial line.
#[derive(Debug)]
pub(crate) struct Uart16550 {
    data: Register<u8>,
    line_status: Register<u8>,
}

impl Uart16550 {
    /// Enables the UART at `base`.
    ///
    /// # Safety
    /// It is there, and nothing else uses it.
    pub(crate) unsafe fn new(base: usize) -> Self {
        // SAFETY: the caller's promise; the offsets are those of the 16550.
        let (data, fifo_control, line_control, line_status) = unsafe {
            (
                Register::<u8>::new(base),
                Register::<u8>::new(base + 2),
                Register::<u8>::new(base + 3),
                Register::new(base + 5),
            )
        };
        line_control.write(EIGHT_BITS);
        fifo_control.write(FIFO_ENABLE);
        data.read(); // empties the receiver, and lets QEMU offer what came before
        Self { data, line_status }
    }
}

impl ErrorType for Uart16550 {
    type Error = Infallible;
}

impl Read for Uart16550 {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let mut received = 0;
        while received == 0 && !chunk.is_empty() {
            for slot in chunk.iter_mut() {
                if self.line_status.read() & DATA_READY == 0 {
                    break;
                }
                *slot = self.data.read();
                received += 1;
            }
        }
        Ok(received)
    }
}

impl Write for Uart16550 {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        self.flush()?;
        self.data.write(first);
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while self.line_status.read() & TX_EMPTY == 0 {}
        Ok(())
    }
}
