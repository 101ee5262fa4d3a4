//! From pixels to the network's input: normalization, and what a training image goes through.
//!
//! Owns what happens to an image and the randomness of a run; not which images are read, nor
//! threads.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};
use rayon::prelude::*;

use super::TrainConfig;
use crate::data::{DataError, Dataset, Decoder, Region};
use crate::graph::Normalization;

/// Tries of a random crop before the centre is taken, as torchvision's.
const CROP_TRIES: usize = 10;
/// Width over height of a random crop.
const ASPECT: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// What is done to training images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Augmentation {
    pub(super) seed: u64,
    /// Zeros around an image of the network's size, from which a crop of that size is taken.
    pub(super) crop_padding: usize,
    /// Smallest share of the area of an image of another size that a crop of it has.
    pub(super) crop_area_min: f64,
    /// Mirror half of the images.
    pub(super) flip: bool,
    /// Side of the square that is blanked out (`DeVries` and Taylor 2017); 0 for none.
    pub(super) cutout: usize,
    /// Of the distribution of mixup's shares (Zhang et al. 2018); 0 for no mixing.
    pub(super) mixup_alpha: f64,
}

impl Augmentation {
    pub(super) fn new(config: &TrainConfig) -> Self {
        Self {
            seed: config.seed,
            crop_padding: config.crop_padding,
            crop_area_min: config.crop_area_min.into(),
            flip: config.flip,
            cutout: config.cutout,
            mixup_alpha: config.mixup_alpha.into(),
        }
    }
}

/// The normalized value of each byte, a table a channel.
#[derive(Clone, Debug)]
pub(super) struct Table(Vec<[f32; 256]>);

impl Table {
    pub(super) fn new(normalization: &Normalization) -> Self {
        let channels = normalization.mean.len();
        let mut tables = vec![[0.0; 256]; channels];
        let mut values = vec![0.0; channels];
        for byte in 0..=u8::MAX {
            normalization.apply(&vec![byte; channels], &mut values);
            tables.iter_mut().zip(&values).for_each(|(t, &v)| t[usize::from(byte)] = v);
        }
        Self(tables)
    }

    /// Normalizes pixels, `[W,C]`, from left to right or from right to left.
    fn row(&self, pixels: &[u8], mirror: bool, out: &mut [f32]) {
        match self.0.as_slice() {
            [grey] => {
                let pairs = pixels.iter().zip(&mut *out);
                let one = |(&pixel, out): (&u8, &mut f32)| *out = grey[usize::from(pixel)];
                if mirror {
                    pixels.iter().rev().zip(out).for_each(one);
                } else {
                    pairs.for_each(one);
                }
            }
            [r, g, b] => {
                let (pixels, out) = (pixels.as_chunks::<3>().0, out.as_chunks_mut::<3>().0);
                let one = |(pixel, out): (&[u8; 3], &mut [f32; 3])| {
                    let [x, y, z] = pixel.map(usize::from);
                    *out = [r[x], g[y], b[z]];
                };
                let out = out.iter_mut();
                if mirror {
                    pixels.iter().rev().zip(out).for_each(one);
                } else {
                    pixels.iter().zip(out).for_each(one);
                }
            }
            tables => {
                let width = pixels.len() / tables.len();
                for (x, out) in out.chunks_exact_mut(tables.len()).enumerate() {
                    let from = if mirror { width - 1 - x } else { x };
                    let pixel = &pixels[from * tables.len()..];
                    for ((out, table), &value) in out.iter_mut().zip(tables).zip(pixel) {
                        *out = table[usize::from(value)];
                    }
                }
            }
        }
    }
}

/// The memory of one thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    decoder: Decoder,
    pixels: Vec<u8>,
}

/// A generator for one image of one epoch, or for the epoch's order where `image` is none: the
/// same on any number of threads, and after a resume.
fn generator(seed: u64, epoch: usize, image: Option<usize>) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((epoch as u64) << 32 | image.map_or(0, |image| image as u64 + 1));
    rng
}

/// The order of the epoch's images.
pub(super) fn order(seed: u64, epoch: usize, order: &mut [usize]) {
    order.iter_mut().enumerate().for_each(|(i, index)| *index = i);
    order.shuffle(&mut generator(seed, epoch, None));
}

impl Augmentation {
    /// Image `index` of `dataset` as epoch `epoch` sees it, into `out` (`[H,W,C]`).
    pub(super) fn image(
        &self,
        dataset: &Dataset,
        table: &Table,
        [epoch, index]: [usize; 2],
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let mut rng = generator(self.seed, epoch, Some(index));
        let shape @ [rows, columns, _] = dataset.shape;
        let Scratch { decoder, pixels } = scratch;
        let (pixels, pad, shift) = if dataset.is_fitted() {
            let pad = self.crop_padding;
            let shift = [rng.random_range(0..=2 * pad), rng.random_range(0..=2 * pad)];
            (dataset.image(index, decoder)?, pad, shift)
        } else {
            pixels.resize(dataset.image_bytes(), 0);
            let region = |size| random_region(size, self.crop_area_min, &mut rng);
            dataset.cut(index, decoder, region, pixels)?;
            (&pixels[..], 0, [0, 0])
        };
        let mirror = self.flip && rng.next_u32() & 1 == 1;
        crop(table, pixels, shape, pad, shift, mirror, out);
        if self.cutout > 0 {
            let centre = [rng.random_range(0..rows), rng.random_range(0..columns)];
            cutout(shape, centre, self.cutout, out);
        }
        Ok(())
    }

