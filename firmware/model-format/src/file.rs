//! The bytes of a model file: its prefix, its sections, and reading records from them.

use crate::check;
use crate::error::{ParseError, Problem};
use crate::notes::{KnownAnswer, Notes};
use crate::older;
use crate::records::{DataRef, Header, Step, Tensor};
use crate::{ALIGNMENT, VERSION};
use serde::Deserialize;

/// The first four bytes.
pub(crate) const MAGIC: [u8; 4] = *b"RMCU";

/// Bytes before the records. The layout is in the README.
pub const PREFIX_BYTES: usize = 32;

/// Where the prefix holds what.
pub(crate) mod field {
    pub(crate) const VERSION: usize = 4;
    pub(crate) const PREFIX: usize = 6;
    pub(crate) const FILE: usize = 8;
    pub(crate) const CRC: usize = 12;
    pub(crate) const RECORDS: usize = 16;
    pub(crate) const DATA: usize = 20;
    pub(crate) const DATA_BYTES: usize = 24;
    pub(crate) const NOTES_BYTES: usize = 28;
}

/// CRC-32 (ISO-HDLC, that of zip and Ethernet) of a file without the four bytes that hold it.
#[must_use]
pub(crate) fn checksum(file: &[u8]) -> u32 {
    const CRC32: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let (before, rest) = file.split_at(field::CRC.min(file.len()));
    let mut digest = CRC32.digest();
    digest.update(before);
    digest.update(rest.get(4..).unwrap_or_default());
    digest.finalize()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&two| u16::from_le_bytes(two))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&four| u32::from_le_bytes(four))
}

/// A length as the format counts it; files end below 4 GiB.
pub(crate) fn as_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// How long the file that begins here says it is, if it begins like a model file. For a reader
/// that has a flash slot and not a file.
#[must_use]
pub fn file_length(slot: &[u8]) -> Option<usize> {
    let length = u32_at(slot, field::FILE)?;
    slot.starts_with(&MAGIC).then_some(length as usize)
}

/// A model file that was checked whole: every record decodes, every reference is inside.
#[derive(Clone, Copy, Debug)]
pub struct ModelFile<'a> {
    version: u16,
    header: Header<'a>,
    tensors: &'a [u8],
    steps: &'a [u8],
    data: &'a [u8],
    notes: Notes,
    known_answers: &'a [u8],
    file: &'a [u8],
    crc: u32,
}

impl<'a> ModelFile<'a> {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Where anything is not as the README says; the error names the first byte that is wrong.
    pub fn parse(file: &'a [u8]) -> Result<Self, ParseError> {
        let Sections { version, records, data, notes, crc } = sections(file)?;
        let file_bytes = PREFIX_BYTES + records.len();
        let mut reader = Reader { rest: records, file_bytes, version };
        let header: Header<'a> = reader.next()?;
        if header.steps == 0 || Some(header.tensors) != header.steps.checked_add(1) {
            let problem = Problem::Counts { tensors: header.tensors, steps: header.steps };
            return Err(ParseError { at: PREFIX_BYTES as u32, problem });
        }
        let tensors = reader.rest;
        for index in 0..header.tensors {
            let at = reader.at();
            check::tensor(&header, index, &reader.tensor()?).map_err(|p| p.at(at))?;
        }
        let steps = reader.rest;
        let (notes, known_answers) = read_notes(notes, file.len())?;
        let model = Self { version, header, tensors, steps, data, notes, known_answers, file, crc };
        for index in 0..header.steps {
            let at = reader.at();
            check::step(&model, index, &reader.step()?).map_err(|p| p.at(at))?;
        }
        match as_u32(reader.rest.len()) {
            0 => Ok(model),
            bytes => Err(Problem::TrailingBytes { bytes }.at(reader.at())),
        }
    }

    /// What the file says of itself.
    #[must_use]
    pub fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// The format version that it was written in.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The checksum of the file, which serves as its identity.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.crc
    }

    /// Whether the file's bytes are still those that were parsed: flash may lose them.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        checksum(self.file) == self.crc
    }

    /// What the file says beyond its network; all zero where it says nothing.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.notes
    }

    /// Bytes of the notes, which end the file.
    #[cfg(feature = "write")]
    pub(crate) fn notes_bytes(&self) -> usize {
        u32_at(self.file, field::NOTES_BYTES).unwrap_or_default() as usize
    }

    /// The known answers.
    pub fn known_answers(&self) -> impl Iterator<Item = KnownAnswer> + use<'a> {
        let mut reader = self.reader(self.known_answers);
        (0..self.notes.known_answers).map_while(move |_| reader.next().ok())
    }

    /// The tensors; the first one is the input, tensor `i + 1` the output of step `i`.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'a>> + use<'a> {
        let mut reader = self.reader(self.tensors);
        (0..self.header.tensors).map_while(move |_| reader.tensor().ok())
    }

    /// Tensor number `index`.
    #[must_use]
    pub fn tensor(&self, index: u16) -> Option<Tensor<'a>> {
        self.tensors().nth(usize::from(index))
    }

    /// The steps in the order of execution.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> + use<'a> {
        let mut reader = self.reader(self.steps);
        (0..self.header.steps).map_while(move |_| reader.step().ok())
    }

    fn reader(&self, records: &'a [u8]) -> Reader<'a> {
        Reader { rest: records, file_bytes: 0, version: self.version }
    }

    /// The bytes of a reference; empty if it were to leave the section, which parsing excludes.
    #[must_use]
    pub fn data(&self, reference: DataRef) -> &'a [u8] {
        let start = reference.offset as usize;
        let end = start.saturating_add(reference.bytes as usize);
        self.data.get(start..end).unwrap_or_default()
    }

    /// Size of the data section in bytes.
    #[must_use]
    pub fn data_bytes(&self) -> u32 {
        as_u32(self.data.len())
    }
}

