//! The paper's own experiments: plain networks against residual ones (He et al. 2015).
//!
//! Owns which networks are trained and measured, and the figures that follow; not drawing, which
//! is the command's. Residual networks have shortcuts of option A, so that both families have the
//! same parameters, and a seed gives both the same weights and the same batches.

pub mod degradation;
pub mod gradient_flow;
pub mod summary;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

use crate::data::Dataset;
use crate::engine::EngineError;
use crate::graph::resnet::{ResNetSpec, Shortcut};
use crate::graph::{CheckpointError, Graph, GraphError};
use crate::train::{Schedule, TrainConfig, TrainError};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Without shortcuts.
    Plain,
    /// With shortcuts of option A.
    Residual,
}

impl Family {
    /// Both, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Residual];
}

/// A network of an experiment: `plain-56`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Network {
    /// With shortcuts or without.
    pub family: Family,
    /// Layers with weights: `6n + 2` (paper, section 4.2).
    pub depth: usize,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Plain => "plain",
            Family::Residual => "residual",
        };
        write!(f, "{family}-{}", self.depth)
    }
}

impl Network {
    /// All networks of these depths, by depth, the plain one first.
    ///
    /// # Errors
    /// Where a depth is none of the paper's form, or there is none at all.
    pub fn of_depths(depths: &[usize]) -> Result<Vec<Self>, ExperimentError> {
        let mut depths = depths.to_vec();
        depths.sort_unstable();
        depths.dedup();
        let wrong = depths.iter().find(|&&depth| depth < 8 || depth % 6 != 2);
        if wrong.is_some() || depths.is_empty() {
            let found = wrong.map_or("missing".to_owned(), ToString::to_string);
            let expected = "6n + 2: 8, 14, 20, ..., 56, ...";
            return Err(ExperimentError::Setting { what: "depth", found, expected });
        }
        let both = |depth| Family::ALL.map(|family| Self { family, depth });
        Ok(depths.into_iter().flat_map(both).collect())
    }

    /// The network for images of `dataset`, with weights from `seed`.
    ///
    /// # Errors
    /// Where the images do not fit it.
    pub fn build(
        self,
        width: usize,
        dataset: &Dataset,
        seed: u64,
    ) -> Result<Graph, ExperimentError> {
        let shortcut = match self.family {
            Family::Plain => Shortcut::Plain,
            Family::Residual => Shortcut::Pad,
        };
        let spec = ResNetSpec {
            name: self.to_string(),
            input: dataset.shape,
            classes: dataset.class_count(),
            width,
            ..ResNetSpec::cifar(self.depth / 6, shortcut)
        };
        Ok(spec.build(seed)?)
    }
}

/// The recipe of both experiments: the paper's (section 4.2), over few epochs. The rate rises over
/// the first epoch, as the paper has it for its deepest network, and falls along a cosine.
pub fn recipe() -> TrainConfig {
    TrainConfig {
        epochs: 10,
        batch: 32,
        schedule: Schedule::Cosine,
        warm_up_epochs: 1.0,
        crop_padding: 2,
        ..TrainConfig::default()
    }
}

/// Mean, lowest and highest of a value over several seeds or batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
}

impl Spread {
    /// Of `values`; of none, not a number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut count, mut sum) = (0_usize, 0.0);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (count, sum) = (count + 1, sum + value);
            (low, high) = (low.min(value), high.max(value));
        }
        Self { mean: sum / count as f64, low, high }
    }

    /// From the lowest to the highest.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// Why an experiment could not begin, or could not go on.
#[derive(Debug, Error)]
pub enum ExperimentError {
    /// A setting that makes no sense.
    #[error("setting `{what}` is {found}, expected {expected}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// The folder has runs of other settings or data, which are not to be compared with new ones.
    #[error("{}: the runs there have another {what}: {found}, here {expected}", path.display())]
    Other {
        /// The file that says so.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Theirs.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A file of the folder is not what it should be.
    #[error("{}: not a file of this experiment: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: serde_json::Error,
    },
    /// The file system's answer.
    #[error("{}: {problem}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The answer.
        problem: std::io::Error,
    },
    /// The recipe makes no sense, or none with this data set.
    #[error(transparent)]
    Recipe(Box<TrainError>),
    /// A run could not go on.
    #[error("{network}, seed {seed}: {problem}")]
    Run {
        /// The network.
        network: Network,
        /// Its seed.
        seed: u64,
        /// The trainer's answer.
        problem: Box<TrainError>,
    },
    /// The state of an interrupted run cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The images do not fit the network.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The engine's answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[cfg(test)]
mod tests;
