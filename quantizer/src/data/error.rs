//! What can be wrong with a data set, in words that name the file, the place and the bound.

use std::path::PathBuf;

use super::Split;

/// Why a data set was refused. [`DataError::help`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The path leads nowhere, and is no name of a data set.
    #[error("no file, folder or data set `{0}`")]
    Absent(String),
    /// A known data set that is not on this machine.
    #[error("the data set `{name}` is not installed; looked in {}", list(.looked))]
    NotInstalled {
        /// Its name.
        name: &'static str,
        /// The folders where it could have been.
        looked: Vec<PathBuf>,
        /// The command that gets it.
        help: &'static str,
    },
    /// The operating system refused.
    #[error("{path} cannot be read at byte {at}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Bytes read before, after decompression.
        at: u64,
        /// The system's (or the decompressor's) reason.
        source: std::io::Error,
    },
    /// A path that holds no data set of a kind that is read here.
    #[error("{path} is not a data set: {found}")]
    Unrecognized {
        /// The file or folder.
        path: String,
        /// What was found there instead.
        found: String,
    },
    /// A file that starts with other bytes than its format does.
    #[error("{path}: wrong magic {found:02x?}, expected {expected:02x?} ({format})")]
    WrongMagic {
        /// The file.
        path: String,
        /// Its first bytes.
        found: [u8; 4],
        /// The bytes that should be there; the last one counts dimensions.
        expected: [u8; 4],
        /// The format in words.
        format: &'static str,
    },
    /// A size in a header that no data set has.
    #[error("{path}: {field} is {found} in the header, allowed are 1 to {max}")]
    Header {
        /// The file.
        path: String,
        /// The field of the header.
        field: &'static str,
        /// Its value.
        found: u64,
        /// The bound.
        max: u64,
    },
    /// A file that ends too early. Counts are after decompression.
    #[error("{path} is truncated: {found} bytes of {expected}")]
    Truncated {
        /// The file.
        path: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes that its header (or its record size) asks for.
        expected: u64,
    },
    /// A file that goes on after its end. Counts are after decompression.
    #[error("{path} goes on after its end: its header asks for {expected} bytes")]
    TooLong {
        /// The file.
        path: String,
        /// Bytes that its header asks for.
        expected: u64,
    },
    /// Two files of a pair that do not belong together.
    #[error("{images_path} holds {images} images, but {labels_path} {labels} labels")]
    CountMismatch {
        /// The file of the images.
        images_path: String,
        /// Their number.
        images: usize,
        /// The file of the labels.
        labels_path: String,
        /// Their number.
        labels: usize,
    },
    /// A label without a class.
    #[error("{path}: image {index} has label {found}, but there are {classes} classes")]
    LabelRange {
        /// The file.
        path: String,
        /// The image, counted from 0.
        index: usize,
        /// Its label.
        found: usize,
        /// The number of classes.
        classes: usize,
    },
    /// Nothing to tell apart.
    #[error("{name} has one class only, `{class}`")]
    OneClass {
        /// The data set.
        name: String,
        /// Its class.
        class: String,
    },
    /// A class in the test folder that the training folder does not have.
    #[error("{path}: class `{class}` is not among the training classes")]
    UnknownClass {
        /// The folder.
        path: String,
        /// Its class.
        class: String,
    },
    /// An image file that cannot be decoded.
    #[error("{path} is not a readable image: {reason}")]
    UnreadableImage {
        /// The file.
        path: String,
        /// The decoder's reason.
        reason: String,
    },
    /// An image of another size than the first one of its set.
    #[error("{path} is {}x{} pixels, but {first} is {}x{}",
        .found[0], .found[1], .expected[0], .expected[1])]
    ImageSize {
        /// The file.
        path: String,
        /// Its height and width.
        found: [usize; 2],
        /// The first file.
        first: String,
        /// Height and width of that.
        expected: [usize; 2],
    },
    /// A colour image in a set that began with a grey one.
    #[error("{path} has colours, but {first} is grey")]
    ColourInGrey {
        /// The file.
        path: String,
        /// The first file of the set.
        first: String,
    },
    /// Asked for something that this reader cannot make.
    #[error("images of {size:?} pixels in {channels} channels were asked for")]
    Options {
        /// Height and width asked for.
        size: [usize; 2],
        /// Channels asked for.
        channels: usize,
    },
    /// The system refuses threads to the loader.
    #[error("the loader's threads cannot be started: {0}")]
    Threads(std::io::Error),
    /// A set without images.
    #[error("{0} holds no images")]
    Empty(String),
    /// A split that this set does not have.
    #[error("{name} has no {asked} images, only: {}", have.iter().map(Split::to_string)
        .collect::<Vec<_>>().join(", "))]
    NoSplit {
        /// The data set.
        name: String,
        /// What was asked for.
        asked: Split,
        /// What it has.
        have: Vec<Split>,
    },
    /// A share of validation images that leaves one of the parts empty.
    #[error("a validation share of {share} of {images} images leaves a part without images")]
    ValidationShare {
        /// The share asked for, 0 to 1.
        share: f64,
        /// Images to share out.
        images: usize,
    },
    /// Images, labels and shape that do not fit each other (made by a program, not by a file).
    #[error("{name}: {bytes} bytes are not {labels} images of {shape:?}")]
    Parts {
        /// The data set.
        name: String,
        /// Bytes of all images.
        bytes: usize,
        /// Number of labels.
        labels: usize,
        /// `[H,W,C]`.
        shape: [usize; 3],
    },
}

impl DataError {
    /// One line on what to do, where there is something to do.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            DataError::Absent(_) => {
                let names: Vec<_> = super::named_sets().iter().map(|s| s.name).collect();
                format!("data sets known by name: {}", names.join(", "))
            }
            DataError::NotInstalled { help, .. } => (*help).to_owned(),
            DataError::Unrecognized { .. } => "expected a CIFAR-10 binary file, IDX files, or a \
                 folder with a folder of PNG or JPEG images for each class"
                .to_owned(),
            DataError::Io { source, .. } if is_damage(source) => {
                "the file is damaged; fetch it again".to_owned()
            }
            DataError::Truncated { .. } | DataError::TooLong { .. } => {
                "the file is damaged; fetch it again".to_owned()
            }
            DataError::ImageSize { .. } => {
                "ask for one size to cut and resize all images to".to_owned()
            }
            DataError::ColourInGrey { .. } => "ask for 3 channels, or for 1".to_owned(),
            DataError::Options { .. } => {
                "sizes are 1 to 4096 pixels, channels 1 (grey) or 3 (RGB)".to_owned()
            }
            DataError::UnreadableImage { .. } => "remove the file, or write it again".to_owned(),
            DataError::OneClass { .. }
            | DataError::Empty(_)
            | DataError::ValidationShare { .. } => {
                "a network learns from two classes at least, each with two images or more"
                    .to_owned()
            }
            _ => return None,
        })
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether a decompressor complains, rather than the operating system.
fn is_damage(source: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(source.kind(), InvalidData | InvalidInput | UnexpectedEof)
}
