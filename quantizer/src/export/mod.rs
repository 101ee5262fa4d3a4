//! Models in the forms that other tools take: source code with the model file in it, and int8
//! `.tflite` files.
//!
//! Each function is given a model file and answers with bytes; none writes to a disk.

mod arrays;
mod flatbuffer;
pub mod tflite;

pub use arrays::{Language, array};
