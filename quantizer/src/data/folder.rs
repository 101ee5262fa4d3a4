//! Folders of images: one folder a class, PNG or JPEG inside.
//!
//! The order goes round the classes (the first image of each, then the second of each, …), so
//! that any number of images from the start is as balanced as the set is.

use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, GenericImageView, ImageReader};

use super::{DataError, ReadOptions, SampleStream, Split, SplitInfo};

const SIDE_MAX: usize = 4096;

/// The image files of a split, in reading order; one is decoded at a time.
pub(super) struct FolderStream {
    info: SplitInfo,
    files: Vec<(PathBuf, u16)>,
    resize: bool,
    /// Whether the caller chose the channels, so that colours may be dropped.
    channels_asked: bool,
    next: usize,
}

impl FolderStream {
    /// Lists the files and decodes the first one, which gives the shape that `options` leave open.
    pub(super) fn new(
        name: &str,
        split: Split,
        root: &Path,
        class_names: Vec<String>,
        options: ReadOptions,
    ) -> Result<Self, DataError> {
        let files = list_files(root, &class_names)?;
        let Some((first, _)) = files.first() else {
            return Err(DataError::Empty(root.display().to_string()));
        };
        let decoded = decode(first)?;
        let (width, height) = decoded.dimensions();
        let [h, w] = options.size.unwrap_or([height as usize, width as usize]);
        let grey_or_rgb = if decoded.color().has_color() { 3 } else { 1 };
        let channels = options.channels.unwrap_or(grey_or_rgb);
        let side = 1..=SIDE_MAX;
        if !side.contains(&h) || !side.contains(&w) || ![1, 3].contains(&channels) {
            return Err(DataError::Options { size: [h, w], channels });
        }
        let info = SplitInfo {
            name: name.to_owned(),
            split,
            shape: [h, w, channels],
            class_names,
            image_count: Some(files.len()),
        };
        let (resize, channels_asked) = (options.size.is_some(), options.channels.is_some());
        Ok(Self { info, files, resize, channels_asked, next: 0 })
    }

    fn first_path(&self) -> String {
        self.files[0].0.display().to_string()
    }
}

impl SampleStream for FolderStream {
    fn info(&self) -> &SplitInfo {
        &self.info
    }

    fn next_into(&mut self, image: &mut [u8]) -> Result<Option<u16>, DataError> {
        let Some((path, label)) = self.files.get(self.next) else { return Ok(None) };
        self.next += 1;
        let [h, w, channels] = self.info.shape;
        let mut decoded = decode(path)?;
        let (width, height) = decoded.dimensions();
        let found = [height as usize, width as usize];
        if found != [h, w] {
            if !self.resize {
                let (path, first) = (path.display().to_string(), self.first_path());
                return Err(DataError::ImageSize { path, found, first, expected: [h, w] });
            }
            decoded = decoded.resize_to_fill(w as u32, h as u32, FilterType::Triangle);
        }
        match channels {
            1 if decoded.color().has_color() && !self.channels_asked => {
                let (path, first) = (path.display().to_string(), self.first_path());
                return Err(DataError::ColourInGrey { path, first });
            }
            1 => image.copy_from_slice(decoded.into_luma8().as_raw()),
            _ => image.copy_from_slice(decoded.into_rgb8().as_raw()),
        }
        Ok(Some(*label))
    }
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
fn list_files(root: &Path, class_names: &[String]) -> Result<Vec<(PathBuf, u16)>, DataError> {
    for class in class_folders(root)? {
        if !class_names.contains(&class) {
            return Err(DataError::UnknownClass { path: root.display().to_string(), class });
        }
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
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let unreadable = |reason: String| DataError::UnreadableImage {
        path: path.display().to_string(),
        reason: reason.lines().next().unwrap_or_default().to_owned(),
    };
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| unreadable(e.to_string()))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(1 << 14);
    limits.max_image_height = Some(1 << 14);
    reader.limits(limits);
    reader.decode().map_err(|e| unreadable(e.to_string()))
}
