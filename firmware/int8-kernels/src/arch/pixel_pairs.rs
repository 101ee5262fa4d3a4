//! What cores have in common of the direct kernel with int8 weights.
//!
//! From inputs to outputs a core is all assembly, behind `in_assembly`, or has the sums, behind
//! `around_sums`. The layout of inputs of cores that compute two pixels in one product is here:
//! `[K][words]` words of two pixels, the second one times a power of two.

#[cfg(any(resmcu_passes = "armv7m", resmcu_passes = "portable"))]
pub(crate) mod around_sums;
#[cfg(not(any(resmcu_passes = "armv7m", resmcu_passes = "portable")))]
pub(crate) mod in_assembly;

/// Where a row of a pixel goes in `patches`, if all of it fits: from its first slot on, `words`
/// apart, and whether its pixel is the second one of its words.
///
/// `at`: the row's first weight, and the pixel.
#[cfg(not(resmcu_passes = "armv7em"))]
#[inline]
pub(crate) fn slots<'p>(
    row: &[i8],
    [first, pixel]: [usize; 2],
    words: usize,
    patches: &'p mut [u32],
) -> Option<(&'p mut [u32], bool)> {
    let last = row.len().checked_sub(1)?;
    let slots = patches.get_mut(words * first + pixel / 2..)?;
    (words * last < slots.len()).then_some((slots, pixel % 2 == 1))
}

/// Writes a row of a pixel into every `W`-th of its slots: the first pixel of a word, or the second
/// one, which is added times `2^lane`.
#[cfg(any(resmcu_passes = "armv7m", resmcu_passes = "portable"))]
pub(crate) fn widen<const W: usize>(row: &[i8], at: [usize; 2], patches: &mut [u32], lane: u32) {
    let Some((slots, is_second)) = slots(row, at, W, patches) else { return };
    let slots = slots.chunks_mut(W).filter_map(|words| words.first_mut());
    let values = row.iter().map(|&x| i32::from(x) as u32).zip(slots);
    if is_second {
        values.for_each(|(x, slot)| *slot = slot.wrapping_add(x << lane));
    } else {
        values.for_each(|(x, slot)| *slot = x);
    }
}
