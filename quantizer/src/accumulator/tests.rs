//! The bound against extremes that are searched for.

use super::*;
use crate::quantized::{PadValue, Profile, QuantizedNode, QuantizedTensor, Sliding};
use resmcu_int8_kernels::requantize::TfliteChannel;

fn tensor(shape: [usize; 3], dtype: Dtype) -> QuantizedTensor {
    QuantizedTensor { name: String::new(), shape, dtype, scale: 1.0, zero_point: 0 }
}

fn graph(
    profile: Profile,
    tensors: Vec<QuantizedTensor>,
    ops: impl IntoIterator<Item = QuantizedOp>,
) -> QuantizedGraph {
    let nodes = ops.into_iter().map(|op| QuantizedNode { name: String::new(), op }).collect();
    QuantizedGraph { name: String::new(), class_names: vec![], profile, tensors, nodes }
}

fn channel(bias: i32, skip_multiplier: i32, pre_shift: u8) -> NativeChannel {
    NativeChannel { bias, multiplier: 1, skip_multiplier, pre_shift, post_shift: 0 }
}

fn conv(weights: Vec<i8>, channels: Channels, skip: Option<TensorId>) -> QuantizedOp {
    QuantizedOp::Conv2d {
        input: TensorId(0),
        sliding: Sliding { size: [1, 1], stride: [1, 1], padding: [0; 4] },
        pad_value: PadValue::Uniform(0),
        weights,
        channels,
        clamp: [-128, 127],
        skip,
    }
}

/// The largest absolute value of any partial sum of `terms`, in any order, tried one by one.
fn search(terms: &[[i64; 2]]) -> u64 {
    let mut sums = vec![0_i64];
    for term in terms {
        let longer = sums.iter().flat_map(|sum| term.map(|value| sum + value));
        sums = sums.iter().copied().chain(longer).collect();
    }
    sums.into_iter().map(i64::unsigned_abs).max().unwrap()
}

#[track_caller]
fn check(weights: &[i8], channel: NativeChannel, joined: bool) {
    let mut terms: Vec<[i64; 2]> = weights
        .iter()
        .map(|&w| [-128, 127].map(|x| (x * i64::from(w)) << channel.pre_shift))
        .collect();
    terms.push([channel.bias.into(); 2]);
    if joined {
        terms.push([-128, 127].map(|x| x * i64::from(channel.skip_multiplier)));
    }
    let inputs = weights.len();
    let tensors = vec![tensor([1, 1, inputs], Dtype::I8), tensor([1, 1, 1], Dtype::I8)];
    let skip = joined.then_some(TensorId(0));
    let op = conv(weights.to_vec(), Channels::Native(vec![channel]), skip);
    let graph = graph(Profile::Native, tensors, [op]);
    let message = format!("weights {weights:?}, {channel:?}, joined {joined}");
    assert_eq!(accumulator_bound(&graph, 0), search(&terms), "{message}");
}

#[test]
fn a_convolution_reaches_its_bound_and_no_more() {
    check(&[127, -128, 0, 1], channel(-5, 0, 0), false);
    check(&[-1, -1, -1], channel(100, 3, 4), false);
    check(&[-1, -1, -1], channel(100, 3, 4), true);
    check(&[1, 2, 3], channel(i32::MIN, (1 << 23) - 1, 15), true);
    check(&[-128; 5], channel(i32::MAX, (1 << 23) - 1, 15), true);
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for _ in 0..300 {
        let weights: Vec<i8> = (0..1 + next() % 6).map(|_| next() as i8).collect();
        let bias = (next() as i32 - (1 << 23)) << (next() % 8);
        check(&weights, channel(bias, (next() & 0x7f_ffff) as i32, (next() % 16) as u8), true);
    }
}

#[test]
fn the_widest_channel_counts() {
    let tflite = |bias| TfliteChannel { bias, multiplier: 1, shift: 0 };
    let tensors = vec![tensor([1, 1, 2], Dtype::I8), tensor([1, 1, 3], Dtype::I8)];
    let channels = Channels::Tflite(vec![tflite(-7), tflite(i32::MIN), tflite(0)]);
    let op = conv(vec![127, 127, 0, 1, -127, -127], channels, None);
    let graph = graph(Profile::Tflite, tensors, [op]);
    assert_eq!(accumulator_bound(&graph, 0), (1 << 31) + 128);
}

#[test]
fn sums_over_positions_widen_what_follows() {
    let tensors = vec![
        tensor([16, 16, 1], Dtype::I8),
        tensor([1, 1, 1], Dtype::I16),
        tensor([1, 1, 1], Dtype::I32),
    ];
    let sum = QuantizedOp::GlobalSum { input: TensorId(0) };
    let classifier = QuantizedOp::FullyConnected {
        input: TensorId(1),
        weights: vec![-127],
        channels: Channels::Native(vec![channel(-1, 0, 1)]),
        clamp: [-128, 127],
    };
    let constants = Channels::Native(vec![channel(1, 0, 3)]);
    let mean = QuantizedOp::GlobalMean { input: TensorId(0), constants, clamp: [-128, 127] };
    let graph = graph(Profile::Native, tensors, [sum, classifier, mean]);
    assert_eq!(accumulator_bound(&graph, 0), 0);
    assert_eq!(accumulator_bound(&graph, 1), 2 * 127 * 128 * 256);
    assert_eq!(accumulator_bound(&graph, 2), 8 * 128 * 256);
}
