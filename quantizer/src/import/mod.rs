//! Networks of other tools: bytes of a file to a graph of this project.
//!
//! One module a format. Each is given bytes, not paths, and answers any bytes at all with a graph
//! or with an error that names the place; none panics, and none runs what a file holds.

mod assemble;
mod flatbuffer;
mod float;
pub mod onnx;
mod protobuf;
pub mod state_dict;
pub mod tflite;

pub use assemble::{Unfinished, Unfit};
pub use float::{FloatImport, Format, Options};
