//! Consistent Overhead Byte Stuffing (Cheshire and Baker, 1997), a byte at a time.
//!
//! Frames on the line hold no zero byte, so a zero ends a frame and a receiver that lost its
//! place finds it again at the next one. Written here rather than taken from a crate because
//! neither direction may hold a panic (the release images link with panics forbidden) and because
//! the decoder works as bytes arrive, in one buffer. Knows nothing of what the bytes mean.

/// The byte that ends a frame and occurs nowhere inside one.
pub const DELIMITER: u8 = 0;

/// Longest run of bytes that one code byte announces, itself included.
const CODE_MAX: u8 = 0xFF;

/// Stuffs bytes into a slice as they come.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut [u8],
    /// Where the pending code byte goes.
    code_at: usize,
    /// The pending code: 1 + bytes since `code_at`.
    code: u8,
    /// Bytes used, the pending code byte among them.
    len: usize,
}

impl<'a> Encoder<'a> {
    /// Starts a frame at the front of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, code_at: 0, code: 1, len: 1 }
    }

    /// Adds one byte; `None` if `out` is full.
    pub fn push(&mut self, byte: u8) -> Option<()> {
        if byte != DELIMITER {
            *self.out.get_mut(self.len)? = byte;
            self.len += 1;
            self.code += 1;
        }
        if byte == DELIMITER || self.code == CODE_MAX {
            *self.out.get_mut(self.code_at)? = self.code;
            self.code_at = self.len;
            self.len += 1;
            self.code = 1;
        }
        Some(())
    }

    /// Ends the frame with its delimiter; the number of bytes used, or `None` if `out` is full.
    pub fn finish(self) -> Option<usize> {
        *self.out.get_mut(self.code_at)? = self.code;
        *self.out.get_mut(self.len)? = DELIMITER;
        Some(self.len + 1)
    }
}

/// What one byte of the line meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was a code byte: no byte comes of it.
    Nothing,
    /// One byte of the frame.
    Byte(u8),
    /// A code byte that also stands for a zero of the frame.
    Zero,
    /// The frame ends here, and whether it ends where its last code said.
    End {
        /// The last run was whole.
        complete: bool,
    },
}

/// Undoes [`Encoder`], a byte at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    /// Bytes left of the present run.
    left: u8,
    /// The present run is followed by a zero, unless the frame ends.
    zero_follows: bool,
}

impl Decoder {
    /// A decoder at the start of a frame.
    pub const fn new() -> Self {
        Self { left: 0, zero_follows: false }
    }

    /// Takes the next byte of the line.
    pub fn step(&mut self, byte: u8) -> Step {
        if byte == DELIMITER {
            let complete = self.left == 0;
            *self = Self::new();
            return Step::End { complete };
        }
        if self.left > 0 {
            self.left -= 1;
            return Step::Byte(byte);
        }
        let step = if self.zero_follows { Step::Zero } else { Step::Nothing };
        self.left = byte - 1; // not the delimiter, so at least 1
        self.zero_follows = byte != CODE_MAX;
        step
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[track_caller]
    fn check(plain: &[u8], stuffed: &[u8]) {
        let mut out = [0; 1024];
        let mut encoder = Encoder::new(&mut out);
        plain.iter().for_each(|&byte| encoder.push(byte).unwrap());
        let len = encoder.finish().unwrap();
        if !stuffed.is_empty() {
            assert_eq!(&out[..len], stuffed);
        }
        assert_eq!(out[..len].iter().position(|&byte| byte == 0), Some(len - 1));
        let (mut decoder, mut got) = (Decoder::new(), Vec::new());
        for &byte in &out[..len] {
            match decoder.step(byte) {
                Step::Nothing => {}
                Step::Byte(byte) => got.push(byte),
                Step::Zero => got.push(0),
                Step::End { complete } => assert!(complete),
            }
        }
        assert_eq!(got, plain);
    }

    #[test]
    fn examples_of_the_paper() {
        check(&[], &[1, 0]);
        check(&[0], &[1, 1, 0]);
        check(&[0, 0], &[1, 1, 1, 0]);
        check(&[0x11, 0x22, 0, 0x33], &[3, 0x11, 0x22, 2, 0x33, 0]);
        check(&[0x11, 0, 0, 0], &[2, 0x11, 1, 1, 1, 0]);
    }

    #[test]
    fn runs_around_the_longest_code() {
        for len in [252, 253, 254, 255, 256, 507, 508, 509, 510] {
            let plain: Vec<u8> = (0..len).map(|i| (i % 255 + 1) as u8).collect();
            check(&plain, &[]);
            let mut ends_in_zero = plain.clone();
            ends_in_zero.push(0);
            check(&ends_in_zero, &[]);
        }
    }

    #[test]
    fn a_full_buffer_is_refused() {
        for bytes in 0..4 {
            let mut out = [0; 4];
            let mut encoder = Encoder::new(&mut out[..bytes]);
            let pushed = [7, 8, 9].iter().all(|&byte| encoder.push(byte).is_some());
            assert!(!pushed || encoder.finish().is_none(), "{bytes} bytes");
        }
    }
}
