//! `dot8.s`, `fully_connected.s`, `add.s`: VMLADAVA of all lanes that a loop's tail leaves, and the
//! roundings that are instructions.

use super::*;
use crate::requantize::{doubling_high_mul, rounding_divide_by_pot};

/// `VMLADAVA`: the products of lanes that are not predicated off, added modulo 2^32.
fn vmladava<T: Copy + Into<i32>>(sum: i32, x: &[T], w: &[i8]) -> i32 {
    let products = x.iter().zip(w).map(|(&x, &w)| x.into().wrapping_mul(w.into()));
    products.fold(sum, i32::wrapping_add)
}

/// `resmcu_fully_connected_row` under `DLSTP`: vectors of `lanes`, the last one with what is left.
fn fully_connected_row<T: Copy + Into<i32>>(x: &[T], w: &[i8], lanes: usize) -> i32 {
    x.chunks(lanes).zip(w.chunks(lanes)).fold(0, |sum, (x, w)| vmladava(sum, x, w))
}

#[test]
fn sums_of_vectors_are_those_of_the_definition() {
    let random = &mut Random::new(11);
    for inputs in [1, 7, 8, 9, 15, 16, 17, 64, 100] {
        let (x, w) = (random.bytes(inputs), random.bytes(inputs));
        let wide: Vec<i16> = x.iter().map(|&x| i16::from(x) * 254).collect();
        let sum = |factor: i64| -> i64 {
            x.iter().zip(&w).map(|(&x, &w)| factor * i64::from(x) * i64::from(w)).sum()
        };
        assert_eq!(i64::from(fully_connected_row(&x, &w, 16)), sum(1));
        assert_eq!(i64::from(fully_connected_row(&wide, &w, 8)), sum(254));
    }
}

/// `VQRDMULH`: the upper half of the doubled product, rounded, a half up.
fn vqrdmulh(a: i32, b: i32) -> i32 {
    let doubled = i128::from(a) * i128::from(b) * 2;
    ((doubled + (1 << 31)) >> 32).min(i32::MAX.into()) as i32
}

/// `VRSHL` by less than nothing: to the right, a half up.
pub(super) fn shift_right_rounding(value: i32, by: u32) -> i32 {
    ((i64::from(value) + (1 << by >> 1)) >> by) as i32
}

/// `mve_add_round`, and `rv32v_add_round` by `VSSRA`.
pub(super) fn add_round(q: i32, by: u32) -> i32 {
    shift_right_rounding(q.wrapping_add(q >> 31), by)
}

#[test]
fn roundings_of_the_add_are_gemmlowps() {
    for v in values(12) {
        for m in [0, 1, 1 << 30, 0x5555_5555, i32::MAX] {
            assert_eq!(vqrdmulh(v, m), doubling_high_mul(v, m), "{v} times {m}");
        }
        // Products with a multiplier below one: `i32::MIN` is none of them.
        for by in (1..=31).filter(|_| v != i32::MIN) {
            assert_eq!(add_round(v, by), rounding_divide_by_pot(v, by), "{v} by {by}");
        }
    }
}

/// `dot8_tflite`: the sign of the accumulator, and VSHL to the right by the last word's shift.
#[test]
fn lanes_round_as_the_header_says() {
    check_tflite(|t, scale, last| {
        let shift = last & 31;
        let addend = last.wrapping_sub(shift).wrapping_add(16).cast_signed();
        saturate(smmul(t, scale).wrapping_add(addend).wrapping_add(t >> 31 << 5) >> shift)
    });
}
