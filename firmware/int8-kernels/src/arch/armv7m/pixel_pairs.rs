//! The sums of the kernel of two pixels a product, by SMLAL.

use crate::arch::pixel_pairs::around_sums::{self, Sums};
use crate::arch::pixel_pairs::widen as widen_words;
use crate::packed::direct16::Patch;
use crate::packed::pixel_pairs::Stream;

/// Bits from the first pixel of a word to the second.
const LANE: u32 = 23;

/// Words of two pixels that are computed at once: the fewest and the most.
pub(crate) const WORDS: [usize; 2] = [2, 2];

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_armv7m_pixel_pairs_sums(
        x: *const u32,
        weights: *const i8,
        end: *const u32,
        sums: *mut Sums<2>,
    );
}

/// As `arch::pixel_pairs::around_sums::outputs`, of two words.
pub(crate) fn outputs(stream: &Stream<'_>, _words: usize, x: &[u32], y: &mut [i8]) {
    around_sums::outputs(stream, x, y, sums);
}

/// As `arch::pixel_pairs::widen`, of two words.
pub(crate) fn widen(patch: &Patch, bytes: &[i8], at: [usize; 2], patches: &mut [u32]) {
    widen_words::<2>(patch, bytes, at[0], patches, LANE);
}

/// As `portable::pixel_pairs::sums`; exact for any weights, so that their segments do not matter.
fn sums(x: &[[u32; 2]], weights: &[[i8; 2]], _segments: &[u8], sums: &mut Sums<2>) {
    // The assembly adds to them.
    *sums = [[[0; 2]; 2]; 2];
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
