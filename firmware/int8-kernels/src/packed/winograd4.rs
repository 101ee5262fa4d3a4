//! Winograd's F(4x4, 3x3) in exact integers (Lavin and Gray 2015, section 4.1, scaled).
//!
//! A tile of 4x4 outputs costs 36 products a channel instead of 144. The transforms are scaled so
//! that all numbers are integers, and every sum is modulo 2^32, so that the result is the direct
//! convolution's to the bit:
//! - Points, in the order in which they are stored: 1, -1, infinity, 2, -2, 0.
//! - Weights: `U = G w G^T`, rows of `G`: `[-1,-1,-1]`, `[1,-1,1]`, `[0,0,6]`, `[1,2,4]`,
//!   `[1,-2,4]`, `[6,0,0]`. `|U| <= 49 * 128 = 6272`: int16.
//! - Inputs: `V = B^T (x + 128) B`, `B` as in the paper. `-12750 <= V <= 17340`; [`EPSILON`] is
//!   added to the lower of two lanes in a word, which keeps it positive: `V + EPSILON <= 30652`.
//! - Outputs: `A^T (U * V) A`, rows of `A^T` scaled by 24, 12, 6 and 6, give `9 * 2^k * a` with
//!   `k = 2..6`. Times `9^-1 * 2^(j - k)` modulo 2^32 that is `a << j`, which is below 2^31 by the
//!   profile's own bound. So `j >= 6` is needed, and nothing else; a channel with `j = 5` is packed
//!   as one with `j = 6`, by [`Constants::with_pre_shift_of`].
//! - What 128, [`EPSILON`] and `bias` add is one constant for each of the sixteen places. That of
//!   [`EPSILON`] is zero but in the last two rows and columns: all transformed inputs are 1 where
//!   the last two of the six are 1 and the rest 0, and only outputs 2 and 3 read those.
//!
//! Order, signs and scales are such that sums need not begin at zero. With `A^T` as it is here,
//!
//! ```text
//! y0 = m5 + (m3 + m4) + 4 (m0 - m1)      y2 = (m3 + m4) + (m0 - m1)
//! y1 = (m3 - m4) + 2 (m0 + m1)           y3 = m2 + (m0 + m1) + 2 (m3 - m4)
//! ```
//!
//! and a core whose accumulators go on from one point to the next has the sums `m0`, `d = m0 + m1`,
//! `e = d + m2` and `m3`, `s = m3 + m4`, `z = s + m5` for nothing. Then six additions are enough:
//! `t = 2 m0 - d`, `f = 2 m3 - s`, `y0 = z + 4 t`, `y1 = f + 2 d`, `y2 = s + t`, `y3 = e + 2 f`.
//!
//! Stored transformed, nine weights take 72 bytes. Owns the transforms as matrices and the
//! constants; does not know the walk, nor how a pass is computed.

use super::Channels;
use super::constants::Constants;
use super::tiles::Method;

/// Places in the transformed domain.
pub(crate) const POINTS: usize = 36;

/// Input rows of a tile.
pub(crate) const ROWS: usize = 6;

/// Input columns of two tiles.
pub(crate) const COLUMNS: usize = 10;

/// What keeps the lower lane positive.
pub(crate) const EPSILON: u32 = 0x3400;

/// Words of one output channel besides its weights: a constant for each place, the multiplier
/// that undoes the scale 2^6, the output's scale, and the last word of [`super::constants`].
pub(crate) const CONSTANTS: usize = 19;

/// `6 - k` is the sum over both dimensions.
pub(crate) const SHIFTS: [u32; 4] = [0, 1, 2, 2];

/// The smallest `j` that is computed with.
pub(super) const PRE_SHIFT_MIN: u8 = 6;

/// `9^-1` modulo 2^32.
pub(crate) const INVERSE_OF_9: u32 = 954_437_177;

/// Whether the channels' `j` leave room for the scale 2^6.
pub(super) fn accepts(channels: Channels<'_>) -> bool {
    channels.reach_pre_shift(PRE_SHIFT_MIN)
}

/// Writes the constants of a channel: those of the sixteen places, the multiplier, the output's
/// scale, the last word.
pub(super) fn pack_constants(row: &[i8], channel: Constants, depth: usize, slots: &mut [u32]) {
    let channel = channel.with_pre_shift_of(PRE_SHIFT_MIN);
    let multiplier = INVERSE_OF_9 << (channel.pre_shift - PRE_SHIFT_MIN);
    let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
    let bias = channel.bias.wrapping_sub(((128 * sum) << channel.pre_shift).cast_unsigned());
    // What the lower lanes' addend makes: the transform of the sum of their weights.
    let mut low = [0; 9];
    for (tap, pixel) in low.iter_mut().zip(row.chunks_exact(depth)) {
        *tap =
            pixel.iter().enumerate().filter(|(i, _)| i % 4 < 2).map(|(_, &w)| i32::from(w)).sum();
    }
    for i in 0..4 {
        for j in 0..4 {
            let terms = (0..POINTS).map(|point| {
                let u = Method::Winograd4.weight(&low, point);
                OUTPUT[i][point / 6].wrapping_mul(OUTPUT[j][point % 6]).wrapping_mul(u)
            });
            let sum = terms.fold(0, i32::wrapping_add) as u32;
            let scaled =
                sum.wrapping_mul(EPSILON).wrapping_mul(multiplier << (SHIFTS[i] + SHIFTS[j]));
            slots[4 * i + j] = bias.wrapping_sub(scaled);
        }
    }
    slots[16] = multiplier;
    slots[17] = channel.scale;
    slots[18] = channel.last;
}

/// `A^T`, scaled.
const OUTPUT: [[i32; 6]; 4] =
    [[4, -4, 0, 1, 1, 1], [2, 2, 0, 1, -1, 0], [1, -1, 0, 1, 1, 0], [1, 1, 1, 2, -2, 0]];

/// `G`, scaled.
const WEIGHTS: [[i32; 3]; 6] =
    [[-1, -1, -1], [1, -1, 1], [0, 0, 6], [1, 2, 4], [1, -2, 4], [6, 0, 0]];

/// The rows of `G` that make a point, vertically and horizontally.
pub(super) fn weight_rows(point: usize) -> [[i32; 3]; 2] {
    [point / 6, point % 6].map(|row| WEIGHTS.get(row).copied().unwrap_or_default())
}
