//! What a model needs of a device's RAM, read when a firmware is compiled.
//!
//! Owns a second reader of the header, which works in constants, where postcard does not. It checks
//! nothing that the loader does not check again.

use crate::file::{MAGIC, PREFIX_BYTES};
use crate::records::Header;

/// What a model's memories have to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the tensors' memory.
    pub arena_bytes: u32,
    /// Bytes of the kernels' working memory.
    pub scratch_bytes: u32,
    /// Number of steps.
    pub steps: u16,
}

impl Sizes {
    /// Those of the model in `file`; nothing where it does not begin as a model file does.
    #[must_use]
    pub const fn of(file: &[u8]) -> Option<Self> {
        let Some((&MAGIC, _)) = file.split_first_chunk() else { return None };
        let Some((_, records)) = file.split_at_checked(PREFIX_BYTES) else { return None };
        let mut reader = Reader { rest: records, is_whole: true };
        // The fields of a header, in their order.
        reader.text(); // name
        reader.text(); // producer
        reader.number(); // profile
        reader.number(); // isa
        reader.text(); // class_names
        let arena_bytes = reader.number() as u32;
        let scratch_bytes = reader.number() as u32;
        reader.number(); // arena_lower_bound
        reader.number(); // macs
        reader.number(); // tensors
        let steps = reader.number() as u16;
        if reader.is_whole { Some(Self { arena_bytes, scratch_bytes, steps }) } else { None }
    }
}

impl From<&Header<'_>> for Sizes {
    fn from(header: &Header<'_>) -> Self {
        let Header { arena_bytes, scratch_bytes, steps, .. } = *header;
        Self { arena_bytes, scratch_bytes, steps }
    }
}

/// Reads postcard's numbers and texts.
struct Reader<'f> {
    rest: &'f [u8],
    /// Nothing was missing so far.
    is_whole: bool,
}

impl Reader<'_> {
    /// Seven bits a byte, the lowest first; the last byte is below 128.
    const fn number(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            value |= (byte as u64 & 0x7F) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
            if shift > 63 {
                break;
            }
        }
        self.is_whole = false;
        0
    }

    /// A length and as many bytes.
    const fn text(&mut self) {
        let bytes = self.number();
        match self.rest.split_at_checked(bytes as usize) {
            Some((_, rest)) => self.rest = rest,
            None => self.is_whole = false,
        }
    }
}
