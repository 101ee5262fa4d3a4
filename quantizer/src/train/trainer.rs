//! The loop: epochs of steps, validation, the best epoch, and stopping.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::augment::Augmentation;
use super::budget::{Budget, Steps};
use super::evaluate::{check_fits, logits};
use super::loader::{Batch, Loader, Plan};
use super::optimizer::{OptimizerState, follow};
use super::{
    EpochReport, Evaluation, Observer, StepReport, TrainConfig, TrainError, divergence, state,
};
use crate::data::Dataset;
use crate::engine::{Executor, Teacher, TrainStep};
use crate::graph::{Checkpoint, Dtype, Graph, Normalization};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// For as many epochs as `patience` says, none was the best.
    OutOfPatience,
    /// The observer stopped it; it can be resumed.
    Stopped,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Epochs that are done.
    pub(super) epoch: usize,
    /// Steps of the next epoch that are done.
    pub(super) step: usize,
    /// Sum of their losses.
    pub(super) loss_sum: f64,
    /// Images of theirs that were right.
    pub(super) correct: usize,
    /// The last steps in a row whose loss was far too high.
    #[serde(default)]
    pub(super) high: usize,
    /// Seconds of training so far; counted with a time budget alone, so that runs without one
    /// are equal to the bit.
    #[serde(default)]
    pub(super) seconds: f64,
    /// The epochs that are done.
    pub(super) history: Vec<EpochReport>,
}

/// A training run: the network, the data and everything that the next step depends on.
pub struct Trainer {
    pub(super) config: TrainConfig,
    pub(super) graph: Graph,
    /// The moving average of the graph.
    pub(super) average: Option<Graph>,
    pub(super) best: Option<Graph>,
    pub(super) optimizer: OptimizerState,
    pub(super) progress: Progress,
    pub(super) training: Dataset,
    pub(super) validation: Dataset,
    /// Whose answers are learnt instead of the labels.
    teacher: Option<Graph>,
    step: TrainStep,
    executor: Executor,
}

impl Trainer {
    /// A run from the beginning. A validation set is split off `dataset` (see
    /// [`TrainConfig::split`]); the graph gets the data's class names and the normalization of the
    /// images that are left.
    pub fn new(graph: Graph, config: TrainConfig, dataset: &Dataset) -> Result<Self, TrainError> {
        let mut trainer = Self::begin(graph, config, dataset)?;
        let (mean, std) = trainer.training.channel_mean_and_std()?;
        // A channel of one value throughout has nothing to scale.
        let std = std.into_iter().map(|std| if std > 0.0 { std } else { 1.0 }).collect();
        trainer.graph.normalization = Normalization { mean, std };
        trainer.average = trainer.average.map(|_| trainer.graph.clone());
        trainer.with_teacher(None)
    }

    /// A run from the weights and the normalization of a network that was trained before, with a
    /// `teacher`, normalized like it, where `config` asks for one.
    pub fn fine_tune(
        graph: Graph,
        teacher: Option<Graph>,
        config: TrainConfig,
        dataset: &Dataset,
    ) -> Result<Self, TrainError> {
        Self::begin(graph, config, dataset)?.with_teacher(teacher)
    }

    /// The same run with its teacher, which a checkpoint does not hold.
    ///
    /// # Errors
    /// Without the teacher that the settings ask for, or with another network's.
    pub fn with_teacher(mut self, teacher: Option<Graph>) -> Result<Self, TrainError> {
        let is_asked = self.config.teacher_temperature > 0.0;
        self.teacher = teacher.filter(|_| is_asked);
        let Some(teacher) = &self.teacher else {
            let found = self.config.teacher_temperature.to_string();
            let expected = "0 without a network to learn from";
            let refusal = TrainError::Config { field: "teacher_temperature", found, expected };
            return if is_asked { Err(refusal) } else { Ok(self) };
        };
        check_fits(teacher, &self.training)?;
        Ok(self)
    }

    fn begin(graph: Graph, config: TrainConfig, dataset: &Dataset) -> Result<Self, TrainError> {
        let mut trainer = Self::assemble(graph, config, dataset)?;
        trainer.graph.class_names.clone_from(&dataset.class_names);
        if trainer.config.zero_gamma && trainer.graph.zero_last_gammas() == 0 {
            return Err(TrainError::Config {
                field: "zero_gamma",
                found: "true".to_owned(),
                expected: "false for a network without blocks that end in batch normalization",
            });
        }
        trainer.average = (trainer.config.ema > 0.0).then(|| trainer.graph.clone());
        Ok(trainer)
    }

