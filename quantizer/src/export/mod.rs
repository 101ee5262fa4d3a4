//! Models in the forms that other tools take: source code with the model file in it, int8
//! `.tflite` files, and ONNX files of float networks, those on grids in QDQ format.
//!
//! Each function is given a model file or a graph and answers with bytes; none writes to a disk.

mod arrays;
mod flatbuffer;
pub mod onnx;
mod protobuf;
pub mod tflite;

pub use arrays::{Language, array};
