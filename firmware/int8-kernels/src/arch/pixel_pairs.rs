//! What cores have in common of the direct kernel with int8 weights.
//!
//! From inputs to outputs a core is all assembly, behind `in_assembly`, or has the sums, behind
//! `around_sums`. The layout of inputs of cores that compute two pixels in one product is here:
//! `[K][words]` words of two pixels, the second one times a power of two.

#[cfg(not(resmcu_passes = "armv7em"))]
use crate::packed::direct16::Patch;

#[cfg(any(resmcu_passes = "armv7m", resmcu_passes = "portable"))]
pub(crate) mod around_sums;
#[cfg(not(any(resmcu_passes = "armv7m", resmcu_passes = "portable")))]
pub(crate) mod in_assembly;

/// Calls `f` with each row of a patch, the slots from its first one on, `words` apart, and whether
/// the pixel is the second one of its words, while all of a row fits.
#[cfg(not(resmcu_passes = "armv7em"))]
#[inline]
pub(crate) fn for_each_row(
    patch: &Patch,
    bytes: &[i8],
    [pixel, words]: [usize; 2],
    patches: &mut [u32],
    mut f: impl FnMut(&[i8], &mut [u32], bool),
) {
    let mut slots = patches.get_mut(pixel / 2..).unwrap_or_default();
    for row in 0..patch.rows() {
        let row = bytes.get(row * patch.pitch()..).unwrap_or_default();
        let row = row.get(..patch.row_bytes()).unwrap_or_default();
        if row.is_empty() || slots.len() <= words * (row.len() - 1) {
            return;
        }
        f(row, slots, pixel % 2 == 1);
        slots = slots.get_mut(words * row.len()..).unwrap_or_default();
    }
}

/// Writes a patch as a pixel into every `W`-th of its slots: the first pixel of a word, or the
/// second one, which is added times `2^lane`.
#[cfg(any(resmcu_passes = "armv7m", resmcu_passes = "portable"))]
pub(crate) fn widen<const W: usize>(
    patch: &Patch,
    bytes: &[i8],
    pixel: usize,
    patches: &mut [u32],
    lane: u32,
) {
    for_each_row(patch, bytes, [pixel, W], patches, |row, slots, is_second| {
        let slots = slots.chunks_mut(W).filter_map(|words| words.first_mut());
        let values = row.iter().map(|&x| i32::from(x) as u32).zip(slots);
        if is_second {
            values.for_each(|(x, slot)| *slot = slot.wrapping_add(x << lane));
        } else {
            values.for_each(|(x, slot)| *slot = x);
        }
    });
}
