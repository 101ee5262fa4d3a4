//! Import of ONNX files, float or quantized in QDQ format: to a float graph, on its grids.
//!
//! Owns the meaning of the operators; `schema` owns that of the file, `constant` its constants.
//! Guarantees that a graph it gives computes what the file says, and that whatever it does not
//! understand is refused with operator, name and place. Any bytes at all may be given to it; files
//! of external data are refused, and no path in a file is followed.

mod attributes;
mod constant;
mod convert;
mod error;
mod layer;
mod quantized;
mod scales;
mod schema;
mod shape;

pub use error::OnnxError;

use super::protobuf::{Field, Message};
use super::{FloatImport, Options};

/// Whether the bytes are an ONNX file, which has no magic: a message whose first field is a small
/// version, with a graph among its others.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    const IR_VERSION_MAX: u64 = 1000;
    let mut fields = Message::new(bytes).fields();
    let first = fields.next();
    matches!(first, Some(Ok((1, Field::Varint(1..=IR_VERSION_MAX)))))
        && fields.any(|field| matches!(field, Ok((7, Field::Bytes(_)))))
}

/// Reads the bytes of an ONNX file of a float network with one image and one output, in standard
/// operators of version 7 or later, as exporters write them for evaluation.
///
/// Weights may be f32, f16, bf16, or integers behind a `DequantizeLinear`. Activations that went
/// through `QuantizeLinear` and `DequantizeLinear` are rounded in the graph too, which then is one
/// of `quantization_aware`'s, with the grids of the file. The image is
/// `[N,C,H,W]`, or `[N,H,W,C]` where a `Transpose` follows; `N` is 1 or left open; where height and
/// width are left open, [`Options::input`] says them.
///
/// # Errors
/// Where the file is broken, keeps its values elsewhere, or has what no float graph of this project
/// computes; the error names the byte and the constant or node. Where the caller does not say how
/// images are normalized.
pub fn read(bytes: &[u8], options: &Options) -> Result<FloatImport, OnnxError> {
    convert::Importer::new(bytes)?.run(options)
}
