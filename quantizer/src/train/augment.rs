//! From pixels to a batch: normalization, random crop and flip, each image by its own seed.
//!
//! Owns what happens to an image and the randomness of a run; not which images are read.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::TrainConfig;
use crate::data::Dataset;
use crate::graph::Normalization;

/// A generator for one image of one epoch, or for the epoch's order where `image` is none: the
/// same on any number of threads, and after a resume.
fn generator(seed: u64, epoch: usize, image: Option<usize>) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((epoch as u64) << 32 | image.map_or(0, |image| image as u64 + 1));
    rng
}

/// The order of the epoch's images.
pub(super) fn order(seed: u64, epoch: usize, images: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images).collect();
    order.shuffle(&mut generator(seed, epoch, None));
    order
}

/// The images at `indices`, augmented for this epoch, into `batch` (`[N,H,W,C]`).
pub(super) fn fill_train(
    dataset: &Dataset,
    indices: &[usize],
    normalization: &Normalization,
    config: &TrainConfig,
    epoch: usize,
    batch: &mut [f32],
) {
    let images = batch.par_chunks_exact_mut(dataset.image_bytes());
    images.zip(indices).for_each_init(Vec::new, |normalized, (out, &index)| {
        normalized.resize(out.len(), 0.0);
        normalization.apply(dataset.image(index), normalized);
        let mut rng = generator(config.seed, epoch, Some(index));
        let pad = config.crop_padding;
        let shift = [rng.random_range(0..=2 * pad), rng.random_range(0..=2 * pad)];
        let mirror = config.flip && rng.next_u32() & 1 == 1;
        crop(normalized, dataset.shape, pad, shift, mirror, out);
    });
}

/// The images at `indices` as they are.
pub(super) fn fill_plain(
    dataset: &Dataset,
    indices: std::ops::Range<usize>,
    normalization: &Normalization,
    batch: &mut [f32],
) {
    let images = batch.par_chunks_exact_mut(dataset.image_bytes());
    images.zip(indices).for_each(|(out, index)| normalization.apply(dataset.image(index), out));
}

/// `out[y,x] = image[y + shift[0] - pad, x + shift[1] - pad]`, zero outside; then mirrored.
fn crop(
    image: &[f32],
    [rows, columns, channels]: [usize; 3],
    pad: usize,
    shift: [usize; 2],
    mirror: bool,
    out: &mut [f32],
) {
    for (at, out) in out.chunks_exact_mut(channels).enumerate() {
        let (y, x) = (at / columns, at % columns);
        let x = if mirror { columns - 1 - x } else { x };
        let from = |position: usize, shift: usize, size: usize| {
            (position + shift).checked_sub(pad).filter(|&position| position < size)
        };
        match (from(y, shift[0], rows), from(x, shift[1], columns)) {
            (Some(y), Some(x)) => {
                out.copy_from_slice(&image[(y * columns + x) * channels..][..channels]);
            }
            _ => out.fill(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pad: usize, shift: [usize; 2], mirror: bool, expected: [f32; 12]) {
        let image: Vec<f32> = (1_u8..=12).map(f32::from).collect();
        let mut out = [f32::NAN; 12];
        crop(&image, [2, 3, 2], pad, shift, mirror, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn crops_are_shifted_zero_padded_and_mirrored() {
        let z = 0.0;
        check(0, [0, 0], false, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
        check(1, [1, 1], true, [5.0, 6.0, 3.0, 4.0, 1.0, 2.0, 11.0, 12.0, 9.0, 10.0, 7.0, 8.0]);
        check(1, [0, 1], false, [z, z, z, z, z, z, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        check(1, [2, 2], false, [9.0, 10.0, 11.0, 12.0, z, z, z, z, z, z, z, z]);
        check(3, [0, 0], false, [z; 12]);
    }

    #[test]
    fn orders_differ_by_epoch_and_repeat() {
        let first = order(1, 0, 100);
        assert_eq!(first, order(1, 0, 100));
        assert_ne!(first, order(1, 1, 100));
        assert_ne!(first, order(2, 0, 100));
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
    }
}
