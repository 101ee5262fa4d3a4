//! Convolutions of the kernels that have a packing of their own: each layer that a kernel takes,
//! with all of its kernels.

use super::{Build, Case, check_all, random_weights};
use crate::oracle::positions;
use crate::rng::Rng;
use resmcu_int8_kernels::packed::{Kernel, packed_post_shift_max};
use resmcu_int8_kernels::requantize::{Form, NativeChannel, TfliteChannel};
use resmcu_quantizer::kernels::Packing;
use resmcu_quantizer::quantized::{
    Channels, Dtype, PadValue, Profile, QuantizedOp, Sliding, TensorId,
};

/// `[H,W,I]`, O, and the window.
type Shape = ([usize; 3], usize, Sliding);

const FORMS: [Form; 3] = [Form::Native, Form::NativeJoin, Form::Tflite];

fn square(side: usize, stride: usize, padding: [usize; 4]) -> Sliding {
    Sliding { size: [side, side], stride: [stride, stride], padding }
}

/// The stride of a kernel that has one.
fn stride(kernel: Kernel) -> Option<usize> {
    match kernel {
        Kernel::Polyphase2 | Kernel::Polyphase2OnTheFly | Kernel::Polyphase2Int4 => Some(2),
        Kernel::Winograd4 | Kernel::Winograd4OnTheFly | Kernel::Winograd4Int4 => Some(1),
        Kernel::Direct16 | Kernel::PixelPairs | Kernel::Dot8 | Kernel::Lanes8 => None,
    }
}

/// Shapes at the borders of tiles, steps and unrolled loops: some numbers of steps have loops of
/// their own, others enter an unrolled loop in its middle; some cores compute four or eight outputs
/// at once, and what remains two by two.
fn shapes(kernel: Kernel) -> Vec<Shape> {
    let same = [1; 4];
    if stride(kernel) == Some(2) {
        return shapes_of_phases();
    }
    let mut shapes = vec![
        ([4, 8, 4], 2, square(3, 1, same)),
        ([6, 17, 3], 10, square(3, 1, same)),
        ([5, 9, 1], 2, square(3, 1, same)),
        ([4, 8, 18], 8, square(3, 1, same)),
        ([1, 1, 4], 2, square(3, 1, same)),
        ([5, 9, 16], 10, square(3, 1, same)),
        ([8, 16, 32], 8, square(3, 1, same)),
        ([3, 7, 64], 2, square(3, 1, same)),
        ([4, 9, 20], 6, square(3, 1, same)),
        ([6, 11, 8], 8, square(3, 1, [0; 4])),
        ([4, 4, 48], 10, square(3, 1, [2, 2, 2, 2])),
        ([2, 18, 4], 2, square(3, 1, [1, 0, 1, 2])),
        ([4, 3, 68], 8, square(3, 1, same)),
        ([3, 3, 132], 2, square(3, 1, same)),
    ];
    if matches!(kernel, Kernel::Direct16 | Kernel::PixelPairs) || takes_any(kernel) {
        shapes.extend([
            ([1, 1, 1], 2, square(1, 1, [0; 4])),
            ([3, 3, 5], 10, square(1, 1, [0; 4])),
            ([5, 4, 64], 8, square(1, 2, [0; 4])),
            ([4, 5, 72], 6, square(1, 1, [1; 4])),
            ([9, 8, 3], 8, square(3, 2, [0, 0, 1, 1])),
            ([6, 7, 1], 2, square(7, 2, [3; 4])),
            ([2, 2, 3], 2, square(5, 1, [2; 4])),
            ([6, 6, 2], 2, square(2, 2, [2; 4])),
            ([7, 7, 9], 10, Sliding { size: [3, 2], stride: [2, 3], padding: [0, 1, 2, 0] }),
        ]);
    }
    if kernel == Kernel::PixelPairs {
        // Its parts of 248 weights, rows of one byte, each number of pixels that remains, and odd
        // numbers of outputs.
        shapes.push(([3, 3, 256], 3, square(1, 1, [0; 4])));
        shapes.push(([5, 3, 1], 2, Sliding { size: [3, 1], ..square(1, 1, [0; 4]) }));
        shapes.extend((2..=12).map(|pixels| ([pixels, 1, 40], 3, square(1, 1, [0; 4]))));
        shapes.iter_mut().step_by(2).for_each(|(_, outputs, _)| *outputs -= 1);
    }
    if takes_any(kernel) {
        // Outputs that fill no block, rows of each unrolled loop, one column, ends of the input
        // behind which a step would read.
        shapes.extend([
            ([1, 1, 1], 1, square(1, 1, [0; 4])),
            ([3, 4, 16], 3, square(1, 1, [0; 4])),
            ([3, 5, 17], 5, square(1, 1, [0; 4])),
            ([4, 7, 32], 7, square(1, 2, [0; 4])),
            ([2, 9, 80], 9, square(1, 1, [0; 4])),
            ([6, 1, 16], 5, square(3, 1, same)),
            ([5, 8, 48], 6, square(3, 2, same)),
            ([5, 6, 5], 3, square(3, 1, [0; 4])),
            ([3, 3, 24], 17, square(3, 1, same)),
            ([4, 2, 6], 35, square(2, 1, same)),
        ]);
    }
    shapes
}

