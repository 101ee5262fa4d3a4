//! Import of int8 `.tflite` files: to a graph of the profile `tflite`, whose arithmetic is that of
//! TensorFlow Lite Micro to the byte.
//!
//! Owns the meaning of the operators; `schema` owns that of the file, `constants` the numbers that
//! TensorFlow Lite Micro prepares. Guarantees that a graph it gives computes what the file says,
//! and that whatever it does not understand is refused with operator, name and place. Any bytes at
//! all may be given to it. Knows no plan and no kernel.

mod constants;
mod convert;
mod error;
mod layer;
mod schema;

pub use error::{ModelProblem, OperatorProblem, TensorProblem, TfliteError};

use crate::quantized::QuantizedGraph;

/// Reads the bytes of an int8 `.tflite` file with one subgraph, one input and one output. The
/// model is called `name`.
///
/// `RESHAPE` is dropped where it only renames, `PAD` is folded into the convolution or the max
/// pooling that follows.
///
/// # Errors
/// Where the file is broken, or has what this project cannot compute exactly; the error names the
/// byte and the tensor or operator.
pub fn read(bytes: &[u8], name: &str) -> Result<QuantizedGraph, TfliteError> {
    convert::Importer::new(bytes, name)?.run()
}
