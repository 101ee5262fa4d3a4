//! The kernel of two pixels a product, by MUL.

use crate::arch::pixel_pairs::for_each_row;
pub(crate) use crate::arch::pixel_pairs::in_assembly::outputs;
use crate::packed::direct16::Patch;

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [1, 3];

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_rv32_widen_first_1(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_first_2(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_first_3(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_second_1(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_second_2(row: *const i8, slots: *mut u32, count: usize);
    fn resmcu_rv32_widen_second_3(row: *const i8, slots: *mut u32, count: usize);
}

/// As `arch::pixel_pairs::widen`.
pub(crate) fn widen(patch: &Patch, bytes: &[i8], at: [usize; 2], patches: &mut [u32]) {
    for_each_row(patch, bytes, at, patches, |row, slots, is_second| {
        let (row, slots, count) = (row.as_ptr(), slots.as_mut_ptr(), row.len());
        #[expect(unsafe_code, reason = "calls the assembly")]
        // SAFETY: there are so many bytes, at least one, and a slot for each, as many words apart.
        unsafe {
            match (at[1], is_second) {
                (1, false) => resmcu_rv32_widen_first_1(row, slots, count),
                (2, false) => resmcu_rv32_widen_first_2(row, slots, count),
                (3, false) => resmcu_rv32_widen_first_3(row, slots, count),
                (1, true) => resmcu_rv32_widen_second_1(row, slots, count),
                (2, true) => resmcu_rv32_widen_second_2(row, slots, count),
                (3, true) => resmcu_rv32_widen_second_3(row, slots, count),
                _ => {}
            }
        }
    });
}
