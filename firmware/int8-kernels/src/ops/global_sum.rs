//! Global average pooling of the profile `native`, first half: the sums of the raw values. The
//! division and the zero point are folded into the classifier that follows.

/// `y[c] = sum over all positions of x[p,c]`.
///
/// `x`: `[H,W,C]` int8, at most 256 positions, so that a sum fits int16. `y`: `[C]`.
pub fn global_sum_s8(x: &[i8], y: &mut [i16]) {
    y.fill(0);
    for pixel in x.chunks_exact(y.len().max(1)) {
        for (sum, &x) in y.iter_mut().zip(pixel) {
            *sum = sum.wrapping_add(x.into());
        }
    }
}
