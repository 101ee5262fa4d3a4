//! A run in a checkpoint, and back.
//!
//! Owns the words of the training state and the names of its tensors: for a parameter `NAME`
//! `momentum.NAME` (SGD) or `mean.NAME` and `square.NAME` (`AdamW`), `ema.NAME` of the average and
//! `best.NAME` of the best epoch. All randomness follows from the seed, the epoch and the image,
//! so the counters are all of its state.

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use super::config::Optimizer;
use super::optimizer::OptimizerState;
use super::trainer::{Progress, Trainer};
use super::{TrainConfig, TrainError};
use crate::data::Dataset;
use crate::graph::{Checkpoint, ExtraTensor, Graph, Parameter};

/// The training state's JSON.
#[derive(Serialize, Deserialize)]
struct State {
    config: TrainConfig,
    #[serde(flatten)]
    progress: Progress,
    /// Images trained on and held out, and a checksum of both.
    images: [usize; 2],
    data: String,
}

/// What a checkpoint held.
pub(super) struct Restored {
    pub(super) config: TrainConfig,
    pub(super) graph: Graph,
    pub(super) best: Option<Graph>,
    pub(super) average: Option<Graph>,
    pub(super) optimizer: OptimizerState,
    pub(super) progress: Progress,
}

pub(super) fn capture(trainer: &Trainer) -> Checkpoint {
    let state = State {
        config: trainer.config.clone(),
        progress: trainer.progress.clone(),
        images: [trainer.training.len(), trainer.validation.len()],
        data: fingerprint(&trainer.training, &trainer.validation),
    };
    let mut extra = Vec::new();
    let [first, second] = names(trainer.config.optimizer);
    for (parameter, moments) in trained(&trainer.graph).iter().zip(trainer.optimizer.moments()) {
        let shape = IxDyn(parameter.values.shape());
        for (prefix, values) in [(first, &moments.first), (second, &moments.second)] {
            // The shapes are one, but where there is no second moment.
            if let Ok(values) = ArrayD::from_shape_vec(shape.clone(), values.clone()) {
                extra.push(ExtraTensor { name: format!("{prefix}.{}", parameter.name), values });
            }
        }
    }
    for (prefix, graph) in [("best", &trainer.best), ("ema", &trainer.average)] {
        for parameter in graph.iter().flat_map(Graph::parameters) {
            let values = parameter.values.to_owned();
            extra.push(ExtraTensor { name: format!("{prefix}.{}", parameter.name), values });
        }
    }
    extra.sort_by(|a, b| a.name.cmp(&b.name));
    // Numbers, words and lists always become JSON.
    let training = serde_json::to_value(state).ok();
    Checkpoint { graph: trainer.graph.clone(), training, extra }
}

pub(super) fn settings(checkpoint: &Checkpoint) -> Result<Option<TrainConfig>, TrainError> {
    let Some(training) = &checkpoint.training else { return Ok(None) };
    let state = State::deserialize(training).map_err(|error| refuse(&error.to_string()))?;
    Ok(Some(state.config))
}

pub(super) fn restore(checkpoint: Checkpoint, dataset: &Dataset) -> Result<Restored, TrainError> {
    let Checkpoint { graph, training, extra } = checkpoint;
    let training = training.ok_or_else(|| refuse("it has no training state"))?;
    let state: State =
        serde_json::from_value(training).map_err(|error| refuse(&error.to_string()))?;
    let State { config, progress, images, data } = state;
    config.validate()?;
    let (training, validation) = config.split(dataset)?;
    let found = [training.len(), validation.len()];
    if found != images || fingerprint(&training, &validation) != data {
        let [before, here] = [images, found].map(|counts| counts.iter().sum::<usize>());
        let what = if before == here {
            "images or labels have changed".to_owned()
        } else {
            format!("{before} images, here {here}")
        };
        return Err(refuse(&format!("the data set is not the one it began with ({what})")));
    }
    let find = |name: String, shape: &[usize]| {
        let tensor = extra.iter().find(|tensor| tensor.name == name);
        let values = tensor.map(|tensor| &tensor.values);
        let values = values.ok_or_else(|| refuse(&format!("tensor `{name}` is missing")))?;
        if values.shape() != shape {
            let found = values.shape();
            return Err(refuse(&format!("tensor `{name}` is {found:?}, expected {shape:?}")));
        }
        Ok(values.iter().copied().collect::<Vec<f32>>())
    };
    let mut optimizer = OptimizerState::new(&graph, config.optimizer);
    let [first, second] = names(config.optimizer);
    for (parameter, moments) in trained(&graph).iter().zip(optimizer.moments_mut()) {
        for (prefix, values) in [(first, &mut moments.first), (second, &mut moments.second)] {
            if !values.is_empty() {
                *values = find(format!("{prefix}.{}", parameter.name), parameter.values.shape())?;
            }
        }
    }
    let copy = |prefix: &str| {
        let mut graph = graph.clone();
        for parameter in graph.parameters_mut() {
            let name = format!("{prefix}.{}", parameter.name);
            parameter.values.copy_from_slice(&find(name, &parameter.shape)?);
        }
        Ok::<_, TrainError>(graph)
    };
    // Without validation images the best is the latest, which is there already.
    let has_best = progress.history.iter().any(|e| e.best && e.validation_loss.is_some());
    let best = has_best.then(|| copy("best")).transpose()?;
    let average = (config.ema > 0.0).then(|| copy("ema")).transpose()?;
    Ok(Restored { config, graph, best, average, optimizer, progress })
}

/// The prefixes of an optimizer's tensors.
const fn names(optimizer: Optimizer) -> [&'static str; 2] {
    match optimizer {
        Optimizer::Sgd => ["momentum", ""],
        Optimizer::AdamW => ["mean", "square"],
    }
}

fn trained(graph: &Graph) -> Vec<Parameter<'_>> {
    graph.parameters().into_iter().filter(|parameter| parameter.kind.is_trained()).collect()
}

fn refuse(problem: &str) -> TrainError {
    TrainError::Resume { problem: problem.into() }
}

/// What tells the data of a run from others.
fn fingerprint(training: &Dataset, validation: &Dataset) -> String {
    format!("{} {}", training.fingerprint(), validation.fingerprint())
}
