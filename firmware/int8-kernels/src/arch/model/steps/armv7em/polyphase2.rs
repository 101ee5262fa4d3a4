//! `polyphase2.s`, `columns.s`: the transforms of stride 2 by SSUB16 and SADD16, of two channels in
//! two lanes, and where rows of terms go.

use super::*;
use crate::packed::polyphase2::{POINTS, TERMS};

/// `polyphase2_row` and `polyphase2_middle_row`: the first, odd, last, odd last and middle term of
/// a row go to its points, from `first` on.
fn polyphase2_row(points: &mut [u32; POINTS], first: usize, terms: [u32; 5]) {
    let places = match first {
        20 => [0, 1, 2, 3, 4],
        2 | 12 => [0, 1, 4, 5, 7],
        _ => [0, 1, 4, 5, 8],
    };
    places.into_iter().zip(terms).for_each(|(place, term)| points[first + place] = term);
}

/// Where the rows of the first, odd, last, odd last and middle term begin.
const ROWS: [usize; 5] = [0, 2, 10, 12, 20];

/// `polyphase2_columns`, and a column of `resmcu_polyphase2_rows`: `B^T x`.
fn polyphase2_columns([x0, x1, x2, x3, x4]: [u32; 5]) -> [u32; 5] {
    [ssub16(x0, x2), x1, ssub16(x4, x2), x3, x2]
}

/// What a term is of five inputs, in the order of terms.
const INPUT: [[i32; 5]; 5] =
    [[1, 0, -1, 0, 0], [0, 1, 0, 0, 0], [0, 0, -1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 0]];

#[test]
fn inputs_are_transformed_in_both_lanes() {
    let random = &mut Random::new(17);
    let (mut least, mut most) = (0, 0);
    for turn in 0..1000 {
        let terms = TERMS[turn / 2 % POINTS].map(|term| term as usize);
        let low: [[i32; 5]; 5] = core::array::from_fn(|row| {
            core::array::from_fn(|column| match turn {
                // What makes one point largest, or smallest.
                0..50 => {
                    let factor = INPUT[terms[0]][row] * INPUT[terms[1]][column];
                    if (factor > 0) == (turn % 2 == 0) { 127 } else { -128 }
                }
                _ => random.range(-128, 127) as i32,
            })
        });
        let high = low.map(|row| row.map(|x| !x));
        let columns: [[u32; 5]; 5] = core::array::from_fn(|column| {
            let words = [0, 1, 2, 3, 4].map(|row| word([low[row][column], high[row][column]]));
            polyphase2_columns(words)
        });
        let mut points = [0; POINTS];
        for (row, first) in ROWS.into_iter().enumerate() {
            let terms = polyphase2_columns(columns.map(|column| column[row]));
            polyphase2_row(&mut points, first, terms);
        }
        for (point, terms) in points.into_iter().zip(TERMS) {
            let [row, column] = terms.map(|term| INPUT[term as usize]);
            let sum = |x: &[[i32; 5]; 5]| -> i32 {
                let products = x.iter().zip(row).map(|(x, row)| -> i32 {
                    x.iter().zip(column).map(|(x, column)| row * column * x).sum()
                });
                products.sum()
            };
            assert_eq!(halves(point), [sum(&low), sum(&high)], "{low:?}");
            (least, most) = (sum(&low).min(least), sum(&low).max(most));
        }
    }
    assert_eq!((least, most), (-510, 510));
}

/// `resmcu_polyphase2_weights` of nine weights of two channels, `[row][column]`.
fn polyphase2_weights([first, middle, last]: [[u32; 3]; 3]) -> [u32; POINTS] {
    let terms = |[a, b, c]: [u32; 3]| [a, b, c, b, sadd16(a, c)];
    let both = core::array::from_fn(|column| sadd16(first[column], last[column]));
    let mut points = [0; POINTS];
    for (start, row) in ROWS.into_iter().zip([first, middle, last, middle, both]) {
        polyphase2_row(&mut points, start, terms(row));
    }
    points
}

#[test]
fn weights_are_transformed_in_both_lanes() {
    let random = &mut Random::new(18);
    for turn in 0..1536_i32 {
        // All choices of both ends, then random weights.
        let low: [i32; 9] = core::array::from_fn(|at| match turn {
            0..512 if turn >> at & 1 == 0 => -128,
            0..512 => 127,
            _ => random.range(-128, 127) as i32,
        });
        let high = low.map(|w| !w);
        let taps = core::array::from_fn(|at| word([low[at], high[at]]));
        let [a, b, c, d, e, f, g, h, i] = taps;
        let points = polyphase2_weights([[a, b, c], [d, e, f], [g, h, i]]);
        for (at, point) in points.into_iter().enumerate() {
            let weight = |taps| Method::Polyphase2.weight(taps, at);
            assert_eq!(halves(point), [weight(&low), weight(&high)], "{low:?}, {at}");
            assert!(weight(&low).abs() <= 4 * 128);
        }
    }
}