/// A file whose prefix is right.
struct Sections<'a> {
    version: u16,
    records: &'a [u8],
    data: &'a [u8],
    notes: &'a [u8],
    crc: u32,
}

/// The notes, and the bytes of the known answers, all of which decode.
fn read_notes(section: &[u8], file_bytes: usize) -> Result<(Notes, &[u8]), ParseError> {
    if section.is_empty() {
        return Ok((Notes::default(), section));
    }
    let mut reader = Reader { rest: section, file_bytes, version: VERSION };
    let notes: Notes = reader.next()?;
    let known_answers = reader.rest;
    for _ in 0..notes.known_answers {
        let _: KnownAnswer = reader.next()?;
    }
    match as_u32(reader.rest.len()) {
        0 => Ok((notes, known_answers)),
        bytes => Err(Problem::TrailingBytes { bytes }.at(reader.at())),
    }
}

fn sections(file: &[u8]) -> Result<Sections<'_>, ParseError> {
    let have = as_u32(file.len());
    let truncated = |need| Problem::Truncated { need, have }.at(file.len());
    let word = |at| u32_at(file, at).ok_or_else(|| truncated(PREFIX_BYTES as u32));
    let half = |at| u16_at(file, at).ok_or_else(|| truncated(PREFIX_BYTES as u32));
    let magic = word(0)?;
    if magic != u32::from_le_bytes(MAGIC) {
        return Err(Problem::Magic { found: magic }.at(0));
    }
    let version = half(field::VERSION)?;
    if !(1..=VERSION).contains(&version) {
        return Err(Problem::Version { found: version, newest: VERSION }.at(field::VERSION));
    }
    let declared = word(field::FILE)?;
    if declared > have {
        return Err(truncated(declared));
    }
    let expect = |found: u32, expected: u32, at: usize| {
        if found == expected { Ok(()) } else { Err(Problem::Layout { found, expected }.at(at)) }
    };
    expect(declared, have, field::FILE)?;
    expect(u32::from(half(field::PREFIX)?), PREFIX_BYTES as u32, field::PREFIX)?;
    let notes = word(field::NOTES_BYTES)?;
    if version == 1 {
        expect(notes, 0, field::NOTES_BYTES)?;
    }
    let (records, data) = (word(field::RECORDS)?, word(field::DATA)?);
    let records_end = u64::from(records) + PREFIX_BYTES as u64;
    let data_at = records_end.next_multiple_of(u64::from(ALIGNMENT));
    expect(data, u32::try_from(data_at).unwrap_or(u32::MAX), field::DATA)?;
    let rest = have.checked_sub(data).ok_or_else(|| truncated(data))?;
    let data_bytes = word(field::DATA_BYTES)?;
    expect(notes, notes.min(rest), field::NOTES_BYTES)?;
    expect(data_bytes, rest.saturating_sub(notes), field::DATA_BYTES)?;
    let (stored, computed) = (word(field::CRC)?, checksum(file));
    if stored != computed {
        return Err(Problem::Crc { stored, computed }.at(field::CRC));
    }
    let records = file.get(PREFIX_BYTES..records_end as usize);
    let rest = file.get(data as usize..).and_then(|d| d.split_at_checked(data_bytes as usize));
    let sections = records.zip(rest);
    let sections = sections.map(|(records, (data, notes))| Sections {
        version,
        records,
        data,
        notes,
        crc: computed,
    });
    sections.ok_or_else(|| truncated(have))
}

/// Reads record after record.
struct Reader<'a> {
    rest: &'a [u8],
    /// Bytes from the file's start to the end of the records.
    file_bytes: usize,
    /// The format version of the records.
    version: u16,
}

impl<'a> Reader<'a> {
    /// The next byte to be read, from the file's start.
    fn at(&self) -> usize {
        self.file_bytes.saturating_sub(self.rest.len())
    }

    fn next<T: Deserialize<'a>>(&mut self) -> Result<T, ParseError> {
        let (record, rest) =
            postcard::take_from_bytes(self.rest).map_err(|_| Problem::Record.at(self.at()))?;
        self.rest = rest;
        Ok(record)
    }

    fn tensor(&mut self) -> Result<Tensor<'a>, ParseError> {
        match self.version {
            1 | 2 => self.next::<older::Tensor<'a>>().map(Into::into),
            _ => self.next(),
        }
    }

    fn step(&mut self) -> Result<Step<'a>, ParseError> {
        match self.version {
            1 | 2 => self.next::<older::Step<'a>>().map(Into::into),
            _ => self.next(),
        }
    }
}