    /// Goes on where [`Self::checkpoint`] was taken, with the same bits as if it had not been
    /// interrupted. `dataset` must be the one of the beginning.
    pub fn resume(checkpoint: Checkpoint, dataset: &Dataset) -> Result<Self, TrainError> {
        let restored = state::restore(checkpoint, dataset)?;
        let trainer = Self::assemble(restored.graph, restored.config, dataset)?;
        Ok(Self {
            average: restored.average,
            best: restored.best,
            optimizer: restored.optimizer,
            progress: restored.progress,
            ..trainer
        })
    }

    /// The settings of the run that a checkpoint holds; none where it holds no run.
    ///
    /// # Errors
    /// When its training state is not one of this version's.
    pub fn settings_of(checkpoint: &Checkpoint) -> Result<Option<TrainConfig>, TrainError> {
        state::settings(checkpoint)
    }

    fn assemble(graph: Graph, config: TrainConfig, dataset: &Dataset) -> Result<Self, TrainError> {
        config.validate()?;
        check_fits(&graph, dataset)?;
        let (training, validation) = config.split(dataset)?;
        Ok(Self {
            optimizer: OptimizerState::new(&graph, config.optimizer),
            config,
            graph,
            average: None,
            best: None,
            progress: Progress::default(),
            training,
            validation,
            teacher: None,
            step: TrainStep::new(),
            executor: Executor::new(),
        })
    }

    /// The settings; with a time budget, `fits` says what it came to.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// The network as it is now.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The network of the best epoch by validation accuracy (of equals, by validation loss), or as
    /// it is now where no epoch is done or nothing is held out; with an average, the averaged one.
    pub fn best(&self) -> &Graph {
        self.best.as_ref().or(self.average.as_ref()).unwrap_or(&self.graph)
    }

    /// The report of the best epoch, or of the last where nothing is held out.
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

    /// Steps of an epoch, of the whole run, and those that are done.
    pub fn steps(&self) -> [usize; 3] {
        let steps = self.training.len() / self.batch();
        let all = self.config.steps_in_all(steps);
        // The last epoch of a squeezed run has fewer steps than the others.
        [steps, all, (self.progress.epoch * steps + self.progress.step).min(all)]
    }

    /// Images of a step.
    fn batch(&self) -> usize {
        self.config.batch.min(self.training.len()).max(1)
    }

    /// Trains to the last step, until patience ends, or until the observer stops. The whole state
    /// is saved in `path` after each epoch and on stopping.
    pub fn run(
        &mut self,
        observer: &mut dyn Observer,
        path: Option<&Path>,
    ) -> Result<Outcome, TrainError> {
        let batch = self.batch();
        let plan = Plan {
            batch,
            epochs: self.config.epochs,
            begin: [self.progress.epoch, self.progress.step],
            augmentation: Augmentation::new(&self.config),
        };
        let mut loader = Loader::start(&self.training, &self.graph.normalization, plan)?;
        let mut clock = Clock::new(self);
        while !self.is_finished() {
            if self.is_out_of_patience() {
                return Ok(Outcome::OutOfPatience);
            }
            let epoch = self.progress.epoch;
            let (begun, mut seen) = (Instant::now(), 0_usize);
            while let [steps, all, done] = self.steps()
                && self.progress.step < steps
                && done < all
            {
                let step = self.progress.step;
                let Some(images) = loader.next()? else { break };
                let learning_rate = self.config.learning_rate_at(epoch, step, steps);
                let loss = self.one_step(images, learning_rate)?;
                clock.after_step(self);
                seen += batch;
                let images_per_s = seen as f64 / begun.elapsed().as_secs_f64().max(1e-9);
                observer.on_step(&self.step_report(loss, learning_rate, images_per_s));
                if observer.should_stop() {
                    self.save(path)?;
                    return Ok(Outcome::Stopped);
                }
            }
            let begun = Instant::now();
            self.finish_epoch()?;
            clock.after_epoch(self, begun);
            self.save(path)?;
            if let Some(report) = self.progress.history.last() {
                observer.on_epoch(report);
            }
        }
        Ok(Outcome::Finished)
    }

    /// Whether nothing is left to do; an epoch that was begun has to be finished.
    fn is_finished(&self) -> bool {
        let [_, all, done] = self.steps();
        self.progress.step == 0 && done >= all
    }

    fn is_out_of_patience(&self) -> bool {
        let best = self.best_epoch().map_or(0, |report| report.epoch);
        let waited = self.progress.epoch - best;
        self.progress.step == 0 && self.config.patience > 0 && waited >= self.config.patience
    }

