//! Adds of the profile `tflite`, in place and not.

use super::{Build, Case, check_all, random_clamp};
use crate::oracle::{self, Tensor};
use crate::rng::Rng;
use resmcu_int8_kernels::ops::add::{AddConstants, add_in_place_s8, add_s8};
use resmcu_quantizer::quantized::{Profile, QuantizedOp, TensorId};

fn add(rng: &mut Rng, input: [usize; 3], constants: AddConstants, clamp: [i8; 2]) -> Case {
    let mut build = Build::new(Profile::Tflite, input);
    let copy = build.copy(TensorId(0));
    let inputs = rng.pick(&[[TensorId(0), copy], [copy, TensorId(0)]]);
    let zero_point = constants.output_offset as i16;
    let op = QuantizedOp::Add { inputs, constants, clamp };
    build.push(op, input, resmcu_quantizer::quantized::Dtype::I8, zero_point);
    build.random_case(format!("add {input:?}, {constants:?}, {clamp:?}"), rng)
}

/// What TensorFlow Lite makes of scales: the larger one is one half.
fn usual(rng: &mut Rng, halved: usize) -> AddConstants {
    let mut constants = AddConstants { output_shift: -rng.range(1, 21) as i32, ..constants(rng) };
    constants.input_shifts = [-rng.range(1, 9) as i32; 2];
    constants.input_multipliers[halved] = 1 << 30;
    constants.input_shifts[halved] = 0;
    constants
}

fn constants(rng: &mut Rng) -> AddConstants {
    let mut multiplier = || match rng.size(0, 9) {
        0 => rng.pick(&[0, 1, 1 << 30, i32::MAX]),
        _ => rng.range(1 << 30, (1 << 31) - 1) as i32,
    };
    let multipliers = [multiplier(), multiplier(), multiplier()];
    let mut offset = || rng.pick(&[-127, 128, 0, 17, -4]);
    let offsets = [offset(), offset()];
    let mut shift = |near: i64| if rng.one_in(8) { rng.range(-31, 0) } else { near } as i32;
    AddConstants {
        input_offsets: offsets,
        input_multipliers: [multipliers[0], multipliers[1]],
        input_shifts: [shift(0), shift(-2)],
        output_multiplier: multipliers[2],
        output_shift: shift(-18),
        output_offset: rng.pick(&[-128, 127, 0, 5]),
    }
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0xADD);
    let plain = AddConstants {
        input_offsets: [128, 128],
        input_multipliers: [1 << 30; 2],
        input_shifts: [0, 0],
        output_offset: -128,
        output_multiplier: 1 << 30,
        output_shift: -18,
    };
    let ends = [
        plain,
        AddConstants { input_offsets: [-127, -127], output_offset: 127, ..plain },
        AddConstants { input_multipliers: [i32::MAX; 2], output_multiplier: i32::MAX, ..plain },
        AddConstants { input_shifts: [-31, -31], output_shift: 0, ..plain },
        AddConstants { output_shift: -31, ..plain },
        AddConstants { input_multipliers: [0, 1], output_shift: -1, ..plain },
    ];
    let mut cases: Vec<Case> =
        ends.into_iter().map(|ends| add(&mut rng, [3, 5, 3], ends, [-128, 127])).collect();
    for (halved, width) in [(0, 1), (1, 3), (0, 13), (1, 37), (0, 68)] {
        let usual = usual(&mut rng, halved);
        cases.push(add(&mut rng, [2, 1, width], usual, [-128, 127]));
    }
    cases.push(add(&mut rng, [1, 1, 1], plain, [0, 0]));
    cases.push(add(&mut rng, [2, 2, 33], plain, [-128, 0]));
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let shape = [rng.size(1, 6), rng.size(1, 6), rng.size(1, 12)];
    let (constants, clamp) = (constants(&mut rng), random_clamp(&mut rng));
    add(&mut rng, shape, constants, clamp)
}

#[test]
fn adds_are_the_oracles() {
    check_all(&edges(), 400, random);
}

/// Two different inputs, every pair of bytes, by all three ways that the kernel has.
#[test]
fn adds_of_all_pairs_are_the_oracles() {
    for seed in 1..=80 {
        let mut rng = Rng::new(seed);
        let (constants, clamp) = match seed % 4 {
            seed @ 0..=1 => (usual(&mut rng, seed as usize), [-128, 127]),
            _ => (constants(&mut rng), random_clamp(&mut rng)),
        };
        let pairs = || (-128..=127).flat_map(|a: i8| (-128..=127).map(move |b: i8| (a, b)));
        let (a, b): (Vec<i8>, Vec<i8>) = pairs().unzip();
        let tensor = |x: &[i8]| Tensor::new([256, 256, 1], x.to_vec());
        let expected = oracle::add(&tensor(&a), &tensor(&b), &constants, clamp).elements;
        let mut y = vec![0; a.len()];
        add_s8(&a, &b, &constants, clamp, &mut y);
        assert!(y == expected, "seed {seed}");
        y.copy_from_slice(&a);
        add_in_place_s8(0, &b, &constants, clamp, &mut y);
        assert!(y == expected, "seed {seed}, in place of the first");
        y.copy_from_slice(&b);
        add_in_place_s8(1, &a, &constants, clamp, &mut y);
        assert!(y == expected, "seed {seed}, in place of the second");
    }
}
