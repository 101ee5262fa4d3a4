//! Why a `.tflite` file was refused: which tensor or operator, where, and what was found.

use super::super::assemble::{Unfinished, Unfit};
use super::super::flatbuffer::Malformed;

/// A refused `.tflite` file. Places are bytes from the file's start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TfliteError {
    /// The bytes are no such file, or a broken one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The file as a whole is not one that can be imported.
    #[error("{0}")]
    Model(ModelProblem),
    /// The operators of a float file make no network of this project.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// A tensor that cannot be imported.
    #[error("byte {at:#x}, tensor {index} (`{name}`): {problem}")]
    Tensor {
        /// Its index.
        index: usize,
        /// Its name in the file.
        name: String,
        /// Where its record begins.
        at: usize,
        /// What is wrong.
        problem: TensorProblem,
    },
    /// An operator that cannot be imported.
    #[error("byte {at:#x}, operator {index} ({operator}, which makes `{name}`): {problem}")]
    Operator {
        /// Its index, in the order of execution.
        index: usize,
        /// What it is, as TensorFlow Lite names it.
        operator: String,
        /// The name of its output.
        name: String,
        /// Where its record begins.
        at: usize,
        /// What is wrong.
        problem: OperatorProblem,
    },
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelProblem {
    /// Another kind of file.
    #[error("not a .tflite file: bytes 4 to 7 are not `TFL3`")]
    Magic,
    /// Another version of the schema.
    #[error("the file is of schema version {0}, and only version 3 is known")]
    Version(i32),
    /// More or less than one of what there has to be one of.
    #[error("the file has {found} {what}, and only one can be imported")]
    NotOne {
        /// What.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// More than a model file holds.
    #[error("the file has {found} {what}, more than {limit}")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// No operator, or an output that the last one does not make.
    #[error("the output is not made by the last operator")]
    Output,
}

/// What is wrong with a tensor.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TensorProblem {
    /// An index beyond the table of tensors.
    #[error("there is no such tensor among {0}")]
    Missing(usize),
    /// An element type that cannot be there.
    #[error("its type is {found}, and has to be {expected}")]
    Dtype {
        /// As TensorFlow Lite names it.
        found: String,
        /// The same.
        expected: &'static str,
    },
    /// A shape that is none of one image.
    #[error("its shape is {0:?}; it has to be [1,H,W,C] or [1,C] with sides of 1 to 16384")]
    Shape(Vec<i32>),
    /// A side that is not known before the model runs.
    #[error("its shape {0:?} is dynamic in more than the batch")]
    Dynamic(Vec<i32>),
    /// A constant of another shape than its operator needs.
    #[error("its shape is {found:?}, and has to be {expected}")]
    ConstantShape {
        /// The shape in the file.
        found: Vec<i32>,
        /// What it has to be.
        expected: String,
    },
    /// Missing or impossible quantization.
    #[error("its quantization has {0}")]
    Quantization(String),
    /// A constant without its buffer.
    #[error("it has to be a constant, and its buffer {0} is empty or not there")]
    NoData(usize),
    /// A buffer of another length than its tensor.
    #[error("its buffer {buffer} has {found} bytes, and has to have {expected}")]
    DataSize {
        /// Index of the buffer.
        buffer: usize,
        /// Bytes in the file.
        found: usize,
        /// Bytes that the shape says.
        expected: usize,
    },
    /// A parameter that is no number.
    #[error("it holds {0}")]
    NotFinite(String),
    /// Read before any operator makes it.
    #[error("it is read before an operator makes it")]
    NotMade,
    /// Made twice.
    #[error("it is made twice")]
    MadeTwice,
    /// Made and never read.
    #[error("it is made, and neither read nor the output")]
    Unused,
    /// Sparse, variable or external.
    #[error("it is {0}, which cannot be imported")]
    Kind(&'static str),
}

/// What is wrong with an operator.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OperatorProblem {
    /// An operator that this project does not have.
    #[error(
        "this operator cannot be imported; CONV_2D, FULLY_CONNECTED, ADD, AVERAGE_POOL_2D, \
         MEAN, MAX_POOL_2D, SOFTMAX, RESHAPE and PAD can"
    )]
    Unknown,
    /// Another number of inputs or outputs.
    #[error("it has {found} {what}")]
    Count {
        /// Inputs or outputs.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// Its options are not there.
    #[error("its options are missing or of another operator")]
    Options,
    /// A parameter outside of what can be imported.
    #[error("its {parameter} is {found}, and has to be {expected}")]
    Parameter {
        /// Which.
        parameter: &'static str,
        /// What was found.
        found: i64,
        /// What it may be.
        expected: &'static str,
    },
    /// Shapes that do not follow from each other.
    #[error("its output should have the shape {expected:?} and has {found:?}")]
    Shape {
        /// `[H,W,C]` that follows from the inputs.
        expected: [usize; 3],
        /// `[H,W,C]` in the file.
        found: [usize; 3],
    },
    /// An input that it cannot take as it is.
    #[error("{0}")]
    Input(&'static str),
    /// Scales that give no multiplier of 31 bits and a shift.
    #[error("its scales give a multiplier of {0}, which cannot be represented")]
    Multiplier(f64),
    /// An operator of a float file that this project does not have.
    #[error(
        "this operator cannot be imported; CONV_2D, FULLY_CONNECTED, ADD, SUB, MUL, DIV, \
         AVERAGE_POOL_2D, MEAN, MAX_POOL_2D, RELU, SOFTMAX, RESHAPE, SQUEEZE, PAD and \
         STRIDED_SLICE can"
    )]
    UnknownFloat,
    /// An operator of a float file that does not fit the float graph.
    #[error(transparent)]
    Float(Unfit),
    /// A bias that does not fit with the zero point folded in.
    #[error("the bias of channel {channel} with the zero point folded in is {bias}, not an int32")]
    Bias {
        /// The channel.
        channel: usize,
        /// The sum.
        bias: i64,
    },
}
