//! The records of a model file, as postcard writes them: one [`Header`], then its tensors, then
//! its steps in the order of execution.
//!
//! Strings are borrowed from the file. A reference to weights is a [`DataRef`] into the data
//! section; a reference to a tensor is its index in the tensor table.

use crate::flow::Reach;
use serde::{Deserialize, Serialize};

/// The arithmetic of a model (README of `int8-kernels`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// This project's arithmetic: one rounding, the residual add inside the convolution.
    Native,
    /// TensorFlow Lite Micro's int8 reference, double rounding.
    Tflite,
}

/// The instruction set that the weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isa {
    /// Runs everywhere, by the generic kernels.
    Generic,
    /// Cortex-M with DSP extension and FPU (M4F, M7, M33F); runs elsewhere too, only slower.
    Armv7em,
    /// Cortex-M3, and others without DSP extension or FPU; runs elsewhere too, as the next ones do.
    Armv7m,
    /// Cortex-M0, M0+ and M23.
    Armv6m,
    /// RV32IM.
    Rv32,
    /// Cortex-M with the vector extension Helium (M55, M85); runs elsewhere too, only slower.
    Armv81mMve,
    /// RISC-V with 32 bits and the vector extension; runs elsewhere too, only slower.
    Rv32v,
}

/// What the file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The tool and the version that wrote the file.
    pub producer: &'a str,
    /// The arithmetic of all its steps.
    pub profile: Profile,
    /// What its weights are packed for.
    pub isa: Isa,
    /// The class names, one a line; empty where they are not known.
    pub class_names: &'a str,
    /// Bytes of the tensors' memory.
    pub arena_bytes: u32,
    /// Bytes of the kernels' working memory, which follows the tensors'.
    pub scratch_bytes: u32,
    /// The least arena that any order-preserving whole-tensor plan of these steps needs, in bytes.
    pub arena_lower_bound: u32,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Number of tensors; tensor 0 is the input.
    pub tensors: u16,
    /// Number of steps; the last one makes the output.
    pub steps: u16,
}

/// The type of a tensor's elements, little-endian in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtype {
    /// Activations.
    I8,
    /// Sums of int8 over at most 256 positions.
    I16,
    /// Logits of the native profile.
    I32,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::I8 => 1,
            Self::I16 => 2,
            Self::I32 => 4,
        }
    }
}

/// A tensor `[H,W,C]` in the arena. Its real value is `scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tensor<'a> {
    /// Its name in the graph.
    pub name: &'a str,
    /// `[H,W,C]`; `[1,1,C]` after pooling.
    pub shape: [u16; 3],
    /// The type of its elements.
    pub dtype: Dtype,
    /// The real size of one step of `q`.
    pub scale: f32,
    /// The `q` of real zero.
    pub zero_point: i16,
    /// Where it begins in the arena, in bytes.
    pub offset: u32,
    /// The step that makes it; 0 for the input.
    pub first: u16,
    /// The last step that reads it; for the output the step that makes it.
    pub last: u16,
    /// Rows that its memory holds: all of them, or those that are read at the same time.
    pub rows: u16,
}

impl Tensor<'_> {
    /// Number of elements. Dimensions are at most 16 bits, so it fits 48.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.shape.iter().map(|&side| u64::from(side)).product()
    }

    /// Size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.elements() * u64::from(self.dtype.bytes())
    }

    /// Bytes of one row.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        let elements = u64::from(self.shape[1]) * u64::from(self.shape[2]);
        elements * u64::from(self.dtype.bytes())
    }

    /// Bytes of its memory.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.row_bytes() * u64::from(self.rows)
    }
}

/// A span of the data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRef {
    /// First byte, from the section's start; a multiple of [`crate::ALIGNMENT`].
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// One step of the plan: one operator that makes one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step<'a> {
    /// The name of the layer.
    pub name: &'a str,
    /// The kernel, an entry of the table in the README of `int8-kernels`; 0 is the generic one.
    pub kernel: u16,
    /// The tensor it makes.
    pub output: u16,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// The operator.
    pub op: Op,
    /// Rows that it makes at a time, at least 1 (of a [`GlobalSum`], rows that it sums up).
    pub rows: u16,
    /// Whether it runs only when a later step lacks rows of its output: it is part of the segment
    /// that ends with the next step that does not.
    pub on_demand: bool,
}

/// An operator with its parameters. The arithmetic is specified in the README of `int8-kernels`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Convolution, in the native profile with the residual joined in its accumulator.
    Conv2d(Conv2d),
    /// Largest value of a window; padding does not count.
    MaxPool2d(Pool2d),
    /// Mean of a window (profile `tflite`); padding does not count.
    AveragePool2d(Pool2d),
    /// Sum over all positions, int16.
    GlobalSum(GlobalSum),
    /// Mean over all positions, int8.
    GlobalMean(GlobalMean),
    /// The classifier.
    FullyConnected(FullyConnected),
    /// Sum of two tensors of different scales (profile `tflite`).
    Add(Add),
    /// Class probabilities in int8 (profile `tflite`).
    Softmax(Softmax),
    /// Shortcut option A: every `stride`-th pixel, with empty channels around (profile `native`).
    SubsamplePad(SubsamplePad),
}

