//! Passes of stride 2 by phases.

use super::{lanes_of, multiply, scale_and_saturate, transform_weights, widen};
use crate::packed::dsp::int16_pair;
use crate::packed::polyphase2::{COLUMNS, CONSTANTS, POINTS, ROWS, TERMS};
use crate::packed::tiles::{Method, Products};

/// Products of each sum.
const PRODUCTS: [usize; 9] = [4, 4, 2, 4, 4, 2, 2, 2, 1];

/// `SSUB16`.
fn subtract(a: u32, b: u32) -> u32 {
    let lane = |word: u32, at: u32| i32::from((word >> at) as i16);
    int16_pair(lane(a, 0) - lane(b, 0), lane(a, 16) - lane(b, 16))
}

/// One dimension of the input transform: `x0 - x2`, `x1`, `x4 - x2`, `x3`, `x2`.
fn input([x0, x1, x2, x3, x4]: [u32; 5]) -> [u32; 5] {
    [subtract(x0, x2), x1, subtract(x4, x2), x3, x2]
}

/// Vertical pass: pixels of five rows, from column `first` of the tiles on, into `u`,
/// `[C/4][2][5][COLUMNS]`.
pub(crate) fn rows(rows: [&[i8]; ROWS], channels: usize, first: usize, u: &mut [u32]) {
    let (quads, words) = ((channels / 4).max(1), rows[0].len() / 4);
    for index in 0..words {
        let (column, quad) = (first + index / quads, index % quads);
        let wide = rows.map(|row| widen(lanes_of(row, index)));
        for half in 0..2 {
            let at = (2 * quad + half) * ROWS * COLUMNS + column;
            let transformed = input(wide.map(|wide| wide[half]));
            for (slot, value) in u.iter_mut().skip(at).step_by(COLUMNS).zip(transformed) {
                *slot = value;
            }
        }
    }
}

/// Horizontal pass of one tile, whose columns begin at `u[0]`: into `v`,
/// `[POINTS][C/4][2 tiles][2]`, of which `v[0]` is the tile's first word.
pub(crate) fn columns(u: &[u32], channels: usize, v: &mut [u32]) {
    let quads = channels / 4;
    for word in 0..2 * quads {
        let mut transformed = [[0; 5]; ROWS];
        for (row, transformed) in transformed.iter_mut().enumerate() {
            let line = u.get((word * ROWS + row) * COLUMNS..).unwrap_or_default();
            let five = line.first_chunk().copied().unwrap_or_default();
            *transformed = input(five);
        }
        let start = word / 2 * 4 + word % 2;
        let slots = v.iter_mut().skip(start).step_by((quads * 4).max(1));
        for (&[row, column], slot) in TERMS.iter().zip(slots) {
            *slot = transformed[row as usize][column as usize];
        }
    }
}

/// Products, output transform and requantization of one pair of tiles.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    let pair = Method::Polyphase2.pair_words(p.channels);
    for (pair, weights) in p.weights.chunks_exact(pair.max(1)).enumerate() {
        let (weights, constants) = weights.split_at((POINTS * p.channels).min(weights.len()));
        let sums = multiply(p, weights, PRODUCTS);
        let constants = constants.as_chunks::<CONSTANTS>().0;
        for ((output, sums), constants) in sums.iter().enumerate().zip(constants) {
            for (tile, sums) in sums.iter().enumerate() {
                let at = 2 * tile * p.pixel + 2 * pair + output;
                finish(p, sums, *constants, y.get_mut(at..).unwrap_or_default());
            }
        }
    }
}

/// The four outputs of one tile and channel.
fn finish(p: &Products<'_>, sums: &[i32; 9], constants: [u32; CONSTANTS], y: &mut [i8]) {
    let [bias, multiplier, scale, residual] = constants.map(|word| word as i32);
    let [aa, ac, ab, ca, cc, cb, ba, bc, bb] = *sums;
    let sum = |terms: [i32; 4]| terms.into_iter().fold(0, i32::wrapping_add);
    let outputs = [[[aa, ab, ba, bb], [ac, ab, bc, bb]], [[ca, cb, ba, bb], [cc, cb, bc, bb]]];
    for (row, outputs) in outputs.into_iter().enumerate() {
        for (column, terms) in outputs.into_iter().enumerate() {
            let Some(y) = y.get_mut(row * p.row + column * p.pixel) else { continue };
            let mut t = sum(terms).wrapping_mul(multiplier).wrapping_add(bias);
            if p.join {
                t = t.wrapping_add(residual.wrapping_mul(i32::from(*y)));
            }
            *y = scale_and_saturate(t, scale);
        }
    }
}

/// Transforms the weights of a pair of outputs, `[C/4][2][9]` words of four int8.
pub(crate) fn weights(packed: &[u32], channels: usize, transformed: &mut [u32]) {
    transform_weights(Method::Polyphase2, packed, channels, transformed);
}
