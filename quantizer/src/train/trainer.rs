//! The loop: epochs of steps, validation, the best epoch, and stopping.

use std::path::Path;
use std::time::Instant;

use super::augment::Augmentation;
use super::evaluate::{check_fits, logits};
use super::loader::{Batch, Loader, Plan};
use super::optimizer::Sgd;
use super::{EpochReport, Evaluation, Observer, StepReport, TrainConfig, TrainError, state};
use crate::data::Dataset;
use crate::engine::{Executor, TrainStep};
use crate::graph::{Checkpoint, Dtype, Graph, Normalization};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The observer stopped it; it can be resumed.
    Stopped,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Progress {
    /// Epochs that are done.
    pub(super) epoch: usize,
    /// Steps of the next epoch that are done.
    pub(super) step: usize,
    /// Sum of their losses.
    pub(super) loss_sum: f64,
    /// Images of theirs that were right.
    pub(super) correct: usize,
    /// The epochs that are done.
    pub(super) history: Vec<EpochReport>,
}

/// A training run: the network, the data and everything that the next step depends on.
pub struct Trainer {
    pub(super) config: TrainConfig,
    pub(super) graph: Graph,
    pub(super) best: Option<Graph>,
    pub(super) sgd: Sgd,
    pub(super) progress: Progress,
    pub(super) training: Dataset,
    pub(super) validation: Dataset,
    step: TrainStep,
    executor: Executor,
}

impl Trainer {
    /// A run from the beginning. A validation set is split off `dataset` (a share of each class,
    /// by the seed); the graph gets the data's class names and the normalization of the images
    /// that are left.
    pub fn new(graph: Graph, config: TrainConfig, dataset: &Dataset) -> Result<Self, TrainError> {
        let mut trainer = Self::assemble(graph, config, dataset)?;
        let (mean, std) = trainer.training.channel_mean_and_std()?;
        // A channel of one value throughout has nothing to scale.
        let std = std.into_iter().map(|std| if std > 0.0 { std } else { 1.0 }).collect();
        trainer.graph.normalization = Normalization { mean, std };
        trainer.graph.class_names.clone_from(&dataset.class_names);
        Ok(trainer)
    }

    /// Goes on where [`Self::checkpoint`] was taken, with the same bits as if it had not been
    /// interrupted. `dataset` must be the one of the beginning.
    pub fn resume(checkpoint: Checkpoint, dataset: &Dataset) -> Result<Self, TrainError> {
        let restored = state::restore(checkpoint, dataset)?;
        let trainer = Self::assemble(restored.graph, restored.config, dataset)?;
        Ok(Self { best: restored.best, sgd: restored.sgd, progress: restored.progress, ..trainer })
    }

