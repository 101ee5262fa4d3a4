//! Eight bits or four, layer by layer: which layers a budget of flash leaves eight bits.
//!
//! Each layer's weights are rounded alone to four bits, in an otherwise float network; the squared
//! error of the logits is what four bits cost it. Owns the order of the layers and the search; what
//! fits is the caller's to say, who knows how weights are packed.

use super::choose::Trial;
use super::sequence::{is_end, with_weights};
use super::simulate::channel_powers;
use super::{PostTrainingError, Progress, Stage};
use crate::calibrate::{Histograms, Images, Method, Ranges};
use crate::engine::Executor;
use crate::graph::{Graph, NodeId};
use crate::quantize::{
    Grids, LayerWeights, QuantizeError, RealWeights, WeightBits, WeightScale, fuse, quantize_with,
};
use crate::quantized::QuantizedGraph;
use serde::Serialize;

/// What four bits cost one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The layer.
    pub layer: String,
    /// Its weights.
    pub weights: usize,
    /// Signal to noise of the logits with this layer alone in four bits, decibel.
    pub logits_db: f64,
    #[serde(skip)]
    node: NodeId,
    #[serde(skip)]
    error: f64,
}

/// A network whose layers may have four bits or eight.
#[derive(Clone, Debug)]
pub struct Mixed<'g> {
    graph: &'g Graph,
    ranges: Ranges,
    /// By node.
    eight: Vec<Option<LayerWeights>>,
    four: Vec<Option<LayerWeights>>,
    /// The layers that may have four, in the order in which they get them.
    layers: Vec<Sensitivity>,
}

impl<'g> Mixed<'g> {
    /// Measures each layer of `graph`, whose batch normalizations are folded.
    ///
    /// # Errors
    /// Where an operator has no integers, a number is not finite, or there are no images.
    pub fn new(
        graph: &'g Graph,
        images: &Images,
        progress: Progress<'_>,
    ) -> Result<Self, PostTrainingError> {
        if images.is_empty() {
            return Err(PostTrainingError::NoImages);
        }
        let mut histograms = Histograms::new(graph)?;
        histograms.observe(graph, &Executor::new(), images, &|done| {
            progress(Stage::Histograms, done, images.len());
        })?;
        let ranges = histograms.ranges(graph, Method::MinMax);
        let layers = fuse(graph)?;
        let grids = Grids::new(graph, &layers, &ranges)?;
        let trial = Trial::new(graph, &layers, images)?;
        let none = || vec![None; graph.nodes.len()];
        let (mut eight, mut four, mut measured) = (none(), none(), Vec::new());
        for (index, layer) in layers.iter().enumerate() {
            progress(Stage::Sensitivity, index + 1, layers.len());
            let Some(real) = RealWeights::of(graph, layer, &grids)? else { continue };
            let powers = channel_powers(trial.input(index));
            let nearest = |bits| real.nearest(bits, WeightScale::MeanSquaredError, &powers);
            eight[layer.node.0] =
                Some(real.nearest(WeightBits::Eight, WeightScale::Largest, &[1.0]));
            if is_end(graph, layer) {
                continue;
            }
            let narrow = nearest(WeightBits::Four);
            let op = with_weights(&graph.node(layer.node).op, &real, &narrow);
            let error = trial.error_with(index, op)?;
            measured.push(Sensitivity {
                layer: graph.node(layer.node).name.clone(),
                weights: narrow.values.len(),
                logits_db: 10.0 * (trial.power() / error.max(f64::MIN_POSITIVE)).log10(),
                node: layer.node,
                error,
            });
            four[layer.node.0] = Some(narrow);
        }
        measured.sort_by(|a, b| a.cost().total_cmp(&b.cost()));
        Ok(Self { graph, ranges, eight, four, layers: measured })
    }

    /// What was measured, the layers first that get four bits first.
    #[must_use]
    pub fn sensitivities(&self) -> &[Sensitivity] {
        &self.layers
    }

    /// The layers that keep eight bits, where `fits` says of a network of integers whether it
    /// does: as few layers as suffice get four, those first that lose least for the bytes that
    /// they save; then those that turn out not to be needed get eight again, the most sensitive
    /// first. None where not even four bits everywhere fit.
    ///
    /// # Errors
    /// Where a number does not fit its integers.
    pub fn eight_bit_layers(
        &self,
        fits: impl Fn(&QuantizedGraph) -> bool,
    ) -> Result<Option<Vec<String>>, QuantizeError> {
        let fits = |narrow: &[bool]| Ok(fits(&self.quantized(narrow)?));
        let all = self.layers.len();
        let first = |count: usize| (0..all).map(|index| index < count).collect::<Vec<_>>();
        // More layers of four bits never take more bytes.
        let (mut low, mut high) = (0, all);
        while low < high {
            let middle = usize::midpoint(low, high);
            if fits(&first(middle))? { high = middle } else { low = middle + 1 }
        }
        let mut narrow = first(low);
        if !fits(&narrow)? {
            return Ok(None);
        }
        let mut taken: Vec<usize> = (0..low).collect();
        taken.sort_by(|&a, &b| self.layers[b].error.total_cmp(&self.layers[a].error));
        for index in taken {
            narrow[index] = false;
            narrow[index] = !fits(&narrow)?;
        }
        let layers = self.layers.iter().zip(narrow);
        Ok(Some(layers.filter(|(_, narrow)| !narrow).map(|(l, _)| l.layer.clone()).collect()))
    }

    /// The integers with four bits in these of the layers, all rounded to nearest: as many bytes
    /// as with any other rounding.
    fn quantized(&self, narrow: &[bool]) -> Result<QuantizedGraph, QuantizeError> {
        let mut weights = self.eight.clone();
        for (layer, _) in self.layers.iter().zip(narrow).filter(|(_, narrow)| **narrow) {
            weights[layer.node.0].clone_from(&self.four[layer.node.0]);
        }
        quantize_with(self.graph, &self.ranges, &weights)
    }
}

impl Sensitivity {
    /// Squared error for each weight that becomes shorter.
    fn cost(&self) -> f64 {
        self.error / self.weights.max(1) as f64
    }
}
