//! Quantization after training: all that is chosen between a float network and its integers.
//!
//! Equalization, ranges, weights and biases, in this order, from a few training images and no
//! labels. Guarantees the same integers for the same images, settings and seed, whatever the
//! number of threads. The integers themselves and their constants are `quantize`'s: what is chosen
//! here is handed to it.

mod blocks;
mod choose;
mod mixed;
mod reconstruct;
mod rounding;
mod sequence;
mod simulate;

pub use mixed::{Mixed, Sensitivity};
pub use reconstruct::Adaptive;

use crate::calibrate::{Histograms, Images, Method, Ranges};
use crate::engine::{EngineError, Executor};
use crate::equalize::equalize;
use crate::graph::{Graph, GraphError};
use crate::quantize::{
    Grids, LayerWeights, QuantizeError, WeightBits, WeightScale, fuse, quantize_with,
};
use crate::quantized::QuantizedGraph;
use sequence::Sequence;
use serde::Serialize;
use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

/// Values of the largest tensor over the images with which weights are chosen: what bounds memory.
const VALUES_MAX: usize = 1 << 24;

/// How ranges are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Calibration {
    /// For every layer the method with the least error of the logits.
    Auto,
    /// One method for all.
    Fixed(Method),
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(method) => method.fmt(f),
        }
    }
}

impl FromStr for Calibration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Fixed).map_err(|error| format!("{error}, auto")),
        }
    }
}

impl Serialize for Calibration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest integer.
    Nearest,
    /// Up or down, so that each block's output is nearest to the float network's.
    Adaptive(Adaptive),
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// How ranges are chosen.
    pub calibration: Calibration,
    /// Whether channels between two convolutions get like ranges first.
    pub equalize: bool,
    /// Bits of all weights but those that read the image and those of the classifier, which
    /// always have eight.
    pub weight_bits: WeightBits,
    /// Layers that have eight bits too, by name.
    pub eight_bit_layers: Vec<String>,
    /// How the scales of weights are chosen.
    pub weight_scale: WeightScale,
    /// How weights are rounded.
    pub rounding: Rounding,
    /// Whether biases take up the mean error of each channel.
    pub correct_bias: bool,
    /// Of the images that adaptive rounding draws.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            calibration: Calibration::Fixed(Method::MinMax),
            equalize: false,
            weight_bits: WeightBits::Eight,
            eight_bit_layers: Vec::new(),
            weight_scale: WeightScale::Largest,
            rounding: Rounding::Nearest,
            correct_bias: false,
            seed: 0,
        }
    }
}

/// What takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Counting activations; in images.
    Histograms,
    /// Choosing ranges; in layers.
    Ranges,
    /// Measuring what four bits cost a layer; in layers.
    Sensitivity,
    /// Choosing weights; in iterations, or blocks where there are none.
    Weights,
}

/// Told how far a stage is: done, of how many.
pub type Progress<'a> = &'a dyn Fn(Stage, usize, usize);

/// The range of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Its name.
    pub tensor: String,
    /// How the range was chosen.
    pub method: Method,
    /// The smallest real value.
    pub low: f64,
    /// The largest real value.
    pub high: f64,
    /// Share of the values of the images that calibrate that lie outside.
    pub clipped: f64,
}

/// How near a block's output is to the float network's, on the images that calibrate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlockFit {
    /// The block's last tensor.
    pub tensor: String,
    /// Signal to noise with all weights of the block rounded to nearest, decibel.
    pub nearest_db: f64,
    /// With those that were kept.
    pub kept_db: f64,
}

impl BlockFit {
    fn new(tensor: String, power: f64, nearest: f64, kept: f64) -> Self {
        let decibel = |error: f64| 10.0 * (power / error.max(f64::MIN_POSITIVE)).log10();
        Self { tensor, nearest_db: decibel(nearest), kept_db: decibel(kept) }
    }
}

/// Why a network could not be quantized.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PostTrainingError {
    /// An operator or a number that integers do not express.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Images that the network does not take.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A part of the network that is none by itself.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// No images to calibrate with.
    #[error("there are no images to calibrate with")]
    NoImages,
    /// A layer reads what no layer before it makes.
    #[error("a layer reads a tensor that no layer before it makes")]
    Order,
}

