//! What a model file says of each of its steps, without running it.

use crate::failure::{Failure, Outcome};
use resmcu_model_format::{DataRef, ModelFile, Op, Step, Tensor};
use resmcu_quantizer::kernels::kernel_name;
use serde::Serialize;

/// One step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Layer {
    /// The layer's name.
    pub(crate) name: String,
    /// The operator with its window.
    pub(crate) op: String,
    /// The kernel's name.
    pub(crate) kernel: &'static str,
    /// `[H,W,C]` of what it makes.
    pub(crate) output: [u16; 3],
    /// Multiply-accumulates.
    pub(crate) macs: u64,
    /// Weights and biases.
    pub(crate) params: u64,
    /// Bytes of its weights and constants in the file.
    pub(crate) weight_bytes: u64,
    /// Bytes of the tensors that live while it runs.
    pub(crate) live: u64,
}

/// The steps of a model.
pub(crate) fn layers(file: &ModelFile<'_>) -> Outcome<Vec<Layer>> {
    let tensors: Vec<Tensor<'_>> = file.tensors().collect();
    let describe = |(index, step): (u16, Step<'_>)| {
        let missing = || Failure::input(format!("step {index} names a tensor that is not there"));
        let output = tensors.get(usize::from(step.output)).ok_or_else(missing)?;
        let input = input(&step.op);
        let input = tensors.get(usize::from(input)).ok_or_else(missing)?;
        let live = live_bytes(&tensors, index, taken_over(&step.op));
        Ok(Layer {
            name: step.name.to_owned(),
            op: describe_op(&step.op),
            kernel: kernel_name(step.kernel),
            output: output.shape,
            macs: step.macs,
            params: params(&step.op, input, output),
            weight_bytes: references(&step.op).iter().map(|data| u64::from(data.bytes)).sum(),
            live,
        })
    };
    (0..).zip(file.steps()).map(describe).collect()
}

/// The operator's word in reports.
pub(crate) fn op_name(op: &Op) -> &'static str {
    match op {
        Op::Conv2d(conv) if conv.skip.is_some() => "conv2d+add",
        Op::Conv2d(_) => "conv2d",
        Op::MaxPool2d(_) => "max_pool2d",
        Op::AveragePool2d(_) => "average_pool2d",
        Op::GlobalSum(_) => "global_sum",
        Op::GlobalMean(_) => "global_mean",
        Op::FullyConnected(_) => "fully_connected",
        Op::Add(_) => "add",
        Op::Softmax(_) => "softmax",
        Op::SubsamplePad(_) => "subsample_pad",
    }
}

fn describe_op(op: &Op) -> String {
    let window = match op {
        Op::Conv2d(conv) => Some((conv.kernel_size, conv.stride)),
        Op::MaxPool2d(pool) | Op::AveragePool2d(pool) => Some((pool.kernel_size, pool.stride)),
        _ => None,
    };
    match window {
        Some(([kh, kw], [1, 1])) => format!("{} {kh}x{kw}", op_name(op)),
        Some(([kh, kw], [s, _])) => format!("{} {kh}x{kw} s{s}", op_name(op)),
        None => op_name(op).to_owned(),
    }
}

/// The (first) tensor that an operator reads.
fn input(op: &Op) -> u16 {
    match op {
        Op::Conv2d(conv) => conv.input,
        Op::MaxPool2d(pool) | Op::AveragePool2d(pool) => pool.input,
        Op::GlobalSum(sum) => sum.input,
        Op::GlobalMean(mean) => mean.input,
        Op::FullyConnected(fc) => fc.input,
        Op::Add(add) => add.inputs[0],
        Op::Softmax(softmax) => softmax.input,
        Op::SubsamplePad(subsample) => subsample.input,
    }
}

/// The input whose memory the output takes over.
fn taken_over(op: &Op) -> Option<u16> {
    match op {
        Op::Conv2d(conv) => conv.skip,
        Op::Add(add) => add.in_place.and_then(|i| add.inputs.get(usize::from(i)).copied()),
        _ => None,
    }
}

/// Bytes of the tensors that live in a step; one that is taken over counts once.
fn live_bytes(tensors: &[Tensor<'_>], step: u16, taken_over: Option<u16>) -> u64 {
    let lives = |(index, tensor): &(u16, &Tensor<'_>)| {
        Some(*index) != taken_over && tensor.first <= step && step <= tensor.last
    };
    (0..).zip(tensors).filter(lives).map(|(_, tensor)| tensor.bytes()).sum()
}

fn references(op: &Op) -> Vec<DataRef> {
    match op {
        Op::Conv2d(conv) => vec![conv.weights, conv.channels],
        Op::FullyConnected(fc) => vec![fc.weights, fc.channels],
        Op::GlobalMean(mean) => vec![mean.channels],
        Op::Add(add) => vec![add.parameters],
        _ => Vec::new(),
    }
}

/// Weights and biases of the float layer.
fn params(op: &Op, input: &Tensor<'_>, output: &Tensor<'_>) -> u64 {
    let outputs = u64::from(output.shape[2]);
    match op {
        Op::Conv2d(conv) => {
            let [kh, kw] = conv.kernel_size.map(u64::from);
            outputs * (kh * kw * u64::from(input.shape[2]) + 1)
        }
        Op::FullyConnected(_) => outputs * (input.elements() + 1),
        _ => 0,
    }
}
