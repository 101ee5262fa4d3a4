//! The first bytes of a slot: what it holds, and how the model in it fared.

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};

/// CRC-32/ISO-HDLC, as everywhere in this project.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// Bytes of a slot before its model: the record, and the units of its marks.
pub const HEADER_BYTES: u32 = 320;

/// Bytes of an ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What is written at once: the largest write size that a flash may have.
pub(crate) const UNIT_BYTES: usize = 32;

/// Bytes of the record, three units.
pub(crate) const RECORD_BYTES: usize = 3 * UNIT_BYTES;

const MAGIC: [u8; 4] = *b"RMSL";
const VERSION: u16 = 1;
const FLAG_SIGNED: u16 = 1 << 0;

/// Where the record holds what.
mod field {
    pub(super) const VERSION: usize = 4;
    pub(super) const FLAGS: usize = 6;
    pub(super) const SEQUENCE: usize = 8;
    pub(super) const BYTES: usize = 12;
    pub(super) const CRC: usize = 16;
    pub(super) const SIGNATURE: usize = 20;
    pub(super) const OWN_CRC: usize = 92;
}

/// What a slot says of the model in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Counts updates: of two models the one with the larger number is the newer.
    pub sequence: u32,
    /// Bytes of the model.
    pub bytes: u32,
    /// CRC-32 (ISO-HDLC) of them.
    pub crc: u32,
    /// The ed25519 signature that came with it.
    pub signature: Option<[u8; SIGNATURE_BYTES]>,
}

impl Header {
    /// What the first bytes of a slot say, for a host that reads them by a probe; `None` where no
    /// model was committed.
    #[must_use]
    pub fn read(slot: &[u8]) -> Option<Self> {
        Self::from_bytes(slot.first_chunk()?)
    }

    /// The record as it lies in flash.
    #[must_use]
    pub(crate) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut record = [0xFF; RECORD_BYTES];
        let flags = if self.signature.is_some() { FLAG_SIGNED } else { 0 };
        put(&mut record, 0, &MAGIC);
        put(&mut record, field::VERSION, &VERSION.to_le_bytes());
        put(&mut record, field::FLAGS, &flags.to_le_bytes());
        put(&mut record, field::SEQUENCE, &self.sequence.to_le_bytes());
        put(&mut record, field::BYTES, &self.bytes.to_le_bytes());
        put(&mut record, field::CRC, &self.crc.to_le_bytes());
        put(&mut record, field::SIGNATURE, &self.signature.unwrap_or([0; SIGNATURE_BYTES]));
        let own = checksum(record.get(..field::OWN_CRC).unwrap_or_default());
        put(&mut record, field::OWN_CRC, &own.to_le_bytes());
        record
    }

    /// Reads a record; `None` if it is none, or was not written whole.
    pub(crate) fn from_bytes(record: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (covered, own) = record.split_last_chunk::<4>()?;
        let half = |at| covered.get(at..)?.first_chunk().copied().map(u16::from_le_bytes);
        let word = |at| covered.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        let is_whole = checksum(covered) == u32::from_le_bytes(*own);
        if !is_whole || !covered.starts_with(&MAGIC) || half(field::VERSION)? != VERSION {
            return None;
        }
        let is_signed = half(field::FLAGS)? & FLAG_SIGNED != 0;
        let signature = covered.get(field::SIGNATURE..)?.first_chunk().copied();
        Some(Self {
            sequence: word(field::SEQUENCE)?,
            bytes: word(field::BYTES)?,
            crc: word(field::CRC)?,
            signature: signature.filter(|_| is_signed),
        })
    }
}

/// The first [`HEADER_BYTES`] of a slot that holds `model` since it was made: for writing a slot
/// whole by a probe, or into an emulator's memory. The model follows them, and is trusted without
/// a trial.
#[must_use]
pub fn image(model: &[u8], sequence: u32) -> [u8; HEADER_BYTES as usize] {
    let bytes = u32::try_from(model.len()).unwrap_or(u32::MAX);
    let header = Header { sequence, bytes, crc: checksum(model), signature: None };
    let mut image = [0xFF; HEADER_BYTES as usize];
    put(&mut image, 0, &header.to_bytes());
    put(&mut image, Mark::Passed(0).offset() as usize, &PASSED);
    image
}

/// A place in the header that is written once, after the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Trial number n, from 0, began.
    Begun(u8),
    /// Trial number n was passed.
    Passed(u8),
    /// The model failed a trial.
    Rejected,
}

/// What a passed mark holds; one that was cut short counts as none.
pub(crate) const PASSED: [u8; 4] = *b"PASS";

impl Mark {
    /// Where it is, from the slot's start. Each mark has a unit of its own, so that flash that
    /// can be written only once between two erases can hold it.
    pub(crate) const fn offset(self) -> u32 {
        const UNIT: u32 = UNIT_BYTES as u32;
        const FIRST: u32 = RECORD_BYTES as u32;
        match self {
            Self::Rejected => FIRST,
            Self::Begun(trial) => FIRST + UNIT * (1 + 2 * trial as u32),
            Self::Passed(trial) => FIRST + UNIT * (2 + 2 * trial as u32),
        }
    }

    /// Trials that the header has marks for.
    pub(crate) const LIMIT: u8 = 3;
}

// The last mark ends with the header.
const _: () = assert!(Mark::Passed(Mark::LIMIT - 1).offset() + UNIT_BYTES as u32 == HEADER_BYTES);

/// The CRC-32 of some bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// A CRC-32 that is fed piece by piece.
pub(crate) fn digest() -> Digest<'static, u32, Table<1>> {
    CRC.digest()
}

fn put(target: &mut [u8], at: usize, bytes: &[u8]) {
    target.iter_mut().skip(at).zip(bytes).for_each(|(target, &byte)| *target = byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_no_damaged_one_does() {
        for signature in [None, Some([7; SIGNATURE_BYTES])] {
            let header = Header { sequence: 9, bytes: 81_000, crc: 0xDEAD_BEEF, signature };
            let record = header.to_bytes();
            assert_eq!(Header::from_bytes(&record), Some(header));
            for bit in 0..8 * RECORD_BYTES {
                let mut flipped = record;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::from_bytes(&flipped), None, "bit {bit}");
            }
        }
        assert_eq!(Header::from_bytes(&[0xFF; RECORD_BYTES]), None);
        assert_eq!(Header::from_bytes(&[0; RECORD_BYTES]), None);
    }
}
