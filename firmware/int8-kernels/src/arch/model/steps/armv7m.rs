//! `pixel_pairs.s`, `outputs.s`, `inputs.s`, `winograd4_input.s`: two pixels in one SMLAL, SMULL
//! for the requantization, and two channels in one ADD or SUB.

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

/// `resmcu_winograd4_widen`: two of four bytes plus 128.
fn winograd4_widen(bytes: u32, shift: u32) -> u32 {
    ((bytes >> shift) & 0x00ff_00ff) ^ 0x0080_0080
}

#[test]
fn a_flipped_bit_adds_128_to_two_bytes() {
    for byte in 0..=255_u32 {
        let bytes = byte | (byte ^ 0x55) << 8 | (byte ^ 0xaa) << 16 | (byte ^ 0xff) << 24;
        for shift in [0, 8] {
            assert_eq!(winograd4_widen(bytes, shift), sxtab16(0x0080_0080, bytes, shift));
            // RV32IM flips first.
            assert_eq!(winograd4_widen(bytes, shift), (bytes ^ 0x8080_8080) >> shift & 0x00ff_00ff);
        }
    }
}

/// `winograd4_input`: `B^T u` of two lanes as one number, in the order of points.
fn winograd4_input([u0, u1, u2, u3, u4, u5]: [u32; 6]) -> [u32; 6] {
    let sub = u32::wrapping_sub;
    let (t, fourth, third) = (sub(u4, u2), sub(u4, u2 << 2), sub(u3, u1 << 2));
    let odd = sub(u3, u1);
    [
        fourth.wrapping_add(third),
        sub(fourth, third),
        sub(sub(u5, u3), odd << 2),
        t.wrapping_add(odd << 1),
        sub(t, odd << 1),
        t.wrapping_add(sub(u0, u2) << 2),
    ]
}

/// Both passes at the ends of both lanes: with [`EPSILON`] in the lower one no borrow is left.
#[test]
fn lanes_of_one_number_come_apart_at_the_ends() {
    let ends = || (0..72).map(|turn| extreme_inputs(turn / 2, turn % 2 == 0));
    let transformed: Vec<_> = ends().map(|x| (x, transformed(&x))).collect();
    let (mut least, mut most) = ([i32::MAX; 2], [i32::MIN; 2]);
    for (low, low_points) in &transformed {
        for (high, high_points) in &transformed {
            let columns: [[u32; 6]; 6] = core::array::from_fn(|column| {
                let word = |row: usize| word([low[row][column] + 128, high[row][column] + 128]);
                winograd4_input([0, 1, 2, 3, 4, 5].map(word))
            });
            for line in 0..6 {
                let mut words = columns.map(|column| column[line]);
                words[4] = words[4].wrapping_add(EPSILON);
                words[5] = words[5].wrapping_add(EPSILON);
                for (column, got) in winograd4_input(words).into_iter().enumerate() {
                    let point = 6 * line + column;
                    let lanes = [low_points[point] + EPSILON as i32, high_points[point]];
                    assert_eq!(halves(got), lanes, "{low:?}, {high:?}, {point}");
                    least = core::array::from_fn(|lane| lanes[lane].min(least[lane]));
                    most = core::array::from_fn(|lane| lanes[lane].max(most[lane]));
                }
            }
        }
    }
    assert_eq!((least, most), ([562, -12_750], [30_652, 17_340]));
}
