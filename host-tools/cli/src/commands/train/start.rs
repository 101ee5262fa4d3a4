//! What a run begins with: a network with random weights, a checkpoint, or a checkpoint's network
//! on the grids of its integers.

use super::Train;
use crate::failure::{Failure, OrFail, Outcome};
use crate::model::load_checkpoint;
use crate::progress::Stages;
use clap::ValueEnum;
use resmcu_quantizer::calibrate::Images;
use resmcu_quantizer::data::Dataset;
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::{Graph, resnet};
use resmcu_quantizer::post_training::{Calibration, Settings, Stage, post_training};
use resmcu_quantizer::quantization_aware::{is_on_grids, on_grids};
use resmcu_quantizer::quantize::{WeightBits, WeightScale};
use resmcu_quantizer::train::TrainConfig;

/// Training images from which the first grids are chosen.
const CALIBRATION_IMAGES: usize = 512;

/// At which the float network's answers are learnt by the network that rounds.
const TEACHER_TEMPERATURE: f32 = 4.0;

/// The peak of the learning rate there: the loss is steeper than that of labels by the temperature,
/// and no batch normalization is left to forgive a step that is too long.
const GRID_LEARNING_RATE: f32 = 0.0003;

/// Epochs of it. No image is held out to choose the best: the network that is given has learnt
/// their labels, most likely, and it is its answers that are learnt here.
const GRID_EPOCHS: usize = 14;

/// Integers whose rounding is trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Scheme {
    /// Weights and activations of 8 bits
    Int8,
    /// Weights of 4 bits (8 in the first layer and the classifier), activations of 8
    W4a8,
}

impl Scheme {
    /// What is appended to the network's name.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Int8 => "-int8",
            Self::W4a8 => "-w4a8",
        }
    }

    fn settings(self) -> Settings {
        let weight_bits = match self {
            Self::Int8 => WeightBits::Eight,
            Self::W4a8 => WeightBits::Four,
        };
        Settings {
            calibration: Calibration::Auto,
            weight_bits,
            weight_scale: WeightScale::MeanSquaredError,
            ..Settings::default()
        }
    }
}

impl Train {
    /// The network of the checkpoint, if there is one to begin with.
    pub(super) fn given(&self) -> Outcome<Option<Graph>> {
        let Some(path) = &self.from else { return Ok(None) };
        Ok(Some(load_checkpoint(&path.display().to_string())?.graph))
    }

    /// The settings that the run begins with, before files and flags.
    pub(super) fn recipe(&self, given: Option<&Graph>) -> TrainConfig {
        match given {
            Some(graph) if self.quantize.is_some() && !is_on_grids(graph) => TrainConfig {
                teacher_temperature: TEACHER_TEMPERATURE,
                learning_rate: GRID_LEARNING_RATE,
                epochs: GRID_EPOCHS,
                validation: 0.0,
                ..TrainConfig::fine_tuning(&graph.name)
            },
            Some(graph) => TrainConfig::fine_tuning(&graph.name),
            None => TrainConfig::recipe(&self.network),
        }
    }

    /// A network of random weights, as the first step finds it.
    pub(super) fn random(&self, config: &TrainConfig, dataset: &Dataset) -> Outcome<Graph> {
        let mut spec = resnet::by_name(&self.network).or_fail("name one of these networks")?;
        spec.input = dataset.shape;
        spec.classes = dataset.class_count();
        spec.build(config.seed).or_fail("the data's images do not fit the network")
    }

    /// The given network, as the first step finds it.
    pub(super) fn start(&self, graph: Graph, dataset: &Dataset) -> Outcome<Graph> {
        let Some(scheme) = self.quantize else { return Ok(graph) };
        if is_on_grids(&graph) {
            let failure = Failure::input("the network is on the grids of its integers already");
            let path = self.from.clone().unwrap_or_default();
            return Err(failure.in_file(&path).help("leave out `--quantize` to go on training it"));
        }
        onto_grids(&graph, scheme, dataset)
    }
}

fn onto_grids(graph: &Graph, scheme: Scheme, dataset: &Dataset) -> Outcome<Graph> {
    const HELP: &str = "`resmcu quantize` says what of a network has integers";
    let folded = fold(graph).or_fail(HELP)?;
    let images = Images::of(&dataset.take(CALIBRATION_IMAGES))?;
    let stages = Stages::default();
    let chosen = post_training(&folded, &images, &scheme.settings(), &|stage, done, of| {
        let what = if stage == Stage::Histograms { "calibrating" } else { "choosing grids" };
        stages.at(what, done, of);
    });
    stages.finish();
    on_grids(&chosen.or_fail(HELP)?).or_fail(HELP)
}
