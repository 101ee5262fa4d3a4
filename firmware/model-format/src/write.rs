//! Writing a model file: the one place that lays out its bytes.

use crate::file::{MAGIC, PREFIX_BYTES, as_u32, checksum, field};
use crate::{
    ALIGNMENT, DataRef, Header, KnownAnswer, ModelFile, Notes, ParseError, Step, Tensor, VERSION,
};
use alloc::vec::Vec;

/// The first format version with notes.
const NOTES_SINCE: u16 = 2;

/// Collects weights and parameters, each at a multiple of [`ALIGNMENT`].
#[derive(Clone, Debug, Default)]
pub struct DataSection {
    bytes: Vec<u8>,
}

impl DataSection {
    /// Appends `bytes` and says where they are.
    pub fn push(&mut self, bytes: &[u8]) -> DataRef {
        let start = self.bytes.len().next_multiple_of(ALIGNMENT as usize);
        self.bytes.resize(start, 0);
        self.bytes.extend_from_slice(bytes);
        DataRef { offset: as_u32(start), bytes: as_u32(bytes.len()) }
    }
}

/// Why a model could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The header's counts are not those of the records.
    #[error("{tensors} tensors and {steps} steps do not fit a model file")]
    Counts {
        /// Number of tensors.
        tensors: usize,
        /// Number of steps.
        steps: usize,
    },
    /// postcard refused a record.
    #[error("a record could not be written: {0}")]
    Record(postcard::Error),
    /// The file would not end below 4 GiB.
    #[error("the file would have {bytes} bytes, and has to end below 4 GiB")]
    TooLarge {
        /// Size of the file.
        bytes: usize,
    },
}

/// The bytes of a model file. The header's counts are set from the records; nothing else is
/// judged here: [`crate::ModelFile::parse`] does.
///
/// # Errors
/// Where the counts do not fit 16 bits or the file does not fit 32.
pub fn encode(
    header: &Header<'_>,
    tensors: &[Tensor<'_>],
    steps: &[Step<'_>],
    data: &DataSection,
) -> Result<Vec<u8>, WriteError> {
    let counts = || WriteError::Counts { tensors: tensors.len(), steps: steps.len() };
    let header = Header {
        tensors: u16::try_from(tensors.len()).map_err(|_| counts())?,
        steps: u16::try_from(steps.len()).map_err(|_| counts())?,
        ..*header
    };
    let mut file = alloc::vec![0; PREFIX_BYTES];
    file.extend(postcard::to_allocvec(&header).map_err(WriteError::Record)?);
    for tensor in tensors {
        file.extend(postcard::to_allocvec(tensor).map_err(WriteError::Record)?);
    }
    for step in steps {
        file.extend(postcard::to_allocvec(step).map_err(WriteError::Record)?);
    }
    let records = file.len() - PREFIX_BYTES;
    let data_at = file.len().next_multiple_of(ALIGNMENT as usize);
    file.resize(data_at, 0);
    file.extend_from_slice(&data.bytes);
    let bytes =
        u32::try_from(file.len()).map_err(|_| WriteError::TooLarge { bytes: file.len() })?;
    let mut put = |at: usize, value: &[u8]| file[at..at + value.len()].copy_from_slice(value);
    put(0, &MAGIC);
    put(field::VERSION, &VERSION.to_le_bytes());
    put(field::PREFIX, &(PREFIX_BYTES as u16).to_le_bytes());
    put(field::FILE, &bytes.to_le_bytes());
    put(field::RECORDS, &as_u32(records).to_le_bytes());
    put(field::DATA, &as_u32(data_at).to_le_bytes());
    put(field::DATA_BYTES, &as_u32(data.bytes.len()).to_le_bytes());
    seal(&mut file);
    Ok(file)
}

/// The file with these notes in place of its own.
///
/// # Errors
/// Where `file` is no model file; `notes.known_answers` is set from the slice.
///
/// # Panics
/// With more than 65,535 known answers.
pub fn annotate(
    file: &[u8],
    notes: &Notes,
    known_answers: &[KnownAnswer],
) -> Result<Vec<u8>, ParseError> {
    let model = ModelFile::parse(file)?;
    let known = u16::try_from(known_answers.len()).expect("at most 65,535 known answers");
    let notes = Notes { known_answers: known, ..*notes };
    let mut section = postcard::to_allocvec(&notes).expect("two integers");
    for answer in known_answers {
        section.extend(postcard::to_allocvec(answer).expect("two integers"));
    }
    let mut file = file[..file.len() - model.notes_bytes()].to_vec();
    file.extend_from_slice(&section);
    let bytes = as_u32(file.len());
    let mut put = |at: usize, value: &[u8]| file[at..at + value.len()].copy_from_slice(value);
    let version = model.version().max(NOTES_SINCE);
    put(field::VERSION, &version.to_le_bytes());
    put(field::FILE, &bytes.to_le_bytes());
    put(field::NOTES_BYTES, &as_u32(section.len()).to_le_bytes());
    seal(&mut file);
    Ok(file)
}

/// Sets the checksum of a file. Tests use it to get behind the checksum with altered bytes.
pub fn seal(file: &mut [u8]) {
    let crc = checksum(file);
    if let Some(stored) = file.get_mut(field::CRC..field::CRC + 4) {
        stored.copy_from_slice(&crc.to_le_bytes());
    }
}
