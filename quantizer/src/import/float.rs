//! What every import of a float network takes and gives, and which format a file is of.
//!
//! Owns what may be left to the caller (an input's size, its normalization) and what is reported
//! of a file beyond its graph; not how a format is read.

use crate::graph::{Graph, Normalization};

/// What the caller knows and a file may not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The graph's name where nothing better is known: the file's, without its ending.
    pub name: String,
    /// A name of [`crate::graph::resnet::NAMES`], for weights without a graph.
    pub network: Option<String>,
    /// Height and width of the image, for weights without a graph and graphs that leave them open.
    pub input: Option<[usize; 2]>,
    /// What an image has to be before it enters; a single mean and deviation are of all channels.
    pub normalization: Option<Normalization>,
}

impl Options {
    /// The caller's normalization for images of `channels`.
    pub(super) fn normalization(&self, channels: usize) -> Option<Normalization> {
        let spread = |values: &[f32]| match *values {
            [value] => vec![value; channels],
            _ => values.to_vec(),
        };
        let given = self.normalization.as_ref();
        given.map(|given| Normalization { mean: spread(&given.mean), std: spread(&given.std) })
    }
}

/// A float network of another tool, and an account of its file: what is in neither list is in the
/// graph.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatImport {
    /// The network, in evaluation mode.
    pub graph: Graph,
    /// Tensors of the file that became parameters.
    pub tensors: usize,
    /// Operators of the file that are in the graph, with their number; none for weights alone.
    pub mapped: Vec<String>,
    /// What became part of something else, with its number.
    pub folded: Vec<String>,
    /// What the file does not say and was taken for granted, a sentence each.
    pub assumed: Vec<String>,
    /// What the file has and the graph does not, each with the reason.
    pub left_out: Vec<String>,
}

/// The formats that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TensorFlow Lite in int8: a graph with its integers.
    Tflite,
    /// TensorFlow Lite in float: a graph with its weights.
    FloatTflite,
    /// ONNX in float: a graph with its weights.
    Onnx,
    /// PyTorch's `torch.save`, or safetensors: weights by name.
    StateDict,
}

impl Format {
    /// The format of a file, by its first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.get(4..8) == Some(b"TFL3") {
            let float = super::tflite::is_float(bytes);
            return Some(if float { Self::FloatTflite } else { Self::Tflite });
        }
        if super::state_dict::is_one(bytes) {
            return Some(Self::StateDict);
        }
        super::onnx::is_one(bytes).then_some(Self::Onnx)
    }
}

impl Normalization {
    /// What torchvision's networks expect of RGB images (its `ImageNet` weights).
    pub fn torchvision() -> Self {
        Self { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] }
    }
}
