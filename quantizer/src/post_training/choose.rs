//! Which way of choosing a range is best for which layer: the one that moves the logits least.
//!
//! Each layer's output is rounded alone, in an otherwise float network, to the range of each
//! method; the squared error of the logits over some images decides. Owns this choice; the ranges
//! are `calibrate`'s.

use super::simulate::{finish, join, mean_squared_error, operator};
use super::{Choice, PostTrainingError};
use crate::calibrate::{Histograms, Images, Method, Ranges};
use crate::engine::Executor;
use crate::graph::{Graph, NodeId, Op};
use crate::quantize::{Grid, Layer, fuse};
use ndarray::Array4;

/// The most images that decide.
const IMAGES_MAX: usize = 128;

/// Multiply-accumulates that all choices together may cost: some seconds.
const MACS_MAX: u64 = 150_000_000_000;

/// Values of all activations of these images.
const VALUES_MAX: usize = 1 << 25;

/// The ranges of `fixed`, or for every layer of the method with the least error of the logits.
/// `tick` is called after every layer.
pub(super) fn choose(
    graph: &Graph,
    histograms: &Histograms,
    images: &Images,
    fixed: Option<Method>,
    tick: &dyn Fn(),
) -> Result<(Ranges, Vec<Choice>), PostTrainingError> {
    let layers = fuse(graph)?;
    let all = Method::ALL.map(|method| histograms.ranges(graph, method));
    let mut ranges = histograms.ranges(graph, fixed.unwrap_or(Method::MinMax));
    let trial = match fixed {
        None => Some(Trial::new(graph, &layers, images)?),
        Some(_) => None,
    };
    let mut choices = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let is_own = matches!(graph.node(layer.node).op, Op::Conv2d(_));
        let mut method = fixed.unwrap_or(Method::MinMax);
        if let Some(trial) = trial.as_ref().filter(|_| is_own) {
            let mut best = f64::INFINITY;
            for (candidate, ranges) in Method::ALL.into_iter().zip(&all) {
                let error = trial.error(index, ranges)?;
                if error < best {
                    (best, method) = (error, candidate);
                }
            }
        }
        if is_own {
            if let Some(best) = all.iter().zip(Method::ALL).find(|(_, m)| *m == method)
                && fixed.is_none()
            {
                let (low, high) = best.0.of(layer.output);
                ranges.set(layer.output, (low.into(), high.into()));
            }
            let (low, high) = ranges.of(layer.output);
            let (low, high) = (f64::from(low), f64::from(high));
            let clipped = histograms.of(layer.output).map_or(0.0, |h| h.share_outside(low, high));
            let name = graph.node(layer.output).name.clone();
            choices.push(Choice { tensor: name, method, low, high, clipped });
        }
        tick();
    }
    Ok((ranges, choices))
}

/// The float network on a few images, of which one layer is changed at a time.
pub(super) struct Trial<'a> {
    graph: &'a Graph,
    layers: &'a [Layer],
    /// By node.
    float: Vec<Array4<f32>>,
    executor: Executor,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        layers: &'a [Layer],
        images: &Images,
    ) -> Result<Self, PostTrainingError> {
        // On average half of the network runs for each layer and method.
        let runs = (layers.len() * Method::ALL.len()).div_ceil(2) as u64;
        let affordable = MACS_MAX / (graph.macs() * runs).max(1);
        let values: usize = graph.nodes.iter().map(|n| n.shape.iter().product::<usize>()).sum();
        let count = (affordable as usize).min(VALUES_MAX / values.max(1)).clamp(2, IMAGES_MAX);
        let executor = Executor::new();
        let batch = images.batch(0..count.min(images.len()), &graph.normalization);
        let float = executor.forward_all(graph, batch.view())?;
        Ok(Self { graph, layers, float, executor })
    }

    /// Mean squared error of the logits with the output of layer `index` rounded.
    fn error(&self, index: usize, ranges: &Ranges) -> Result<f64, PostTrainingError> {
        let layer = &self.layers[index];
        let (low, high) = ranges.of(layer.output);
        let mut rounded = self.float[layer.output.0].clone();
        finish(&mut rounded, layer.relu, Some(Grid::of_range(low.into(), high.into())));
        self.error_after(index, rounded)
    }

    /// The same with other parameters of layer `index`.
    pub(super) fn error_with(&self, index: usize, op: Op) -> Result<f64, PostTrainingError> {
        let layer = &self.layers[index];
        let input = self.float[layer.input.0].view();
        let mut values = operator(&self.executor, self.graph, layer, Some(op), &input)?;
        join(&mut values, layer.skip.map(|skip| &self.float[skip.0]));
        finish(&mut values, layer.relu, None);
        self.error_after(index, values)
    }

    /// What layer `index` reads.
    pub(super) fn input(&self, index: usize) -> &Array4<f32> {
        &self.float[self.layers[index].input.0]
    }

    /// The mean square of the logits.
    pub(super) fn power(&self) -> f64 {
        let logits = &self.float[self.graph.output().0];
        mean_squared_error(logits, &Array4::zeros(logits.raw_dim()))
    }

    /// Mean squared error of the logits where layer `index` makes `output`.
    fn error_after(&self, index: usize, output: Array4<f32>) -> Result<f64, PostTrainingError> {
        let mut changed: Vec<Option<Array4<f32>>> = vec![None; self.graph.nodes.len()];
        changed[self.layers[index].output.0] = Some(output);
        for layer in &self.layers[index + 1..] {
            let is_changed = |node: NodeId| changed[node.0].is_some();
            if !is_changed(layer.input) && !layer.skip.is_some_and(is_changed) {
                continue;
            }
            let of = |node: NodeId| changed[node.0].as_ref().unwrap_or(&self.float[node.0]);
            let input = of(layer.input).view();
            let mut values = operator(&self.executor, self.graph, layer, None, &input)?;
            join(&mut values, layer.skip.map(of));
            finish(&mut values, layer.relu, None);
            changed[layer.output.0] = Some(values);
        }
        let output = self.graph.output();
        let logits = changed[output.0].as_ref().ok_or(PostTrainingError::Order)?;
        Ok(mean_squared_error(logits, &self.float[output.0]))
    }
}
