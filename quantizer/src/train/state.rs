//! A run in a checkpoint, and back.
//!
//! Owns the words of the training state and the names of its tensors: `momentum.NAME` and
//! `best.NAME` for a parameter `NAME`. All randomness follows from the seed, the epoch and the
//! image, so the counters are all of its state.

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Serialize};

use super::optimizer::Sgd;
use super::trainer::{Progress, Trainer};
use super::{EpochReport, TrainConfig, TrainError};
use crate::data::Dataset;
use crate::graph::{Checkpoint, ExtraTensor, Graph, Parameter};

/// The training state's JSON.
#[derive(Serialize, Deserialize)]
struct State {
    config: TrainConfig,
    epoch: usize,
    step: usize,
    loss_sum: f64,
    correct: usize,
    history: Vec<EpochReport>,
    /// Images trained on and held out, and a checksum of both.
    images: [usize; 2],
    data: String,
}

/// What a checkpoint held.
pub(super) struct Restored {
    pub(super) config: TrainConfig,
    pub(super) graph: Graph,
    pub(super) best: Option<Graph>,
    pub(super) sgd: Sgd,
    pub(super) progress: Progress,
}

pub(super) fn capture(trainer: &Trainer) -> Checkpoint {
    let Progress { epoch, step, loss_sum, correct, history } = trainer.progress.clone();
    let state = State {
        config: trainer.config.clone(),
        epoch,
        step,
        loss_sum,
        correct,
        history,
        images: [trainer.training.len(), trainer.validation.len()],
        data: fingerprint(&trainer.training, &trainer.validation),
    };
    let mut extra = Vec::new();
    for (parameter, velocity) in trained(&trainer.graph).iter().zip(&trainer.sgd.velocity) {
        let shape = IxDyn(parameter.values.shape());
        // The shapes are one: the velocity was made from the parameter.
        if let Ok(values) = ArrayD::from_shape_vec(shape, velocity.clone()) {
            extra.push(ExtraTensor { name: format!("momentum.{}", parameter.name), values });
        }
    }
    for parameter in trainer.best.iter().flat_map(Graph::parameters) {
        let values = parameter.values.to_owned();
        extra.push(ExtraTensor { name: format!("best.{}", parameter.name), values });
    }
    extra.sort_by(|a, b| a.name.cmp(&b.name));
    // Numbers, words and lists always become JSON.
    let training = serde_json::to_value(state).ok();
    Checkpoint { graph: trainer.graph.clone(), training, extra }
}

pub(super) fn restore(checkpoint: Checkpoint, dataset: &Dataset) -> Result<Restored, TrainError> {
    let Checkpoint { graph, training, extra } = checkpoint;
    let training = training.ok_or_else(|| refuse("it has no training state"))?;
    let state: State =
        serde_json::from_value(training).map_err(|error| refuse(&error.to_string()))?;
    let State { config, epoch, step, loss_sum, correct, history, images, data } = state;
    config.validate()?;
    let (training, validation) = dataset.split_validation(config.validation, config.seed)?;
    let found = [training.len(), validation.len()];
    if found != images || fingerprint(&training, &validation) != data {
        return Err(refuse(&format!(
            "the data set is not the one it began with ({} images, here {})",
            images.iter().sum::<usize>(),
            found.iter().sum::<usize>(),
        )));
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
    let velocity = trained(&graph)
        .iter()
        .map(|p| find(format!("momentum.{}", p.name), p.values.shape()))
        .collect::<Result<_, _>>()?;
    let mut best = None;
    if history.iter().any(|report| report.best) {
        let mut graph = graph.clone();
        for parameter in graph.parameters_mut() {
            let name = format!("best.{}", parameter.name);
            parameter.values.copy_from_slice(&find(name, &parameter.shape)?);
        }
        best = Some(graph);
    }
    let progress = Progress { epoch, step, loss_sum, correct, history };
    Ok(Restored { config, graph, best, sgd: Sgd { velocity }, progress })
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
