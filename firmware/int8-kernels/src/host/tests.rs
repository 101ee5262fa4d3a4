//! Every unit of this host against the generic kernel.

extern crate std;

use super::{HostChannels, HostConv2d, host_conv2d_by, pack_by, packed_words_by, scratch_words_by};
use crate::arch::host::Unit;
use crate::cases::{Case, SHAPES};
use crate::shape::Window;
use std::vec;

#[track_caller]
fn check(case: &Case, unit: Unit) {
    let mut packed = vec![0; packed_words_by(unit, &case.window)];
    pack_by(unit, &case.window, &case.weights, &mut packed);
    let mut scratch = vec![0x5555_5555; scratch_words_by(unit, &case.window)];
    let mut run = |channels| {
        let layer = HostConv2d {
            window: case.window,
            pad: case.pad(),
            packed: &packed,
            channels,
            clamp: case.clamp,
        };
        let mut y = case.skip.clone();
        host_conv2d_by(unit, &layer, &case.x, &mut y, &mut scratch);
        y
    };
    for join in [false, true] {
        let got = run(HostChannels::Native { channels: &case.native, join });
        assert_eq!(got, case.native(join), "{unit:?}, {}, join {join}", case.name());
    }
    let zero_point = case.zero_point;
    let got = run(HostChannels::Tflite { channels: &case.tflite, zero_point });
    assert_eq!(got, case.tflite(), "{unit:?}, {}, tflite", case.name());
}

/// Shapes at the borders of tiles of sixteen pixels and of 4x4, and of chunks of 64 bytes, as
/// `SHAPES`.
const WIDE: [([u16; 3], u16, [i8; 3]); 25] = [
    ([2, 16, 16], 16, [3, 1, 1]),
    ([3, 17, 16], 32, [3, 1, 1]),
    ([2, 15, 3], 48, [3, 1, 1]),
    ([3, 33, 8], 16, [3, 1, 1]),
    ([3, 35, 20], 33, [3, 2, 1]),
    ([2, 49, 4], 17, [1, 1, 0]),
    ([5, 40, 3], 64, [7, 2, 3]),
    ([3, 18, 32], 40, [3, 1, 1]),
    ([3, 7, 64], 96, [3, 1, 1]),
    ([4, 5, 68], 16, [1, 1, 0]),
    ([7, 7, 128], 80, [1, 1, 0]),
    ([6, 9, 64], 32, [1, 2, 0]),
    ([2, 19, 65], 20, [1, 1, 0]),
    ([2, 18, 67], 35, [2, 1, 0]),
    ([1, 1, 256], 10, [1, 1, 0]),
    ([3, 31, 12], 16, [2, 2, -1]),
    ([17, 19, 20], 17, [3, 1, 1]),
    ([16, 16, 16], 48, [3, 1, 1]),
    ([10, 11, 40], 15, [3, 1, 0]),
    ([5, 8, 33], 16, [3, 1, -1]),
    ([14, 14, 20], 33, [3, 2, 1]),
    ([16, 16, 16], 48, [3, 2, -1]),
    ([33, 17, 32], 17, [3, 2, 0]),
    ([15, 31, 40], 16, [3, 2, 1]),
    ([8, 8, 64], 10, [3, 2, -1]),
];

/// Every constant at its ends, in all pairs, so that every rounding and every saturation is met.
fn with_extremes(mut case: Case, turn: usize) -> Case {
    const SUMS: [i32; 7] = [i32::MIN, i32::MAX, 0, -1, 1, 1 << 30, -(1 << 30)];
    for (index, c) in case.native.iter_mut().enumerate() {
        let at = index + turn;
        c.bias = SUMS[at % 7];
        c.multiplier = [0, 1, i16::MAX, 1 << 14, 0x5555][at % 5];
        c.post_shift = [0, 1, 15, 16, 17, 18, 30, 31][at / 3 % 8];
        c.pre_shift = [0, 1, 15][at / 2 % 3];
        c.skip_multiplier = [0, 1, (1 << 23) - 1][at % 3];
    }
    for (index, c) in case.tflite.iter_mut().enumerate() {
        let at = index + turn;
        c.bias = SUMS[at % 7];
        c.multiplier = [0, 1, i32::MAX, 1 << 30, 0x5555_5555][at % 5];
        c.shift = [-31, -30, -2, -1, 0, 1, 8, 30][at / 3 % 8];
    }
    case.zero_point = [-128, 127, 0][turn % 3];
    case
}

