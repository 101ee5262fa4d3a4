//! The kernel of two pixels a product, by MUL.

use crate::arch::pixel_pairs::for_each_row;
pub(crate) use crate::arch::pixel_pairs::in_assembly::outputs;
use crate::packed::direct16::Patch;

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [2, 2];

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(include_str!("pixel_pairs.s"), options(raw));
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_armv6m_widen_first(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_armv6m_widen_second(row: *const i8, slots: *mut u32, count: usize);
}

/// As `arch::pixel_pairs::widen`, of two words.
pub(crate) fn widen(patch: &Patch, bytes: &[i8], at: [usize; 2], patches: &mut [u32]) {
    for_each_row(patch, bytes, [at[0], 2], patches, |row, slots, is_second| {
        let (row, slots, count) = (row.as_ptr(), slots.as_mut_ptr(), row.len());
        #[expect(unsafe_code, reason = "calls the assembly")]
        // SAFETY: there are so many bytes, at least one, and every second word for each.
        unsafe {
            if is_second {
                resmcu_armv6m_widen_second(row, slots, count);
            } else {
                resmcu_armv6m_widen_first(row, slots, count);
            }
        }
    });
}
