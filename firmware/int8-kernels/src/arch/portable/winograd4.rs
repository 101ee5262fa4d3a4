//! Passes of Winograd's F(4x4, 3x3).

use super::{dual_multiply_accumulate, scale_and_saturate};
use crate::packed::dsp::int16_pair;
use crate::packed::winograd4::{
    CONSTANTS, EPSILON, POINTS, Products, SHIFTS, TILE_COLUMNS, TILE_ROWS, pair_words, transform,
};

/// `B^T u` of F(4,3). A word is two lanes as one number, so that sums need not know of them.
fn input(u: [u32; 6]) -> [u32; 6] {
    let [u0, u1, u2, u3, u4, u5] = u;
    let four = |v: u32| v.wrapping_mul(4);
    let a = u4.wrapping_sub(u2);
    let b = u4.wrapping_sub(four(u2));
    let c = u3.wrapping_sub(four(u1));
    let d = u3.wrapping_sub(u1).wrapping_mul(2);
    [
        a.wrapping_add(four(u0.wrapping_sub(u2))),
        b.wrapping_add(c),
        b.wrapping_sub(c),
        a.wrapping_add(d),
        a.wrapping_sub(d),
        u5.wrapping_sub(u3).wrapping_sub(four(u3.wrapping_sub(u1))),
    ]
}

/// `A^T m` of F(4,3); row `i` is `3 * 2^(3,2,1,1)[i]` times too large.
fn output(m: [i32; 6]) -> [i32; 4] {
    let [m0, m1, m2, m3, m4, m5] = m;
    let (sum, difference) = (m1.wrapping_add(m2), m1.wrapping_sub(m2));
    let (far_sum, far_difference) = (m3.wrapping_add(m4), m3.wrapping_sub(m4));
    let twice = |v: i32| v.wrapping_mul(2);
    [
        far_sum.wrapping_add(twice(m0)).wrapping_add(sum.wrapping_mul(4)),
        far_difference.wrapping_add(twice(difference)),
        sum.wrapping_add(far_sum),
        difference.wrapping_add(twice(far_difference)).wrapping_add(twice(m5)),
    ]
}

/// Vertical pass: pixels of six rows, from column `first` of the tiles on, into `u`,
/// `[C/4][2][6][TILE_COLUMNS]`.
pub(crate) fn rows(rows: [&[i8]; TILE_ROWS], channels: usize, first: usize, u: &mut [u32]) {
    let quads = channels / 4;
    let words = rows[0].len() / 4;
    for index in 0..words {
        let (column, quad) = (first + index / quads, index % quads);
        let word = rows.map(|row| {
            let bytes = row.get(4 * index..4 * index + 4).unwrap_or_default();
            bytes.iter().rev().fold(0, |word, &q| word << 8 | u32::from(q as u8 ^ 0x80))
        });
        for half in 0..2 {
            let lanes = word.map(|word| (word >> (8 * half)) & 0x00ff_00ff);
            let at = (2 * quad + half) * TILE_ROWS * TILE_COLUMNS + column;
            let transformed = input(lanes);
            for (slot, value) in u.iter_mut().skip(at).step_by(TILE_COLUMNS).zip(transformed) {
                *slot = value;
            }
        }
    }
}

/// Horizontal pass of one tile, whose columns begin at `u[0]`: into `v`,
/// `[POINTS][C/4][2 tiles][2]`, of which `v[0]` is the tile's first word.
pub(crate) fn columns(u: &[u32], channels: usize, v: &mut [u32]) {
    let quads = channels / 4;
    for index in 0..2 * quads * TILE_ROWS {
        let (word, row) = (index / TILE_ROWS, index % TILE_ROWS);
        let (quad, half) = (word / 2, word % 2);
        let mut six = [0; 6];
        for (value, &u) in six.iter_mut().zip(u.iter().skip(index * TILE_COLUMNS)) {
            *value = u;
        }
        six[4] = six[4].wrapping_add(EPSILON);
        six[5] = six[5].wrapping_add(EPSILON);
        let start = row * 6 * quads * 4 + quad * 4 + half;
        for (slot, value) in v.iter_mut().skip(start).step_by(quads * 4).zip(input(six)) {
            *slot = value;
        }
    }
}

