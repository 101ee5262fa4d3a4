//! Models of the profile `tflite` as int8 `.tflite` files.
//!
//! A model file keeps the multipliers that TensorFlow Lite Micro prepares, a `.tflite` file the
//! scales that it prepares them from. Guarantees that each scale written gives the multiplier back
//! to the bit, by the same functions with which such files are imported, so that the interpreter
//! answers as this project does; where no float does, the model is refused.

mod scale;
mod writer;

use crate::import::tflite::constants::{self, Quantization};
use resmcu_model_format::{ModelFile, Op, Profile, Step};
use writer::Writer;

/// Why a model cannot be a `.tflite` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Another arithmetic.
    #[error("the model is of the profile `native`, whose arithmetic TensorFlow Lite does not have")]
    Profile,
    /// A layer that has no equal there.
    #[error("layer `{layer}`: {problem}")]
    Layer {
        /// Its name.
        layer: String,
        /// What it has.
        problem: &'static str,
    },
    /// Constants that no scale gives.
    #[error("layer `{layer}`, channel {channel}: no scale gives its multiplier")]
    Multiplier {
        /// The layer.
        layer: String,
        /// The output channel.
        channel: usize,
    },
    /// Longer than offsets of 32 bits reach.
    #[error("the file would be longer than 2 GiB")]
    TooLong,
}

/// What is wrong with a layer, before its name is known.
enum Problem {
    Layer(&'static str),
    Multiplier(usize),
}

impl From<&'static str> for Problem {
    fn from(problem: &'static str) -> Self {
        Self::Layer(problem)
    }
}

/// The bytes of an int8 `.tflite` file that answers as `model` does.
///
/// # Errors
/// Where the model is of the profile `native`, or holds what no `.tflite` file says; models that
/// were imported from `.tflite` hold nothing of the kind.
pub fn write(model: &ModelFile<'_>) -> Result<Vec<u8>, ExportError> {
    if model.header().profile != Profile::Tflite {
        return Err(ExportError::Profile);
    }
    let mut writer = Writer::new(model);
    for step in model.steps() {
        write_step(&mut writer, &step).map_err(|problem| match problem {
            Problem::Layer(problem) => ExportError::Layer { layer: step.name.into(), problem },
            Problem::Multiplier(channel) => {
                ExportError::Multiplier { layer: step.name.into(), channel }
            }
        })?;
    }
    writer.finish().ok_or(ExportError::TooLong)
}

fn write_step(writer: &mut Writer<'_>, step: &Step<'_>) -> Result<(), Problem> {
    if step.kernel != 0 {
        return Err("it is packed for another kernel than the generic one".into());
    }
    match step.op {
        Op::Conv2d(conv) => writer.conv2d(step, &conv),
        Op::MaxPool2d(pool) => writer.pool2d(step, &pool, true),
        Op::AveragePool2d(pool) => writer.pool2d(step, &pool, false),
        Op::FullyConnected(layer) => writer.fully_connected(step, &layer),
        Op::Add(add) => writer.add(step, &add),
        Op::Softmax(softmax) => writer.softmax(step, &softmax),
        Op::GlobalMean(mean) => writer.mean(step, &mean),
        Op::GlobalSum(_) => Err("it is half of a mean, as models in rings of rows have it".into()),
        Op::SubsamplePad(_) => Err("it is of the profile `native`".into()),
    }
}

/// The activation whose clamp this is.
fn activation(clamp: [i8; 2], y: Quantization) -> Result<u8, Problem> {
    let found = (0..4).find(|&number| constants::clamp(number, y) == Ok(clamp));
    let number = found.ok_or("its clamp is that of no activation")?;
    Ok(number as u8)
}
