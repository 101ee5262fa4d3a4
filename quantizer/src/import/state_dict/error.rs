//! Why a file of weights was refused: which byte, tensor or name, and what was found.

use crate::graph::GraphError;

/// A refused file. Places are bytes from the file's start unless a stream is named.
#[derive(Debug, thiserror::Error)]
pub enum StateDictError {
    /// Neither of the formats.
    #[error("not a safetensors file and not one of PyTorch: {0}")]
    Container(#[from] safetensors::SafeTensorError),
    /// A checkpoint that needs no import.
    #[error("this is a checkpoint of this project already, which every command reads")]
    Own,
    /// The zip archive around PyTorch's tensors.
    #[error("zip archive, {0}")]
    Archive(Fault<ArchiveProblem>),
    /// A pickle that says more than tensors, or is broken.
    #[error("pickle, {0}")]
    Pickle(Fault<PickleProblem>),
    /// A file of PyTorch that is not little-endian, or of another kind.
    #[error("{0}")]
    Kind(&'static str),
    /// No tensors by name.
    #[error("no state dict: {0}")]
    NoStateDict(String),
    /// One tensor that cannot be read.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What is wrong.
        problem: TensorProblem,
    },
    /// The tensors are not those of the network.
    #[error("not the weights of {network}: {}", listed(problems))]
    Mapping {
        /// The network that was recognized or asked for.
        network: String,
        /// All that does not fit, in the network's order.
        problems: Vec<MappingProblem>,
    },
    /// Nothing is known of the image.
    #[error(
        "how images of {channels} channels are normalized is not known: \
         the file does not say, and only networks for RGB have a convention"
    )]
    Normalization {
        /// Channels of the network's input.
        channels: usize,
    },
    /// The network cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at:#x}: {problem}")]
pub struct Fault<P: std::error::Error> {
    /// The byte at which the wrong thing begins; of a pickle, from the pickle's start.
    pub at: usize,
    /// What is wrong.
    pub problem: P,
}

/// What is wrong with a zip archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveProblem {
    /// A record that leaves the file or does not begin as it should.
    #[error("{0} is broken or leaves the file")]
    Record(&'static str),
    /// `PyTorch` stores entries as they are.
    #[error("entry `{name}` is compressed or encrypted (method {method}, flags {flags:#x})")]
    Packed {
        /// The entry.
        name: String,
        /// Its compression method.
        method: u16,
        /// Its flags.
        flags: u16,
    },
    /// Two entries of one name, or entries that share bytes.
    #[error("entry `{0}` overlaps or repeats another")]
    Repeated(String),
    /// A checksum that is not its bytes'.
    #[error("entry `{0}` has another CRC-32 than its bytes")]
    Checksum(String),
    /// No such entry.
    #[error("there is no entry `{0}`")]
    Missing(String),
}

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleProblem {
    /// It ends before its `STOP`.
    #[error("it is cut short")]
    End,
    /// More than any checkpoint of such a network has.
    #[error("it has over {0} operations")]
    TooLong(usize),
    /// An operation that tensors do not need.
    #[error("the operation {name} ({code:#04x}) is refused: plain tensors do not need it")]
    Opcode {
        /// Its byte.
        code: u8,
        /// Its name in Python's `pickletools`.
        name: &'static str,
    },
    /// A class or function that would have to be run.
    #[error("the global `{0}` is refused: only tensors and their containers are read")]
    Global(String),
    /// An operation whose operands are not there or of another kind.
    #[error("{operation} has operands of another kind: {expected}")]
    Operand {
        /// The operation.
        operation: &'static str,
        /// What it needs.
        expected: &'static str,
    },
    /// Text that is none.
    #[error("a text is not UTF-8")]
    Text,
}

/// What is wrong with a tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorProblem {
    /// An element type that parameters cannot have.
    #[error("its type is {0}, and parameters are f32, f16 or bf16")]
    Dtype(&'static str),
    /// A view that leaves its storage, or repeats elements.
    #[error("shape {shape:?} with strides {strides:?} from element {offset} of {elements}")]
    View {
        /// The shape.
        shape: Vec<usize>,
        /// Elements from one to the next in each dimension.
        strides: Vec<usize>,
        /// The first element.
        offset: usize,
        /// Elements of the storage.
        elements: usize,
    },
    /// A storage of another length, or none.
    #[error("its storage `{key}` has {found} bytes, and has to have {expected}")]
    Storage {
        /// The storage.
        key: String,
        /// Bytes in the file.
        found: usize,
        /// Bytes that the pickle says.
        expected: usize,
    },
    /// Two tensors of one name.
    #[error("it is there twice")]
    Twice,
    /// A value that no network computes with.
    #[error("element {index} is {value}")]
    NotFinite {
        /// Row-major.
        index: usize,
        /// The value as text, since NaN does not equal itself.
        value: String,
    },
}

/// What does not fit between a file and a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingProblem {
    /// The network has it and the file does not.
    #[error("`{0}` is missing")]
    Missing(String),
    /// The file has it and the network does not.
    #[error("`{0}` is left over")]
    Unexpected(String),
    /// Two names for one parameter.
    #[error("`{0}` and `{1}` are the same parameter")]
    Twice(String, String),
    /// Another shape.
    #[error("`{name}` is {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// What the network has.
        expected: Vec<usize>,
    },
}

/// The first few, and how many more there are.
fn listed(problems: &[MappingProblem]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = problems.len().saturating_sub(SHOWN);
    let end = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{end}", shown.join("; "))
}
