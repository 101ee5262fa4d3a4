//! Passes of Winograd's F(4x4, 3x3).

use super::{for_each_block, transform_weights, words};
use crate::arch::block::Counts;
use crate::arch::inner::{self, Sums};
use crate::packed::tiles::{Method, Products};
use crate::packed::winograd4::{COLUMNS, EPSILON, POINTS, ROWS};

/// `B^T u` of F(4,3). A word is two lanes as one number, so that sums need not know of them.
fn input(u: [u32; 6]) -> [u32; 6] {
    let [u0, u1, u2, u3, u4, u5] = u;
    let four = |v: u32| v.wrapping_mul(4);
    let a = u4.wrapping_sub(u2);
    let b = u4.wrapping_sub(four(u2));
    let c = u3.wrapping_sub(four(u1));
    let d = u3.wrapping_sub(u1).wrapping_mul(2);
    [
        b.wrapping_add(c),
        b.wrapping_sub(c),
        u5.wrapping_sub(u3).wrapping_sub(four(u3.wrapping_sub(u1))),
        a.wrapping_add(d),
        a.wrapping_sub(d),
        a.wrapping_add(four(u0.wrapping_sub(u2))),
    ]
}

/// Vertical pass: pixels of six rows, from column `first` of the tiles on, into `u`,
/// `[C/4][2][6][COLUMNS]`.
pub(crate) fn rows(rows: [&[i8]; ROWS], channels: usize, first: usize, u: &mut [u32]) {
    let quads = channels / 4;
    let [a, b, c, d, e, f] = words(rows);
    let all = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f);
    let (mut column, mut quad) = (first, 0);
    for (((((&a, &b), &c), &d), &e), &f) in all {
        for half in 0..2 {
            let lanes = |word: u32| ((word ^ 0x8080_8080) >> (8 * half)) & 0x00ff_00ff;
            let transformed = input([a, b, c, d, e, f].map(lanes));
            let at = (2 * quad + half) * ROWS * COLUMNS + column;
            let slots = u.get_mut(at..).and_then(|u| u.first_chunk_mut::<{ 5 * COLUMNS + 1 }>());
            let Some(slots) = slots else { return };
            for (row, value) in transformed.into_iter().enumerate() {
                slots[row * COLUMNS] = value;
            }
        }
        quad += 1;
        if quad == quads {
            (column, quad) = (column + 1, 0);
        }
    }
}

/// Horizontal pass of one tile, whose columns begin at `u[0]`: into `v`,
/// `[POINTS][C/4][2 tiles][2]`, of which `v[0]` is the tile's first word.
pub(crate) fn columns(u: &[u32], channels: usize, v: &mut [u32]) {
    let (point, mut start) = (channels, 0);
    for (index, lines) in u.chunks(ROWS * COLUMNS).enumerate() {
        let mut at = start;
        for line in lines.chunks(COLUMNS) {
            let Some(&[a, b, c, d, e, f]) = line.first_chunk() else { return };
            let six = [a, b, c, d, e.wrapping_add(EPSILON), f.wrapping_add(EPSILON)];
            for value in input(six) {
                if let Some(slot) = v.get_mut(at) {
                    *slot = value;
                }
                at += point;
            }
        }
        start += if index % 2 == 0 { 1 } else { 3 };
    }
}

/// Products, output transform and requantization of one pair of tiles.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    let Some(counts) = Counts::new([1; POINTS], p.channels / 4) else { return };
    let mut sums = Sums::new();
    for_each_block(p, Method::Winograd4, |block, outputs, first| {
        inner::sums(block, &counts, &mut sums);
        inner::winograd4_outputs(outputs, &mut sums, y.get_mut(first..).unwrap_or_default());
    });
}

/// Transforms the weights of a pair of outputs, `[C/4][2][9]` words of four int8.
pub(crate) fn weights(packed: &[u32], channels: usize, transformed: &mut [u32]) {
    // Nothing here by index: a loop that is not unrolled would keep its panic.
    transform_weights(packed, channels, transformed, |[a, b, c, d, e, f, g, h, i]| {
        let columns = weight([a, d, g]).into_iter().zip(weight([b, e, h])).zip(weight([c, f, i]));
        let mut points = [0; POINTS];
        for (points, ((left, middle), right)) in points.as_chunks_mut().0.iter_mut().zip(columns) {
            *points = weight([left, middle, right]);
        }
        points
    });
}

/// `G w` of F(4,3).
fn weight([a, b, c]: [u32; 3]) -> [u32; 6] {
    let (ends, far) = (a.wrapping_add(c), a.wrapping_add(c.wrapping_mul(4)));
    let (six_times, twice) = (|v: u32| v.wrapping_mul(6), b.wrapping_mul(2));
    [
        b.wrapping_add(ends).wrapping_neg(),
        ends.wrapping_sub(b),
        six_times(c),
        far.wrapping_add(twice),
        far.wrapping_sub(twice),
        six_times(a),
    ]
}
