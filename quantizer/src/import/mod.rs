//! Networks of other tools: bytes of a file to a graph of this project.
//!
//! One module a format. Each is given bytes, not paths, and answers any bytes at all with a graph
//! or with an error that names the place; none panics.

mod flatbuffer;
pub mod tflite;
