//! The sums of the kernel of two pixels a product, by SMLAL.

/// Bits from the first pixel of a word to the second.
pub(crate) const LANE: u32 = 23;

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines a function, which keeps the procedure call standard.
    core::arch::global_asm!(
        ".syntax unified",
        ".thumb",
        include_str!("pixel_pairs.s"),
        options(raw)
    );
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_armv7m_pixel_pairs_sums(
        x: *const u32,
        weights: *const i8,
        end: *const u32,
        sums: *mut [[i32; 4]; 2],
    );
}

/// As `portable::pixel_pairs::sums`; exact for any weights, so that their segments do not matter.
pub(crate) fn sums(
    x: &[[u32; 2]],
    weights: &[[i8; 2]],
    _segments: &[u8],
    sums: &mut [[i32; 4]; 2],
) {
    // The assembly adds to them.
    *sums = [[0; 4]; 2];
    if x.is_empty() || !x.len().is_multiple_of(8) || x.len() != weights.len() {
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs and weights are as many, a multiple of eight that is not zero.
    unsafe {
        resmcu_armv7m_pixel_pairs_sums(
            x.as_ptr().cast(),
            weights.as_ptr().cast(),
            x.as_ptr_range().end.cast(),
            sums,
        );
    }
}
