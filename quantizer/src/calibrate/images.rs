//! The images that calibrate, decoded once.

use crate::data::{DataError, Dataset, Decoder};
use crate::graph::Normalization;
use ndarray::Array4;
use rayon::prelude::*;
use std::ops::Range;

/// Images as bytes, all of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// `[H,W,C]`.
    shape: [usize; 3],
    /// `[N,H,W,C]`.
    pixels: Vec<u8>,
}

impl Images {
    /// All images of a data set.
    ///
    /// # Errors
    /// Where one cannot be decoded.
    pub fn of(data: &Dataset) -> Result<Self, DataError> {
        let size = data.image_bytes();
        let mut pixels = vec![0; data.len() * size];
        pixels.par_chunks_exact_mut(size.max(1)).enumerate().try_for_each_init(
            Decoder::new,
            |decoder, (index, out)| {
                out.copy_from_slice(data.image(index, decoder)?);
                Ok::<_, DataError>(())
            },
        )?;
        Ok(Self { shape: data.shape, pixels })
    }

    /// Images of `shape` (`[H,W,C]`) one after the other, and no part of one.
    #[must_use]
    pub fn new(shape: [usize; 3], mut pixels: Vec<u8>) -> Self {
        let size = shape.iter().product::<usize>().max(1);
        pixels.truncate(pixels.len() / size * size);
        Self { shape, pixels }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>().max(1)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// The first `count` of them, or all.
    #[must_use]
    pub fn take(&self, count: usize) -> Self {
        let bytes = count.min(self.len()) * self.shape.iter().product::<usize>();
        Self { shape: self.shape, pixels: self.pixels[..bytes].to_vec() }
    }

    /// Some of them as the network takes them, `[N,H,W,C]`; `range` lies within `0..len()`.
    #[must_use]
    pub fn batch(&self, range: Range<usize>, normalization: &Normalization) -> Array4<f32> {
        let [height, width, channels] = self.shape;
        let size = height * width * channels;
        let mut batch = Array4::zeros([range.len(), height, width, channels]);
        let pixels = self.pixels[range.start * size..range.end * size].par_chunks_exact(size);
        let out = batch.as_slice_mut().unwrap_or_default().par_chunks_exact_mut(size);
        out.zip(pixels).for_each(|(out, pixels)| normalization.apply(pixels, out));
        batch
    }
}
