//! Training: from a data set and a fresh graph to the parameters of the best epoch, or the last.
//!
//! Owns the optimizer, the schedule, augmentation, the loop and what a checkpoint says of them;
//! not gradients (the engine's), files of images (`data`) or terminals: progress goes to an
//! [`Observer`].

mod augment;
mod budget;
mod config;
mod divergence;
mod evaluate;
mod loader;
mod optimizer;
mod schedule;
mod state;
mod trainer;
mod unit_input;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::data::DataError;
use crate::engine::EngineError;
use crate::graph::{CheckpointError, GraphError};

pub use config::{Optimizer, TrainConfig};
pub use evaluate::{Evaluation, logits};
pub use schedule::{Fit, Schedule};
pub use trainer::{Outcome, Trainer};
pub use unit_input::unit_input;

/// What one step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Step of the epoch, from 1.
    pub step: usize,
    /// Steps of an epoch; a time budget may end the last one earlier.
    pub steps: usize,
    /// Steps of the whole run that are done.
    pub done: usize,
    /// Steps of the whole run; a time budget may change it.
    pub all: usize,
    /// Mean loss of the batch.
    pub loss: f64,
    /// Accuracy on the epoch's images so far, a fraction.
    pub accuracy: f64,
    /// The learning rate of the step.
    pub learning_rate: f32,
    /// Training images a second in this epoch, validation left out.
    pub images_per_s: f64,
}

/// What one epoch found. Accuracies are fractions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean loss of the epoch's batches against their targets, as they were before their step.
    pub train_loss: f64,
    /// Accuracy on the epoch's augmented images, as they were before their step.
    pub train_accuracy: f64,
    /// Mean loss on the validation images, of the averaged network where there is one; none where
    /// no images are held out.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation images, of the same network.
    pub validation_accuracy: Option<f64>,
    /// The learning rate of the last step.
    pub learning_rate: f32,
    /// Whether it is the best epoch so far; without validation images, the latest.
    pub best: bool,
}

/// Hears of a run's progress, and may end it.
pub trait Observer {
    /// After each step.
    fn on_step(&mut self, _report: &StepReport) {}

    /// After each epoch.
    fn on_epoch(&mut self, _report: &EpochReport) {}

    /// Asked after each step; `true` ends the run, which saves its state first.
    fn should_stop(&mut self) -> bool {
        false
    }
}

/// Hears nothing.
impl Observer for () {}

/// Why training could not begin, or could not go on.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A setting that makes no sense.
    #[error("setting `{field}` is {found}, expected {expected}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// The data set does not fit the network.
    #[error("the data set has {what} {found}, the network {expected}")]
    Mismatch {
        /// Of what.
        what: &'static str,
        /// The data set's.
        found: String,
        /// The network's.
        expected: String,
    },
    /// The loss is not finite, or far above that of guessing for many steps: the learning rate
    /// is too high.
    #[error(
        "training diverged in epoch {epoch}, step {step}: the loss is {loss}, {sign} `{layer}`"
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: usize,
        /// Step of the epoch, from 1.
        step: usize,
        /// The loss.
        loss: f64,
        /// What the layer is named for.
        sign: &'static str,
        /// The node.
        layer: String,
    },
    /// The checkpoint cannot be resumed.
    #[error("the checkpoint cannot be resumed: {problem}")]
    Resume {
        /// What is missing or does not fit.
        problem: String,
    },
    /// The data set's answer.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The engine's answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The graph's answer.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

#[cfg(test)]
mod tests;