/// The same of stride 2.
fn shapes_of_phases() -> Vec<Shape> {
    let same = [1; 4];
    vec![
        ([4, 8, 4], 2, square(3, 2, same)),
        ([5, 13, 3], 10, square(3, 2, same)),
        ([4, 9, 17], 8, square(3, 2, same)),
        ([1, 1, 4], 2, square(3, 2, same)),
        ([8, 16, 16], 10, square(3, 2, [0, 0, 1, 1])), // TensorFlow's SAME
        ([7, 15, 8], 8, square(3, 2, same)),
        ([5, 9, 12], 10, square(3, 2, [0; 4])),
        ([6, 11, 32], 8, square(3, 2, [1, 0, 1, 0])),
        ([4, 4, 20], 6, square(3, 2, [2, 2, 2, 2])),
        ([3, 9, 64], 2, square(3, 2, same)),
        ([3, 5, 132], 2, square(3, 2, same)),
    ]
}

/// Signs of rows and columns that make a point of each tile as large as it can be, or as small:
/// those of the kernels' own `tests/packed.rs`, which says how they come about.
const TILES: [[[i32; 4]; 2]; 4] = [
    [[-1, -1, 1, 1]; 2],
    [[-1, 1, 1, -1], [-1, -1, 1, 1]],
    [[1, -1, 1, 1]; 2],
    [[-1, 1, -1, -1], [1, -1, 1, 1]],
];

/// A layer whose inputs have such signs.
fn of_tiles(rng: &mut Rng, kernel: Kernel, stride: usize, [rows, columns]: [[i32; 4]; 2]) -> Case {
    let shape @ ([height, width, depth], ..) = ([8, 16, 12], 4, square(3, stride, [1; 4]));
    let mut case = conv(rng, Packing::Only(kernel), Form::Native, shape);
    case.name = format!("{}, signs {rows:?} by {columns:?}", case.name);
    let sign = |at: usize| rows[at / width % 4] * columns[at % width % 4];
    let pixel = |at: usize| [if sign(at) > 0 { i8::MAX } else { i8::MIN }].repeat(depth);
    case.input = (0..height * width).flat_map(pixel).collect();
    case
}

/// Whether a kernel takes layers of any number of outputs, with any shift.
fn takes_any(kernel: Kernel) -> bool {
    matches!(kernel, Kernel::Dot8 | Kernel::Lanes8)
}

