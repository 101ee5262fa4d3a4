//! `resmcu experiment`: the paper's own experiments, on this host.

mod degradation;
mod gradient_flow;

use crate::failure::{Failure, Outcome};
use clap::{Args, Subcommand};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use resmcu_quantizer::data::{Dataset, FASHION_MNIST_SMALL, Source};
use resmcu_quantizer::experiment::{ExperimentError, recipe};
use resmcu_quantizer::train::{TrainConfig, TrainError};

/// Repeats the paper's experiments: plain against residual networks
#[derive(Debug, Args)]
pub(crate) struct Experiment {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    Degradation(degradation::Degradation),
    GradientFlow(gradient_flow::GradientFlow),
}

impl Experiment {
    pub(crate) fn run(&self) -> Outcome {
        match &self.which {
            Which::Degradation(experiment) => experiment.run(),
            Which::GradientFlow(experiment) => experiment.run(),
        }
    }
}

/// What all experiments choose from.
#[derive(Debug, Args)]
struct Choice {
    /// Depths of the networks, 6n + 2 each; of each a plain and a residual one
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [20, 56])]
    depths: Vec<usize>,
    /// A CIFAR binary file, an IDX pair or folder, a folder of images, or a data set's name
    #[arg(long, value_name = "PATH", default_value = FASHION_MNIST_SMALL)]
    data: String,
    /// Only N of the training images, drawn by seed 0
    #[arg(short = 'n', long, value_name = "N")]
    images: Option<usize>,
    /// Channels of the first stage
    #[arg(long, value_name = "N", default_value_t = 16)]
    width: usize,
    /// Passes over the training images over which the learning rate falls
    #[arg(long, value_name = "N", default_value_t = recipe().epochs)]
    epochs: usize,
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = recipe().batch)]
    batch: usize,
    /// The peak of the learning rate
    #[arg(long, value_name = "R", default_value_t = recipe().learning_rate)]
    learning_rate: f32,
}

impl Choice {
    fn dataset(&self) -> Outcome<Dataset> {
        let all = Source::find(&self.data)?.load_training()?;
        let Some(count) = self.images.filter(|&count| count < all.len()) else { return Ok(all) };
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        order.truncate(count);
        order.sort_unstable();
        Ok(all.training_subset(&order))
    }

    fn recipe(&self, seed: u64) -> TrainConfig {
        let &Self { epochs, batch, learning_rate, .. } = self;
        TrainConfig { epochs, batch, learning_rate, seed, ..recipe() }
    }
}

/// The recipe in a line.
fn words(config: &TrainConfig) -> String {
    let TrainConfig { epochs, batch, learning_rate, momentum, weight_decay, .. } = config;
    let warm_up = config.warm_up_epochs;
    format!(
        "{epochs} epochs, batches of {batch}, rate {learning_rate} after {warm_up} of warm-up, \
         then along a cosine, momentum {momentum}, decay {weight_decay}"
    )
}

/// An error of an experiment with what to do about it.
fn describe(error: ExperimentError) -> Failure {
    let help = match &error {
        ExperimentError::Setting { .. } => "`resmcu experiment --help` lists the settings",
        ExperimentError::Recipe(_) => "change `--epochs`, `--batch` or `--learning-rate`",
        ExperimentError::Other { .. } => "name another folder with `-o`, or the same settings",
        ExperimentError::File { .. } | ExperimentError::Checkpoint(_) => {
            "remove the file, and the run is made again; or name another folder with `-o`"
        }
        ExperimentError::Io { .. } => "name another folder with `-o`",
        ExperimentError::Run { problem, .. } => match **problem {
            TrainError::Diverged { .. } => "try a lower `--learning-rate`, in another folder",
            _ => "`resmcu dataset PATH` checks the data",
        },
        ExperimentError::Graph(_) | ExperimentError::Engine(_) => {
            "name a data set of images that fit, or another `--width`"
        }
    };
    Failure::input(error).help(help)
}
