//! `pixel_pairs.s`, `outputs.s`: two pixels in one MULS, and products of halves where other cores
//! have a long multiply.

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
