//! The sums of the kernel of two pixels a product, by MUL.

use crate::arch::portable::pixel_pairs as portable;

pub(crate) use portable::LANE;

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_rv32_pixel_pairs_2(
        x: *const u32,
        weights: *const i8,
        end: *const u32,
        sums: *mut [[i32; 4]; 2],
    );
    fn resmcu_rv32_pixel_pairs_4(
        x: *const u32,
        weights: *const i8,
        end: *const u32,
        sums: *mut [[i32; 4]; 2],
    );
    fn resmcu_rv32_pixel_pairs_8(
        x: *const u32,
        weights: *const i8,
        end: *const u32,
        sums: *mut [[i32; 4]; 2],
    );
}

/// As `portable::pixel_pairs::sums`.
pub(crate) fn sums(x: &[[u32; 2]], weights: &[[i8; 2]], segment: usize) -> [[i32; 4]; 2] {
    let run = match segment {
        2 => resmcu_rv32_pixel_pairs_2,
        4 => resmcu_rv32_pixel_pairs_4,
        8 => resmcu_rv32_pixel_pairs_8,
        _ => return portable::sums(x, weights, segment),
    };
    let mut sums = [[0; 4]; 2];
    if x.is_empty() || !x.len().is_multiple_of(8) || x.len() != weights.len() {
        return sums;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs and weights are as many, a multiple of eight that is not zero.
    unsafe {
        let end = x.as_ptr_range().end.cast();
        run(x.as_ptr().cast(), weights.as_ptr().cast(), end, &raw mut sums);
    }
    sums
}
