//! `dual_step.s`, `direct16.s`, `winograd4.s`, `fully_connected.s`: two int16 products in one
//! SMLAD, bytes in pairs of lanes, and one SMMUL or SMMLA for the requantization. The other files
//! have theirs here too.

mod add;
mod pixel_pairs;
mod polyphase2;

use super::*;
use crate::packed::tiles::Method;

/// `dual_multiply`: a step of inputs `v` of two tiles with weights `w` of two outputs.
fn dual_multiply(sums: [i32; 4], [v0, v1, v2, v3]: [u32; 4], w: [u32; 4], first: bool) -> [i32; 4] {
    let [w0, w1, w2, w3] = w;
    let begun = if first {
        [smuad(v0, w0), smuad(v2, w0), smuad(v0, w2), smuad(v2, w2)]
    } else {
        let [a, b, c, d] = sums;
        [smlad(v0, w0, a), smlad(v2, w0, b), smlad(v0, w2, c), smlad(v2, w2, d)]
    };
    let [a, b, c, d] = begun;
    [smlad(v1, w1, a), smlad(v3, w1, b), smlad(v1, w3, c), smlad(v3, w3, d)]
}

#[test]
fn dual_products_are_the_sums_modulo_two_to_the_32() {
    let random = &mut Random::new(1);
    for turn in 0..200 {
        let mut end = || ENDS[random.range(0, 8) as usize];
        let (mut sums, mut expected) = ([-5; 4], [0_i64; 4]);
        for step in 0..144 {
            let [v, w] = [0; 2].map(|_| [0; 8].map(|_| if turn == 0 { -32_768 } else { end() }));
            let words = |n: [i32; 8]| [0, 2, 4, 6].map(|at| word([n[at], n[at + 1]]));
            sums = dual_multiply(sums, words(v), words(w), step == 0);
            for (index, sum) in expected.iter_mut().enumerate() {
                let (tile, output) = (4 * (index % 2), 4 * (index / 2));
                *sum +=
                    (0..4).map(|k| i64::from(v[tile + k]) * i64::from(w[output + k])).sum::<i64>();
            }
        }
        assert_eq!(sums, expected.map(|sum| sum as i32));
    }
}

/// The vertical pass begins with `x + 128` of bytes 0 and 2, and of 1 and 3.
#[test]
fn bytes_are_widened_and_made_positive_in_both_lanes() {
    for byte in 0..=255_u32 {
        let bytes = byte | (byte ^ 0x55) << 8 | (byte ^ 0xaa) << 16 | (byte ^ 0xff) << 24;
        let positive = |at: u32| i32::from((bytes >> at) as i8) + 128;
        assert_eq!(sxtab16(0x0080_0080, bytes, 0), word([positive(0), positive(16)]));
        assert_eq!(sxtab16(0x0080_0080, bytes, 8), word([positive(8), positive(24)]));
    }
}

/// `winograd4_weight`: `G w` of two channels, in the order of points.
fn winograd4_weight([a, b, c]: [u32; 3]) -> [u32; 6] {
    let ends = sadd16(a, c);
    let second = ssub16(ends, b);
    let first = ssub16(second, sadd16(ends, ends));
    let (twice, double) = (sadd16(b, b), sadd16(c, c));
    let four = sadd16(double, double);
    let far = sadd16(four, a);
    let third = sadd16(double, four);
    let (fourth, fifth) = (sadd16(far, twice), ssub16(far, twice));
    let three = sadd16(a, sadd16(a, a));
    [first, second, third, fourth, fifth, sadd16(three, three)]
}

#[test]
fn weights_are_transformed_in_both_lanes() {
    let random = &mut Random::new(2);
    for turn in 0..1536_i32 {
        // All choices of both ends, then random weights.
        let end = |at: i32| if turn >> at & 1 == 0 { -128 } else { 127 };
        let mut tap = |at: i32| if turn < 512 { end(at) } else { random.range(-128, 127) as i32 };
        let low: [i32; 9] = core::array::from_fn(|at| tap(at as i32));
        let high = low.map(|w| w ^ 0x3f);
        let bytes = |at: usize| (low[at] as u8 as u32) | (high[at] as u8 as u32) << 16;
        let column = |x: usize| winograd4_weight([x, x + 3, x + 6].map(|at| sxtb16(bytes(at), 0)));
        let [left, middle, right] = [column(0), column(1), column(2)];
        for row in 0..6 {
            let points = winograd4_weight([left[row], middle[row], right[row]]);
            for (column, point) in points.into_iter().enumerate() {
                let weight = |taps| Method::Winograd4.weight(taps, 6 * row + column);
                assert_eq!(halves(point), [weight(&low), weight(&high)], "{low:?}");
                assert!(weight(&low).abs() <= 6272);
            }
        }
    }
}

