//! Gradient flow: the norm of the loss's gradient by layer, at initialization and while training.
//!
//! Owns the measurement. With batch normalization the gradients of plain networks do not vanish
//! (paper, section 4.1); how evenly they are spread over the layers is what is seen here.

use ndarray::Array4;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{ExperimentError, Network, Spread};
use crate::data::{Dataset, Decoder};
use crate::engine::{Targets, TrainStep};
use crate::graph::{Graph, ParameterKind};
use crate::train::{Observer, StepReport, TrainConfig, Trainer};

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Depths, each `6n + 2`; both families of each.
    pub depths: Vec<usize>,
    /// Channels of the first stage; the paper's have 16.
    pub width: usize,
    /// Batches over which norms are averaged.
    pub batches: usize,
    /// The recipe: its batch is that of the measurement too, its seed that of everything. It is
    /// followed for one epoch.
    pub train: TrainConfig,
}

/// When it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before the first step.
    Initialization,
    /// After the first epoch.
    FirstEpoch,
}

/// A layer with weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The node: `stage1.block0.conv1`.
    pub name: String,
    /// Euclidean norm of the gradient of the loss with respect to its weights, over batches.
    pub gradient: Spread,
    /// Euclidean norm of its weights.
    pub weights: f64,
}

/// A network at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// The network.
    #[serde(flatten)]
    pub network: Network,
    /// When.
    pub moment: Moment,
    /// Its layers from the image to the classifier.
    pub layers: Vec<Layer>,
    /// Mean loss of the batches.
    pub loss: Spread,
}

impl Flow {
    /// The largest mean norm of a layer over the smallest: 1 where all are alike.
    pub fn ratio(&self) -> f64 {
        let all = Spread::of(self.layers.iter().map(|layer| layer.gradient.mean));
        all.high / all.low
    }
}

/// Measures all networks of `settings`: each at both moments, in the order of
/// [`Network::of_depths`]. None where `observer` stopped it.
///
/// # Errors
/// Where the settings make no sense, the images do not fit, or training diverges.
pub fn run(
    settings: &Settings,
    dataset: &Dataset,
    observer: &mut dyn Observer,
) -> Result<Option<Vec<Flow>>, ExperimentError> {
    if settings.batches == 0 {
        let (found, expected) = ("0".to_owned(), "at least 1");
        return Err(ExperimentError::Setting { what: "batches", found, expected });
    }
    let wrong = |problem| ExperimentError::Recipe(Box::new(problem));
    settings.train.validate().map_err(wrong)?;
    let seed = settings.train.seed;
    let mut flows = Vec::new();
    for network in Network::of_depths(&settings.depths)? {
        let failed = |problem| ExperimentError::Run { network, seed, problem: Box::new(problem) };
        let graph = network.build(settings.width, dataset, seed)?;
        let config = settings.train.clone();
        let mut trainer = Trainer::new(graph, config, dataset).map_err(failed)?;
        flows.push(measure(settings, dataset, network, Moment::Initialization, trainer.graph())?);
        let mut epoch = OneEpoch { observer: &mut *observer, over: false, stopped: false };
        trainer.run(&mut epoch, None).map_err(failed)?;
        if epoch.stopped {
            return Ok(None);
        }
        flows.push(measure(settings, dataset, network, Moment::FirstEpoch, trainer.graph())?);
    }
    Ok(Some(flows))
}

/// Ends a run with its first epoch, so that the schedule is that of the whole run.
struct OneEpoch<'a> {
    observer: &'a mut dyn Observer,
    over: bool,
    stopped: bool,
}

impl Observer for OneEpoch<'_> {
    fn on_step(&mut self, report: &StepReport) {
        self.over = report.step == report.steps;
        self.observer.on_step(report);
    }

    fn should_stop(&mut self) -> bool {
        self.stopped = self.observer.should_stop();
        self.over || self.stopped
    }
}

/// The norms of a network over batches of training images, drawn by the seed, not augmented.
fn measure(
    settings: &Settings,
    dataset: &Dataset,
    network: Network,
    moment: Moment,
    graph: &Graph,
) -> Result<Flow, ExperimentError> {
    let batch = settings.train.batch.min(dataset.len());
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(settings.train.seed));
    // A small data set is gone through as often as it takes.
    let mut order = order.into_iter().cycle();
    let [h, w, c] = dataset.shape;
    let mut images = Array4::zeros([batch, h, w, c]);
    let mut decoder = Decoder::new();
    let (mut step, mut norms, mut losses) = (TrainStep::new(), Vec::new(), Vec::new());
    for _ in 0..settings.batches {
        let indices: Vec<usize> = order.by_ref().take(batch).collect();
        let pixels = images.as_slice_mut().unwrap_or_default();
        for (&index, out) in indices.iter().zip(pixels.chunks_exact_mut(dataset.image_bytes())) {
            let image = dataset.image(index, &mut decoder);
            graph
                .normalization
                .apply(image.map_err(|e| ExperimentError::Recipe(Box::new(e.into())))?, out);
        }
        let labels: Vec<usize> = indices.iter().map(|&i| dataset.label(i).into()).collect();
        // The running averages move; the network stays as it is.
        let mut moved = graph.clone();
        let output = step.run(&mut moved, images.view(), &Targets::new(&labels), 0.1)?;
        losses.push(output.loss);
        norms.push(step.gradients().iter().map(|gradient| norm(gradient)).collect::<Vec<f64>>());
    }
    let parameters = graph.parameters().into_iter().filter(|p| p.kind.is_trained());
    let weights = parameters.enumerate().filter(|(_, p)| p.kind == ParameterKind::Weights);
    let layer = |(at, parameter): (usize, crate::graph::Parameter<'_>)| Layer {
        name: parameter.name.trim_end_matches(".weights").to_owned(),
        gradient: Spread::of(norms.iter().map(|norms| norms[at])),
        weights: norm(&parameter.values.iter().copied().collect::<Vec<f32>>()),
    };
    let layers = weights.map(layer).collect();
    Ok(Flow { network, moment, layers, loss: Spread::of(losses) })
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}