/// Constants that every kernel takes, whose accumulator stays below 2^30 where the sum of products
/// stays below `sum_max`.
fn channel(rng: &mut Rng, [least, most]: [i64; 2], sum_max: i64) -> NativeChannel {
    const HALF: i64 = 1 << 29;
    let mut pre_shift = rng.range(least, most);
    while sum_max << pre_shift >= HALF && pre_shift > least {
        pre_shift -= 1;
    }
    let reach = (sum_max << pre_shift).min(HALF);
    let bias = rng.range(-HALF, HALF) >> rng.range(0, 12);
    let skip_max = (HALF - bias.abs()) / 128;
    let skip_max = skip_max >> rng.range(0, 8);
    let skip_multiplier = rng.range(0, skip_max);
    let multiplier = rng.pick(&[0, 1, 32_767, 9_999, 20_000]);
    let bits = (reach.max(bias.abs()) * multiplier.max(1)).ilog2().saturating_sub(16 + 7);
    NativeChannel {
        bias: bias as i32,
        skip_multiplier: skip_multiplier as i32,
        multiplier: multiplier as i16,
        pre_shift: pre_shift as u8,
        post_shift: bits.min(packed_post_shift_max(pre_shift as u8).into()) as u8,
    }
}

/// The same in the profile `tflite`, of the shifts that all kernels take, or any.
fn tflite_channel(rng: &mut Rng, kernel: Kernel, sum_max: i64) -> TfliteChannel {
    let [least, most] = if kernel == Kernel::PixelPairs { [-30, 31] } else { [1, 17] };
    let bias = rng.range(-(1 << 24), 1 << 24) >> rng.range(0, 20);
    let bits = i64::from((sum_max + bias.abs()).max(1).ilog2());
    let any = rng.range(least, most);
    let shift = rng.pick(&[any, bits - 7, bits - 6]).clamp(least, most);
    let multiplier = rng.range(1 << 30, i32::MAX.into());
    let multiplier = rng.pick(&[multiplier, multiplier, 0, 1, 1 << 30, i32::MAX.into()]);
    TfliteChannel { bias: bias as i32, multiplier: multiplier as i32, shift: -shift as i32 }
}

/// Weights of one channel that the kernel stores; extremes only where its sums allow it.
fn weights(rng: &mut Rng, kernel: Kernel, patch: usize) -> Vec<i8> {
    if kernel.weight_bits() == Some(4) {
        // Of a large patch few are not zero.
        let share = patch.div_ceil(512 / 8) as u64;
        let any = |_| {
            let weight = rng.range(-8, 7);
            if rng.one_in(share) { rng.pick(&[-8, 7, weight]) as i8 } else { 0 }
        };
        return (0..patch).map(any).collect();
    }
    // 128 * 128 * 2^6 * patch <= 2^29
    let largest = (512 / patch).clamp(1, 128) as i64;
    if largest < 128 && kernel != Kernel::PixelPairs {
        let sign = |rng: &mut Rng| rng.pick(&[-1, 1]);
        let mut row: Vec<i8> = (0..patch).map(|_| (sign(rng) * largest) as i8).collect();
        if rng.one_in(2) {
            row = (0..patch).map(|_| rng.range(-largest, largest) as i8).collect();
        }
        return row;
    }
    random_weights(rng, patch)
}