    fn step_report(&self, loss: f64, learning_rate: f32, images_per_s: f64) -> StepReport {
        let [steps, all, done] = self.steps();
        let Progress { epoch, step, correct, .. } = self.progress;
        let accuracy = correct as f64 / (step * self.batch()).max(1) as f64;
        let epoch = epoch + 1;
        StepReport { epoch, step, steps, done, all, loss, accuracy, learning_rate, images_per_s }
    }

    /// The mean loss of the batch before the step.
    fn one_step(&mut self, batch: &Batch, learning_rate: f32) -> Result<f64, TrainError> {
        let [_, _, done] = self.steps();
        let Self { config, graph, progress, .. } = self;
        let images = batch.images.view();
        let taught = self.teacher.as_ref().map(|t| self.executor.forward_eval(t, images));
        let taught = taught.transpose()?;
        let mut targets = batch.targets(config.label_smoothing);
        targets.teacher = taught.as_ref().and_then(|logits| {
            let temperature = config.teacher_temperature;
            Some(Teacher { logits: logits.as_slice()?, temperature })
        });
        let output = self.step.run(graph, images, &targets, config.norm_momentum)?;
        if divergence::diverged(output.loss, graph.classes(), &mut progress.high) {
            let at = (progress.epoch + 1, progress.step + 1);
            let first = self.step.first_non_finite(graph);
            return Err(divergence::describe(at, output.loss, first, graph, self.step.gradients()));
        }
        self.optimizer.step(graph, self.step.gradients(), learning_rate, done, config);
        if let Some(average) = &mut self.average {
            follow(average, graph, config.ema, done);
        }
        progress.step += 1;
        progress.loss_sum += output.loss;
        progress.correct += output.correct;
        Ok(output.loss)
    }

    fn finish_epoch(&mut self) -> Result<(), TrainError> {
        let graph = self.average.as_ref().unwrap_or(&self.graph);
        let validation = match self.validation.len() {
            0 => None,
            _ => Some(Evaluation::of(
                &logits(&self.executor, graph, &self.validation)?,
                &self.validation,
            )),
        };
        let (accuracy, loss) = (validation.map(|v| v.accuracy()), validation.map(|v| v.loss));
        let is_better = |best: &EpochReport| {
            accuracy > best.validation_accuracy
                || accuracy == best.validation_accuracy && loss < best.validation_loss
        };
        let best = validation.is_none() || self.best_epoch().is_none_or(is_better);
        if best {
            self.best = validation.is_some().then(|| graph.clone());
        }
        let ([steps, ..], batch) = (self.steps(), self.batch());
        let Progress { epoch, step, loss_sum, correct, high, seconds, .. } = self.progress;
        self.progress.history.push(EpochReport {
            epoch: epoch + 1,
            train_loss: loss_sum / step as f64,
            train_accuracy: correct as f64 / (step * batch) as f64,
            validation_loss: loss,
            validation_accuracy: accuracy,
            learning_rate: self.config.learning_rate_at(epoch, step - 1, steps),
            best,
        });
        let history = std::mem::take(&mut self.progress.history);
        self.progress =
            Progress { epoch: epoch + 1, high, seconds, history, ..Progress::default() };
        Ok(())
    }

    fn save(&self, path: Option<&Path>) -> Result<(), TrainError> {
        path.map_or(Ok(()), |path| Ok(self.checkpoint().save(path, Dtype::F32)?))
    }
}

/// Counts a run's seconds for its budget; idle without one.
struct Clock {
    begun: Instant,
    /// Of training before this run was resumed.
    before: f64,
    budget: Option<Budget>,
}

impl Clock {
    fn new(trainer: &Trainer) -> Self {
        let seconds = trainer.config.time_budget_s;
        let validation = trainer.validation.len() as f64 / trainer.batch() as f64;
        let budget = (seconds > 0.0).then(|| Budget::new(seconds, validation));
        Self { begun: Instant::now(), before: trainer.progress.seconds, budget }
    }

    fn after_step(&mut self, trainer: &mut Trainer) {
        let Some(budget) = &mut self.budget else { return };
        trainer.progress.seconds = self.before + self.begun.elapsed().as_secs_f64();
        let [epoch, fitted, done] = trainer.steps();
        let whole = trainer.config.epochs.saturating_mul(epoch);
        let steps = Steps { done, fitted, whole, epoch };
        trainer.config.fits.extend(budget.after_step(trainer.progress.seconds, &steps));
    }

    fn after_epoch(&mut self, trainer: &mut Trainer, begun: Instant) {
        let Some(budget) = &mut self.budget else { return };
        trainer.progress.seconds = self.before + self.begun.elapsed().as_secs_f64();
        budget.validated(begun.elapsed().as_secs_f64());
    }
}