/// Products, output transform and requantization of one pair of tiles.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    let steps = p.channels / 4;
    let pair = pair_words(p.channels);
    for (pair, weights) in p.weights.chunks_exact(pair).enumerate() {
        let (weights, constants) = weights.split_at(POINTS * p.channels);
        let mut sums = [[[0; POINTS]; 2]; 2];
        let points = p.v.chunks_exact(steps * 4).zip(weights.chunks_exact(steps * 4));
        for (point, (v, w)) in points.enumerate() {
            let (v, _) = v.as_chunks::<4>();
            let (w, _) = w.as_chunks::<4>();
            for (v, w) in v.iter().zip(w) {
                for (output, sums) in sums.iter_mut().enumerate() {
                    for (tile, sums) in sums.iter_mut().enumerate() {
                        for half in 0..2 {
                            let (v, w) = (v[2 * tile + half], w[2 * output + half]);
                            sums[point] = dual_multiply_accumulate(v, w, sums[point]);
                        }
                    }
                }
            }
        }
        let constants = constants.chunks_exact(CONSTANTS);
        for ((output, sums), constants) in sums.iter().enumerate().zip(constants) {
            for (tile, sums) in sums.iter().enumerate() {
                let at = 4 * tile * p.pixel + 2 * pair + output;
                finish(p, sums, constants, y.get_mut(at..).unwrap_or_default());
            }
        }
    }
}

/// The sixteen outputs of one tile and channel.
fn finish(p: &Products<'_>, sums: &[i32; POINTS], constants: &[u32], y: &mut [i8]) {
    let column = |j: usize| output([0, 1, 2, 3, 4, 5].map(|i| sums[6 * i + j]));
    let columns = [0, 1, 2, 3, 4, 5].map(column);
    let [multiplier, scale, residual] = [16, 17, 18].map(|at| constants[at]);
    for i in 0..4 {
        let row = output(columns.map(|column| column[i]));
        for (j, &sum) in row.iter().enumerate() {
            let multiplier = multiplier << (SHIFTS[i] + SHIFTS[j]);
            let mut t = sum.wrapping_mul(multiplier as i32);
            t = t.wrapping_add(constants[4 * i + j] as i32);
            let Some(y) = y.get_mut(i * p.row + j * p.pixel) else { continue };
            if p.join {
                t = t.wrapping_add((residual as i32).wrapping_mul(i32::from(*y)));
            }
            *y = scale_and_saturate(t, scale as i32);
        }
    }
}

/// Transforms the weights of a pair of outputs, `[C/4][2][9]` words of four int8, and copies the
/// constants that follow them: what `pack` stores for the same pair.
pub(crate) fn weights(packed: &[u32], channels: usize, transformed: &mut [u32]) {
    let quads = channels / 4;
    let (taps, constants) = packed.split_at((18 * quads).min(packed.len()));
    for (index, taps) in taps.chunks_exact(9).enumerate() {
        for half in 0..2 {
            let lane = |word: u32, lane: usize| i32::from((word >> (8 * (2 * lane + half))) as i8);
            let lanes = [0, 1].map(|l| {
                let mut nine = [0; 9];
                nine.iter_mut().zip(taps).for_each(|(n, &word)| *n = lane(word, l));
                transform(&nine)
            });
            let at = 4 * (index / 2) + 2 * (index % 2) + half;
            for (point, slot) in
                transformed.iter_mut().skip(at).step_by(4 * quads).take(POINTS).enumerate()
            {
                *slot = int16_pair(lanes[0][point], lanes[1][point]);
            }
        }
    }
    let rest = transformed.iter_mut().skip(POINTS * channels);
    rest.zip(constants).for_each(|(slot, &word)| *slot = word);
}
