//! The generic convolution's sums, behind the signature of `model`.

use crate::arch::model::dot4;
use zerocopy::{FromBytes, IntoBytes};

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signature is that which the assembly states.
unsafe extern "C" {
    fn resmcu_armv6m_dot4(x: *const i8, weights: *const u32, end: *const i8, sums: *mut [i32; 4]);
}

/// As `model::dot4::sums`, which it is where the weights are no whole words.
pub(crate) fn sums(weights: &[i8], patch: &[i8]) -> [i32; 4] {
    let Ok(words) = <[u32]>::ref_from_bytes(weights.as_bytes()) else {
        return dot4::sums(weights, patch);
    };
    let (mut sums, patch) = ([0; 4], patch.get(..words.len()).unwrap_or(patch));
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there is a word for each input.
    unsafe {
        resmcu_armv6m_dot4(patch.as_ptr(), words.as_ptr(), patch.as_ptr_range().end, &raw mut sums);
    }
    sums
}
