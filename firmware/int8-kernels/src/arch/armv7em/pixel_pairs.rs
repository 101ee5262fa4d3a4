//! The direct kernel with int8 weights, by SMLAD: two weights of one pixel in one multiplication.

pub(crate) use crate::arch::pixel_pairs::in_assembly::outputs;

/// Words of four pixels at once: two for each weight are four for each two weights.
pub(crate) const WORDS: [usize; 2] = [2, 2];

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_pixel_pairs_widen(row: *const i8, slots: *mut u32, count: usize, is_odd: usize);
}

/// Writes a row of a pixel into `patches`, `[K / 2][4]` words: of weights `k` and `k + 1` of the four
/// pixels.
///
/// `at`: the row's first weight, and the pixel.
pub(crate) fn widen(row: &[i8], at: [usize; 2], _words: usize, patches: &mut [u32]) {
    let ([first, pixel], count) = (at, row.len());
    let slots = patches.get_mut(4 * (first / 2) + pixel..).unwrap_or_default();
    let is_odd = first % 2;
    if count == 0 || slots.len() <= 4 * ((is_odd + count - 1) / 2) {
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there are so many bytes, at least one, and every fourth word for each two of them,
    // the first of which is alone in its word if it is an odd one.
    unsafe {
        resmcu_pixel_pairs_widen(row.as_ptr(), slots.as_mut_ptr(), count, is_odd);
    }
}
