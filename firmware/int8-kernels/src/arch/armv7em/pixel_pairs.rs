//! The direct kernel with int8 weights, by SMLAD: two weights of one pixel in one multiplication.

pub(crate) use crate::arch::pixel_pairs::in_assembly::outputs;
use crate::packed::direct16::Patch;

/// Words of two pixels that are computed at once: two for each weight are, here, four for each two.
pub(crate) const WORDS: [usize; 2] = [2, 2];

/// What `resmcu_pixel_pairs_widen` reads.
#[repr(C)]
struct Rows {
    row: *const i8,
    slots: *mut u32,
    rows: usize,
    row_bytes: usize,
    /// From the end of a row to the next one.
    gap: usize,
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_pixel_pairs_widen(context: *const Rows);
}

/// Writes a patch into `patches`, `[K / 2][4]` words of weights `k` and `k + 1` of four pixels.
///
/// `at`: the pixel, and the words of a weight.
pub(crate) fn widen(patch: &Patch, bytes: &[i8], [pixel, _]: [usize; 2], patches: &mut [u32]) {
    let (rows, row_bytes) = (patch.rows(), patch.row_bytes());
    let slots = patches.get_mut(pixel..).unwrap_or_default();
    let Some(last) = (rows * row_bytes).checked_sub(1) else { return };
    if bytes.len() < patch.bytes() || slots.len() <= 4 * (last / 2) {
        return;
    }
    let (row, slots) = (bytes.as_ptr(), slots.as_mut_ptr());
    let gap = patch.pitch().wrapping_sub(row_bytes);
    let context = Rows { row, slots, rows, row_bytes, gap };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there is at least one row and one byte of each, the last row ends inside of `bytes`,
    // and for each two bytes of all rows there is every fourth word.
    unsafe {
        resmcu_pixel_pairs_widen(&raw const context);
    }
}
