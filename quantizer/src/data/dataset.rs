//! A split with its images at hand, from memory or from files, and what training asks of it.

use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::folder::Files;
use super::picture::{self, Decoder, Region};
use super::{DataError, SampleStream, Split, SplitInfo};

/// Images of which the channels' statistics of a set of files are taken.
const STATISTICS_IMAGES_MAX: usize = 2048;

/// Images and labels of one split. Every label is below the number of classes.
///
/// The images are bytes in memory, or files that are decoded whenever one is asked for; copies
/// and parts of a set share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The data set's name.
    pub name: String,
    /// The part of it.
    pub split: Split,
    /// Height, width, channels of every image.
    pub shape: [usize; 3],
    /// The classes, by label.
    pub class_names: Vec<String>,
    images: Images,
    /// Of each image its place in `images`.
    places: Vec<u32>,
    labels: Vec<u16>,
    /// Validation images that the set brings with it.
    validation: Option<Box<Dataset>>,
}

/// Where images are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Images {
    /// `[N,H,W,C]`.
    Memory(Arc<Vec<u8>>),
    /// Decoded at every use.
    Files(Arc<Files>),
}

impl Images {
    pub(super) fn memory(images: Vec<u8>) -> Self {
        Self::Memory(Arc::new(images))
    }

    pub(super) fn files(files: Files) -> Self {
        Self::Files(Arc::new(files))
    }
}

impl Dataset {
    /// Puts a data set together: `images` are `[N,H,W,C]`, `info` gives the rest.
    ///
    /// # Errors
    /// When the sizes do not fit each other, or a label has no class.
    pub fn new(info: SplitInfo, images: Vec<u8>, labels: Vec<u16>) -> Result<Self, DataError> {
        let image_bytes = info.image_bytes();
        if image_bytes == 0 || images.len() != labels.len() * image_bytes {
            let (bytes, labels, shape) = (images.len(), labels.len(), info.shape);
            return Err(DataError::Parts { name: info.name, bytes, labels, shape });
        }
        Self::assemble(info, Images::memory(images), labels)
    }

    /// The same with images that are known to be as many as the labels.
    pub(super) fn assemble(
        info: SplitInfo,
        images: Images,
        labels: Vec<u16>,
    ) -> Result<Self, DataError> {
        let SplitInfo { name, split, shape, class_names, .. } = info;
        let classes = class_names.len();
        if let Some(index) = labels.iter().position(|&l| usize::from(l) >= classes) {
            let found = usize::from(labels[index]);
            return Err(DataError::LabelRange { path: name, index, found, classes });
        }
        let places = (0..labels.len() as u32).collect();
        Ok(Self { name, split, shape, class_names, images, places, labels, validation: None })
    }

