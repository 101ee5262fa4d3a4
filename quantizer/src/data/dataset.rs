//! A split in memory: a byte a pixel value, and what training asks of it.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{DataError, SampleStream, Split, SplitInfo};

/// Images and labels of one split. Every label is below the number of classes.
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
    images: Vec<u8>,
    labels: Vec<u16>,
}

impl Dataset {
    /// Puts a data set together: `images` are `[N,H,W,C]`, `info` gives the rest.
    ///
    /// # Errors
    /// When the sizes do not fit each other, or a label has no class.
    pub fn new(info: SplitInfo, images: Vec<u8>, labels: Vec<u16>) -> Result<Self, DataError> {
        let SplitInfo { name, split, shape, class_names, .. } = info;
        let image_bytes: usize = shape.iter().product();
        if image_bytes == 0 || images.len() != labels.len() * image_bytes {
            let (bytes, labels) = (images.len(), labels.len());
            return Err(DataError::Parts { name, bytes, labels, shape });
        }
        let classes = class_names.len();
        if let Some(index) = labels.iter().position(|&l| usize::from(l) >= classes) {
            let found = usize::from(labels[index]);
            return Err(DataError::LabelRange { path: name, index, found, classes });
        }
        Ok(Self { name, split, shape, class_names, images, labels })
    }

    /// Reads a stream to its end, or its first `images_max` images.
    ///
    /// # Errors
    /// When the stream does, or when it has no images at all.
    pub fn read(
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

    /// Image `i` as `[H,W,C]`.
    #[must_use]
    pub fn image(&self, i: usize) -> &[u8] {
        let bytes = self.image_bytes();
        &self.images[i * bytes..][..bytes]
    }

    /// The class of image `i`.
    #[must_use]
    pub fn label(&self, i: usize) -> u16 {
        self.labels[i]
    }

    /// All images, `[N,H,W,C]`.
    #[must_use]
    pub fn images(&self) -> &[u8] {
        &self.images
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
        let mut images = Vec::with_capacity(indices.len() * self.image_bytes());
        indices.iter().for_each(|&i| images.extend_from_slice(self.image(i)));
        let labels = indices.iter().map(|&i| self.label(i)).collect();
        let (name, class_names) = (self.name.clone(), self.class_names.clone());
        Self { name, split: self.split, shape: self.shape, class_names, images, labels }
    }

    /// The first `images_max` images, or all when there are fewer.
    #[must_use]
    pub fn take(&self, images_max: usize) -> Self {
        self.subset(&(0..images_max.min(self.len())).collect::<Vec<_>>())
    }

    /// Cuts a validation set from the training images: the share `share` of every class (rounded,
    /// at least one image, never all), drawn by `seed`. Returns what stays for training, then the
    /// validation set, both in the order of the original.
    ///
    /// # Errors
    /// When one of the two would have no images.
    pub fn split_validation(&self, share: f64, seed: u64) -> Result<(Self, Self), DataError> {
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

    /// Mean and standard deviation of each channel over all pixels, with pixel values 0 to 1.
    #[must_use]
    pub fn channel_mean_and_std(&self) -> (Vec<f32>, Vec<f32>) {
        let channels = self.shape[2];
        let pixels = (self.images.len() / channels) as f64;
        let (mut sums, mut squares) = (vec![0u64; channels], vec![0u64; channels]);
        for pixel in self.images.chunks_exact(channels) {
            for (c, &value) in pixel.iter().enumerate() {
                sums[c] += u64::from(value);
                squares[c] += u64::from(value) * u64::from(value);
            }
        }
        let mean_and_std = |(&sum, &square): (&u64, &u64)| {
            let mean = sum as f64 / pixels;
            let variance = (square as f64 / pixels - mean * mean).max(0.0);
            ((mean / 255.0) as f32, (variance.sqrt() / 255.0) as f32)
        };
        sums.iter().zip(&squares).map(mean_and_std).unzip()
    }
}
