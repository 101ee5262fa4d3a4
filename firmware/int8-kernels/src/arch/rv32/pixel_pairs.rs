//! The sums of the kernel of two pixels a product, by MUL.

pub(crate) use crate::arch::portable::pixel_pairs::LANE;
use crate::packed::pixel_pairs::GROUP;

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_rv32_pixel_pairs(
        x: *const u32,
        weights: *const i8,
        end: *const u32,
        sums: *mut [[i32; 4]; 2],
        segments: *const u8,
    );
}

/// As `portable::pixel_pairs::sums`.
pub(crate) fn sums(x: &[[u32; 2]], weights: &[[i8; 2]], segments: &[u8], sums: &mut [[i32; 4]; 2]) {
    if x.is_empty() || x.len() != weights.len() || x.len() != GROUP * segments.len() {
        *sums = [[0; 4]; 2];
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs and weights are as many, eight for each length of segments, of which there is
    // one at least.
    unsafe {
        resmcu_rv32_pixel_pairs(
            x.as_ptr().cast(),
            weights.as_ptr().cast(),
            x.as_ptr_range().end.cast(),
            sums,
            segments.as_ptr(),
        );
    }
}
