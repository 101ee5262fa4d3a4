//! The sums of the kernel of two pixels a product, in plain Rust.

use crate::packed::pixel_pairs::GROUP;

/// Bits from the first pixel of a word to the second.
pub(crate) const LANE: u32 = 16;

/// Writes the sums of two outputs over four pixels, `[output][pixel]`, modulo 2^32.
///
/// `x`: for each weight two words, pixels 0 and 1, and pixels 2 and 3, as `x0 + 2^16 x1`.
/// `weights`: `[K]` of both outputs. `segments`: for each eight of them how many at a time have
/// absolute values of at most 255 together: then the products of the first pixel, added up, stay
/// inside of 16 bits.
pub(crate) fn sums(x: &[[u32; 2]], weights: &[[i8; 2]], segments: &[u8], sums: &mut [[i32; 4]; 2]) {
    *sums = [[0; 4]; 2];
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
fn add_segment(x: &[[u32; 2]], weights: &[[i8; 2]], sums: &mut [[i32; 4]; 2]) {
    for (output, sums) in sums.iter_mut().enumerate() {
        for (pair, sums) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let products = x
                .iter()
                .zip(weights)
                .map(|(x, w)| x[pair % 2].wrapping_mul(i32::from(w[output % 2]) as u32) as i32);
            let word = products.fold(0, i32::wrapping_add);
            let second = word.wrapping_add(1 << (LANE - 1)) >> LANE;
            sums[0] = sums[0].wrapping_add(word.wrapping_sub(second << LANE));
            sums[1] = sums[1].wrapping_add(second);
        }
    }
}
