//! Import of `.tflite` files: in int8 to a graph of the profile `tflite`, whose arithmetic is that
//! of TensorFlow Lite Micro to the byte; in float to a float graph.
//!
//! Owns the meaning of the operators (`convert` and `layer` in int8, `float` in float); `schema`
//! owns that of the file, `constants` the numbers that TensorFlow Lite Micro prepares. Guarantees
//! that a graph it gives computes what the file says, and that whatever it does not understand is
//! refused with operator, name and place. Any bytes at all may be given to it. Knows no plan and no
//! kernel.

pub(crate) mod constants;
mod convert;
mod error;
mod float;
mod layer;
mod schema;

pub use error::{ModelProblem, OperatorProblem, TensorProblem, TfliteError};

use super::{FloatImport, Options};
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

/// Whether the file's network takes its image in float and computes in float.
pub(super) fn is_float(bytes: &[u8]) -> bool {
    schema::Model::read(bytes).and_then(|model| model.is_float()).unwrap_or(false)
}

/// Reads the bytes of a float `.tflite` file with one subgraph, one input and one output.
///
/// Weights may be f32, f16, or int8 with scales (dynamic range quantization), from which float
/// weights are made. `RESHAPE` is dropped where it only renames, `PAD` is folded into what follows,
/// constants that scale the image into its normalization, and a last `SOFTMAX` is left out: the
/// import says so.
///
/// # Errors
/// Where the file is broken, or has what no float graph of this project computes; the error names
/// the byte and the tensor or operator. Where the caller does not say how images are normalized.
pub fn read_float(bytes: &[u8], options: &Options) -> Result<FloatImport, TfliteError> {
    float::Importer::new(bytes)?.run(options)
}
