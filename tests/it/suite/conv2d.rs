//! Convolutions: both profiles, with and without a residual.

use super::{
    Build, Case, check_all, random_channels, random_clamp, random_sliding, random_weights,
};
use crate::oracle::positions;
use crate::rng::Rng;
use resmcu_int8_kernels::requantize::{NativeChannel, TfliteChannel};
use resmcu_model_format::{ModelFile, Op};
use resmcu_quantizer::quantized::{
    Channels, Dtype, PadValue, Profile, QuantizedOp, Sliding, TensorId,
};

/// `[H,W,I]`, O, and the window.
type Shape = ([usize; 3], usize, Sliding);

fn sliding(size: [usize; 2], stride: usize, padding: [usize; 4]) -> Sliding {
    Sliding { size, stride: [stride, stride], padding }
}

/// Shapes at the borders of what a kernel may block by.
fn shapes() -> Vec<Shape> {
    vec![
        ([1, 1, 1], 1, sliding([1, 1], 1, [0; 4])),
        ([1, 1, 5], 3, sliding([1, 1], 1, [0; 4])),
        ([5, 3, 4], 5, sliding([1, 1], 2, [0; 4])),
        ([4, 4, 3], 4, sliding([1, 1], 1, [1; 4])),
        ([3, 3, 2], 7, sliding([3, 3], 1, [1; 4])),
        ([8, 8, 3], 4, sliding([3, 3], 2, [0, 0, 1, 1])), // TensorFlow's SAME
        ([7, 5, 1], 6, sliding([3, 3], 2, [1, 1, 1, 1])),
        ([2, 2, 3], 2, sliding([5, 5], 1, [2; 4])), // wider than the input
        ([1, 1, 2], 9, sliding([7, 7], 2, [3; 4])),
        ([1, 9, 4], 4, sliding([1, 3], 1, [0, 1, 0, 1])),
        ([9, 1, 4], 4, sliding([3, 1], 1, [1, 0, 1, 0])),
        ([6, 6, 2], 3, sliding([2, 2], 2, [2, 2, 2, 2])), // windows wholly outside
        ([4, 5, 16], 16, sliding([3, 3], 1, [1; 4])),
        ([3, 3, 17], 1, sliding([3, 3], 1, [1, 0, 1, 2])),
        ([2, 3, 64], 8, sliding([1, 1], 1, [0; 4])),
        ([7, 7, 1], 2, Sliding { size: [3, 2], stride: [2, 3], padding: [0, 1, 2, 0] }),
    ]
}

fn conv(rng: &mut Rng, profile: Profile, join: bool, shape: Shape) -> Case {
    conv_of(rng, profile, join, shape, random_weights)
}

/// Weights of four bits, which a model file holds in four.
fn int4_weights(rng: &mut Rng, count: usize) -> Vec<i8> {
    let extremes = rng.one_in(4);
    let mut any = || if extremes { rng.pick(&[-8, 7]) } else { rng.range(-8, 7) };
    (0..count).map(|_| any() as i8).collect()
}

fn conv_of(
    rng: &mut Rng,
    profile: Profile,
    join: bool,
    (input, outputs, sliding): Shape,
    random_weights: fn(&mut Rng, usize) -> Vec<i8>,
) -> Case {
    let [rows, columns] = positions(input, &sliding);
    let patch = sliding.size[0] * sliding.size[1] * input[2];
    let weights = random_weights(rng, outputs * patch);
    let channels = random_channels(rng, profile, outputs, 128 * 128 * patch as i64);
    let per_channel = rng.one_in(2);
    let pad_value = if per_channel {
        PadValue::PerChannel(rng.i8s(input[2]))
    } else {
        PadValue::Uniform(rng.range(-128, 127) as i8)
    };
    let clamp = random_clamp(rng);
    let name =
        format!("{profile:?} conv {input:?} to {outputs}, {sliding:?}, join {join}, {pad_value:?}");
    let mut build = Build::new(profile, input);
    let shape = [rows, columns, outputs];
    let skip = join.then(|| {
        // The residual: a convolution of the same input with other weights.
        let weights = random_weights(rng, outputs * patch);
        let channels = random_channels(rng, profile, outputs, 128 * 128 * patch as i64);
        let op = QuantizedOp::Conv2d {
            input: TensorId(0),
            sliding,
            pad_value: PadValue::Uniform(0),
            weights,
            channels,
            clamp: [-128, 127],
            skip: None,
        };
        build.push_i8(op, shape)
    });
    let input = TensorId(0);
    let op = QuantizedOp::Conv2d { input, sliding, pad_value, weights, channels, clamp, skip };
    build.push(op, shape, Dtype::I8, rng.pick(&[-128, 127, 0, -3]));
    build.random_case(name, rng)
}

