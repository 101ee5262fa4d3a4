//! The quantized graph: integers and their scales, before a plan gives them memory.
//!
//! Both arithmetic profiles end here: the quantizer makes it from a float graph (profile
//! `native`), the import of int8 `.tflite` files as it is (profile `tflite`). Weights are in the
//! neutral layout `[O,KH,KW,I]`; packing, memory and the file are the business of `plan` and
//! `lower`. The constants are those that the README of `int8-kernels` specifies.

use resmcu_int8_kernels::ops::add::AddConstants;
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_int8_kernels::requantize::{NativeChannel, TfliteChannel};
pub use resmcu_model_format::{Dtype, Profile};

/// Index into [`QuantizedGraph::tensors`]: 0 is the input, `i + 1` the output of node `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(pub usize);

/// A network of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedGraph {
    /// The model's name.
    pub name: String,
    /// One a class; empty where they are not known.
    pub class_names: Vec<String>,
    /// The arithmetic of all nodes.
    pub profile: Profile,
    /// The input, then the output of each node.
    pub tensors: Vec<QuantizedTensor>,
    /// In an order in which they can run.
    pub nodes: Vec<QuantizedNode>,
}

/// A tensor `[H,W,C]`, whose real value is `scale * (q - zero_point)`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedTensor {
    /// The name in the float graph, or the imported file.
    pub name: String,
    /// `[H,W,C]`; `[1,1,C]` after pooling.
    pub shape: [usize; 3],
    /// The type of its elements.
    pub dtype: Dtype,
    /// The real size of one step of `q`.
    pub scale: f32,
    /// The `q` of real zero.
    pub zero_point: i16,
}

/// One operator, which makes one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedNode {
    /// The name of the layer.
    pub name: String,
    /// The operator.
    pub op: QuantizedOp,
}

/// Requantization constants, one a channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Channels {
    /// Profile `native`.
    Native(Vec<NativeChannel>),
    /// Profile `tflite`.
    Tflite(Vec<TfliteChannel>),
}

/// What a convolution reads outside of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PadValue {
    /// One value for all channels: the zero point.
    Uniform(i8),
    /// A value a channel: an image's normalized zero.
    PerChannel(Vec<i8>),
}

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    /// `[KH,KW]`.
    pub size: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
}

/// An operator with its constants.
#[derive(Clone, Debug, PartialEq)]
pub enum QuantizedOp {
    /// Convolution; in the profile `native` with the residual joined in its accumulator.
    Conv2d {
        /// int8.
        input: TensorId,
        /// Kernel, stride, padding.
        sliding: Sliding,
        /// What lies outside of the input.
        pad_value: PadValue,
        /// `[O,KH,KW,I]`.
        weights: Vec<i8>,
        /// `[O]`.
        channels: Channels,
        /// Smallest and largest result; holds the ReLU.
        clamp: [i8; 2],
        /// The residual, of the output's shape. The output takes over its memory.
        skip: Option<TensorId>,
    },
    /// Largest value of a window.
    MaxPool2d {
        /// int8.
        input: TensorId,
        /// Kernel, stride, padding.
        sliding: Sliding,
        /// Smallest and largest result.
        clamp: [i8; 2],
    },
    /// Mean of a window (profile `tflite`).
    AveragePool2d {
        /// int8; or the sums over its one window, int16 `[1,1,C]`.
        input: TensorId,
        /// Kernel, stride, padding.
        sliding: Sliding,
        /// Smallest and largest result.
        clamp: [i8; 2],
    },
    /// Sums over at most 256 positions.
    GlobalSum {
        /// int8.
        input: TensorId,
    },
    /// Means over up to 65,535 positions.
    GlobalMean {
        /// int8; or the sums over all positions, int16 `[1,1,C]`.
        input: TensorId,
        /// One record, for all channels.
        constants: Channels,
        /// Smallest and largest result.
        clamp: [i8; 2],
    },
    /// The classifier, over all elements of its input.
    FullyConnected {
        /// int8, or int16 sums in the profile `native`.
        input: TensorId,
        /// `[O,I]`.
        weights: Vec<i8>,
        /// `[O]`.
        channels: Channels,
        /// Smallest and largest result in the profile `tflite`.
        clamp: [i8; 2],
    },
    /// Sum of two tensors (profile `tflite`).
    Add {
        /// int8, of the output's shape.
        inputs: [TensorId; 2],
        /// Rescaling.
        constants: AddConstants,
        /// Smallest and largest result; holds the ReLU.
        clamp: [i8; 2],
    },
    /// Class probabilities (profile `tflite`).
    Softmax {
        /// int8.
        input: TensorId,
        /// Scaling of the differences.
        scale: SoftmaxScale,
    },
    /// Shortcut option A (profile `native`).
    SubsamplePad {
        /// int8, of the output's scale and zero point.
        input: TensorId,
        /// In both directions.
        stride: usize,
        /// Empty channels before the input's.
        channels_before: usize,
    },
}

impl QuantizedOp {
    /// The tensors that it reads.
    #[must_use]
    pub fn inputs(&self) -> Vec<TensorId> {
        match self {
            Self::Conv2d { input, skip, .. } => {
                [Some(*input), *skip].into_iter().flatten().collect()
            }
            Self::MaxPool2d { input, .. }
            | Self::AveragePool2d { input, .. }
            | Self::GlobalSum { input }
            | Self::GlobalMean { input, .. }
            | Self::FullyConnected { input, .. }
            | Self::Softmax { input, .. }
            | Self::SubsamplePad { input, .. } => vec![*input],
            Self::Add { inputs, .. } => inputs.to_vec(),
        }
    }
}

impl QuantizedOp {
    /// The same, to be renumbered.
    pub(crate) fn inputs_mut(&mut self) -> Vec<&mut TensorId> {
        match self {
            Self::Conv2d { input, skip, .. } => {
                std::iter::once(input).chain(skip.as_mut()).collect()
            }
            Self::MaxPool2d { input, .. }
            | Self::AveragePool2d { input, .. }
            | Self::GlobalSum { input }
            | Self::GlobalMean { input, .. }
            | Self::FullyConnected { input, .. }
            | Self::Softmax { input, .. }
            | Self::SubsamplePad { input, .. } => vec![input],
            Self::Add { inputs, .. } => inputs.iter_mut().collect(),
        }
    }
}

impl QuantizedTensor {
    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bytes() as usize
    }
}

impl QuantizedGraph {
    /// Multiply-accumulates of node `index` for one inference: those of convolutions and fully
    /// connected layers, padding counted as if it were inside, as everybody counts them.
    #[must_use]
    pub fn macs(&self, index: usize) -> u64 {
        let output: usize = self.tensors[index + 1].shape.iter().product();
        let each = match &self.nodes[index].op {
            QuantizedOp::Conv2d { input, sliding, .. } => {
                sliding.size[0] * sliding.size[1] * self.tensors[input.0].shape[2]
            }
            QuantizedOp::FullyConnected { input, .. } => {
                self.tensors[input.0].shape.iter().product()
            }
            _ => 0,
        };
        (output * each) as u64
    }
}
