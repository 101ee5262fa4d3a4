//! A serial port as the application wants it: it waits for a byte, and never fails.
//!
//! What a port reports (a byte that came too early, a bad stop bit) is a byte lost: the frame that
//! it belonged to fails its CRC, is refused, and the host sends it again.

use core::convert::Infallible;
use embedded_hal_nb::nb;
use embedded_hal_nb::serial;
use embedded_io::{ErrorType, Read, ReadReady, Write};

/// A line that never fails, and says whether bytes are there.
pub trait Serial: ErrorType<Error = Infallible> + Read + ReadReady + Write {}

impl<S: ErrorType<Error = Infallible> + Read + ReadReady + Write> Serial for S {}

/// A serial port that says whether bytes are there, and what is done while nothing comes.
#[derive(Debug)]
pub struct Ready<P, I> {
    port: P,
    idle: I,
}

impl<P, I: FnMut()> Ready<P, I> {
    /// `idle` is called again and again while nothing comes: it feeds the watchdog, and may sleep
    /// until an interrupt.
    pub const fn new(port: P, idle: I) -> Self {
        Self { port, idle }
    }
}

impl<P, I> ErrorType for Ready<P, I> {
    type Error = Infallible;
}

impl<P: Read + ReadReady, I: FnMut()> Read for Ready<P, I> {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        while !chunk.is_empty() {
            match self.port.read_ready() {
                Ok(false) => (self.idle)(),
                Ok(true) => {
                    if let Ok(received @ 1..) = self.port.read(chunk) {
                        return Ok(received);
                    }
                }
                Err(_) => {}
            }
        }
        Ok(0)
    }
}

impl<P: ReadReady, I> ReadReady for Ready<P, I> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.port.read_ready().unwrap_or(false))
    }
}

impl<P: Write, I> Write for Ready<P, I> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        // What cannot be sent is lost: the host asks again.
        Ok(self.port.write(bytes).ok().filter(|&sent| sent > 0).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        let _ = self.port.flush(); // as above
        Ok(())
    }
}

/// A polled serial port of embedded-hal-nb, and what is done while nothing comes.
#[derive(Debug)]
pub struct Polled<P, I> {
    port: P,
    idle: I,
}

impl<P, I: FnMut()> Polled<P, I> {
    /// `idle` is called again and again while the port waits: it feeds the watchdog.
    pub const fn new(port: P, idle: I) -> Self {
        Self { port, idle }
    }
}

impl<P, I> ErrorType for Polled<P, I> {
    type Error = Infallible;
}

impl<P: serial::Read, I: FnMut()> Read for Polled<P, I> {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = chunk.first_mut() else { return Ok(0) };
        loop {
            match self.port.read() {
                Ok(byte) => {
                    *first = byte;
                    return Ok(1);
                }
                Err(nb::Error::WouldBlock) => (self.idle)(),
                Err(nb::Error::Other(_)) => {}
            }
        }
    }
}

impl<P: serial::Write, I: FnMut()> Write for Polled<P, I> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let Some(&first) = bytes.first() else { return Ok(0) };
        while let Err(nb::Error::WouldBlock) = self.port.write(first) {}
        Ok(1)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while let Err(nb::Error::WouldBlock) = self.port.flush() {}
        Ok(())
    }
}