/// All 256 inputs through 1x1 weights of one channel each: what the requantization makes of them.
fn sweep(name: &str, weights: &[i8], channels: Channels, zero: i16) -> Case {
    let profile = match channels {
        Channels::Native(_) => Profile::Native,
        Channels::Tflite(_) => Profile::Tflite,
    };
    let mut build = Build::new(profile, [16, 16, 1]);
    let op = QuantizedOp::Conv2d {
        input: TensorId(0),
        sliding: sliding([1, 1], 1, [0; 4]),
        pad_value: PadValue::Uniform(0),
        channels,
        clamp: [-128, 127],
        skip: None,
        weights: weights.to_vec(),
    };
    build.push(op, [16, 16, weights.len()], Dtype::I8, zero);
    build.case(name, (-128..=127).collect())
}

/// Ties, saturation and the ends of every constant.
fn sweeps() -> Vec<Case> {
    let mut native = vec![];
    for (multiplier, post_shift) in
        [(0, 0), (1, 0), (16_384, 0), (32_767, 0), (16_384, 7), (32_767, 31)]
    {
        for (bias, pre_shift) in
            [(0, 0), (1 << 15, 0), (-1, 15), ((1 << 29) - 1, 15), (-(1 << 29), 9)]
        {
            let skip_multiplier = 0;
            native.push(NativeChannel { bias, skip_multiplier, multiplier, pre_shift, post_shift });
        }
    }
    let mut tflite = vec![];
    for shift in [-31, -9, -1, 0, 1, 20, 30] {
        for multiplier in [0, 1, 1 << 30, (1 << 30) + 1, i32::MAX] {
            for bias in [0, 1, -1, i32::MAX - 128 * 127, -(i32::MAX - 128 * 127)] {
                tflite.push(TfliteChannel { bias, multiplier, shift });
            }
        }
    }
    let weights =
        |count: usize| -> Vec<i8> { [1, -1, 127].into_iter().cycle().take(count).collect() };
    vec![
        sweep("native sweep", &weights(native.len()), Channels::Native(native), 0),
        sweep("tflite sweep", &weights(tflite.len()), Channels::Tflite(tflite.clone()), 0),
        sweep(
            "tflite sweep, zero point -128",
            &vec![-127; tflite.len()],
            Channels::Tflite(tflite),
            -128,
        ),
    ]
}

pub(super) fn edges() -> Vec<Case> {
    let mut rng = Rng::new(0xC0);
    let mut cases = sweeps();
    for shape in shapes() {
        cases.push(conv(&mut rng, Profile::Tflite, false, shape));
        cases.push(conv(&mut rng, Profile::Native, false, shape));
        cases.push(conv(&mut rng, Profile::Native, true, shape));
    }
    cases.extend(int4_edges());
    cases
}

/// Edges with weights of four bits.
pub(super) fn int4_edges() -> Vec<Case> {
    let mut rng = Rng::new(0xC4);
    let both = |shape| [false, true].map(|join| (shape, join));
    let cases = shapes().into_iter().flat_map(both);
    cases
        .map(|(shape, join)| conv_of(&mut rng, Profile::Native, join, shape, int4_weights))
        .collect()
}

pub(super) fn random(seed: u64) -> Case {
    let mut rng = Rng::new(seed);
    let input = [rng.size(1, 9), rng.size(1, 9), rng.size(1, 19)];
    let (sliding, _) = random_sliding(&mut rng, input, false);
    let profile = rng.pick(&[Profile::Native, Profile::Tflite]);
    let join = profile == Profile::Native && rng.one_in(2);
    let outputs = rng.size(1, 18);
    if profile == Profile::Native && rng.one_in(3) {
        return conv_of(&mut rng, profile, join, (input, outputs, sliding), int4_weights);
    }
    conv(&mut rng, profile, join, (input, outputs, sliding))
}

#[test]
fn convolutions_are_the_oracles() {
    check_all(&edges(), 600, random);
}

#[test]
fn weights_of_four_bits_are_stored_in_four() {
    for case in int4_edges() {
        let lowered = case.lower();
        let file = ModelFile::parse(&lowered.file).unwrap();
        for (step, node) in file.steps().zip(&lowered.plan.graph.nodes) {
            let QuantizedOp::Conv2d { weights, .. } = &node.op else { panic!("{}", case.name) };
            let Op::Conv2d(conv) = step.op else { panic!("{}", case.name) };
            let outputs = file.tensor(step.output).unwrap().shape[2];
            let outputs = usize::from(outputs);
            let stored = weights.len() / outputs * outputs.next_multiple_of(4) / 2;
            let expected = match weights.iter().all(|w| (-8..8).contains(w)) {
                true => (16, stored),
                false => (0, 2 * stored),
            };
            assert_eq!((step.kernel, conv.weights.bytes as usize), expected, "{}", case.name);
        }
    }
}