/// `winograd4_output_row`: `A^T m`, of sums that go on over three points.
fn winograd4_output_row([m0, d, e, m3, s, z]: [i32; 6]) -> [i32; 4] {
    let t = m0.wrapping_mul(2).wrapping_sub(d);
    let f = m3.wrapping_mul(2).wrapping_sub(s);
    let twice = |v: i32| v.wrapping_mul(2);
    [
        z.wrapping_add(t.wrapping_mul(4)),
        f.wrapping_add(twice(d)),
        s.wrapping_add(t),
        e.wrapping_add(twice(f)),
    ]
}

#[test]
fn six_additions_transform_sums_back() {
    const { assert!(POINTS == 36) };
    for &m in values(3).as_chunks().0 {
        let [m0, m1, m2, m3, m4, m5] = m;
        let (d, s) = (m0.wrapping_add(m1), m3.wrapping_add(m4));
        let got = winograd4_output_row([m0, d, d.wrapping_add(m2), m3, s, s.wrapping_add(m5)]);
        assert_eq!(got, OUTPUT.map(|row| product(row, m) as i32), "{m:?}");
    }
}

/// `tflite_constants` and `tflite_scale`, and what follows them.
fn tflite(t: i32, scale: i32, last: u32) -> i8 {
    let shift = last & 31;
    let addend = last.wrapping_sub(shift).wrapping_add(16).cast_signed();
    let sum = addend.wrapping_add(t >> 31 << 5);
    saturate(smmla(t, scale, sum) >> shift)
}

#[test]
fn one_smmla_rounds_as_the_header_says() {
    check_tflite(tflite);
}

#[test]
fn smmul_and_ssat_are_the_native_requantization() {
    for t in values(4) {
        for (m, e) in [(0, 0), (1, 16), (32_767, 0), (32_767, 7), (20_000, 16), (32_767, 31)] {
            let exact = (i64::from(t) * i64::from(m)) >> (16 + e);
            let expected = exact.clamp(-128, 127) as i8;
            // `resmcu_pixel_pairs_native` shifts the product, the others the multiplier.
            assert_eq!(saturate(smmul(t, m << 16) >> e), expected, "{t}, {m}, {e}");
            if e <= 16 {
                assert_eq!(saturate(smmul(t, m << (16 - e))), expected, "{t}, {m}, {e}");
            }
        }
    }
}

/// `resmcu_fully_connected_quad`: four inputs, of which the halves change places so that they meet
/// the weights as SXTB16 widens them, or int8 that are widened alike.
fn fully_connected_quad(x: [i16; 4], is_int8: bool, weights: [i8; 4], sum: i32) -> i32 {
    let [even, odd] = if is_int8 {
        let bytes = u32::from_le_bytes(x.map(|x| x as u8));
        [sxtb16(bytes, 0), sxtb16(bytes, 8)]
    } else {
        let x = x.map(i32::from);
        let (first, second) = (word([x[0], x[1]]), word([x[2], x[3]]));
        [pkhbt(first, second, 16), pkhtb(second, first, 16)]
    };
    let weights = u32::from_le_bytes(weights.map(|w| w as u8));
    smlad(sxtb16(weights, 8), odd, smlad(sxtb16(weights, 0), even, sum))
}

#[test]
fn inputs_and_widened_weights_meet() {
    let random = &mut Random::new(5);
    for (turn, is_int8) in (0..400).map(|turn| (turn, turn % 2 == 0)) {
        let [low, high] = if is_int8 { [-128, 127] } else { [-32_768, 32_512] };
        let mut x = [0; 4].map(|_: i16| random.range(low, high) as i16);
        let mut w = [0; 4].map(|_: i8| random.range(-128, 127) as i8);
        if turn < 8 {
            (x, w) = ([if turn < 4 { low } else { high } as i16; 4], [i8::MIN; 4]);
        }
        let products = x.iter().zip(w).map(|(&x, w)| i32::from(x) * i32::from(w));
        let expected = products.sum::<i32>() - 7;
        assert_eq!(fully_connected_quad(x, is_int8, w, -7), expected, "{x:?} times {w:?}");
    }
}
