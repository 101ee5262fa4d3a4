//! IDX: MNIST's format. A file of images and a file of labels, each a big-endian header and bytes.
//!
//! The header is `00 00 08 D` (unsigned bytes in `D` dimensions), then `D` sizes of 32 bits.
//! Images have 3 dimensions (`[N,H,W]`, grey) or 4 (`[N,H,W,C]`), labels 1.

use std::io::{self, Write};

use super::bytes::ByteStream;
use super::{DataError, SampleStream, Split, SplitInfo};

/// Bytes at the start of a file of images in `[N,H,W]`.
pub(super) const IMAGES_MAGIC: [u8; 4] = [0, 0, 8, 3];
/// The same for `[N,H,W,C]`.
pub(super) const COLOUR_MAGIC: [u8; 4] = [0, 0, 8, 4];
/// Bytes at the start of a file of labels.
pub(super) const LABELS_MAGIC: [u8; 4] = [0, 0, 8, 1];

const COUNT_MAX: u64 = 1 << 28;
const SIDE_MAX: u64 = 4096;
const CHANNELS_MAX: u64 = 4;

/// An open pair of files: the labels are held (a byte each), the images stream.
pub(super) struct IdxStream {
    info: SplitInfo,
    images: ByteStream,
    images_end: u64,
    labels: Vec<u8>,
    next: usize,
}

impl IdxStream {
    /// Reads the labels and the header of the images, and checks each against the other.
    ///
    /// Without `class_names` there are as many classes as the largest label says, named by number;
    /// `classes_min` raises that, where another file of the same set has more.
    pub(super) fn new(
        name: &str,
        split: Split,
        mut images: ByteStream,
        labels: ByteStream,
        class_names: Option<Vec<String>>,
        classes_min: usize,
    ) -> Result<Self, DataError> {
        let labels_path = labels.path.clone();
        let labels = read_labels(labels)?;
        let header = read_header(&mut images, "images", &[IMAGES_MAGIC, COLOUR_MAGIC])?;
        if header.count != labels.len() {
            return Err(DataError::CountMismatch {
                images_path: images.path,
                images: header.count,
                labels_path,
                labels: labels.len(),
            });
        }
        let classes_found = labels.iter().max().map_or(0, |&l| usize::from(l) + 1);
        let class_names = class_names.unwrap_or_else(|| {
            (0..classes_found.max(classes_min)).map(|c| c.to_string()).collect()
        });
        if let Some(index) = labels.iter().position(|&l| usize::from(l) >= class_names.len()) {
            let (found, classes) = (usize::from(labels[index]), class_names.len());
            return Err(DataError::LabelRange { path: labels_path, index, found, classes });
        }
        let image_count = Some(labels.len());
        let info = SplitInfo {
            name: name.to_owned(),
            split,
            shape: header.shape,
            class_names,
            image_count,
        };
        Ok(Self { info, images, images_end: header.end, labels, next: 0 })
    }
}

impl SampleStream for IdxStream {
    fn info(&self) -> &SplitInfo {
        &self.info
    }

    fn next_into(&mut self, image: &mut [u8]) -> Result<Option<u16>, DataError> {
        debug_assert_eq!(image.len(), self.info.image_bytes());
        let Some(&label) = self.labels.get(self.next) else {
            self.images.expect_end(self.images_end)?;
            return Ok(None);
        };
        self.images.fill_whole(image, self.images_end)?;
        self.next += 1;
        Ok(Some(u16::from(label)))
    }
}

/// How many classes a file of labels speaks of: its largest label, and one.
pub(super) fn count_classes(labels: ByteStream) -> Result<usize, DataError> {
    Ok(read_labels(labels)?.iter().max().map_or(0, |&l| usize::from(l) + 1))
}

fn read_labels(mut labels: ByteStream) -> Result<Vec<u8>, DataError> {
    let header = read_header(&mut labels, "labels", &[LABELS_MAGIC])?;
    let mut bytes = Vec::new();
    // A header can claim more than the file holds: grow with what is there.
    while bytes.len() < header.count {
        let start = bytes.len();
        bytes.resize(header.count.min(start + (1 << 20)), 0);
        labels.fill_whole(&mut bytes[start..], header.end)?;
    }
    labels.expect_end(header.end)?;
    Ok(bytes)
}

struct Header {
    count: usize,
    shape: [usize; 3],
    /// Bytes of the whole file.
    end: u64,
}

fn read_header(
    file: &mut ByteStream,
    format: &'static str,
    magics: &[[u8; 4]],
) -> Result<Header, DataError> {
    let format = if format == "labels" { "IDX labels" } else { "IDX images" };
    let mut magic = [0; 4];
    file.fill_whole(&mut magic, 8)?;
    if !magics.contains(&magic) {
        let (path, expected) = (file.path.clone(), magics[0]);
        return Err(DataError::WrongMagic { path, found: magic, expected, format });
    }
    const FIELDS: [(&str, u64); 4] = [
        ("the number of items", COUNT_MAX),
        ("the height", SIDE_MAX),
        ("the width", SIDE_MAX),
        ("the number of channels", CHANNELS_MAX),
    ];
    let dims = usize::from(magic[3]);
    let header_bytes = 4 + 4 * dims as u64;
    let mut sizes = [1u64; 4];
    for ((field, max), size) in FIELDS.into_iter().zip(&mut sizes).take(dims) {
        let mut bytes = [0; 4];
        file.fill_whole(&mut bytes, header_bytes)?;
        *size = u64::from(u32::from_be_bytes(bytes));
        if !(1..=max).contains(size) {
            return Err(DataError::Header { path: file.path.clone(), field, found: *size, max });
        }
    }
    // Within the bounds above this is below 2^57.
    let end = header_bytes + sizes.iter().product::<u64>();
    match file.len {
        Some(found) if found < end => {
            Err(DataError::Truncated { path: file.path.clone(), found, expected: end })
        }
        Some(found) if found > end => {
            Err(DataError::TooLong { path: file.path.clone(), expected: end })
        }
        _ => {
            let [count, h, w, c] = sizes.map(|s| s as usize);
            Ok(Header { count, shape: [h, w, c], end })
        }
    }
}

/// Writes an IDX file of unsigned bytes: `sizes` are its dimensions, the first counts the items.
///
/// # Errors
/// When `out` refuses, or `sizes` do not describe `bytes`.
pub fn write_idx(out: &mut impl Write, sizes: &[usize], bytes: &[u8]) -> io::Result<()> {
    let fits = sizes.iter().product::<usize>() == bytes.len();
    let (Ok(dims), true) = (u8::try_from(sizes.len()), fits) else {
        let message = format!("{} bytes are not an array of {sizes:?}", bytes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    out.write_all(&[0, 0, 8, dims])?;
    for &size in sizes {
        let size = u32::try_from(size).map_err(io::Error::other)?;
        out.write_all(&size.to_be_bytes())?;
    }
    out.write_all(bytes)
}
