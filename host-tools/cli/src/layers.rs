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
    /// Rows that it makes at a time, if not all.
    pub(crate) rows: Option<u16>,
    /// Bytes of the tensors that live while it runs.
    pub(crate) live: u64,
}

/// The steps of a model.
pub(crate) fn layers(file: &ModelFile<'_>) -> Outcome<Vec<Layer>> {
    let tensors: Vec<Tensor<'_>> = file.tensors().collect();
    let lives = lives(file);
    let describe = |(index, step): (u16, Step<'_>)| {
        let missing = || Failure::input(format!("step {index} names a tensor that is not there"));
        let output = tensors.get(usize::from(step.output)).ok_or_else(missing)?;
        let input = step.op.inputs()[0].map(usize::from).and_then(|input| tensors.get(input));
        let input = input.ok_or_else(missing)?;
        let live = live_bytes(&tensors, &lives, index);
        Ok(Layer {
            name: step.name.to_owned(),
            op: describe_op(&step.op),
            kernel: kernel_name(step.kernel),
            output: output.shape,
            macs: step.macs,
            params: params(&step.op, input, output),
            weight_bytes: references(&step.op).iter().map(|data| u64::from(data.bytes)).sum(),
            rows: (step.rows < output.shape[0]).then_some(step.rows),
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

/// A tensor's memory, and the steps in which it lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// First step of the segment that makes it.
    pub(crate) first: u16,
    /// Last step of the segment that reads it last.
    pub(crate) last: u16,
    /// The tensor that had its memory first.
    pub(crate) ring: u16,
}

/// The lives of all tensors. In a segment (steps that run on demand, and the one after them) all
/// its tensors live together.
pub(crate) fn lives(file: &ModelFile<'_>) -> Vec<Life> {
    let steps: Vec<Step<'_>> = file.steps().collect();
    let ends: Vec<u16> = (0..).zip(&steps).filter(|(_, s)| !s.on_demand).map(|(i, _)| i).collect();
    let end = |step: u16| ends.iter().copied().find(|&end| end >= step).unwrap_or(step);
    let begin = |step: u16| ends.iter().rfind(|&&end| end < step).map_or(0, |end| end + 1);
    let mut lives: Vec<Life> = Vec::new();
    for (index, tensor) in (0..).zip(file.tensors()) {
        let made_by = usize::from(index).checked_sub(1).and_then(|step| steps.get(step));
        let taken = made_by.and_then(|step| step.op.takes_over());
        let before = taken.and_then(|taken| lives.get(usize::from(taken)));
        let ring = before.map_or(index, |before| before.ring);
        lives.push(Life { first: begin(tensor.first), last: end(tensor.last), ring });
    }
    lives
}

/// Bytes of the memory that lives in a step; what several tensors have in common counts once.
fn live_bytes(tensors: &[Tensor<'_>], lives: &[Life], step: u16) -> u64 {
    let alive = |(_, life): &(_, &Life)| life.first <= step && step <= life.last;
    let places = tensors.iter().zip(lives).filter(alive);
    let mut places: Vec<[u64; 2]> = places
        .map(|(tensor, _)| [0, tensor.memory_bytes()].map(|at| u64::from(tensor.offset) + at))
        .collect();
    places.sort_unstable();
    let (mut bytes, mut covered) = (0, 0);
    for [begin, end] in places {
        bytes += end.saturating_sub(begin.max(covered));
        covered = covered.max(end);
    }
    bytes
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
