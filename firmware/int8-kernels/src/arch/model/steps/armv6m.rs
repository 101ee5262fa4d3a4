//! `pixel_pairs.s`, `outputs.s`, `dot4.s`, `sums.s`: two pixels in one MULS, products of halves
//! where other cores have a long multiply, and int8 and int16 that are taken out of words.

use super::*;
use crate::requantize::{doubling_high_mul, multiply_high_31_by_halves, rounding_divide_by_pot};

/// The sums of a word: of all words, and of their upper halves.
#[derive(Clone, Copy, Default)]
struct Sums {
    all: i32,
    second: i32,
}

/// `resmcu_pixel_pairs_segment`: the products of some weights with words `x0 + 2^16 x1`.
fn pixel_pairs_segment(pixels: &[[i8; 2]], weights: &[i8], sums: &mut Sums) {
    let products = pixels.iter().zip(weights).map(|(&[x0, x1], &w)| {
        let word = i32::from(x0).wrapping_add(i32::from(x1) << 16);
        word.wrapping_mul(i32::from(w))
    });
    let sum = products.fold(0, i32::wrapping_add);
    sums.all = sums.all.wrapping_add(sum);
    sums.second = sums.second.wrapping_add(sum.wrapping_add(1 << 15) >> 16);
}

/// `resmcu_pixel_pairs_take`.
fn pixel_pairs_take(sums: Sums) -> [i32; 2] {
    [sums.all.wrapping_sub(sums.second << 16), sums.second]
}

/// Segments whose absolute weights add up to 255, as all kinds of lengths have them.
const SEGMENTS: [&[i8]; 6] = [
    &[-128, 127],
    &[127, 127, 1],
    &[-85, 85, -85],
    &[-63, -64, -64, -64],
    &[32, 32, 32, 32, 32, 32, 32, 31],
    &[-128],
];

#[test]
fn both_pixels_of_a_segment_stay_apart_at_the_ends() {
    let ends = [i8::MIN, -1, 0, i8::MAX];
    let pixels = || ends.into_iter().flat_map(|x0| ends.map(|x1| [x0, x1]));
    for (weights, pixel) in SEGMENTS.iter().flat_map(|&w| pixels().map(move |x| (w, x))) {
        assert!(weights.iter().map(|w| u32::from(w.unsigned_abs())).sum::<u32>() <= 255);
        let mut sums = Sums::default();
        // More than a word of 16 bits holds of both, so that all sums carry.
        (0..500).for_each(|_| pixel_pairs_segment(&[pixel; 8], weights, &mut sums));
        let sum = weights.iter().map(|&w| 500 * i32::from(w)).sum::<i32>();
        let expected = pixel.map(|x| i32::from(x) * sum);
        assert_eq!(pixel_pairs_take(sums), expected, "{weights:?}, {pixel:?}");
    }
}

/// `resmcu_saturate`, by the sign extension of the lowest byte.
fn saturate_by_sxtb(value: i32) -> i8 {
    if value == i32::from(value as i8) { value as i8 } else { ((value >> 31) ^ 127) as i8 }
}

/// `resmcu_requantize`: `t = 2^16 h + l`, two products that each stay inside of 32 bits.
fn requantize(t: i32, m: i32, e: u32) -> i8 {
    let (low, high) = (t & 0xffff, t >> 16);
    let low = low.wrapping_mul(m).cast_unsigned() >> 16;
    saturate_by_sxtb(high.wrapping_mul(m).wrapping_add(low.cast_signed()) >> e)
}

#[test]
fn two_products_of_halves_are_the_native_requantization() {
    for t in values(8) {
        assert_eq!(saturate_by_sxtb(t), saturate(t));
        for (m, e) in [(0, 0), (1, 0), (1, 31), (32_767, 0), (32_767, 15), (20_001, 8)] {
            let exact = (i64::from(t) * i64::from(m)) >> (16 + e);
            assert_eq!(requantize(t, m, e), exact.clamp(-128, 127) as i8, "{t}, {m}, {e}");
        }
    }
}

/// `resmcu_requantize_tflite`: the upper half of a product by four.
fn requantize_tflite(t: i32, scale: i32, last: u32) -> i8 {
    let shift = last & 31;
    let addend = last.wrapping_sub(shift).wrapping_add(16).cast_signed();
    let high = multiply_high_31_by_halves(t, scale);
    saturate_by_sxtb((t >> 31 << 5).wrapping_add(high).wrapping_add(addend) >> shift)
}

