//! `pixel_pairs.s`: two int8 products in one SMLAD, rows that meet in a word, and one SMLAL or
//! SMMUL for the requantization.

use super::*;
use crate::requantize::{doubling_high_mul, rounding_divide_by_pot};

/// `resmcu_pixel_pairs_widen_four`.
fn pixel_pairs_widen_four(bytes: u32) -> [u32; 2] {
    let (odd, even) = (sxtb16(bytes, 8), sxtb16(bytes, 0));
    [pkhbt(even, odd, 16), pkhtb(odd, even, 16)]
}

/// `resmcu_pixel_pairs_widen` of one pixel.
struct Widened {
    words: Vec<u32>,
    /// The word to come, or that of which the lower half is there.
    at: usize,
}

impl Widened {
    /// `resmcu_pixel_pairs_widen_one`: LDRSB and STRH, which leaves the other half as it is.
    fn one(&mut self, byte: i8, is_upper: bool) {
        let (word, half) = (self.words[self.at], u32::from(i16::from(byte).cast_unsigned()));
        self.words[self.at] =
            if is_upper { word & 0xffff | half << 16 } else { word & 0xffff_0000 | half };
        self.at += usize::from(is_upper);
    }

    /// A row, of which the first byte fills a word that the row before has begun.
    fn row(&mut self, mut row: &[i8], is_begun: bool) -> bool {
        if is_begun && let Some((&first, rest)) = row.split_first() {
            self.one(first, true);
            row = rest;
        }
        let (fours, rest) = row.as_chunks::<4>();
        for four in fours {
            let two = pixel_pairs_widen_four(u32::from_le_bytes(four.map(|x| x as u8)));
            self.words[self.at..self.at + 2].copy_from_slice(&two);
            self.at += 2;
        }
        rest.iter().zip([false, true, false]).for_each(|(&x, is_upper)| self.one(x, is_upper));
        rest.len() % 2 == 1
    }
}

#[test]
fn rows_of_any_length_meet_in_words() {
    let random = &mut Random::new(21);
    for (rows, row_bytes) in (1..=5).flat_map(|rows| (1..=40).map(move |bytes| (rows, bytes))) {
        let bytes = random.bytes(rows * row_bytes);
        let mut widened = Widened { words: std::vec![0x5555_5555; bytes.len().div_ceil(2)], at: 0 };
        bytes.chunks(row_bytes).fold(false, |is_begun, row| widened.row(row, is_begun));
        let got = widened.words.into_iter().flat_map(halves);
        let expected = bytes.iter().map(|&x| i32::from(x));
        let behind = [0x5555].into_iter().take(bytes.len() % 2);
        assert!(got.eq(expected.chain(behind)), "{rows} rows of {row_bytes} bytes");
    }
}

/// `resmcu_pixel_pairs_step` of one pixel, with a word of weights of both outputs.
fn pixel_pairs_step(x: u32, weights: u32, [a, b]: [i32; 2]) -> [i32; 2] {
    [smlad(x, sxtb16(weights, 0), a), smlad(x, sxtb16(weights, 8), b)]
}

#[test]
fn inputs_in_pairs_meet_the_weights_of_both_outputs() {
    let ends = [i8::MIN, -1, 0, i8::MAX];
    let random = &mut Random::new(10);
    for turn in 0..400 {
        let mut byte = || match turn {
            0..16 => ends[turn / 4],
            16..100 => ends[random.range(0, 3) as usize],
            _ => random.range(-128, 127) as i8,
        };
        let x: [i8; 4] = [0; 4].map(|_: i8| byte());
        let weights = [[0_i8; 2]; 4].map(|both| both.map(|_| byte()));
        let words = pixel_pairs_widen_four(u32::from_le_bytes(x.map(|x| x as u8)));
        let mut sums = [i32::MAX - turn as i32; 2];
        let expected: [i32; 2] = core::array::from_fn(|output| {
            let products = x.iter().zip(weights).map(|(&x, w)| i32::from(x) * i32::from(w[output]));
            products.fold(sums[output], i32::wrapping_add)
        });
        for (word, two) in words.into_iter().zip(weights.chunks(2)) {
            let bytes = [two[0][0], two[0][1], two[1][0], two[1][1]].map(|w| w as u8);
            sums = pixel_pairs_step(word, u32::from_le_bytes(bytes), sums);
        }
        assert_eq!(sums, expected, "{x:?} times {weights:?}");
    }
}

/// `resmcu_pixel_pairs_one_floor`.
fn pixel_pairs_one_floor(t: i32, m: i32, e: u32, zero: i32) -> i8 {
    let sign = t >> 31;
    let low = ((1 << 30) | sign << 31).cast_unsigned();
    let p = smlal(i64::from(sign) << 32 | i64::from(low), t, m);
    saturate(qadd((p >> 32) as i32 >> (e - 2), 2 * zero + 1) >> 1)
}

/// `resmcu_pixel_pairs_two_floors`.
fn pixel_pairs_two_floors(t: i32, m: i32, e: u32, zero: i32) -> i8 {
    let u = (smlal(1 << 30, t, m) >> 31) as i32;
    let below_zero = e.cast_signed() & (u.cast_unsigned() >> 31).cast_signed();
    // Overflows panic here.
    saturate(qadd((u + e.cast_signed() - below_zero) >> e, zero))
}

#[test]
fn one_floor_or_two_are_gemmlowps_roundings() {
    for t in values(11) {
        for m in [0, 1, 1 << 30, (1 << 30) + 1, 0x5555_5555, i32::MAX] {
            for e in [0, 1, 2, 3, 7, 12, 30, 31] {
                let of = if e < 2 { pixel_pairs_two_floors } else { pixel_pairs_one_floor };
                let q = i64::from(rounding_divide_by_pot(doubling_high_mul(t, m), e));
                for zero in [-128, -1, 0, 127] {
                    let expected = (q + i64::from(zero)).clamp(-128, 127) as i8;
                    assert_eq!(of(t, m, e, zero), expected, "{t}, {m}, {e}, {zero}");
                }
            }
        }
    }
}
