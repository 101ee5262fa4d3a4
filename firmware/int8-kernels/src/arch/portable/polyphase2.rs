//! Passes of stride 2 by phases.

use super::{for_each_block, transform_weights, widen, words};
use crate::arch::block::Counts;
use crate::arch::inner::{self, Sums};
use crate::packed::dsp::int16_pair;
use crate::packed::polyphase2::{COLUMNS, ROWS, SUMS, TERMS};
use crate::packed::tiles::{Method, Products};

/// Products of each sum.
const PRODUCTS: [usize; SUMS] = [4, 4, 2, 4, 4, 2, 2, 2, 1];

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
    let quads = channels / 4;
    let [a, b, c, d, e] = words(rows);
    let (mut column, mut quad) = (first, 0);
    for ((((&a, &b), &c), &d), &e) in a.iter().zip(b).zip(c).zip(d).zip(e) {
        let wide = [a, b, c, d, e].map(widen);
        for half in 0..2 {
            let transformed = input(wide.map(|wide| wide[half]));
            let at = (2 * quad + half) * ROWS * COLUMNS + column;
            let slots = u.get_mut(at..).and_then(|u| u.first_chunk_mut::<{ 4 * COLUMNS + 1 }>());
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
        let mut transformed = [[0; 5]; ROWS];
        for (line, transformed) in lines.chunks(COLUMNS).zip(&mut transformed) {
            let Some(five) = line.first_chunk() else { return };
            *transformed = input(*five);
        }
        let mut at = start;
        for [row, column] in TERMS {
            let word = transformed.as_flattened().get(5 * row as usize + column as usize);
            if let (Some(slot), Some(&word)) = (v.get_mut(at), word) {
                *slot = word;
            }
            at += point;
        }
        start += if index % 2 == 0 { 1 } else { 3 };
    }
}

/// Products, output transform and requantization of one pair of tiles.
pub(crate) fn products(p: &Products<'_>, y: &mut [i8]) {
    let Some(counts) = Counts::new(PRODUCTS, p.channels / 4) else { return };
    let mut sums = Sums::new();
    for_each_block(p, Method::Polyphase2, |block, outputs, first| {
        inner::sums(block, &counts, &mut sums);
        inner::polyphase2_outputs(outputs, &mut sums, y.get_mut(first..).unwrap_or_default());
    });
}

/// Transforms the weights of a pair of outputs, `[C/4][2][9]` words of four int8.
pub(crate) fn weights(packed: &[u32], channels: usize, transformed: &mut [u32]) {
    // Nothing here by index: a loop that is not unrolled would keep its panic.
    transform_weights(packed, channels, transformed, |[a, b, c, d, e, f, g, h, i]| {
        let [left, middle, right] = [weight([a, d, g]), weight([b, e, h]), weight([c, f, i])];
        let ([la, lb, lc, ld], [ma, mb, mc, md], [ra, rb, rc, rd]) = (left, middle, right);
        let [ff, fo, fl, fm] = weight([la, ma, ra]);
        let [of, oo, ol, om] = weight([lb, mb, rb]);
        let [lf, lo, ll, lm] = weight([lc, mc, rc]);
        let [mf, mo, ml, mm] = weight([ld, md, rd]);
        // In the order of `TERMS`; both odd terms have one weight.
        [
            ff, fo, of, oo, fl, fo, ol, oo, fm, om, lf, lo, of, oo, ll, lo, ol, oo, lm, om, mf, mo,
            ml, mo, mm,
        ]
    });
}

/// The weights of the first, the odd, the last and the middle term.
fn weight([a, b, c]: [u32; 3]) -> [u32; 4] {
    [a, b, c, a.wrapping_add(c)]
}
