//! `outputs.s`, `pixel_pairs.s`: MULH for the requantization, and what stands for a saturating
//! instruction. The products of two pixels in one MUL are those of `armv6m`, as are both roundings.

use super::*;

/// `resmcu_store`: out of range is what has other bits above the lowest eight once 128 is added;
/// its sign says which end it becomes.
fn saturate_by_bits(value: i32) -> i8 {
    let is_inside = value.wrapping_add(128).cast_unsigned() <= 255;
    (if is_inside { value } else { (value >> 31) ^ 127 }) as i8
}

#[test]
fn what_is_out_of_range_is_seen_by_its_upper_bits() {
    for value in values(10).into_iter().chain(-600..=600) {
        assert_eq!(saturate_by_bits(value), saturate(value), "{value}");
    }
}

/// `resmcu_tflite_constants` and `resmcu_tflite_round`: shifts look at the lowest five bits alone.
#[test]
fn the_last_word_is_a_shift_as_it_is() {
    check_tflite(|t, scale, last| {
        let addend = (last & !31).wrapping_add(16).cast_signed();
        let high = smmul(t, scale);
        let sum = high.wrapping_add(high >> 31 << 5).wrapping_add(addend);
        saturate_by_bits(sum.wrapping_shr(last))
    });
}

/// `resmcu_widen_store`: the second pixel goes to the upper half of a word by LH and SH, so that
/// what the first one's sign put there is counted.
#[test]
fn a_word_is_the_number_of_both_pixels() {
    for (x0, x1) in (-128..=127).flat_map(|x0| [-128, -1, 0, 127].map(|x1| (x0, x1))) {
        let [low, high] = halves(x0 as u32);
        let stored = word([low, high + x1]);
        assert_eq!(stored.cast_signed(), x0 + (x1 << 16), "{x0}, {x1}");
    }
}
