//! Global average pooling of the profile `native`, first half: the sums of the raw values. The
//! division and the zero point are folded into the classifier that follows.

use zerocopy::{FromBytes, IntoBytes};

/// `y[c] = sum over all positions of x[p,c]`.
///
/// `x`: `[H,W,C]` int8, at most 256 positions, so that a sum fits int16. `y`: `[C]`.
pub fn global_sum_s8(x: &[i8], y: &mut [i16]) {
    let (pixel, positions) = (y.len().max(1), x.len() / y.len().max(1));
    let words = <[u32]>::ref_from_bytes(x.as_bytes()).unwrap_or_default();
    if pixel.is_multiple_of(4) && words.len() == positions * (pixel / 4) {
        for (index, sums) in y.as_chunks_mut().0.iter_mut().enumerate() {
            *sums = sum_four(words.iter().skip(index).step_by(pixel / 4), positions);
        }
        return;
    }
    y.fill(0);
    add_rows_s8(x, y);
}

/// The same for some rows of it: adds their sums to `y`.
pub fn add_rows_s8(x: &[i8], y: &mut [i16]) {
    for pixel in x.chunks_exact(y.len().max(1)) {
        for (sum, &x) in y.iter_mut().zip(pixel) {
            *sum = sum.wrapping_add(x.into());
        }
    }
}

/// The sums of four channels, a word of each position.
///
/// Two words hold two sums each, of `x + 128 <= 255`: 256 positions leave their 16 bits by
/// nothing.
fn sum_four<'a>(words: impl Iterator<Item = &'a u32>, positions: usize) -> [i16; 4] {
    const LANES: u32 = 0x00ff_00ff;
    let [mut even, mut odd] = [0_u32; 2];
    for word in words.map(|word| word ^ 0x8080_8080) {
        even = even.wrapping_add(word & LANES);
        odd = odd.wrapping_add((word >> 8) & LANES);
    }
    let sums = [even, odd, even >> 16, odd >> 16];
    sums.map(|sum| (sum as i16).wrapping_sub((128 * positions) as i16))
}
