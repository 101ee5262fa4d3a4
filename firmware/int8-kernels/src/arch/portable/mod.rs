//! The passes in plain Rust: for cores whose multiplier takes one product at a time (Cortex-M3 and
//! M0, RV32IMC), and for the host, where tests see the algorithms.
//!
//! What comes out is what the assembly computes, word for word. Loops run over chunks of fixed
//! length, so that no index is checked inside of them.

pub(crate) mod direct16;
pub(crate) mod polyphase2;
pub(crate) mod winograd4;

use crate::packed::dsp::int16_pair;
use crate::packed::tiles::{Method, Products};
use crate::requantize::multiply_high_15;
use zerocopy::{FromBytes, IntoBytes};

/// What turns an accumulator into an int8: `(t * scale) >> 32`, floor, clamped.
///
/// Where a long multiply takes many instructions, as the two short ones that the profile is made
/// for: `scale = m * 2^s` with `m < 2^15`, so that it is `((t * m) >> 16) >> (16 - s)`.
#[derive(Clone, Copy)]
struct Scale {
    multiplier: i16,
    shift: u32,
}

impl Scale {
    #[inline]
    fn new(scale: u32) -> Self {
        let zeros = scale.trailing_zeros().min(16);
        Self { multiplier: (scale >> zeros) as i16, shift: 16 - zeros }
    }

    #[inline]
    fn apply(self, t: i32) -> i8 {
        let q = multiply_high_15(t, self.multiplier) >> self.shift;
        q.clamp(i8::MIN.into(), i8::MAX.into()) as i8
    }
}

/// `SXTB16` of a word of four int8, and of the word rotated by eight: bytes 0 and 2, and 1 and 3.
#[inline]
fn widen(word: u32) -> [u32; 2] {
    let lane = |at: u32| i32::from((word >> at) as i8);
    [int16_pair(lane(0), lane(16)), int16_pair(lane(8), lane(24))]
}

/// Rows of pixels as words. The arena and the scratch memory keep pixels of whole words aligned.
fn words<const ROWS: usize>(rows: [&[i8]; ROWS]) -> [&[u32]; ROWS] {
    rows.map(|row| <[u32]>::ref_from_bytes(row.as_bytes()).unwrap_or_default())
}

/// A step: four channels of two tiles (or pixels), or of two outputs, int16 each.
type Step = [i16; 8];

/// Words of two int16 as steps.
fn steps(words: &[u32]) -> &[Step] {
    <[i16]>::ref_from_bytes(words.as_bytes()).unwrap_or_default().as_chunks().0
}

/// Adds the products of some steps to `sums`, `[output][tile]`.
#[inline]
fn accumulate(v: &[Step], w: &[Step], mut sums: [[i32; 2]; 2]) -> [[i32; 2]; 2] {
    for (v, w) in v.iter().zip(w) {
        for k in 0..4 {
            let [v0, v1, w0, w1] = [v[k], v[k + 4], w[k], w[k + 4]].map(i32::from);
            sums[0][0] = sums[0][0].wrapping_add(v0.wrapping_mul(w0));
            sums[0][1] = sums[0][1].wrapping_add(v1.wrapping_mul(w0));
            sums[1][0] = sums[1][0].wrapping_add(v0.wrapping_mul(w1));
            sums[1][1] = sums[1][1].wrapping_add(v1.wrapping_mul(w1));
        }
    }
    sums
}

/// The sums of one pair of outputs and tiles, `[output][tile]` each, of which sum `i` is over
/// `points[i]` points.
fn multiply<const SUMS: usize>(
    p: &Products<'_>,
    weights: &[u32],
    points: [usize; SUMS],
) -> [[[i32; 2]; 2]; SUMS] {
    let (mut v, mut w) = (steps(p.v), steps(weights));
    points.map(|points| {
        let count = points * (p.channels / 4);
        let (v_now, v_rest) = v.split_at_checked(count).unwrap_or_default();
        let (w_now, w_rest) = w.split_at_checked(count).unwrap_or_default();
        (v, w) = (v_rest, w_rest);
        accumulate(v_now, w_now, [[0; 2]; 2])
    })
}

/// Transforms the weights of a pair of outputs, `[C/4][2][9]` words of four int8, and copies the
/// constants that follow them: what is stored for the same pair where it is stored transformed.
fn transform_weights(method: Method, packed: &[u32], channels: usize, transformed: &mut [u32]) {
    let (points, quads) = (method.geometry().points, channels / 4);
    let (taps, constants) = packed.split_at((18 * quads).min(packed.len()));
    for (index, taps) in taps.chunks_exact(9).enumerate() {
        for half in 0..2 {
            let lanes = [0, 1].map(|lane| {
                let mut nine = [0; 9];
                let bytes =
                    taps.iter().map(|word| i32::from((word >> (8 * (2 * lane + half))) as i8));
                nine.iter_mut().zip(bytes).for_each(|(n, w)| *n = w);
                nine
            });
            let at = 4 * (index / 2) + 2 * (index % 2) + half;
            let slots = transformed.iter_mut().skip(at).step_by((4 * quads).max(1));
            for (point, slot) in slots.take(points).enumerate() {
                let [low, high] = lanes.map(|nine| method.weight(&nine, point));
                *slot = int16_pair(low, high);
            }
        }
    }
    let rest = transformed.iter_mut().skip(points * channels);
    rest.zip(constants).for_each(|(slot, &word)| *slot = word);
}
