//! Frames: `COBS(postcard(sequence, message) ++ CRC-32) ++ 0x00`.
//!
//! Owns the layout of a frame, its checks and the resynchronization. Guarantees that a message is
//! handed out only when every byte of its frame was there, the CRC held and nothing was left over.

use crate::Response;
use crate::cobs::{self, Step};
use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// CRC-32/ISO-HDLC (the CRC of zip, PNG and Ethernet).
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

const CRC_BYTES: usize = 4;

/// The longest frame that either side sends, delimiter included.
pub const FRAME_BYTES_MAX: usize = 576;

/// The longest frame that every device takes, however small: all requests but long writes.
pub const FRAME_BYTES_MIN: usize = 64;

/// Most that a frame adds to the bytes that a write carries: sequence 3, message 1, offset 5,
/// length 3, CRC 4, COBS 1 + one a 254 bytes (at most 3 here), delimiter 1.
pub const FRAME_OVERHEAD_BYTES: usize = 3 + 1 + 5 + 3 + CRC_BYTES + 4 + 1;

/// Bytes that a device reads from the line at once.
pub const READ_BYTES: usize = 32;

/// Bytes of RAM that a device has for the line: a frame that comes, one that goes, what it reads at
/// once.
#[must_use]
pub const fn line_bytes(frame_bytes_max: usize) -> usize {
    2 * frame_bytes_max + READ_BYTES
}

/// CRC-32 (ISO-HDLC) of a tensor's bytes in raster order, as `trace` compares them.
pub fn tensor_crc(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameFault {
    /// The delimiter came before the last run was whole, or there was too little for a CRC.
    Truncated,
    /// It is longer than the receiver's buffer.
    TooLong,
    /// The CRC-32 does not match.
    Crc,
    /// The CRC holds, but the bytes are no message of this version.
    Malformed,
}

/// The buffer cannot hold the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall;

/// Writes one frame to the front of `out` and returns it, delimiter included.
pub fn encode<'o, T: Serialize>(
    sequence: u16,
    message: &T,
    out: &'o mut [u8],
) -> Result<&'o [u8], BufferTooSmall> {
    let flavor = FrameFlavor { cobs: cobs::Encoder::new(out), digest: CRC.digest() };
    let len = postcard::serialize_with_flavor(&(sequence, message), flavor)
        .map_err(|_| BufferTooSmall)?;
    out.get(..len).ok_or(BufferTooSmall)
}

/// [`encode`] of a response: all that a device sends, so that it is compiled here, once, with the
/// settings of this crate.
pub fn encode_response<'o>(
    sequence: u16,
    response: &Response<'_>,
    out: &'o mut [u8],
) -> Result<&'o [u8], BufferTooSmall> {
    encode(sequence, response, out)
}

/// Reads the message of a frame that a [`Decoder`] handed out, and its sequence number.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<(u16, T), FrameFault> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(FrameFault::Malformed),
    }
}

/// Receives frames of at most `N - 1` bytes (unstuffed) from a line that may carry anything.
#[derive(Clone, Debug)]
pub struct Decoder<const N: usize> {
    buffer: [u8; N],
    len: usize,
    too_long: bool,
    /// Some byte came since the last delimiter: a second delimiter in a row is no frame.
    begun: bool,
    cobs: cobs::Decoder,
}

impl<const N: usize> Default for Decoder<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Decoder<N> {
    /// A decoder that takes the next byte as the first of a frame.
    pub const fn new() -> Self {
        Self { buffer: [0; N], len: 0, too_long: false, begun: false, cobs: cobs::Decoder::new() }
    }

    /// Takes the next byte of the line. At the end of a frame: its payload for [`decode`], or why
    /// it was refused; either way the next byte begins a frame.
    pub fn push(&mut self, byte: u8) -> Option<Result<&[u8], FrameFault>> {
        let complete = match self.cobs.step(byte) {
            Step::End { complete } => complete,
            step => {
                self.begun = true;
                self.keep(step);
                return None;
            }
        };
        let (len, too_long, begun) = (self.len, self.too_long, self.begun);
        (self.len, self.too_long, self.begun) = (0, false, false);
        if !begun {
            return None;
        }
        if too_long {
            return Some(Err(FrameFault::TooLong));
        }
        if !complete {
            return Some(Err(FrameFault::Truncated));
        }
        Some(check_crc(self.buffer.get(..len).unwrap_or(&[])))
    }

    fn keep(&mut self, step: Step) {
        let byte = match step {
            Step::Byte(byte) => byte,
            Step::Zero => 0,
            Step::Nothing | Step::End { .. } => return,
        };
        match self.buffer.get_mut(self.len) {
            Some(slot) => {
                *slot = byte;
                self.len += 1;
            }
            None => self.too_long = true,
        }
    }
}

fn check_crc(bytes: &[u8]) -> Result<&[u8], FrameFault> {
    let (payload, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(FrameFault::Truncated)?;
    if CRC.checksum(payload) == u32::from_le_bytes(*crc) {
        Ok(payload)
    } else {
        Err(FrameFault::Crc)
    }
}

/// A postcard flavor that checksums and stuffs on the way, so that a frame needs one buffer.
struct FrameFlavor<'a> {
    cobs: cobs::Encoder<'a>,
    digest: Digest<'static, u32, Table<1>>,
}

impl Flavor for FrameFlavor<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.digest.update(&[byte]);
        self.cobs.push(byte).ok_or(postcard::Error::SerializeBufferFull)
    }

    fn finalize(mut self) -> postcard::Result<usize> {
        for byte in self.digest.finalize().to_le_bytes() {
            self.cobs.push(byte).ok_or(postcard::Error::SerializeBufferFull)?;
        }
        self.cobs.finish().ok_or(postcard::Error::SerializeBufferFull)
    }
}