#[test]
fn four_products_of_halves_round_as_the_header_says() {
    check_tflite(requantize_tflite);
}

/// `resmcu_pixel_pairs_tflite`, of this core and of `rv32`: both roundings, of the upper half of a
/// product and what its lower half rounds to.
fn both_roundings(t: i32, m: i32, e: u32) -> i32 {
    let low = t.wrapping_mul(m).cast_unsigned();
    let rounded = ((low >> 30) + 1) >> 1;
    let q = (smmul(t, m) << 1).wrapping_add(rounded.cast_signed());
    let mask = (1_u32 << e).wrapping_sub(1).cast_signed();
    let limit = (mask >> 1) + (q.cast_unsigned() >> 31).cast_signed();
    (q >> e) + i32::from((q & mask) > limit)
}

#[test]
fn both_roundings_are_gemmlowps() {
    for t in values(9) {
        for (m, e) in
            [0, 1, 1 << 30, i32::MAX].into_iter().flat_map(|m| [0, 1, 7, 31].map(|e| (m, e)))
        {
            let expected = rounding_divide_by_pot(doubling_high_mul(t, m), e);
            assert_eq!(both_roundings(t, m, e), expected, "{t}, {m}, {e}");
        }
    }
}

/// `SXTB` and `SXTH`.
fn sxtb(word: i32) -> i32 {
    i32::from(word as i8)
}

fn sxth(word: i32) -> i32 {
    i32::from(word as i16)
}

/// `resmcu_dot4_input`: the lowest byte, then by ASRS the next, of which the last is the word
/// itself.
fn dot4_input(x: i8, word: u32, [a, b, c, d]: [i32; 4]) -> [i32; 4] {
    let (x, first) = (i32::from(x), word.cast_signed());
    let [second, third, fourth] = [8, 16, 24].map(|by| first >> by);
    [a + x * sxtb(first), b + x * sxtb(second), c + x * sxtb(third), d + x * fourth]
}

#[test]
fn four_weights_are_taken_out_of_a_word() {
    let ends = [i8::MIN, -1, 0, 1, i8::MAX];
    let pairs = || ends.into_iter().flat_map(|a| ends.map(|b| [a, b]));
    for (x, [a, b], [c, d]) in ends
        .into_iter()
        .flat_map(|x| pairs().flat_map(move |low| pairs().map(move |w| (x, low, w))))
    {
        let weights = [a, b, c, d];
        let word = u32::from_le_bytes(weights.map(|w| w as u8));
        let expected = weights.map(|w| 9 + i32::from(x) * i32::from(w));
        assert_eq!(dot4_input(x, word, [9; 4]), expected, "{x} times {weights:?}");
    }
}

/// `resmcu_channels`: two channels of two tiles `v` and two outputs `w`: SXTH is the lower one,
/// ASRS leaves the upper one.
fn channels([a, b, c, d]: [i32; 4], v: [u32; 2], w: [u32; 2]) -> [i32; 4] {
    let ([v0, v1], [w0, w1]) = (v.map(u32::cast_signed), w.map(u32::cast_signed));
    let both = |sum: i32, v: i32, w: i32| {
        let low = sum.wrapping_add(sxth(v).wrapping_mul(sxth(w)));
        low.wrapping_add((v >> 16).wrapping_mul(w >> 16))
    };
    [both(a, v0, w0), both(b, v1, w0), both(c, v0, w1), both(d, v1, w1)]
}

#[test]
fn two_channels_are_taken_out_of_a_word() {
    let random = &mut Random::new(19);
    for _ in 0..2000 {
        let mut two = || [0; 2].map(|_| [0; 2].map(|_| ENDS[random.range(0, 8) as usize]));
        let (v, w) = (two(), two());
        let got = channels([i32::MAX, -1, i32::MIN, 0], v.map(word), w.map(word));
        let sum = |begin: i32, v: [i32; 2], w: [i32; 2]| {
            let products = v.iter().zip(w).map(|(&v, w)| i64::from(v) * i64::from(w));
            (i64::from(begin) + products.sum::<i64>()) as i32
        };
        let expected = [
            sum(i32::MAX, v[0], w[0]),
            sum(-1, v[1], w[0]),
            sum(i32::MIN, v[0], w[1]),
            sum(0, v[1], w[1]),
        ];
        assert_eq!(got, expected, "{v:?} times {w:?}");
    }
}
