//! How large an accumulator may become, proven from the weights.
//!
//! Guarantees a bound of the absolute value at every point of the computation and for every input
//! tensor, in whatever order a kernel adds the terms: the largest and the smallest sum of any
//! subset of them. Does not know what a kernel can hold; `lower` compares, the loader compares
//! again.

use crate::quantized::{Channels, Dtype, QuantizedGraph, QuantizedOp, TensorId};
use resmcu_int8_kernels::requantize::NativeChannel;

/// The widest that int8 reaches: raw bytes, as they are multiplied.
const INT8: [i128; 2] = [-128, 127];

/// The largest absolute value that the accumulator of node `index` takes: of every partial sum of
/// products (shifted left, in the profile `native`), bias and residual. Zero for operators that
/// have no accumulator of their own.
///
/// # Panics
/// If the graph has no such node, or the node names a tensor that is not there.
#[must_use]
pub fn accumulator_bound(graph: &QuantizedGraph, index: usize) -> u64 {
    let bound = match &graph.nodes[index].op {
        QuantizedOp::Conv2d { weights, channels, skip, .. } => {
            let skip = if skip.is_some() { INT8 } else { [0, 0] };
            widest(weights, channels, INT8, skip)
        }
        QuantizedOp::FullyConnected { input, weights, channels, .. } => {
            widest(weights, channels, element_range(graph, *input), [0, 0])
        }
        QuantizedOp::GlobalMean { input, constants, .. } => {
            let [height, width, _] = graph.tensors[input.0].shape;
            let sums = element_range(graph, *input).map(|x| x * (height * width) as i128);
            channels(constants, std::iter::once(sums), [0, 0])
        }
        _ => 0,
    };
    u64::try_from(bound).unwrap_or(u64::MAX)
}

/// Smallest and largest element of a tensor. Sums of int8 are as wide as their positions are many.
fn element_range(graph: &QuantizedGraph, tensor: TensorId) -> [i128; 2] {
    let maker = tensor.0.checked_sub(1).map(|node| &graph.nodes[node].op);
    match (graph.tensors[tensor.0].dtype, maker) {
        (Dtype::I8, _) => INT8,
        (_, Some(QuantizedOp::GlobalSum { input })) => {
            let [height, width, _] = graph.tensors[input.0].shape;
            INT8.map(|x| x * (height * width) as i128)
        }
        (Dtype::I16, _) => [i128::from(i16::MIN), i128::from(i16::MAX)],
        (Dtype::I32, _) => [i128::from(i32::MIN), i128::from(i32::MAX)],
    }
}

/// The widest channel. `weights` are a row a channel.
fn widest(weights: &[i8], channels: &Channels, x: [i128; 2], skip: [i128; 2]) -> u128 {
    let count = match channels {
        Channels::Native(channels) => channels.len(),
        Channels::Tflite(channels) => channels.len(),
    };
    let rows = weights.chunks_exact((weights.len() / count.max(1)).max(1));
    self::channels(channels, rows.map(|row| products(row, x)), skip)
}

/// The widest channel, of the ranges of their sums.
fn channels(channels: &Channels, sums: impl Iterator<Item = [i128; 2]>, skip: [i128; 2]) -> u128 {
    let bounds: Vec<u128> = match channels {
        Channels::Native(channels) => {
            sums.zip(channels).map(|(sums, channel)| native(sums, channel, skip)).collect()
        }
        Channels::Tflite(channels) => {
            let bias = |bias: i32| [i128::from(bias).min(0), i128::from(bias).max(0)];
            sums.zip(channels)
                .map(|(sums, channel)| magnitude([sums, bias(channel.bias)]))
                .collect()
        }
    };
    bounds.into_iter().max().unwrap_or(0)
}

/// Smallest and largest partial sum of products. Each product may be positive and negative, so
/// that the extremes of all of them are those of every subset.
fn products(row: &[i8], [low, high]: [i128; 2]) -> [i128; 2] {
    row.iter().map(|&w| i128::from(w)).fold([0, 0], |[least, most], w| {
        [least + (w * low).min(w * high), most + (w * low).max(w * high)]
    })
}

fn native(sums: [i128; 2], channel: &NativeChannel, skip: [i128; 2]) -> u128 {
    let bias = i128::from(channel.bias);
    let skip = skip.map(|skip| skip * i128::from(channel.skip_multiplier));
    magnitude([sums.map(|sum| sum << channel.pre_shift), [bias.min(0), bias.max(0)], skip])
}

/// The largest absolute value of a sum of any subset of terms, given by their ranges, which all
/// include zero.
fn magnitude<const TERMS: usize>(ranges: [[i128; 2]; TERMS]) -> u128 {
    let least: i128 = ranges.iter().map(|range| range[0]).sum();
    let most: i128 = ranges.iter().map(|range| range[1]).sum();
    least.unsigned_abs().max(most.unsigned_abs())
}

#[cfg(test)]
mod tests;
