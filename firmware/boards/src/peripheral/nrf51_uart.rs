//! The nRF51's UART on the micro:bit's USB line, at 115,200 baud, polled.

use resmcu_board_support::Register;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

const UART0: usize = 0x4000_2000;
const PIN_TX: u32 = 24;
const PIN_RX: u32 = 25;
const BAUD_115200: u32 = 0x01D7_E000;
const ENABLED: u32 = 4;

/// A serial line.
#[derive(Debug)]
pub(crate) struct Uart {
    received: Register<u32>,
    sent: Register<u32>,
    rx: Register<u32>,
    tx: Register<u32>,
}

impl Uart {
    /// Enables the UART.
    ///
    /// # Safety
    /// Nothing else uses it.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: the caller's promise; the offsets are those of the nRF51's manual.
        let register = |offset| unsafe { Register::<u32>::new(UART0 + offset) };
        let settings =
            [(0x50C, PIN_TX), (0x514, PIN_RX), (0x524, BAUD_115200), (0x500, ENABLED)];
        let start_receiver_and_sender = [(0x000, 1), (0x008, 1)];
        for (offset, value) in settings.into_iter().chain(start_receiver_and_sender) {
            register(offset).write(value);
        }
        let [received, sent, rx, tx] = [0x108, 0x11C, 0x518, 0x51C].map(register);
        Self { received, sent, rx, tx }
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = chunk.first_mut() else { return Ok(0) };
        while self.received.read() == 0 {}
        self.received.write(0); // before the byte is taken: the next one sets it again
        *first = self.rx.read() as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        self.sent.write(0);
        self.tx.write(u32::from(first));
        while self.sent.read() == 0 {}
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(()) // `write` waits
    }
}