/// All that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct PostTrained {
    /// The float network, equalized: what errors are measured against.
    pub float: Graph,
    /// The same with corrected biases, which the integers stand for.
    pub graph: Graph,
    /// Of activations.
    pub ranges: Ranges,
    /// By node; none are the nearest ones of eight bits.
    pub weights: Vec<Option<LayerWeights>>,
    /// Each range, and how it was chosen.
    pub choices: Vec<Choice>,
    /// Each block's fit, where weights were chosen.
    pub blocks: Vec<BlockFit>,
    /// Pairs of convolutions that were equalized.
    pub equalized: usize,
    /// Images with which weights were chosen.
    pub weight_images: usize,
}

impl PostTrained {
    /// The integers.
    ///
    /// # Errors
    /// Where a number does not fit its integers.
    pub fn quantize(&self) -> Result<QuantizedGraph, QuantizeError> {
        quantize_with(&self.graph, &self.ranges, &self.weights)
    }
}

/// Chooses everything for `graph`, whose batch normalizations are folded, from `images`.
///
/// # Errors
/// Where an operator has no integers, a number is not finite, or there are no images.
pub fn post_training(
    graph: &Graph,
    images: &Images,
    settings: &Settings,
    progress: Progress<'_>,
) -> Result<PostTrained, PostTrainingError> {
    if images.is_empty() {
        return Err(PostTrainingError::NoImages);
    }
    let mut graph = graph.clone();
    let equalized = if settings.equalize { equalize(&mut graph) } else { 0 };
    let mut histograms = Histograms::new(&graph)?;
    histograms.observe(&graph, &Executor::new(), images, &|done| {
        progress(Stage::Histograms, done, images.len());
    })?;
    let layers = fuse(&graph)?;
    let fixed = match settings.calibration {
        Calibration::Auto => None,
        Calibration::Fixed(method) => Some(method),
    };
    let ranged = Cell::new(0);
    let (ranges, choices) = choose::choose(&graph, &histograms, images, fixed, &|| {
        ranged.set(ranged.get() + 1);
        progress(Stage::Ranges, ranged.get(), layers.len());
    })?;
    let mut chosen = PostTrained {
        weights: vec![None; graph.nodes.len()],
        float: graph.clone(),
        graph,
        ranges,
        choices,
        blocks: Vec::new(),
        equalized,
        weight_images: 0,
    };
    let nothing_else = Settings {
        calibration: settings.calibration,
        equalize: settings.equalize,
        seed: settings.seed,
        ..Settings::default()
    };
    if *settings != nothing_else {
        choose_weights(&mut chosen, images, settings, progress)?;
    }
    Ok(chosen)
}

/// Chooses weights and biases, a block after the other.
fn choose_weights(
    chosen: &mut PostTrained,
    images: &Images,
    settings: &Settings,
    progress: Progress<'_>,
) -> Result<(), PostTrainingError> {
    let layers = fuse(&chosen.graph)?;
    let grids = Grids::new(&chosen.graph, &layers, &chosen.ranges)?;
    let largest = chosen.graph.nodes.iter().map(|node| node.shape.iter().product::<usize>()).max();
    let count = (VALUES_MAX / largest.unwrap_or(1).max(1)).clamp(1, images.len());
    let batch = images.batch(0..count, &chosen.graph.normalization);
    let iterations = match settings.rounding {
        Rounding::Adaptive(adaptive) => adaptive.iterations * blocks::blocks(&layers).len(),
        Rounding::Nearest => 0,
    };
    let done = Cell::new(0);
    let mut sequence = Sequence {
        graph: &mut chosen.graph,
        grids: &grids,
        settings,
        weights: std::mem::take(&mut chosen.weights),
        executor: Executor::new(),
    };
    let blocks = sequence.run(batch, &|| {
        done.set(done.get() + 1);
        progress(Stage::Weights, done.get(), iterations);
    })?;
    chosen.weights = sequence.weights;
    chosen.blocks = blocks;
    chosen.weight_images = count;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