    /// Reads a stream to its end, or its first `images_max` images.
    ///
    /// # Errors
    /// When the stream does, or when it has no images at all.
    pub(super) fn read(
        stream: &mut dyn SampleStream,
        images_max: Option<usize>,
    ) -> Result<Self, DataError> {
        let info = stream.info().clone();
        let image_bytes = info.image_bytes();
        let images_max = images_max.unwrap_or(usize::MAX);
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        let mut image = vec![0; image_bytes];
        while labels.len() < images_max {
            let Some(label) = stream.next_into(&mut image)? else { break };
            images.extend_from_slice(&image);
            labels.push(label);
        }
        if labels.is_empty() {
            return Err(DataError::Empty(info.name));
        }
        images.shrink_to_fit();
        Self::new(info, images, labels)
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image: `H·W·C`.
    #[must_use]
    pub fn image_bytes(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether every image has the shape of the set: always in memory, and in a folder whose
    /// files do. The others are cut and resized: about the centre by [`Dataset::image`], as the
    /// caller says by [`Dataset::cut`].
    #[must_use]
    pub fn is_fitted(&self) -> bool {
        match &self.images {
            Images::Memory(_) => true,
            Images::Files(files) => files.fitted,
        }
    }

    /// Whether images are decoded when they are asked for, rather than held in memory.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        matches!(self.images, Images::Files(_))
    }

    /// Image `i` as `[H,W,C]`: from memory, or decoded, and, where its size is another, cut about
    /// the centre ([`Region::centre`]) and resized.
    ///
    /// # Errors
    /// When its file cannot be read.
    ///
    /// # Panics
    /// When `i` is not below [`Dataset::len`].
    pub fn image<'a>(&'a self, i: usize, decoder: &'a mut Decoder) -> Result<&'a [u8], DataError> {
        if let Images::Memory(images) = &self.images {
            let bytes = self.image_bytes();
            return Ok(&images[self.places[i] as usize * bytes..][..bytes]);
        }
        let [height, width, _] = self.shape;
        let mut image = std::mem::take(&mut decoder.image);
        image.resize(self.image_bytes(), 0);
        let centre = |size| Region::centre(size, [height, width]);
        let outcome = self.cut(i, decoder, centre, &mut image);
        decoder.image = image;
        outcome.map(|()| &decoder.image[..])
    }

    /// A region of image `i`, resized to `out` (`[H,W,C]`). `region` is told `[H,W]` of the file's
    /// image and lies within it. An image of a fitted set is taken whole, without a question.
    ///
    /// # Errors
    /// When its file cannot be read.
    ///
    /// # Panics
    /// When `i` is not below [`Dataset::len`], or `out` not of [`Dataset::image_bytes`].
    pub fn cut(
        &self,
        i: usize,
        decoder: &mut Decoder,
        region: impl FnOnce([usize; 2]) -> Region,
        out: &mut [u8],
    ) -> Result<(), DataError> {
        let place = self.places[i] as usize;
        match &self.images {
            Images::Memory(images) => {
                out.copy_from_slice(&images[place * out.len()..][..out.len()]);
            }
            Images::Files(files) => {
                let picture = files.open(place, self.shape, decoder)?;
                if files.fitted {
                    picture.copy(self.shape[2], out);
                } else {
                    let region = region(picture.size);
                    decoder
                        .cut(picture, region, self.shape, out)
                        .map_err(|reason| picture::refuse(files.path(place), &reason))?;
                }
            }
        }
        Ok(())
    }

    /// The file of image `i`, where it is one.
    #[must_use]
    pub fn path(&self, i: usize) -> Option<&std::path::Path> {
        match &self.images {
            Images::Memory(_) => None,
            Images::Files(files) => Some(files.path(self.places[i] as usize)),
        }
    }

    /// The class of image `i`.
    #[must_use]
    pub fn label(&self, i: usize) -> u16 {
        self.labels[i]
    }

    /// A copy of all images, `[N,H,W,C]`, each as [`Dataset::image`] gives it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DataError> {
        let (mut bytes, mut decoder) = (Vec::new(), Decoder::new());
        for i in 0..self.len() {
            bytes.extend_from_slice(self.image(i, &mut decoder)?);
        }
        Ok(bytes)
    }

