//! Runs a planned int8 model in one static arena, without a heap.
//!
//! [`Executor::new`] checks a model file whole: the format by `model-format`, and here that every
//! kernel is in this build, that weights and constants have the sizes and limits of their kernel,
//! that the arena is large enough, and, by walking through the plan once, that every row is at its
//! place whenever a step reads it. After that, [`Executor::step`] has no error to report: it makes
//! the next rows of one tensor and returns, so that other work can be done between. Owns
//! the walk over the plan and the views into the arena; knows neither how a kernel computes nor
//! where the model and the pictures come from.
#![doc = concat!("\n\n", include_str!("../README.md"))]
#![no_std]

mod arena;
mod best;
mod error;
mod executor;
mod load;
mod needs;
mod step;

pub use arena::Block;
pub use best::{best, logits};
pub use error::LoadError;
pub use executor::{Executor, Observer, Progress, pixel_to_input};
pub use needs::{Aligned, Needs};
pub use resmcu_model_format as model_format;
pub use step::Step;

/// The entries of a decoded plan, one more than the model has steps, are `STEP_BYTES` each in RAM.
pub const STEP_BYTES: usize = size_of::<Step>();