    fn assemble(graph: Graph, config: TrainConfig, dataset: &Dataset) -> Result<Self, TrainError> {
        config.validate()?;
        check_fits(&graph, dataset)?;
        let (training, validation) = dataset.split_validation(config.validation, config.seed)?;
        Ok(Self {
            sgd: Sgd::new(&graph),
            config,
            graph,
            best: None,
            progress: Progress::default(),
            training,
            validation,
            step: TrainStep::new(),
            executor: Executor::new(),
        })
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network as it is now.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The network of the best epoch by validation accuracy (of equals, by validation loss), or as
    /// it is now where no epoch is done.
    pub fn best(&self) -> &Graph {
        self.best.as_ref().unwrap_or(&self.graph)
    }

    /// The report of the best epoch.
    pub fn best_epoch(&self) -> Option<&EpochReport> {
        self.progress.history.iter().rfind(|report| report.best)
    }

    /// All epochs that are done.
    pub fn history(&self) -> &[EpochReport] {
        &self.progress.history
    }

    /// Images that are trained on, and images held out to choose the best epoch.
    pub fn image_counts(&self) -> (usize, usize) {
        (self.training.len(), self.validation.len())
    }

    /// Everything that [`Self::resume`] needs.
    pub fn checkpoint(&self) -> Checkpoint {
        state::capture(self)
    }

    /// Trains to the last epoch, or until the observer stops. The whole state is saved in `path`
    /// after each epoch and on stopping.
    pub fn run(
        &mut self,
        observer: &mut dyn Observer,
        path: Option<&Path>,
    ) -> Result<Outcome, TrainError> {
        let batch = self.config.batch.min(self.training.len());
        let steps = self.training.len() / batch;
        let plan = Plan {
            batch,
            epochs: self.config.epochs,
            begin: [self.progress.epoch, self.progress.step],
            augmentation: Augmentation::new(&self.config),
        };
        let mut loader = Loader::start(&self.training, &self.graph.normalization, plan)?;
        let (begun, mut seen) = (Instant::now(), 0_usize);
        while self.progress.epoch < self.config.epochs {
            let epoch = self.progress.epoch;
            while self.progress.step < steps {
                let step = self.progress.step;
                let Some(images) = loader.next()? else { break };
                let learning_rate = self.config.learning_rate_at(epoch, step, steps);
                let loss = self.one_step(images, learning_rate)?;
                seen += batch;
                observer.on_step(&StepReport {
                    epoch: epoch + 1,
                    step: step + 1,
                    steps,
                    loss,
                    learning_rate,
                    images_per_s: seen as f64 / begun.elapsed().as_secs_f64().max(1e-9),
                });
                if observer.should_stop() {
                    self.save(path)?;
                    return Ok(Outcome::Stopped);
                }
            }
            self.finish_epoch(steps, batch)?;
            self.save(path)?;
            if let Some(report) = self.progress.history.last() {
                observer.on_epoch(report);
            }
        }
        Ok(Outcome::Finished)
    }

    /// The mean loss of the batch before the step.
    fn one_step(&mut self, batch: &Batch, learning_rate: f32) -> Result<f64, TrainError> {
        let Self { config, graph, progress, .. } = self;
        let targets = batch.targets(config.label_smoothing);
        let images = batch.images.view();
        let output = self.step.run(graph, images, &targets, config.norm_momentum)?;
        if !output.loss.is_finite() {
            let layer = self.step.first_non_finite(graph).unwrap_or("the loss").to_string();
            let (epoch, step) = (progress.epoch + 1, progress.step + 1);
            return Err(TrainError::Diverged { epoch, step, loss: output.loss, layer });
        }
        self.sgd.step(graph, self.step.gradients(), learning_rate, config);
        progress.step += 1;
        progress.loss_sum += output.loss;
        progress.correct += output.correct;
        Ok(output.loss)
    }

    fn finish_epoch(&mut self, steps: usize, batch: usize) -> Result<(), TrainError> {
        let logits = logits(&self.executor, &self.graph, &self.validation)?;
        let validation = Evaluation::of(&logits, &self.validation);
        let (accuracy, loss) = (validation.accuracy(), validation.loss);
        let best = self.best_epoch().is_none_or(|best| {
            accuracy > best.validation_accuracy
                || accuracy == best.validation_accuracy && loss < best.validation_loss
        });
        if best {
            self.best = Some(self.graph.clone());
        }
        let Progress { epoch, loss_sum, correct, .. } = self.progress;
        self.progress.history.push(EpochReport {
            epoch: epoch + 1,
            train_loss: loss_sum / steps as f64,
            train_accuracy: correct as f64 / (steps * batch) as f64,
            validation_loss: loss,
            validation_accuracy: accuracy,
            learning_rate: self.config.learning_rate_at(epoch, steps - 1, steps),
            best,
        });
        let history = std::mem::take(&mut self.progress.history);
        self.progress = Progress { epoch: epoch + 1, history, ..Progress::default() };
        Ok(())
    }

    fn save(&self, path: Option<&Path>) -> Result<(), TrainError> {
        path.map_or(Ok(()), |path| Ok(self.checkpoint().save(path, Dtype::F32)?))
    }
}
