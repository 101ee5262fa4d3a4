//! The generic convolution's sums.

/// The products of a patch with a block of weights of four output channels, `[K, 4]`, summed up
/// modulo 2^32.
#[inline(never)]
pub(crate) fn sums(weights: &[i8], patch: &[i8]) -> [i32; 4] {
    let mut sums = [0_i32; 4];
    let (weights, _) = weights.as_chunks::<4>();
    for (w, &x) in weights.iter().zip(patch) {
        for (sum, &w) in sums.iter_mut().zip(w) {
            *sum = sum.wrapping_add(i32::from(x) * i32::from(w));
        }
    }
    sums
}