fn conv(rng: &mut Rng, packing: Packing, form: Form, (input, outputs, sliding): Shape) -> Case {
    let kernel = only(packing);
    let [rows, columns] = positions(input, &sliding);
    let patch = sliding.size[0] * sliding.size[1] * input[2];
    let is_tflite = form == Form::Tflite;
    let profile = if is_tflite { Profile::Tflite } else { Profile::Native };
    let mut build = Build::new(profile, input);
    let shape = [rows, columns, outputs];
    let mut layer = |rng: &mut Rng, skip| {
        let rows: Vec<Vec<i8>> = (0..outputs).map(|_| weights(rng, kernel, patch)).collect();
        let sum = |row: &Vec<i8>| row.iter().map(|&w| i64::from(w).abs() * 128).sum();
        let takes_any_channel = takes_any(kernel) || kernel == Kernel::PixelPairs;
        let shifts = if takes_any_channel { [0, 15] } else { [5, 8] };
        let channels = if is_tflite {
            let channel = |row| tflite_channel(rng, kernel, sum(row));
            Channels::Tflite(rows.iter().map(channel).collect())
        } else {
            let channel = |row| {
                let mut channel = channel(rng, shifts, sum(row));
                if kernel == Kernel::PixelPairs && rng.one_in(3) {
                    // Beyond what one product scales.
                    channel.post_shift = rng.range(17, 22) as u8;
                }
                channel
            };
            Channels::Native(rows.iter().map(channel).collect())
        };
        let per_channel = rng.one_in(3);
        let pad_value = if per_channel {
            PadValue::PerChannel(rng.i8s(input[2]))
        } else {
            PadValue::Uniform(rng.pick(&[-128, 127, 0, 5]))
        };
        let op = QuantizedOp::Conv2d {
            input: TensorId(0),
            sliding,
            pad_value,
            weights: rows.concat(),
            channels,
            clamp: if kernel == Kernel::PixelPairs {
                rng.pick(&[[-128, 127], [-90, 127], [-5, 60]])
            } else {
                [-128, 127]
            },
            skip,
        };
        let zero_point = if is_tflite { rng.pick(&[-128, 127, 0, -3]) } else { 0 };
        build.push(op, shape, Dtype::I8, zero_point)
    };
    let skip = (form == Form::NativeJoin).then(|| layer(rng, None));
    layer(rng, skip);
    let name = format!("{packing:?} {input:?} to {outputs}, {sliding:?}, {form:?}");
    Case { packing, ..build.random_case(name, rng) }
}

/// Its one kernel.
fn only(packing: Packing) -> Kernel {
    match packing {
        Packing::Only(kernel) | Packing::OnlyWithMost(kernel) => kernel,
        Packing::Generic | Packing::Fastest(_) => panic!("{packing:?}"),
    }
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0x9AC);
    let mut cases = vec![];
    for kernel in Kernel::ALL {
        if let Some(stride) = stride(kernel) {
            cases.extend(TILES.map(|signs| of_tiles(&mut rng, kernel, stride, signs)));
        }
        for shape in shapes(kernel) {
            for form in FORMS {
                cases.push(conv(&mut rng, Packing::Only(kernel), form, shape));
                if kernel == Kernel::PixelPairs {
                    cases.push(conv(&mut rng, Packing::OnlyWithMost(kernel), form, shape));
                }
            }
        }
    }
    cases
}

/// The edges with weights of four bits.
pub(super) fn int4() -> Vec<Case> {
    let mut cases = edges();
    cases.retain(|case| only(case.packing).weight_bits() == Some(4));
    cases
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let kernel = rng.pick(&Kernel::ALL);
    let input = [rng.size(1, 17), rng.size(1, 19), rng.size(1, 80)];
    let outputs = match kernel {
        _ if takes_any(kernel) => rng.size(1, 40),
        Kernel::PixelPairs => rng.size(1, 10),
        _ => 2 * rng.size(1, 5),
    };
    let padding = [(); 4].map(|()| rng.size(1, 2));
    let form = rng.pick(&FORMS);
    let stride = stride(kernel).unwrap_or_else(|| rng.size(1, 3));
    let packing = rng.pick(&[Packing::Only(kernel), Packing::OnlyWithMost(kernel)]);
    conv(&mut rng, packing, form, (input, outputs, square(3, stride, padding)))
}

#[test]
fn packed_convolutions_are_the_oracles() {
    check_all(&edges(), 600, random);
}

#[test]
fn each_case_is_computed_by_its_kernel() {
    for case in edges() {
        let lowered = case.lower();
        let file = resmcu_model_format::ModelFile::parse(&lowered.file).unwrap();
        for step in file.steps() {
            assert_eq!(step.kernel, only(case.packing).number(), "{}", case.name);
        }
    }
}