    /// The share that each image of a step keeps of itself, from `Beta(alpha, alpha)`; none
    /// without mixing.
    pub(super) fn mixup_share(&self, epoch: usize, step: usize) -> Option<f32> {
        // A seed of its own: the streams of this run's seed belong to images.
        let mut rng = generator(self.seed ^ 0x6d69_7875_7000_0000, epoch, Some(step));
        let beta = Beta::new(self.mixup_alpha, self.mixup_alpha).ok()?;
        Some(beta.sample(&mut rng) as f32)
    }
}

/// Mixes each image of a batch with the one as far from the other end: as good a partner as any
/// in an order that is random, and none is needed twice.
pub(super) fn mixup(share: f32, image_values: usize, batch: &mut [f32]) {
    let images = batch.len() / image_values.max(1);
    let (front, back) = batch.split_at_mut(images / 2 * image_values);
    let back = back.rchunks_exact_mut(image_values.max(1));
    for (front, back) in front.chunks_exact_mut(image_values.max(1)).zip(back) {
        for (a, b) in front.iter_mut().zip(back) {
            let rest = 1.0 - share;
            (*a, *b) = (share * *a + rest * *b, share * *b + rest * *a);
        }
    }
}

/// The images at `indices` as they are, or cut about their centre, into `batch` (`[N,H,W,C]`).
pub(super) fn fill_plain(
    dataset: &Dataset,
    indices: std::ops::Range<usize>,
    table: &Table,
    batch: &mut [f32],
) -> Result<(), DataError> {
    let images = batch.par_chunks_exact_mut(dataset.image_bytes());
    let failed = images.zip(indices).map_init(Decoder::new, |decoder, (out, index)| {
        let [_, columns, channels] = dataset.shape;
        let pixels = dataset.image(index, decoder)?;
        let rows = pixels.chunks_exact(columns * channels);
        let out = out.chunks_exact_mut(columns * channels);
        rows.zip(out).for_each(|(pixels, out)| table.row(pixels, false, out));
        Ok(())
    });
    failed.find_map_first(Result::err).map_or(Ok(()), Err)
}

/// `out[y,x] = image[y + shift[0] - pad, x + shift[1] - pad]`, normalized, zero outside; then
/// mirrored.
fn crop(
    table: &Table,
    image: &[u8],
    [rows, columns, channels]: [usize; 3],
    pad: usize,
    shift: [usize; 2],
    mirror: bool,
    out: &mut [f32],
) {
    // Columns of the output, before it is mirrored, that lie within the image.
    let begin = pad.saturating_sub(shift[1]).min(columns);
    let end = (columns + pad).saturating_sub(shift[1]).clamp(begin, columns);
    let from = (begin + shift[1]).saturating_sub(pad) * channels;
    let (begin, end) = if mirror { (columns - end, columns - begin) } else { (begin, end) };
    let (begin, end) = (begin * channels, end * channels);
    for (y, out) in out.chunks_exact_mut(columns * channels).enumerate() {
        match (y + shift[0]).checked_sub(pad).filter(|&y| y < rows) {
            Some(y) if begin < end => {
                let pixels = &image[y * columns * channels + from..][..end - begin];
                out[..begin].fill(0.0);
                table.row(pixels, mirror, &mut out[begin..end]);
                out[end..].fill(0.0);
            }
            _ => out.fill(0.0),
        }
    }
}

/// Zeros, the mean of normalized images, in a square about `centre`, as far as it lies in the
/// image.
fn cutout([rows, columns, channels]: [usize; 3], centre: [usize; 2], side: usize, out: &mut [f32]) {
    let range = |centre: usize, size: usize| {
        let begin = centre.saturating_sub(side / 2);
        begin..(centre + side - side / 2).min(size)
    };
    let within = range(centre[1], columns);
    for y in range(centre[0], rows) {
        out[y * columns * channels..][within.start * channels..within.end * channels].fill(0.0);
    }
}

/// A crop of an image of `[H,W]` (Szegedy et al. 2015, section 6, as torchvision's
/// `RandomResizedCrop` has it): a share of the area that is uniform from `area_min` to 1, width
/// over height log-uniform from 3/4 to 4/3, at a place that is uniform. Where ten draws do not fit
/// in, the largest rectangle about the centre within these proportions.
fn random_region(size: [usize; 2], area_min: f64, rng: &mut ChaCha8Rng) -> Region {
    let [rows, columns] = size.map(|side| side as f64);
    for _ in 0..CROP_TRIES {
        let area = rows * columns * rng.random_range(area_min..=1.0);
        let aspect = rng.random_range(ASPECT[0].ln()..=ASPECT[1].ln()).exp();
        let height = (area / aspect).sqrt().round_ties_even();
        let width = (area * aspect).sqrt().round_ties_even();
        if (1.0..=rows).contains(&height) && (1.0..=columns).contains(&width) {
            let top = f64::from(rng.random_range(0..=(rows - height) as u32));
            let left = f64::from(rng.random_range(0..=(columns - width) as u32));
            return Region { top, left, height, width };
        }
    }
    let aspect = (columns / rows).clamp(ASPECT[0], ASPECT[1]);
    let height = (columns / aspect).round_ties_even().clamp(1.0, rows);
    let width = (rows * aspect).round_ties_even().clamp(1.0, columns);
    let middle = |all: f64, part: f64| ((all - part) / 2.0).floor();
    Region { top: middle(rows, height), left: middle(columns, width), height, width }
}

#[cfg(test)]
mod tests;
