//! The sums of the kernel of two pixels a product, in plain Rust.

use crate::arch::pixel_pairs::around_sums::{self, Sums};
use crate::arch::pixel_pairs::widen as widen_words;
use crate::packed::direct16::Patch;
use crate::packed::pixel_pairs::{GROUP, Stream};

/// Bits from the first pixel of a word to the second.
const LANE: u32 = 16;

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [1, 3];

/// As `arch::pixel_pairs::around_sums::outputs`, of `words` words.
pub(crate) fn outputs(stream: &Stream<'_>, words: usize, x: &[u32], y: &mut [i8]) {
    match words {
        1 => around_sums::outputs::<1>(stream, x, y, sums),
        3 => around_sums::outputs::<3>(stream, x, y, sums),
        _ => around_sums::outputs::<2>(stream, x, y, sums),
    }
}

/// As `arch::pixel_pairs::widen`.
pub(crate) fn widen(patch: &Patch, bytes: &[i8], at: [usize; 2], patches: &mut [u32]) {
    let [pixel, words] = at;
    match words {
        1 => widen_words::<1>(patch, bytes, pixel, patches, LANE),
        3 => widen_words::<3>(patch, bytes, pixel, patches, LANE),
        _ => widen_words::<2>(patch, bytes, pixel, patches, LANE),
    }
}

/// Writes the sums of two outputs, modulo 2^32.
///
/// `x`: for each weight words of two pixels, `x0 + 2^16 x1`. `weights`: `[K]` of both outputs.
/// `segments`: for each eight of them how many at a time have absolute values of at most 255
/// together: then the products of the first pixel, added up, stay inside of 16 bits.
fn sums<const W: usize>(x: &[[u32; W]], weights: &[[i8; 2]], segments: &[u8], sums: &mut Sums<W>) {
    *sums = [[[0; 2]; W]; 2];
    let (x, weights) = (x.as_chunks::<GROUP>().0, weights.as_chunks::<GROUP>().0);
    for ((x, weights), &segment) in x.iter().zip(weights).zip(segments) {
        let segment = usize::from(segment.max(1));
        for (x, weights) in x.chunks(segment).zip(weights.chunks(segment)) {
            add_segment(x, weights, sums);
        }
    }
}

/// Adds the products of a segment.
#[inline]
fn add_segment<const W: usize>(x: &[[u32; W]], weights: &[[i8; 2]], sums: &mut Sums<W>) {
    for (output, sums) in sums.iter_mut().enumerate() {
        for (word, sums) in sums.iter_mut().enumerate() {
            let products = x
                .iter()
                .zip(weights)
                .map(|(x, w)| x[word].wrapping_mul(i32::from(w[output % 2]) as u32) as i32);
            let word = products.fold(0, i32::wrapping_add);
            let second = word.wrapping_add(1 << (LANE - 1)) >> LANE;
            sums[0] = sums[0].wrapping_add(word.wrapping_sub(second << LANE));
            sums[1] = sums[1].wrapping_add(second);
        }
    }
}
