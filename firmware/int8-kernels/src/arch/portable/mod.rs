//! The passes in plain Rust: for what a core has no assembly for, and for the host, where tests see
//! the algorithms.
//!
//! What comes out is what the assembly computes, word for word. `inner` are the loops that a core
//! whose multiplier takes one product at a time (Cortex-M3 and M0, RV32IM) has of its own.

pub(crate) mod direct16;
#[cfg(resmcu_passes = "portable")]
pub(crate) mod inner;
#[cfg(any(resmcu_passes = "armv6m", resmcu_passes = "portable"))]
pub(crate) mod outputs;
#[cfg(resmcu_passes = "portable")]
pub(crate) mod pixel_pairs;
pub(crate) mod polyphase2;
pub(crate) mod winograd4;

use super::block::{Block, Outputs};
use super::inner::PAIRS;
use crate::packed::dsp::int16_pair;
use crate::packed::tiles::{Method, Products};
use zerocopy::{FromBytes, IntoBytes};

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

/// Calls `f` with the blocks of a pair of tiles: as many pairs of outputs at once as the core's
/// loops take, and one by one what remains; with what makes outputs of it, of which the constants
/// follow each pair's weights, and with the first output channel.
fn for_each_block(
    p: &Products<'_>,
    method: Method,
    mut f: impl FnMut(&Block<'_>, &Outputs<'_>, usize),
) {
    let stride = method.pair_words(p.channels).max(1);
    let points = method.geometry().points * p.channels;
    let pairs = p.weights.len() / stride;
    let mut first = 0;
    while first < pairs {
        let pairs = if pairs - first < PAIRS { 1 } else { PAIRS };
        let weights = p.weights.get(first * stride..).unwrap_or_default();
        let constants = weights.get(points..).unwrap_or_default();
        let Products { pixel, row, form, .. } = *p;
        let outputs = Outputs { constants, stride, pairs, pixel, row, form };
        f(&Block { v: p.v, weights, stride, pairs }, &outputs, 2 * first);
        first += pairs;
    }
}

/// Transforms the weights of a pair of outputs, `[C/4][2][9]` words of four int8, and copies the
/// constants that follow them: what is stored for the same pair where it is stored transformed.
///
/// `transform`: nine weights of two channels become all points, `high * 2^16 + low` as one number
/// before and after: sums and shifts need not know of the lanes, which are taken apart in the end.
fn transform_weights<const POINTS: usize>(
    packed: &[u32],
    channels: usize,
    transformed: &mut [u32],
    transform: impl Fn([u32; 9]) -> [u32; POINTS],
) {
    let quads = channels / 4;
    let (taps, constants) = packed.split_at((18 * quads).min(packed.len()));
    for (index, taps) in taps.as_chunks::<9>().0.iter().enumerate() {
        for half in 0..2 {
            let number = |word: u32| {
                let byte = |at: u32| i32::from((word >> at) as i8).cast_unsigned();
                (byte(16 + 8 * half) << 16).wrapping_add(byte(8 * half))
            };
            // Not by `step_by`, which divides.
            let mut at = 4 * (index / 2) + 2 * (index % 2) + half as usize;
            for point in transform(taps.map(number)) {
                let borrowed = (point & 0x8000) << 1;
                if let Some(slot) = transformed.get_mut(at) {
                    *slot = point.wrapping_add(borrowed);
                }
                at += 4 * quads;
            }
        }
    }
    let rest = transformed.iter_mut().skip(POINTS * channels);
    rest.zip(constants).for_each(|(slot, &word)| *slot = word);
}
