//! Folders of images: one folder a class, PNG or JPEG inside.
//!
//! The order goes round the classes (the first image of each, then the second of each, …), so
//! that any number of images from the start is as balanced as the set is.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::dataset::Images;
use super::picture::{Decoder, Picture};
use super::{DataError, Dataset, ReadOptions, Split, SplitInfo};

const SIDE_MAX: usize = 4096;

/// The image files of a split, in reading order, and how they become images of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Whether every file has the size of the data set; the others are cut and resized.
    pub(super) fitted: bool,
    /// Whether the caller chose the channels, so that colours may be dropped.
    channels_asked: bool,
}

impl Files {
    /// The file of image `i`.
    pub(super) fn path(&self, i: usize) -> &Path {
        &self.paths[i]
    }

    /// Decodes image `i` of a set whose images are `[H,W,C]`.
    pub(super) fn open(
        &self,
        i: usize,
        [height, width, channels]: [usize; 3],
        decoder: &mut Decoder,
    ) -> Result<Picture, DataError> {
        let path = &self.paths[i];
        let picture = decoder.open(path)?;
        let named = || (path.display().to_string(), self.paths[0].display().to_string());
        if self.fitted && picture.size != [height, width] {
            let ((path, first), found) = (named(), picture.size);
            return Err(DataError::ImageSize { path, found, first, expected: [height, width] });
        }
        if channels == 1 && picture.has_colour && !self.channels_asked {
            let (path, first) = named();
            return Err(DataError::ColourInGrey { path, first });
        }
        Ok(picture)
    }

    /// All images into memory, `[N,H,W,C]`; none where one has another size and may have.
    fn load(&self, shape: [usize; 3], size_asked: bool) -> Result<Option<Vec<u8>>, DataError> {
        let image_bytes = shape.iter().product();
        let mut images = vec![0; self.paths.len() * image_bytes];
        let outcomes: Vec<_> = images
            .par_chunks_exact_mut(image_bytes)
            .enumerate()
            .map_init(Decoder::new, |decoder, (i, out)| {
                self.open(i, shape, decoder).map(|picture| picture.copy(shape[2], out))
            })
            .filter_map(Result::err)
            .collect();
        // In the files' order, whichever thread was first.
        match outcomes.into_iter().next() {
            Some(DataError::ImageSize { .. }) if size_asked => Ok(None),
            Some(error) => Err(error),
            None => Ok(Some(images)),
        }
    }
}

/// Opens a split: in memory where all images have one size and `options` leave that room, else
/// as files that are decoded when they are asked for.
pub(super) fn open(
    name: &str,
    split: Split,
    root: &Path,
    class_names: Vec<String>,
    options: ReadOptions,
    images_max: Option<usize>,
) -> Result<Dataset, DataError> {
    let listed = list_files(root, &class_names)?;
    let (paths, labels): (Vec<_>, Vec<_>) =
        listed.into_iter().take(images_max.unwrap_or(usize::MAX)).unzip();
    let Some(first) = paths.first() else {
        return Err(DataError::Empty(root.display().to_string()));
    };
    let mut decoder = Decoder::new();
    let Picture { size, has_colour, .. } = decoder.open(first)?;
    let [h, w] = options.size.unwrap_or(size);
    let channels = options.channels.unwrap_or(if has_colour { 3 } else { 1 });
    let side = 1..=SIDE_MAX;
    if !side.contains(&h) || !side.contains(&w) || ![1, 3].contains(&channels) {
        return Err(DataError::Options { size: [h, w], channels });
    }
    let (shape, size_asked) = ([h, w, channels], options.size.is_some());
    let channels_asked = options.channels.is_some();
    let mut files = Files { paths, fitted: size == [h, w], channels_asked };
    let bytes = files.paths.len().saturating_mul(h * w * channels);
    let mut images = None;
    if files.fitted && bytes <= options.memory_bytes_max {
        images = files.load(shape, size_asked)?;
        files.fitted = images.is_some();
    } else if files.fitted && size_asked {
        files.fitted = have_size(&files.paths, [h, w])?;
    }
    let images = images.map_or_else(|| Images::files(files), Images::memory);
    let image_count = Some(labels.len());
    let info = SplitInfo { name: name.to_owned(), split, shape, class_names, image_count };
    Dataset::assemble(info, images, labels)
}

/// Whether all files have one size, by their headers.
fn have_size(paths: &[PathBuf], size: [usize; 2]) -> Result<bool, DataError> {
    let sizes = paths.par_iter().map_init(Decoder::new, |decoder, path| decoder.size_of(path));
    // An unreadable file must be named, another size ends the search.
    let other = sizes.find_first(|found| found.as_ref().map_or(true, |found| *found != size));
    other.transpose().map(|other| other.is_none())
}

/// The folders in `root`, sorted: the classes. Hidden ones do not count.
pub(super) fn class_folders(root: &Path) -> Result<Vec<String>, DataError> {
    let mut names: Vec<_> = list(root)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// Whether a folder holds an image, so that it can be a class.
pub(super) fn holds_images(folder: &Path) -> bool {
    list(folder).is_ok_and(|files| files.iter().any(|f| is_image(f)))
}

/// The files of all classes, going round the classes.
pub(super) fn list_files(
    root: &Path,
    class_names: &[String],
) -> Result<Vec<(PathBuf, u16)>, DataError> {
    for class in class_folders(root)? {
        if class_names.contains(&class) {
            continue;
        }
        let folder = root.join(&class);
        if !holds_images(&folder) {
            return Err(DataError::Empty(folder.display().to_string()));
        }
        return Err(DataError::UnknownClass { path: root.display().to_string(), class });
    }
    let mut files = Vec::new();
    for (label, class) in class_names.iter().enumerate() {
        let folder = root.join(class);
        if !folder.is_dir() {
            continue; // a class without test images
        }
        let mut images: Vec<_> = list(&folder)?.into_iter().filter(|f| is_image(f)).collect();
        images.sort();
        files.extend(images.into_iter().enumerate().map(|(turn, f)| (turn, label, f)));
    }
    files.sort();
    Ok(files.into_iter().map(|(_, label, file)| (file, label as u16)).collect())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let io = |source| DataError::Io { path: folder.display().to_string(), at: 0, source };
    fs::read_dir(folder).map_err(io)?.map(|entry| Ok(entry.map_err(io)?.path())).collect()
}

fn is_image(path: &Path) -> bool {
    // What some systems leave beside the images (`._1.jpg`) is none.
    let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    !hidden && ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
