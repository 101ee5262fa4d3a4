//! What the integers will say, in float: one layer at a time, on grids.
//!
//! Guarantees the integers' real values up to the rounding of their constants (1/512 of a step)
//! and of padding at the image. Owns no choice. Accuracies are never taken from here: they are
//! those of the model file.

use crate::engine::{EngineError, Executor};
use crate::graph::{Graph, GraphBuilder, Normalization, Op};
use crate::quantize::{Grid, Layer, Stored};
use ndarray::{Array4, ArrayView4};
use rayon::prelude::*;

/// Values that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// The operator of `layer` alone on `input` (`[N,H,W,C]`), with other parameters if `op` says so;
/// no residual and no `ReLU` yet.
///
/// # Errors
/// Where the input is not of the layer's shape.
pub(super) fn operator(
    executor: &Executor,
    graph: &Graph,
    layer: &Layer,
    op: Option<Op>,
    input: &ArrayView4<'_, f32>,
) -> Result<Array4<f32>, EngineError> {
    let node = graph.node(layer.node);
    let mut builder = GraphBuilder::new("layer", graph.node(layer.input).shape)?;
    builder.push(node.name.clone(), op.unwrap_or_else(|| node.op.clone()), &[Graph::INPUT])?;
    let channels = graph.node(layer.input).shape[2];
    let alone = builder.finish(Normalization::identity(channels), Vec::new())?;
    let [height, width, channels] = node.shape;
    let shape = [input.dim().0, height, width, channels];
    let output = executor.forward_eval(&alone, input.view())?;
    let values = output.into_raw_vec_and_offset().0;
    // The shape is the operator's own.
    Ok(Array4::from_shape_vec(shape, values).unwrap_or_else(|_| Array4::zeros(shape)))
}

/// Adds the residual.
pub(super) fn join(values: &mut Array4<f32>, skip: Option<&Array4<f32>>) {
    let Some(skip) = skip.and_then(|skip| skip.as_slice()) else { return };
    let values = values.as_slice_mut().unwrap_or_default();
    values.par_chunks_mut(CHUNK).zip(skip.par_chunks(CHUNK)).for_each(|(values, skip)| {
        values.iter_mut().zip(skip).for_each(|(value, skip)| *value += skip);
    });
}

/// The `ReLU`, if there is one, and the nearest values of the grid, if there is one.
pub(super) fn finish(values: &mut Array4<f32>, relu: bool, grid: Option<Grid>) {
    let low = if relu { 0.0 } else { f32::NEG_INFINITY };
    let values = values.as_slice_mut().unwrap_or_default();
    values.par_chunks_mut(CHUNK).for_each(|values| match grid {
        None => values.iter_mut().for_each(|value| *value = value.max(low)),
        Some(Grid { scale, zero_point }) => {
            let (scale, per_scale) = (scale as f32, (1.0 / scale) as f32);
            let (least, most) = (-128.0 - zero_point as f32, 127.0 - zero_point as f32);
            for value in values {
                let steps = (value.max(low) * per_scale + 0.5).floor();
                *value = steps.clamp(least, most) * scale;
            }
        }
    });
}

/// The grid that an activation is rounded to, if it is.
pub(super) fn grid(stored: Stored) -> Option<Grid> {
    match stored {
        Stored::Int8(grid) => Some(grid),
        Stored::Sums(..) | Stored::Logits(_) => None,
    }
}

/// The mean of each channel over all positions of all images.
pub(super) fn channel_means(values: &Array4<f32>) -> Vec<f64> {
    channel_sums(values, f64::from)
}

/// The mean of each channel's squares.
pub(super) fn channel_powers(values: &Array4<f32>) -> Vec<f64> {
    channel_sums(values, |value| f64::from(value) * f64::from(value))
}

/// Means over chunks of fixed size, summed in their order, whatever the threads.
fn channel_sums(values: &Array4<f32>, each: impl Fn(f32) -> f64 + Sync) -> Vec<f64> {
    let channels = values.dim().3;
    let positions = values.len() / channels.max(1);
    let chunk = (CHUNK / channels.max(1)).max(1) * channels;
    let parts: Vec<Vec<f64>> = values
        .as_slice()
        .unwrap_or_default()
        .par_chunks(chunk.max(1))
        .map(|part| {
            let mut sums = vec![0.0; channels];
            for pixel in part.chunks_exact(channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += each(value));
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; channels];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sums.iter().map(|sum| sum / positions.max(1) as f64).collect()
}

/// The mean of the squared differences.
pub(super) fn mean_squared_error(found: &Array4<f32>, expected: &Array4<f32>) -> f64 {
    let (found_values, expected) =
        (found.as_slice().unwrap_or_default(), expected.as_slice().unwrap_or_default());
    let parts: Vec<f64> = found_values
        .par_chunks(CHUNK)
        .zip(expected.par_chunks(CHUNK))
        .map(|(found, expected)| {
            let each = found.iter().zip(expected);
            each.map(|(a, b)| f64::from(a - b) * f64::from(a - b)).sum()
        })
        .collect();
    parts.iter().sum::<f64>() / found.len().max(1) as f64
}
