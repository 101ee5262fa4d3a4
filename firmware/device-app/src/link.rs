//! The device's end of the line: sends frames.

use crate::log::log;
use embedded_io::Write;
use resmcu_wire_protocol::{Response, encode_response};

/// A serial port and the buffer in which frames of at most `FRAME` bytes are built.
#[derive(Debug)]
pub(crate) struct Link<S, const FRAME: usize> {
    pub(crate) serial: S,
    buffer: [u8; FRAME],
}

impl<S: Write, const FRAME: usize> Link<S, FRAME> {
    pub(crate) fn new(serial: S) -> Self {
        Self { serial, buffer: [0; FRAME] }
    }

    pub(crate) fn send(&mut self, sequence: u16, response: &Response<'_>) -> Result<(), S::Error> {
        let Ok(frame) = encode_response(sequence, response, &mut self.buffer) else {
            // All responses are bounded and boards choose `FRAME` accordingly.
            log!(error, "an answer does not fit a frame");
            return Ok(());
        };
        self.serial.write_all(frame)?;
        self.serial.flush()
    }
}
