//! Why an ONNX file was refused: which tensor or node, where, and what was found.

use super::super::assemble::{Unfinished, Unfit};
use super::super::flatbuffer::Malformed;

/// A refused ONNX file. Places are bytes from the file's start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// The bytes are no such file, or a broken one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The file as a whole is not one that can be imported.
    #[error("{0}")]
    Model(&'static str),
    /// More than a network has.
    #[error("the file has more than {limit} {what} in one place")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The graph's input or output.
    #[error("{what} `{name}`: {problem}")]
    End {
        /// Which of both.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A constant that cannot be read.
    #[error("byte {at:#x}, constant `{name}`: {problem}")]
    Constant {
        /// Its name.
        name: String,
        /// Where its record begins.
        at: usize,
        /// What is wrong.
        problem: String,
    },
    /// A constant whose values are elsewhere.
    #[error("byte {at:#x}, constant `{name}`: its values are in another file, `{file}`")]
    External {
        /// Its name.
        name: String,
        /// Where its record begins.
        at: usize,
        /// The other file.
        file: String,
    },
    /// A node that cannot be imported.
    #[error("byte {at:#x}, node {index} ({operator} `{name}`): {problem}")]
    Node {
        /// Its index, in the order of execution.
        index: usize,
        /// Its operator.
        operator: String,
        /// Its name, or that of its output.
        name: String,
        /// Where its record begins.
        at: usize,
        /// What is wrong.
        problem: Unfit,
    },
    /// The nodes make no network of this project.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
}
