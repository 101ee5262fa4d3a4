//! `add.s`: one SMMLA is a product and the rounding's addend.

use super::*;
use crate::arch::model::add::{HALVED_SHIFT, HEADROOM, OTHER_SHIFT, Rescale, Sum};
use crate::ops::add::{LEFT_SHIFT, Usual};
use crate::requantize::multiply_by_quantized_multiplier;

/// One rescaling; sums that overflow, which the file's header proves that there are none, panic.
fn rescale(Rescale { multiplier, addend, shift }: Rescale, v: i32) -> i32 {
    let sum = smmla(v, multiplier, addend + (v >> 31 << 1));
    assert_eq!(sum, smmul(v, multiplier) + (addend + (v >> 31 << 1)));
    sum >> shift
}

/// `add_element`.
fn add_element(sum: &Sum, halved: i8, other: i8) -> i8 {
    let other = rescale(sum.other, sum.other_offset + (i32::from(other) << OTHER_SHIFT));
    let halved = sum.halved_offset + (i32::from(halved) << HALVED_SHIFT);
    saturate(rescale(sum.output, halved + (other << HEADROOM)))
}

/// TensorFlow Lite's add.
fn expected(usual: &Usual, halved: i8, other: i8) -> i8 {
    let halved = (i32::from(halved) + usual.halved_offset) << LEFT_SHIFT;
    let other = (i32::from(other) + usual.other_offset) << LEFT_SHIFT;
    let sum = multiply_by_quantized_multiplier(halved, 1 << 30, 0)
        + multiply_by_quantized_multiplier(other, usual.other_multiplier, usual.other_shift);
    let (multiplier, shift) = (usual.output_multiplier, usual.output_shift);
    saturate(multiply_by_quantized_multiplier(sum, multiplier, shift) + usual.output_offset)
}

/// Every choice of ends of constants and inputs.
#[test]
fn two_smmla_are_the_adds_four_roundings() {
    const ENDS: [i8; 8] = [-128, -127, -2, -1, 0, 1, 126, 127];
    let offsets = [-127, 0, 128].into_iter().flat_map(|a| [-127, 1, 128].map(|b| (a, b)));
    let others =
        [0, 1, 0x5555_5555, i32::MAX].into_iter().flat_map(|m| [-1, -2, -30].map(|e| (m, e)));
    let outputs = [0, 1 << 30, 0x5555_5555, i32::MAX]
        .into_iter()
        .flat_map(|m| [-1, -2, -18, -21].map(|e| (m, e)));
    for (halved_offset, other_offset) in offsets {
        for (other_multiplier, other_shift) in others.clone() {
            for (output_multiplier, output_shift) in outputs.clone() {
                for output_offset in [-128, 3, 127] {
                    let usual = Usual {
                        halved_offset,
                        other_offset,
                        other_multiplier,
                        other_shift,
                        output_multiplier,
                        output_shift,
                        output_offset,
                    };
                    let sum = Sum::new(&usual);
                    for (a, b) in ENDS.into_iter().flat_map(|a| ENDS.map(|b| (a, b))) {
                        assert_eq!(add_element(&sum, a, b), expected(&usual, a, b), "{a}, {b}");
                    }
                }
            }
        }
    }
}
