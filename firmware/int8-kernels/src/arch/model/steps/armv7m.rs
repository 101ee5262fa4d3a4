//! `pixel_pairs.s`, `outputs.s`: two pixels in one SMLAL, and SMULL for the requantization.

use super::*;

/// Bits from the first pixel of a word to the second.
const LANE: u32 = 23;

/// Weights of a part.
const PART: usize = 248;

/// `resmcu_pixel_pairs_take`: adds both pixels of a sum of 64 bits to `sums`.
fn pixel_pairs_take(sum: i64, [first, second]: &mut [i32; 2]) {
    let low = sbfx(sum as u32, LANE);
    // SUBS and SBC of 64 bits; LSR and ORR of both words.
    let high = (sum - i64::from(low)) >> LANE;
    *first = first.wrapping_add(low);
    *second = second.wrapping_add(high as i32);
}

/// `resmcu_armv7m_pixel_pairs_sums` of one output and one word of pixels.
fn pixel_pairs_sums(pixels: &[[i8; 2]], weights: &[i8]) -> [i32; 2] {
    let mut sums = [0; 2];
    for (pixels, weights) in pixels.chunks(PART).zip(weights.chunks(PART)) {
        let products = pixels.iter().zip(weights).fold(0, |sum, (&[x0, x1], &w)| {
            let word = i32::from(x0).wrapping_add(i32::from(x1) << LANE);
            smlal(sum, i32::from(w), word)
        });
        pixel_pairs_take(products, &mut sums);
    }
    sums
}

#[track_caller]
fn check_pixel_pairs(pixels: &[[i8; 2]], weights: &[i8]) {
    let sum = |pixel: usize| -> i32 {
        pixels.iter().zip(weights).map(|(x, &w)| i32::from(x[pixel]) * i32::from(w)).sum()
    };
    assert_eq!(pixel_pairs_sums(pixels, weights), [sum(0), sum(1)]);
}

/// 248 products of 2^14 stay below 2^22, so inside of 23 bits; 256 would not.
#[test]
fn both_pixels_of_a_part_stay_apart_at_the_ends() {
    const { assert!(PART << 14 < 1 << (LANE - 1) && 256 << 14 >= 1 << (LANE - 1)) };
    let ends = [i8::MIN, 0, i8::MAX];
    for count in [1, PART - 1, PART, PART + 1, 3 * PART + 8] {
        for (x0, x1) in ends.into_iter().flat_map(|x0| ends.map(|x1| (x0, x1))) {
            for w in ends {
                check_pixel_pairs(&std::vec![[x0, x1]; count], &std::vec![w; count]);
            }
        }
    }
    let random = &mut Random::new(6);
    for _ in 0..50 {
        let bytes = random.bytes(3 * 600);
        let (weights, pixels) = bytes.split_at(600);
        check_pixel_pairs(pixels.as_chunks().0, weights);
    }
}

/// `resmcu_tflite_add`: below zero 32 less, by the sign of the product's upper half. It is that of
/// the accumulator, unless the multiplier is zero; then 32 make no difference.
fn tflite_by_the_products_sign(t: i32, scale: i32, last: u32) -> i8 {
    let shift = last & 31;
    let addend = last.wrapping_sub(shift).wrapping_add(16).cast_signed();
    let high = smmul(t, scale);
    saturate(high.wrapping_add(high >> 31 << 5).wrapping_add(addend) >> shift)
}

#[test]
fn the_sign_of_the_product_rounds_as_that_of_the_accumulator() {
    check_tflite(tflite_by_the_products_sign);
}