/// The ends of what one floor rounds as both roundings do, and of one shift more.
fn with_floors(mut case: Case, turn: usize) -> Case {
    let products = (case.window.patch_len() << 14) as i32;
    let most = (1 << 25) - 1 - products;
    let shift_least = if turn.is_multiple_of(4) { -18 } else { -17 };
    for (index, c) in case.tflite.iter_mut().enumerate() {
        let at = index + turn;
        let excess = i32::from(turn % 5 == 4); // which takes both roundings again
        c.bias = [most + excess, -most - excess, 0, 1, -1, most / 2][at % 6];
        c.multiplier = [0, 1, i32::MAX, 1 << 30, 0x5555_5555][at % 5];
        c.shift = [-1, -2, -8, -16, shift_least][at / 2 % 5];
    }
    case.zero_point = [-128, 127, 0][turn % 3];
    case
}

#[test]
fn one_floor_rounds_as_both_roundings_do() {
    for unit in Unit::all() {
        for turn in 0..60 {
            let case = Case::new(turn as u64, [3, 9, 8], 48, [3, 1, 1]);
            check(&with_floors(case, turn), unit);
        }
    }
}

#[test]
fn every_unit_rounds_and_saturates_as_the_generic_kernel_does() {
    for unit in Unit::all() {
        for turn in 0..40 {
            let case = Case::new(turn as u64, [2, 9, 8], 48, [1, 1, 0]);
            check(&with_extremes(case, turn), unit);
        }
    }
}

#[test]
fn every_unit_computes_what_the_generic_kernel_does() {
    for unit in Unit::all() {
        let shapes = SHAPES.into_iter().chain(WIDE);
        for (index, (input, outputs, sliding)) in shapes.enumerate() {
            (0..8).for_each(|seed| {
                check(&Case::new(100 * seed + index as u64, input, outputs, sliding), unit);
            });
        }
    }
}

/// A layer may run some rows at a time, with the weights and in the memory of the whole.
#[test]
fn rows_of_a_layer_are_packed_as_all_of_it() {
    for unit in Unit::all() {
        for (input, outputs, sliding) in SHAPES.into_iter().chain(WIDE) {
            let whole = Case::new(1, input, outputs, sliding).window;
            for rows in 1..whole.output[0] {
                let [_, columns, outputs] = whole.output;
                let part = Window { output: [rows, columns, outputs], ..whole };
                let memory =
                    |window| (packed_words_by(unit, window), scratch_words_by(unit, window));
                let ((packed, scratch), (most, room)) = (memory(&part), memory(&whole));
                assert_eq!(packed, most, "{unit:?}, {rows} rows of {whole:?}");
                assert!(scratch <= room, "{unit:?}, {rows} rows of {whole:?}");
            }
        }
    }
}

/// All products at the ends of their range, with as many channels as each way of computing takes.
#[test]
fn every_unit_holds_the_largest_sums() {
    for unit in Unit::all() {
        let shapes = [16, 64, 227, 228].map(|depth| [([6, 5, depth], 1), ([14, 14, depth], 2)]);
        for (input, stride) in shapes.into_iter().flatten() {
            for (x, w) in [(-128, -128), (-128, 127), (127, -128), (127, 127)] {
                let mut case = Case::new(1, input, 18, [3, stride, 1]);
                case.x.fill(x);
                case.weights.fill(w);
                check(&case, unit);
                // Signs that change from tap to tap make the largest transforms.
                case.weights.iter_mut().step_by(2).for_each(|weight| *weight = !w);
                case.x.iter_mut().step_by(3).for_each(|value| *value = !x);
                check(&case, unit);
            }
        }
    }
}

#[test]
fn slices_of_other_lengths_are_left_alone() {
    let case = Case::new(1, [4, 4, 16], 16, [3, 1, 1]);
    for unit in Unit::all() {
        let mut packed = vec![0; packed_words_by(unit, &case.window)];
        pack_by(unit, &case.window, &case.weights, &mut packed);
        let mut scratch = vec![0; scratch_words_by(unit, &case.window)];
        let layer = |packed| HostConv2d {
            window: case.window,
            pad: case.pad(),
            packed,
            channels: HostChannels::Native { channels: &case.native, join: false },
            clamp: case.clamp,
        };
        let mut y = case.skip.clone();
        host_conv2d_by(unit, &layer(&packed[1..]), &case.x, &mut y, &mut scratch);
        host_conv2d_by(unit, &layer(&packed), &case.x, &mut y[1..], &mut scratch);
        host_conv2d_by(unit, &layer(&packed), &case.x, &mut y, &mut scratch[1..]);
        assert_eq!(y, case.skip, "{unit:?}");
    }
}