impl Op {
    /// The tensors that it reads.
    #[must_use]
    pub fn inputs(&self) -> [Option<u16>; 2] {
        match self {
            Self::Conv2d(conv) => [Some(conv.input), conv.skip],
            Self::MaxPool2d(pool) | Self::AveragePool2d(pool) => [Some(pool.input), None],
            Self::GlobalSum(sum) => [Some(sum.input), None],
            Self::GlobalMean(mean) => [Some(mean.input), None],
            Self::FullyConnected(fc) => [Some(fc.input), None],
            Self::Add(add) => add.inputs.map(Some),
            Self::Softmax(softmax) => [Some(softmax.input), None],
            Self::SubsamplePad(subsample) => [Some(subsample.input), None],
        }
    }

    /// The input whose memory the output takes over.
    #[must_use]
    pub fn takes_over(&self) -> Option<u16> {
        match self {
            Self::Conv2d(conv) => conv.skip,
            Self::Add(add) => add.in_place.and_then(|i| add.inputs.get(usize::from(i)).copied()),
            _ => None,
        }
    }

    /// The tensors that it reads: by a window, and at the same place. The latter is the one that is
    /// taken over, if one is.
    pub(crate) fn flows_from(&self) -> [Option<u16>; 2] {
        match self {
            Self::Add(Add { inputs: [first, second], in_place: Some(0), .. }) => {
                [Some(*second), Some(*first)]
            }
            _ => self.inputs(),
        }
    }

    /// How it reads rows of the first of [`Self::flows_from`].
    pub(crate) fn reach(&self) -> Reach {
        let window = |size: [u8; 2], stride: [u8; 2], padding: [u8; 4]| Reach {
            size: size[0].into(),
            stride: stride[0],
            top: padding[0],
        };
        match self {
            Self::Conv2d(conv) => window(conv.kernel_size, conv.stride, conv.padding),
            Self::MaxPool2d(pool) | Self::AveragePool2d(pool) => {
                window(pool.kernel_size, pool.stride, pool.padding)
            }
            Self::SubsamplePad(op) => Reach { stride: op.stride, ..Reach::SAME },
            Self::Add(_) | Self::GlobalSum(_) => Reach::SAME,
            Self::GlobalMean(_) | Self::FullyConnected(_) | Self::Softmax(_) => Reach::ALL,
        }
    }
}

/// What a convolution reads outside of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PadValue {
    /// One value for all channels: the input's zero point.
    Uniform(i8),
    /// `[I]` int8, a value a channel: an image's normalized zero.
    PerChannel(DataRef),
}

/// A convolution `[H,W,I] -> [OH,OW,O]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Input tensor, int8.
    pub input: u16,
    /// `[KH,KW]`.
    pub kernel_size: [u8; 2],
    /// Vertical, horizontal.
    pub stride: [u8; 2],
    /// Top, left, bottom, right.
    pub padding: [u8; 4],
    /// The value of a padded position.
    pub pad_value: PadValue,
    /// As the kernel packs them: int8, or words that hold constants too.
    pub weights: DataRef,
    /// `[O]` requantization records of the profile.
    pub channels: DataRef,
    /// Smallest and largest result; holds the ReLU.
    pub clamp: [i8; 2],
    /// The residual, joined in place: a tensor at the output's offset, whose life ends here.
    pub skip: Option<u16>,
    /// Proven bound of the accumulator's absolute value at every point of its computation.
    pub accumulator_bound: u32,
}

/// A pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool2d {
    /// Input tensor, int8, of the output's scale and zero point; of a mean also the sums over its
    /// one window, int16 `[1,1,C]`.
    pub input: u16,
    /// `[KH,KW]`.
    pub kernel_size: [u8; 2],
    /// Vertical, horizontal.
    pub stride: [u8; 2],
    /// Top, left, bottom, right; smaller than the window.
    pub padding: [u8; 4],
    /// Smallest and largest result.
    pub clamp: [i8; 2],
}

/// Sums of raw `q` over at most 256 positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalSum {
    /// Input tensor, int8.
    pub input: u16,
}

/// Means over any number of positions up to 65,535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalMean {
    /// Input tensor, int8; or the sums over all positions, int16 `[1,1,C]`.
    pub input: u16,
    /// One requantization record of the profile, for all channels.
    pub channels: DataRef,
    /// Smallest and largest result.
    pub clamp: [i8; 2],
}

/// A fully connected layer over all elements of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullyConnected {
    /// Input tensor: int8, or in the native profile int16.
    pub input: u16,
    /// `[O,I]` int8.
    pub weights: DataRef,
    /// `[O]` requantization records of the profile.
    pub channels: DataRef,
    /// Smallest and largest result in the profile `tflite`; int32 logits are not clamped.
    pub clamp: [i8; 2],
    /// Proven bound of the accumulator's absolute value at every point of its computation.
    pub accumulator_bound: u32,
}

/// A residual add with both inputs rescaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// Two int8 tensors of the output's shape.
    pub inputs: [u16; 2],
    /// One record of rescaling constants.
    pub parameters: DataRef,
    /// Smallest and largest result; holds the ReLU.
    pub clamp: [i8; 2],
    /// The input (0 or 1) whose memory the output takes over, if one.
    pub in_place: Option<u8>,
}

/// Softmax over the channels of `[1,1,C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Softmax {
    /// Input tensor, int8.
    pub input: u16,
    /// Multiplier of the input differences, Q31.
    pub multiplier: i32,
    /// Left shift that goes with it, 0 to 31.
    pub shift: u8,
    /// Differences below this have probability zero.
    pub difference_min: i32,
}

/// Spatial subsampling with zero-padded channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubsamplePad {
    /// Input tensor, int8, of the output's scale and zero point.
    pub input: u16,
    /// Every how many pixels one is kept, in both directions.
    pub stride: u8,
    /// Empty channels before the input's; the rest follow them.
    pub channels_before: u16,
}
