//! Data sets: from a path or a name to images with labels.
//!
//! [`Source::find`] recognizes what a path holds (by content) or what a name means;
//! [`Source::load`] opens a part of it: in memory, or, for folders of images that are large or of
//! many sizes, as files that are decoded when they are asked for. Pixels are `u8` in `[H,W,C]`
//! order: normalization and augmentation belong to training.

mod bytes;
mod cifar;
mod dataset;
mod error;
mod folder;
mod idx;
mod named;
mod picture;
mod source;
mod survey;

pub use dataset::Dataset;
pub use error::DataError;
pub use idx::write_idx;
pub use named::{FASHION_MNIST, FASHION_MNIST_SMALL, NamedSet, named_sets};
pub use picture::{Decoder, Region};
pub use source::Source;
pub use survey::Survey;

use std::fmt;

/// Which part of a data set: networks learn from one and are judged on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Images to learn from.
    Train,
    /// Images to choose the best epoch by. Few sets have them; of the others' training images
    /// some are held out, see [`Dataset::split_validation`].
    Validation,
    /// Held-out images.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        })
    }
}

/// What the images are to be like, where the files leave a choice (only folders of images do).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Height and width of the network's input: images of other sizes are cut and resized.
    /// Without it, all images must have the size of the first.
    pub size: Option<[usize; 2]>,
    /// 1 (grey) or 3 (RGB). Without it, the first image decides.
    pub channels: Option<usize>,
    /// Images of one size that together take no more bytes than this are held in memory; others
    /// are decoded whenever they are used.
    pub memory_bytes_max: usize,
}

impl Default for ReadOptions {
    /// As the images are, 1 GiB of them in memory.
    fn default() -> Self {
        Self { size: None, channels: None, memory_bytes_max: 1 << 30 }
    }
}

/// What is known of a split before its images are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitInfo {
    /// The data set's name.
    pub name: String,
    /// The part of it.
    pub split: Split,
    /// Height, width, channels of every image.
    pub shape: [usize; 3],
    /// The classes, by label.
    pub class_names: Vec<String>,
    /// How many images, where the files say it in advance (a gzipped CIFAR file does not).
    pub image_count: Option<usize>,
}

impl SplitInfo {
    /// Bytes of one image.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        self.shape.iter().product()
    }
}

/// One image after the other, in a fixed order, without holding more than one.
trait SampleStream {
    /// What all samples have in common.
    fn info(&self) -> &SplitInfo;

    /// Reads the next image into `image` (`[H,W,C]`, exactly [`SplitInfo::image_bytes`] long) and
    /// gives its label, or `None` after the last. The file's own checks are part of the last
    /// call: a set that ended with `None` was whole.
    ///
    /// # Errors
    /// When the files are not what their headers say, or cannot be read.
    fn next_into(&mut self, image: &mut [u8]) -> Result<Option<u16>, DataError>;
}

#[cfg(test)]
mod tests;
