//! CIFAR-10's binary files: records of a label byte and the planes R, G, B of 32x32 pixels.
//!
//! A file has no header; its length is a whole number of records. Several files of a split are
//! read one after the other.

use std::path::PathBuf;

use super::bytes::ByteStream;
use super::{DataError, SampleStream, Split, SplitInfo};

const SIDE: usize = 32;
const PLANE_BYTES: usize = SIDE * SIDE;
/// One label and three planes.
pub(super) const RECORD_BYTES: usize = 1 + 3 * PLANE_BYTES;

/// The classes, by label.
pub(super) const CLASS_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The files of a split, opened one at a time.
pub(super) struct CifarStream {
    info: SplitInfo,
    current: ByteStream,
    /// Still to be opened, the next one last.
    waiting: Vec<PathBuf>,
    /// The image's place in the current file.
    index: usize,
}

impl CifarStream {
    /// Opens the first of `files`, which are not empty.
    pub(super) fn new(name: &str, split: Split, files: &[PathBuf]) -> Result<Self, DataError> {
        let mut waiting: Vec<_> = files.iter().rev().cloned().collect();
        let Some(first) = waiting.pop() else {
            return Err(DataError::Empty(name.to_owned()));
        };
        let info = SplitInfo {
            name: name.to_owned(),
            split,
            shape: [SIDE, SIDE, 3],
            class_names: CLASS_NAMES.map(str::to_owned).to_vec(),
            image_count: count_images(files)?,
        };
        Ok(Self { info, current: ByteStream::open(&first)?, waiting, index: 0 })
    }
}

impl SampleStream for CifarStream {
    fn info(&self) -> &SplitInfo {
        &self.info
    }

    fn next_into(&mut self, image: &mut [u8]) -> Result<Option<u16>, DataError> {
        let mut record = [0; RECORD_BYTES];
        loop {
            let filled = self.current.fill(&mut record)?;
            if filled == RECORD_BYTES {
                break;
            }
            if filled != 0 || self.current.at == 0 {
                let (path, found) = (self.current.path.clone(), self.current.at);
                let expected = found - filled as u64 + RECORD_BYTES as u64;
                return Err(DataError::Truncated { path, found, expected });
            }
            self.current.check_end()?;
            let Some(next) = self.waiting.pop() else { return Ok(None) };
            self.current = ByteStream::open(&next)?;
            self.index = 0;
        }
        let [label, planes @ ..] = &record;
        if usize::from(*label) >= CLASS_NAMES.len() {
            return Err(DataError::LabelRange {
                path: self.current.path.clone(),
                index: self.index,
                found: usize::from(*label),
                classes: CLASS_NAMES.len(),
            });
        }
        self.index += 1;
        interleave(planes, image);
        Ok(Some(u16::from(*label)))
    }
}

/// Planes `[3,H,W]` to pixels `[H,W,3]`.
fn interleave(planes: &[u8], image: &mut [u8]) {
    for (at, pixel) in image.chunks_exact_mut(3).enumerate() {
        for (c, value) in pixel.iter_mut().enumerate() {
            *value = planes[c * PLANE_BYTES + at];
        }
    }
}

/// The number of records, when no file is compressed.
fn count_images(files: &[PathBuf]) -> Result<Option<usize>, DataError> {
    let mut images = 0;
    for file in files {
        match ByteStream::open(file)?.len {
            Some(bytes) => images += bytes as usize / RECORD_BYTES,
            None => return Ok(None),
        }
    }
    Ok(Some(images))
}
