//! The steps of the assembly in plain Rust, for the tests: each special instruction is a safe
//! function of this file, and the file of a core, or its folder, writes in them what the macros of
//! its `.s` files do, with the same words, products and roundings.
//!
//! A macro's name is its model's name. What it makes is compared with the definition at the ends of
//! the range that the assembly's header proves, and with random values. What has no instruction of
//! its own kind (sums of MLA or MUL, transforms by ADD and SUB) is the code of `portable`, which
//! the tests of whole layers run. Instructions are those of the architectures' reference manuals:
//! Armv7-M (DDI 0403), Armv8.1-M (DDI 0553), RISC-V's unprivileged specification with its V 1.0.
#![cfg(test)]

extern crate std;

mod armv6m;
mod armv7em;
mod armv7m;
mod armv81m_mve;
mod rv32;
mod rv32v;

use crate::cases::Random;
use crate::packed::constants::Rounding;
use crate::packed::winograd4::{EPSILON, POINTS};
use std::vec::Vec;

/// Both int16 of a word, the lower one first.
fn halves(word: u32) -> [i32; 2] {
    [word as i16, (word >> 16) as i16].map(i32::from)
}

/// A word of the lower 16 bits of both.
fn word([low, high]: [i32; 2]) -> u32 {
    u32::from(low as u16) | u32::from(high as u16) << 16
}

/// `SXTB16`: bytes 0 and 2 of a word that is rotated right.
fn sxtb16(bytes: u32, ror: u32) -> u32 {
    let bytes = bytes.rotate_right(ror);
    word([bytes as i8, (bytes >> 16) as i8].map(i32::from))
}

/// `SADD16`.
fn sadd16(a: u32, b: u32) -> u32 {
    let ([a, c], [b, d]) = (halves(a), halves(b));
    word([a + b, c + d])
}

/// `SSUB16`.
fn ssub16(a: u32, b: u32) -> u32 {
    let ([a, c], [b, d]) = (halves(a), halves(b));
    word([a - b, c - d])
}

/// `SXTAB16`.
fn sxtab16(to: u32, bytes: u32, ror: u32) -> u32 {
    sadd16(to, sxtb16(bytes, ror))
}

/// `PKHBT`: the lower half of `a`, and the upper one of `b << lsl`.
fn pkhbt(a: u32, b: u32, lsl: u32) -> u32 {
    (a & 0xffff) | (b << lsl & 0xffff_0000)
}

/// `PKHTB`: the upper half of `a`, and the lower one of `b`, shifted right.
fn pkhtb(a: u32, b: u32, asr: u32) -> u32 {
    (a & 0xffff_0000) | ((b.cast_signed() >> asr).cast_unsigned() & 0xffff)
}

/// `SMUAD`; and `SMLAD`, which adds to `sum` modulo 2^32.
fn smuad(a: u32, b: u32) -> i32 {
    smlad(a, b, 0)
}

fn smlad(a: u32, b: u32, sum: i32) -> i32 {
    let ([a, c], [b, d]) = (halves(a), halves(b));
    sum.wrapping_add(a * b).wrapping_add(c * d)
}

/// `SMLAL`, modulo 2^64; and `SMULL`.
fn smlal(sum: i64, a: i32, b: i32) -> i64 {
    sum.wrapping_add(i64::from(a) * i64::from(b))
}

/// `SMMUL`, the upper word of `SMULL`, RISC-V's `MULH`; and `SMMLA`, which adds to `sum`.
fn smmul(a: i32, b: i32) -> i32 {
    (smlal(0, a, b) >> 32) as i32
}

fn smmla(a: i32, b: i32, sum: i32) -> i32 {
    // The sum is below the product's lower word.
    (smlal(i64::from(sum) << 32, a, b) >> 32) as i32
}

/// `QADD`.
fn qadd(a: i32, b: i32) -> i32 {
    a.saturating_add(b)
}

/// `SBFX`: `width` bits from the lowest on, of which the last is the sign.
fn sbfx(value: u32, width: u32) -> i32 {
    (value << (32 - width)).cast_signed() >> (32 - width)
}

/// `VQMOVN`, and `VNCLIP` by 0: to int16, and then to int8.
fn narrow_twice(value: i32) -> i8 {
    let half = value.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    half.clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

/// `SSAT #8`.
fn saturate(value: i32) -> i8 {
    value.clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

/// Ends of what transforms make, and of int16.
const ENDS: [i32; 9] = [-32_768, -12_750, -6272, -1, 0, 1, 6272, 17_340 + EPSILON as i32, 32_767];

/// Rows of `A^T` for the points 1, -1, infinity, 2, -2 and 0, as in `packed/winograd4.rs`.
const OUTPUT: [[i64; 6]; 4] =
    [[4, -4, 0, 1, 1, 1], [2, 2, 0, 1, -1, 0], [1, -1, 0, 1, 1, 0], [1, 1, 1, 2, -2, 0]];

/// Rows of `B^T`, in the order of points.
const INPUT: [[i64; 6]; 6] = [
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, 4, 0, -5, 0, 1],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [4, 0, -5, 0, 1, 0],
];

/// One row of a transform.
fn product(row: [i64; 6], values: [impl Into<i64>; 6]) -> i64 {
    row.into_iter().zip(values).map(|(a, value)| a * value.into()).sum()
}

/// Inputs that make a point of Winograd's `V` as large as it can be, or as small.
fn extreme_inputs(point: usize, is_largest: bool) -> [[i32; 6]; 6] {
    INPUT[point / 6].map(|row| {
        INPUT[point % 6].map(|column| if (row * column > 0) == is_largest { 127 } else { -128 })
    })
}

/// All points of `V = B^T (x + 128) B`, by the definition.
fn transformed(x: &[[i32; 6]; 6]) -> [i32; POINTS] {
    core::array::from_fn(|point| {
        let rows = x.map(|row| product(INPUT[point % 6], row.map(|x| x + 128)));
        product(INPUT[point / 6], rows) as i32
    })
}

/// Values at the ends of 32 bits, around zero and powers of two, and random ones of every size.
fn values(seed: u64) -> Vec<i32> {
    let random = &mut Random::new(seed);
    let powers = (0..31).flat_map(|bit| [-1, 0, 1].map(|by| (1 << bit) + by));
    let both = powers.flat_map(|value: i32| [value, value.wrapping_neg()]);
    let any =
        (0..2000).map(|_| (random.range(-1 << 31, (1 << 31) - 1) as i32) >> random.range(0, 31));
    [i32::MIN, i32::MAX].into_iter().chain(both).chain(any).collect()
}

/// That `of` makes, of the accumulator `t` and the last two words of a channel, what one floor of
/// the profile `tflite` does; for every shift and the ends of zero points and multipliers.
#[track_caller]
fn check_tflite(of: impl Fn(i32, i32, u32) -> i8) {
    let all = values(7);
    for shift in 6..=22_u32 {
        for zero in [-128_i32, -1, 0, 127] {
            let last = ((zero << shift) + (1 << shift >> 1)).cast_unsigned() | shift;
            for scale in [0, 1, 1 << 30, 0x5555_5555, i32::MAX] {
                for t in all.iter().map(|&t| t >> 1) {
                    let expected = Rounding::new(scale.cast_unsigned(), last).apply(t);
                    let context = (t, scale, shift, zero);
                    assert_eq!(of(t, scale, last), expected, "t, scale, shift, zero {context:?}");
                }
            }
        }
    }
}
