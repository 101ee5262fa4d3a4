//! `dot8.s`, `fully_connected.s`, `winograd4*.s`, `add.s`: VMLADAVA of all lanes that a loop's tail
//! leaves, words that VLD4 takes apart, bytes that VMOVL does, transforms by lanes, and the
//! roundings that are instructions.

use super::*;
use crate::requantize::{
    NATIVE_ACCUMULATOR_MAX, NATIVE_SKIP_MAX, doubling_high_mul, rounding_divide_by_pot,
};

/// `VMLADAVA`: the products of lanes that are not predicated off, added modulo 2^32.
fn vmladava<X: Copy + Into<i32>, W: Copy + Into<i32>>(sum: i32, x: &[X], w: &[W]) -> i32 {
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

/// `VSHL` by a vector: to the left, or to the right by less than nothing.
fn vshl(value: i32, by: i32) -> i32 {
    if by < 0 { value >> -by } else { value << by }
}

/// `dot8_tflite`, `mve_winograd4_tflite`: the sign of the accumulator, and VSHL to the right by the
/// last word's shift.
#[test]
fn lanes_round_as_the_header_says() {
    check_tflite(|t, scale, last| {
        let shift = last & 31;
        let addend = last.wrapping_sub(shift).wrapping_add(16).cast_signed();
        let sum = smmul(t, scale).wrapping_add(addend).wrapping_add(vshl(t >> 31, 5));
        narrow_twice(vshl(sum, -shift.cast_signed()))
    });
}

/// `dot8_run` and `lanes8_run`: the sum's shift, bias and residual at the profile's bound, VMULH,
/// and the ends of int8.
#[test]
fn lanes_scale_as_the_profile_native_does() {
    const MAX: i32 = NATIVE_ACCUMULATOR_MAX as i32;
    for (j, bias, skip) in [(0, 0, 0), (15, 0, 0), (7, MAX / 2, -128), (15, -MAX / 2, 127)] {
        let residual = skip * (NATIVE_SKIP_MAX >> 2);
        for sum in values(22).into_iter().map(|sum| sum >> j >> 2) {
            // Overflows panic here.
            let t = vshl(sum, j) + (bias + residual);
            for (m, e) in [(0, 0), (1, 16), (32_767, 0), (32_767, 7), (20_000, 16)] {
                let exact = (i64::from(t) * i64::from(m)) >> (16 + e);
                let expected = exact.clamp(-128, 127) as i8;
                assert_eq!(narrow_twice(smmul(t, m << (16 - e))), expected, "{t}, {m}, {e}");
            }
        }
    }
}

/// `VLD40` to `VLD43` of words: every fourth word is one vector, of which these are the lanes.
fn vld4(words: [u32; 16]) -> [[i32; 8]; 4] {
    core::array::from_fn(|vector| {
        core::array::from_fn(|lane| halves(words[4 * (lane / 2) + vector])[lane % 2])
    })
}

/// `mve_winograd4_multiply`: sixteen channels of two tiles and two outputs.
fn winograd4_multiply([a, b, c, d]: [i32; 4], v: [u32; 16], w: [u32; 16]) -> [i32; 4] {
    let [q0, q1, q2, q3] = vld4(v);
    let [q4, q5, q6, q7] = vld4(w);
    [
        vmladava(vmladava(a, &q0, &q4), &q1, &q5),
        vmladava(vmladava(b, &q2, &q4), &q3, &q5),
        vmladava(vmladava(c, &q0, &q6), &q1, &q7),
        vmladava(vmladava(d, &q2, &q6), &q3, &q7),
    ]
}

#[test]
fn products_of_vectors_are_the_sums_modulo_two_to_the_32() {
    let random = &mut Random::new(13);
    for turn in 0..200 {
        let mut end = || if turn == 0 { -32_768 } else { ENDS[random.range(0, 8) as usize] };
        let (mut sums, mut expected) = ([0; 4], [0_i64; 4]);
        for _ in 0..36 {
            // Four quads of channels, each of two tiles or outputs, each of four channels.
            let [v, w] = [0; 2].map(|_| [0; 4].map(|_| [0; 2].map(|_| [0; 4].map(|_| end()))));
            let words = |of: [[[i32; 4]; 2]; 4]| -> [u32; 16] {
                core::array::from_fn(|at| {
                    let four = of[at / 4][at / 2 % 2];
                    word([four[at % 2 * 2], four[at % 2 * 2 + 1]])
                })
            };
            sums = winograd4_multiply(sums, words(v), words(w));
            for (index, sum) in expected.iter_mut().enumerate() {
                let quads = v.iter().zip(&w);
                let fours = quads.flat_map(|(v, w)| v[index % 2].iter().zip(&w[index / 2]));
                *sum += fours.map(|(&v, &w)| i64::from(v) * i64::from(w)).sum::<i64>();
            }
        }
        assert_eq!(sums, expected.map(|sum| sum as i32));
    }
}

/// `VMOVLB` and `VMOVLT`: the even bytes of a vector, or the odd ones, as int16.
fn vmovl(bytes: [i8; 16], is_top: bool) -> [i16; 8] {
    core::array::from_fn(|lane| bytes[2 * lane + usize::from(is_top)].into())
}

/// A vector's words are those of four quads as SXTB16 makes them, on which other cores' passes and
/// the packed weights rely.
#[test]
fn even_and_odd_channels_are_the_words_of_their_quads() {
    let random = &mut Random::new(16);
    for _ in 0..100 {
        let bytes: [i8; 16] = core::array::from_fn(|_| random.range(-128, 127) as i8);
        for (is_top, ror) in [(false, 0), (true, 8)] {
            let lanes = vmovl(bytes, is_top).map(i32::from);
            for (&lanes, quad) in lanes.as_chunks().0.iter().zip(bytes.as_chunks::<4>().0) {
                let quad = u32::from_le_bytes(quad.map(|x| x as u8));
                assert_eq!(word(lanes), sxtb16(quad, ror), "{bytes:?}");
            }
        }
    }
}

/// `mve_winograd4_input`: a lane of `B^T u`, modulo 2^16.
fn winograd4_input([u0, u1, u2, u3, u4, u5]: [i16; 6]) -> [i16; 6] {
    let vmla = |sum: i16, factor: i16| sum.wrapping_add(factor.wrapping_mul(-4));
    let (q6, q7) = (u4.wrapping_sub(u2), u3.wrapping_sub(u1));
    let (q0, q5) = (u0.wrapping_sub(u2) << 2, vmla(u5.wrapping_sub(u3), q7));
    let (q4, q3, q7) = (vmla(u4, u2), vmla(u3, u1), q7.wrapping_add(q7));
    [
        q4.wrapping_add(q3),
        q4.wrapping_sub(q3),
        q5,
        q6.wrapping_add(q7),
        q6.wrapping_sub(q7),
        q0.wrapping_add(q6),
    ]
}

/// Both passes: 768 less in the first row is 128 more in each input, and the last two columns of an
/// even lane bring [`EPSILON`] to all points.
#[test]
fn inputs_are_transformed_in_lanes() {
    let random = &mut Random::new(14);
    let (mut least, mut most) = (0, 0);
    for turn in 0..1000_usize {
        let x = match turn {
            0..72 => extreme_inputs(turn / 2, turn % 2 == 0),
            72..500 => [[0; 6]; 6].map(|row| row.map(|_| [-128, 127][random.range(0, 1) as usize])),
            _ => [[0; 6]; 6].map(|row| row.map(|_| random.range(-128, 127) as i32)),
        };
        let expected = transformed(&x);
        let columns: [[i16; 6]; 6] = core::array::from_fn(|column| {
            let mut u = winograd4_input(x.map(|row| row[column] as i16));
            u[0] = u[0].wrapping_sub(768);
            u
        });
        for epsilon in [0, EPSILON as i16] {
            for (point, expected) in expected.into_iter().enumerate() {
                let mut line = columns.map(|column| column[point / 6]);
                line[4] = line[4].wrapping_add(epsilon);
                line[5] = line[5].wrapping_add(epsilon);
                let v = winograd4_input(line)[point % 6];
                assert_eq!(i32::from(v), expected + i32::from(epsilon), "{x:?}, {point}");
                (least, most) = (expected.min(least), expected.max(most));
            }
        }
    }
    assert_eq!((least, most), (-12_750, 17_340));
}

/// `mve_winograd4_output`: a lane of `A^T m`, modulo 2^32.
fn winograd4_output([q0, q1, q2, q3, q4, q5]: [i32; 6]) -> [i32; 4] {
    let vmla = |sum: i32, vector: i32, scalar: i32| sum.wrapping_add(vector.wrapping_mul(scalar));
    let (q6, q0) = (q0.wrapping_sub(q1), q0.wrapping_add(q1));
    let (q7, q3) = (q3.wrapping_add(q4), q3.wrapping_sub(q4));
    let (q5, q2) = (q5.wrapping_add(q7), q2.wrapping_add(q0));
    [vmla(q5, q6, 4), vmla(q3, q0, 2), q6.wrapping_add(q7), vmla(q2, q3, 2)]
}

#[test]
fn sums_are_transformed_back_in_lanes() {
    for &m in values(15).as_chunks().0 {
        assert_eq!(winograd4_output(m), OUTPUT.map(|row| product(row, m) as i32), "{m:?}");
    }
}
