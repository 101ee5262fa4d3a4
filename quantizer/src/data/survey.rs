//! A look at every image of a split: how many of each class, of which sizes, and which ones cannot
//! be read.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::picture::Decoder;
use super::{DataError, Dataset, Split, folder};

/// What a split holds.
#[derive(Debug)]
pub struct Survey {
    /// Which one.
    pub split: Split,
    /// The classes, by label.
    pub class_names: Vec<String>,
    /// Images of each class that can be read.
    pub per_class: Vec<usize>,
    /// Height and width of the image with the fewest pixels, and of the one with the most.
    pub sizes: [[usize; 2]; 2],
    /// 3 where an image has colours, 1 where all are grey.
    pub channels: usize,
    /// Why images cannot be read, in the order of the files.
    pub unreadable: Vec<DataError>,
}

impl Survey {
    /// Images that can be read.
    #[must_use]
    pub fn images(&self) -> usize {
        self.per_class.iter().sum()
    }
}

/// Of a set that was read as a whole.
pub(super) fn in_memory(dataset: &Dataset, progress: &(dyn Fn() + Sync)) -> Survey {
    let [height, width, channels] = dataset.shape;
    (0..dataset.len()).for_each(|_| progress());
    Survey {
        split: dataset.split,
        class_names: dataset.class_names.clone(),
        per_class: dataset.images_per_class(),
        sizes: [[height, width]; 2],
        channels,
        unreadable: Vec::new(),
    }
}

/// Of a folder with a folder a class; every image is decoded, a few at a time.
pub(super) fn folder(
    split: Split,
    root: &Path,
    class_names: &[String],
    progress: &(dyn Fn() + Sync),
) -> Result<Survey, DataError> {
    let files = folder::list_files(root, class_names)?;
    let look = |decoder: &mut Decoder, (path, label): &(PathBuf, u16)| {
        let found = decoder.open(path).map(|picture| (picture.size, picture.has_colour, *label));
        progress();
        found
    };
    let found: Vec<_> = files.par_iter().map_init(Decoder::new, look).collect();
    let mut per_class = vec![0; class_names.len()];
    let (mut sizes, mut channels, mut unreadable) = (Vec::new(), 1, Vec::new());
    for image in found {
        match image {
            Ok((size, has_colour, label)) => {
                per_class[usize::from(label)] += 1;
                sizes.push(size);
                channels = if has_colour { 3 } else { channels };
            }
            Err(error) => unreadable.push(error),
        }
    }
    let pixels = |[height, width]: &[usize; 2]| (height * width, *height);
    let smallest = sizes.iter().copied().min_by_key(pixels).unwrap_or_default();
    let largest = sizes.iter().copied().max_by_key(pixels).unwrap_or_default();
    let (class_names, sizes) = (class_names.to_vec(), [smallest, largest]);
    Ok(Survey { split, class_names, per_class, sizes, channels, unreadable })
}
