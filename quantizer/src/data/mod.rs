//! Data sets: from a path or a name to images with labels.
//!
//! [`Source::find`] recognizes what a path holds (by content) or what a name means;
//! [`Source::stream`] reads it one image at a time, [`Source::load`] into memory. Pixels stay
//! `u8` in `[H,W,C]` order as they were in the file: scaling and augmentation belong to training.

mod bytes;
mod cifar;
mod dataset;
mod error;
mod folder;
mod idx;
mod named;
mod source;

pub use dataset::Dataset;
pub use error::DataError;
pub use idx::write_idx;
pub use named::{FASHION_MNIST, FASHION_MNIST_SMALL, NamedSet, named_sets};
pub use source::Source;

use std::fmt;

/// Which part of a data set: networks learn from one and are judged on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// Images to learn from; a validation set is cut from these, see [`Dataset::split_validation`].
    Train,
    /// Held-out images.
    Test,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Split::Train => "train",
            Split::Test => "test",
        })
    }
}

/// What the images are to be like, where the files leave a choice (only folders of images do).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Height and width to scale (keeping the aspect) and crop every image to.
    /// Without it, all images must have the size of the first.
    pub size: Option<[usize; 2]>,
    /// 1 (grey) or 3 (RGB). Without it, the first image decides.
    pub channels: Option<usize>,
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
pub trait SampleStream {
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

/// An iterator over the samples of a stream, each with an image of its own.
pub struct Samples(pub Box<dyn SampleStream + Send>);

impl Iterator for Samples {
    type Item = Result<(Vec<u8>, u16), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut image = vec![0; self.0.info().image_bytes()];
        self.0.next_into(&mut image).map(|label| label.map(|l| (image, l))).transpose()
    }
}

#[cfg(test)]
mod tests;