    /// All labels.
    #[must_use]
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Number of classes, also of those without images.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.class_names.len()
    }

    /// Images of each class.
    #[must_use]
    pub fn images_per_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.class_count()];
        self.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        counts
    }

    /// The images at `indices`, in their order.
    ///
    /// # Panics
    /// When an index is not below [`Dataset::len`].
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Self {
        let places = indices.iter().map(|&i| self.places[i]).collect();
        let labels = indices.iter().map(|&i| self.label(i)).collect();
        let (name, class_names) = (self.name.clone(), self.class_names.clone());
        let (split, shape, images) = (self.split, self.shape, self.images.clone());
        Self { name, split, shape, class_names, images, places, labels, validation: None }
    }

    /// The same of the images to train on; the validation images that the set brings stay.
    ///
    /// # Panics
    /// When an index is not below [`Dataset::len`].
    #[must_use]
    pub fn training_subset(&self, indices: &[usize]) -> Self {
        Self { validation: self.validation.clone(), ..self.subset(indices) }
    }

    /// The first `images_max` images, or all when there are fewer.
    #[must_use]
    pub fn take(&self, images_max: usize) -> Self {
        self.subset(&(0..images_max.min(self.len())).collect::<Vec<_>>())
    }

    /// The same with validation images of the same shape and classes.
    pub(super) fn with_validation(self, validation: Self) -> Self {
        Self { validation: Some(Box::new(validation)), ..self }
    }

    /// What to train on, and what to choose the best epoch by. Where the set has no validation
    /// images of its own they are cut from the training images: the share `share` of every class
    /// (rounded, at least one image, never all), drawn by `seed`; both parts are in the order of
    /// the original. A share of zero takes all images to train on and none to validate by, also
    /// where the set has its own.
    ///
    /// # Errors
    /// When there would be no images to train on, or none to validate by although some are wanted.
    pub fn split_validation(&self, share: f64, seed: u64) -> Result<(Self, Self), DataError> {
        if share == 0.0 && !self.is_empty() {
            return Ok((Self { validation: None, ..self.clone() }, self.subset(&[])));
        }
        if let Some(validation) = &self.validation {
            let training = Self { validation: None, ..self.clone() };
            return Ok((training, (**validation).clone()));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut of_class = vec![Vec::new(); self.class_count()];
        for (i, &label) in self.labels.iter().enumerate() {
            of_class[usize::from(label)].push(i);
        }
        let mut held_out = vec![false; self.len()];
        for mut indices in of_class.into_iter().filter(|c| c.len() > 1) {
            indices.shuffle(&mut rng);
            let wanted = (share * indices.len() as f64).round() as usize;
            let count = wanted.clamp(1, indices.len() - 1);
            indices[..count].iter().for_each(|&i| held_out[i] = true);
        }
        let (validation, training): (Vec<_>, Vec<_>) = (0..self.len()).partition(|&i| held_out[i]);
        if !(share > 0.0 && share < 1.0) || validation.is_empty() || training.is_empty() {
            return Err(DataError::ValidationShare { share, images: self.len() });
        }
        Ok((self.subset(&training), self.subset(&validation)))
    }

    /// Mean and standard deviation of each channel over all pixels, with pixel values 0 to 1. Of a
    /// set of files over 2,048 images at most, evenly spaced.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn channel_mean_and_std(&self) -> Result<(Vec<f32>, Vec<f32>), DataError> {
        let step =
            if self.is_streamed() { self.len().div_ceil(STATISTICS_IMAGES_MAX).max(1) } else { 1 };
        let chosen: Vec<usize> = (0..self.len()).step_by(step).collect();
        let of_image = |decoder: &mut Decoder, &i: &usize| {
            let mut sums = vec![(0u64, 0u64); self.shape[2]];
            for pixel in self.image(i, decoder)?.chunks_exact(self.shape[2]) {
                for ((sum, square), &value) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(value);
                    *square += u64::from(value) * u64::from(value);
                }
            }
            Ok(sums)
        };
        // Sums of integers are the same in any order.
        let sums = chosen.par_iter().map_init(Decoder::new, of_image).try_reduce(
            || vec![(0, 0); self.shape[2]],
            |a, b| Ok(a.into_iter().zip(b).map(|(a, b)| (a.0 + b.0, a.1 + b.1)).collect()),
        )?;
        let pixels = (chosen.len() * self.shape[0] * self.shape[1]) as f64;
        let mean_and_std = |&(sum, square): &(u64, u64)| {
            let mean = sum as f64 / pixels;
            let variance = (square as f64 / pixels - mean * mean).max(0.0);
            ((mean / 255.0) as f32, (variance.sqrt() / 255.0) as f32)
        };
        Ok(sums.iter().map(mean_and_std).unzip())
    }

    /// A checksum of all images and labels that tells data sets apart, and is no protection. Of
    /// files it covers the names and lengths, not the pixels.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let (mut images, mut labels) = (flate2::Crc::new(), flate2::Crc::new());
        let mut decoder = Decoder::new();
        for i in 0..self.len() {
            if let Some(path) = self.path(i) {
                images.update(path.file_name().unwrap_or_default().as_encoded_bytes());
                let bytes = path.metadata().map_or(0, |metadata| metadata.len());
                images.update(&bytes.to_le_bytes());
            } else if let Ok(image) = self.image(i, &mut decoder) {
                images.update(image);
            }
            labels.update(&self.label(i).to_le_bytes());
        }
        format!("{:08x}{:08x}", images.sum(), labels.sum())
    }
}
