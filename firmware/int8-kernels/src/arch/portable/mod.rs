//! The passes in plain Rust, word for word what the assembly computes: for cores that have none,
//! and for the host, where tests see it.

pub(crate) mod direct16;
pub(crate) mod polyphase2;
pub(crate) mod winograd4;

use crate::packed::dsp::int16_pair;
use crate::packed::tiles::{Method, Products};

/// `SMLAD`: `sum + a.low * b.low + a.high * b.high`.
#[inline]
pub(crate) fn dual_multiply_accumulate(a: u32, b: u32, sum: i32) -> i32 {
    let low = i32::from(a as i16).wrapping_mul(i32::from(b as i16));
    let high = i32::from((a >> 16) as i16).wrapping_mul(i32::from((b >> 16) as i16));
    sum.wrapping_add(low).wrapping_add(high)
}

/// `SMMUL` and `SSAT #8`: `(t * scale) >> 32`, floor, clamped to int8.
#[inline]
pub(crate) fn scale_and_saturate(t: i32, scale: i32) -> i8 {
    let q = (i64::from(t) * i64::from(scale)) >> 32;
    q.clamp(-128, 127) as i8
}

/// `SXTB16` of a word of four int8, and of the word rotated by eight: bytes 0 and 2, and 1 and 3.
#[inline]
fn widen(word: u32) -> [u32; 2] {
    let lane = |at: u32| i32::from((word >> at) as i8);
    [int16_pair(lane(0), lane(16)), int16_pair(lane(8), lane(24))]
}

/// Word `index` of a row.
fn lanes_of(row: &[i8], index: usize) -> u32 {
    let bytes = row.get(4 * index..4 * index + 4).unwrap_or_default();
    bytes.iter().rev().fold(0, |word, &q| word << 8 | u32::from(q as u8))
}

/// The sums of one pair of outputs and tiles: `[output][tile][sum]`, where sum `i` is over
/// `points[i]` points.
fn multiply<const SUMS: usize>(
    p: &Products<'_>,
    weights: &[u32],
    points: [usize; SUMS],
) -> [[[i32; SUMS]; 2]; 2] {
    let mut sums = [[[0; SUMS]; 2]; 2];
    let (v, _) = p.v.as_chunks::<4>();
    let (w, _) = weights.as_chunks::<4>();
    let mut steps = v.iter().zip(w);
    for (sum, points) in points.into_iter().enumerate() {
        for (v, w) in steps.by_ref().take(points * (p.channels / 4)) {
            for (output, sums) in sums.iter_mut().enumerate() {
                for (tile, sums) in sums.iter_mut().enumerate() {
                    for half in 0..2 {
                        let (v, w) = (v[2 * tile + half], w[2 * output + half]);
                        sums[sum] = dual_multiply_accumulate(v, w, sums[sum]);
                    }
                }
            }
        }
    }
    sums
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
