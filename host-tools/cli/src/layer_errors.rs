//! How far each layer's integers are from the float network, on the model file's own runtime.
//!
//! Owns the figures; not how they are printed. They depend on nothing that the quantizer predicts.

use crate::failure::{Failure, Outcome};
use crate::host::dequantize;
use crate::images::batch;
use crate::model::Model;
use resmcu_int8_runtime::Observer;
use resmcu_model_format::{Dtype, Tensor};
use resmcu_quantizer::data::{Dataset, Decoder};
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::graph::Graph;
use serde::Serialize;

/// Images that run in float at once.
const BATCH: usize = 16;

/// How far a tensor's integers are from the float activation.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LayerError {
    /// The tensor.
    pub(crate) name: String,
    /// Signal to quantization noise, decibel.
    pub(crate) sqnr_db: f64,
    /// Cosine of the angle between the two.
    pub(crate) cosine: f64,
    /// Share of int8 values at the end of their range where the float value lies beyond it.
    pub(crate) clipped: f64,
}

/// Sums over all values of a tensor.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    float: f64,
    int8: f64,
    product: f64,
    noise: f64,
    clipped: usize,
    values: usize,
}

/// Keeps every step's output.
#[derive(Default)]
struct Tape(Vec<Vec<u8>>);

impl Observer for Tape {
    fn step_end(&mut self, step: usize, _at: usize, output: &[u8]) {
        let steps = self.0.len().max(step + 1);
        self.0.resize(steps, Vec::new());
        self.0[step].extend_from_slice(output);
    }
}

/// The error of each tensor that is not always zero, in the order in which they are made.
pub(crate) fn layer_errors(
    model: &Model,
    graph: &Graph,
    images: &Dataset,
) -> Outcome<Vec<LayerError>> {
    let file = model.file()?;
    let tensors: Vec<_> = file.tensors().skip(1).collect();
    let mut sums = vec![Sums::default(); tensors.len()];
    let mut memory = model.memory();
    let (mut executor, mut decoder) = (model.executor(&mut memory)?, Decoder::new());
    let float = Executor::new();
    for first in (0..images.len()).step_by(BATCH) {
        let range = first..(first + BATCH).min(images.len());
        let normalized = batch(images, range.clone(), &graph.normalization)?;
        let all = float.forward_all(graph, normalized.view()).map_err(Failure::input)?;
        for index in range {
            let mut tape = Tape::default();
            executor.infer_image(images.image(index, &mut decoder)?, &mut tape);
            for ((tensor, bytes), sums) in tensors.iter().zip(&tape.0).zip(&mut sums) {
                // A copy of a residual has no node of its own.
                let Some(node) = graph.find(tensor.name) else { continue };
                let float = all[node.0].index_axis(ndarray::Axis(0), index - first);
                sums.add(tensor, float.as_slice().unwrap_or_default(), bytes);
            }
        }
    }
    let errors = tensors.iter().zip(sums).filter(|(_, sums)| sums.float > 0.0);
    Ok(errors.map(|(tensor, sums)| sums.error(tensor.name)).collect())
}

impl Sums {
    fn add(&mut self, tensor: &Tensor<'_>, float: &[f32], bytes: &[u8]) {
        let ends = [-128, 127].map(|q| tensor.scale * (q - i32::from(tensor.zero_point)) as f32);
        for (&float, int8) in float.iter().zip(dequantize(tensor, bytes)) {
            let (wide, int8_wide) = (f64::from(float), f64::from(int8));
            self.float += wide * wide;
            self.int8 += int8_wide * int8_wide;
            self.product += wide * int8_wide;
            self.noise += (wide - int8_wide).powi(2);
            let is_beyond = float < ends[0] - tensor.scale || float > ends[1] + tensor.scale;
            self.clipped += usize::from(is_beyond && tensor.dtype == Dtype::I8);
            self.values += 1;
        }
    }

    fn error(&self, name: &str) -> LayerError {
        LayerError {
            name: name.to_owned(),
            sqnr_db: 10.0 * (self.float / self.noise.max(f64::MIN_POSITIVE)).log10(),
            cosine: self.product / (self.float * self.int8).sqrt().max(f64::MIN_POSITIVE),
            clipped: self.clipped as f64 / self.values.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Float values against int8 of scale 0.5 and zero point -128: 0 to 127.5.
    #[track_caller]
    fn check(float: &[f32], int8: &[i8], expected: [f64; 3]) {
        let tensor = Tensor {
            name: "tensor",
            shape: [1, 1, float.len() as u16],
            dtype: Dtype::I8,
            scale: 0.5,
            zero_point: -128,
            offset: 0,
            first: 0,
            last: 0,
            rows: 1,
        };
        let mut sums = Sums::default();
        let bytes: Vec<u8> = int8.iter().map(|&q| q.cast_unsigned()).collect();
        sums.add(&tensor, float, &bytes);
        let LayerError { sqnr_db, cosine, clipped, .. } = sums.error("tensor");
        for (found, expected) in [sqnr_db, cosine, clipped].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }

    #[test]
    fn errors_are_by_their_definitions() {
        // Signal 9 + 16, noise 1, and (3 3 + 4 5) / (5 sqrt 34).
        let cosine = 29.0 / (5.0 * 34.0_f64.sqrt());
        check(&[3.0, 4.0], &[-122, -118], [10.0 * 25.0_f64.log10(), cosine, 0.0]);
        // Half of the values lie beyond the largest.
        let sqnr = 10.0 * ((1.0 + 255.0_f64.powi(2)) / 127.5_f64.powi(2)).log10();
        let cosine =
            (1.0 + 255.0 * 127.5) / ((1.0 + 255.0_f64.powi(2)) * (1.0 + 127.5_f64.powi(2))).sqrt();
        check(&[1.0, 255.0], &[-126, 127], [sqnr, cosine, 0.5]);
    }
}
