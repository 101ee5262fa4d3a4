//! The zip archive of `torch.save`: its entries as slices of the file.
//!
//! `PyTorch` stores entries without compression and aligned, so that they can be mapped. Guarantees
//! that entries lie inside the file, do not overlap in sum, and have the CRC-32 that they declare.
//! Reads the central directory (PKWARE's APPNOTE.TXT, 4.3.12 to 4.3.16), zip64 included.

use super::error::{ArchiveProblem, Fault};
use std::collections::HashMap;

/// An archive's entries by name.
#[derive(Debug)]
pub(super) struct Archive<'a> {
    entries: HashMap<&'a str, Entry<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    data: &'a [u8],
    /// Its first byte in the file.
    at: usize,
    crc: u32,
    method: u16,
    flags: u16,
}

type Outcome<T> = Result<T, Fault<ArchiveProblem>>;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";

/// Fixed parts of the records, in bytes.
const END_BYTES: usize = 22;
const LOCATOR_64_BYTES: usize = 20;
const CENTRAL_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

/// Encrypted, patched, strongly encrypted.
const PACKED_FLAGS: u16 = 1 | 1 << 5 | 1 << 6;

/// Whether the bytes begin as an archive.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(&LOCAL)
}

/// Little-endian fields of one record.
#[derive(Clone, Copy)]
struct Record<'a> {
    bytes: &'a [u8],
    at: usize,
    what: &'static str,
}

impl<'a> Record<'a> {
    fn new(bytes: &'a [u8], at: usize, signature: [u8; 4], what: &'static str) -> Outcome<Self> {
        let record = Self { bytes, at, what };
        if record.array::<4>(0)? == signature { Ok(record) } else { Err(record.broken()) }
    }

    fn broken(&self) -> Fault<ArchiveProblem> {
        Fault { at: self.at, problem: ArchiveProblem::Record(self.what) }
    }

    fn array<const N: usize>(&self, offset: usize) -> Outcome<[u8; N]> {
        let at = self.at.checked_add(offset);
        let found = at.and_then(|at| self.bytes.get(at..)?.first_chunk());
        found.copied().ok_or_else(|| self.broken())
    }

    fn slice(&self, offset: usize, length: usize) -> Outcome<&'a [u8]> {
        let at = self.at.checked_add(offset);
        let found = at.and_then(|at| self.bytes.get(at..)?.get(..length));
        found.ok_or_else(|| self.broken())
    }

    fn u16(&self, offset: usize) -> Outcome<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: usize) -> Outcome<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }

    fn size(&self, offset: usize) -> Outcome<usize> {
        let value = u64::from_le_bytes(self.array(offset)?);
        usize::try_from(value).map_err(|_| self.broken())
    }
}

impl<'a> Archive<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Outcome<Self> {
        let mut left = bytes.len();
        let mut entries = HashMap::new();
        let (count, mut at) = directory(bytes)?;
        for _ in 0..count {
            let record = Record::new(bytes, at, CENTRAL, "an entry of the directory")?;
            let lengths = [record.u16(28)?, record.u16(30)?, record.u16(32)?].map(usize::from);
            let name = record.slice(CENTRAL_BYTES, lengths[0])?;
            let name = std::str::from_utf8(name).map_err(|_| record.broken())?;
            let entry = locate(bytes, &record, lengths)?;
            let repeated = || Fault { at, problem: ArchiveProblem::Repeated(name.to_owned()) };
            left = left.checked_sub(entry.data.len()).ok_or_else(repeated)?;
            if entries.insert(name, entry).is_some() {
                return Err(repeated());
            }
            at += CENTRAL_BYTES + lengths.iter().sum::<usize>();
        }
        Ok(Self { entries })
    }

    /// The names of all entries, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.entries.keys().copied()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The bytes of an entry, after its checksum was compared.
    pub(super) fn get(&self, name: &str) -> Outcome<&'a [u8]> {
        let missing = || Fault { at: 0, problem: ArchiveProblem::Missing(name.to_owned()) };
        let entry = self.entries.get(name).ok_or_else(missing)?;
        let &Entry { at, method, flags, .. } = entry;
        if method != 0 || flags & PACKED_FLAGS != 0 {
            let problem = ArchiveProblem::Packed { name: name.to_owned(), method, flags };
            return Err(Fault { at, problem });
        }
        let mut crc = flate2::Crc::new();
        crc.update(entry.data);
        if crc.sum() == entry.crc {
            return Ok(entry.data);
        }
        Err(Fault { at, problem: ArchiveProblem::Checksum(name.to_owned()) })
    }
}

/// How many entries there are, and where their directory begins.
fn directory(bytes: &[u8]) -> Outcome<(usize, usize)> {
    const WHAT: &str = "the end of the directory";
    // The end record may be followed by a comment of 16 bits' length.
    let first = bytes.len().saturating_sub(END_BYTES + usize::from(u16::MAX));
    let tail = &bytes[first..];
    let found = tail.windows(END.len()).rposition(|window| window == END);
    let at = first + found.unwrap_or(tail.len());
    let end = Record::new(bytes, at, END, WHAT)?;
    end.slice(END_BYTES, usize::from(end.u16(20)?))?; // the comment
    let (count, start) = (end.u16(10)?, end.u32(16)?);
    if count != u16::MAX && start != u32::MAX {
        return Ok((count.into(), usize::try_from(start).map_err(|_| end.broken())?));
    }
    let at = at.checked_sub(LOCATOR_64_BYTES).ok_or_else(|| end.broken())?;
    let locator = Record::new(bytes, at, LOCATOR_64, "the zip64 locator")?;
    let end = Record::new(bytes, locator.size(8)?, END_64, "the zip64 end of the directory")?;
    Ok((end.size(32)?, end.size(48)?))
}

/// An entry's bytes, by its record in the directory: the local record says only where they begin.
fn locate<'a>(bytes: &'a [u8], record: &Record<'a>, lengths: [usize; 3]) -> Outcome<Entry<'a>> {
    let (flags, method, crc) = (record.u16(8)?, record.u16(10)?, record.u32(16)?);
    let narrow = [record.u32(24)?, record.u32(20)?, record.u32(42)?];
    let mut wide = narrow.map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    if narrow.contains(&u32::MAX) {
        widen(record, CENTRAL_BYTES + lengths[0], lengths[1], narrow, &mut wide)?;
    }
    let [size, stored, local] = wide;
    let header = Record::new(bytes, local, LOCAL, "an entry")?;
    let start = LOCAL_BYTES + usize::from(header.u16(26)?) + usize::from(header.u16(28)?);
    if method == 0 && stored != size {
        return Err(header.broken());
    }
    Ok(Entry { data: header.slice(start, stored)?, at: local + start, crc, method, flags })
}

/// Replaces the fields that are all ones by those of the zip64 extra field, in its order.
fn widen(
    record: &Record<'_>,
    mut at: usize,
    length: usize,
    narrow: [u32; 3],
    wide: &mut [usize; 3],
) -> Outcome<()> {
    const ZIP64: u16 = 1;
    let end = at + length;
    while at + 4 <= end {
        let (kind, bytes) = (record.u16(at)?, usize::from(record.u16(at + 2)?));
        if kind == ZIP64 {
            let mut field = at + 4;
            for (wide, narrow) in wide.iter_mut().zip(narrow) {
                if narrow == u32::MAX {
                    *wide = record.size(field)?;
                    field += 8;
                }
            }
            return if field <= at + 4 + bytes { Ok(()) } else { Err(record.broken()) };
        }
        at += 4 + bytes;
    }
    Err(record.broken())
}
