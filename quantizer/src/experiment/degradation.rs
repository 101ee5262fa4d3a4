//! Degradation (paper, section 4.2, figure 6): does a deeper network train to a higher loss?
//!
//! Owns the runs and their files in a folder: `settings.json`, which all runs there share, a file
//! `plain-56-seed0.json` for each finished run, and `plain-56-seed0.resume.safetensors` for one
//! that was interrupted. A run that is there is not run again.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{ExperimentError, Network};
use crate::data::Dataset;
use crate::graph::Checkpoint;
use crate::train::{EpochReport, Observer, Outcome, TrainConfig, TrainError, Trainer};
use crate::write_whole::write_whole;

/// What is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Depths, each `6n + 2`; both families of each.
    pub depths: Vec<usize>,
    /// Seeds of the weights and the batches: 0, 1, and so on, so many.
    pub seeds: u64,
    /// Channels of the first stage; the paper's have 16.
    pub width: usize,
    /// The recipe, whose own seed is not used.
    pub train: TrainConfig,
}

/// A network with its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The network.
    #[serde(flatten)]
    pub network: Network,
    /// Of its weights, and of the split, the order and the augmentation of the images.
    pub seed: u64,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Which it is.
    #[serde(flatten)]
    pub key: Key,
    /// Trained parameters of the network.
    pub parameters: u64,
    /// Multiply-accumulates of one image.
    pub macs: u64,
    /// Seconds of its last stretch, which is the whole run where it was not interrupted.
    pub seconds: f64,
    /// All epochs.
    pub epochs: Vec<EpochReport>,
}

/// Hears of the runs' progress beside that of their steps, and may end the experiment.
pub trait Watcher: Observer {
    /// Before a run begins or goes on, when `epochs` of it are done.
    fn on_run(&mut self, _plan: &Planned, _epochs: usize) {}

    /// After a run, or instead of one that was found finished.
    fn on_finished(&mut self, _plan: &Planned, _run: &Run) {}
}

/// Hears nothing.
impl Watcher for () {}

/// A run to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Which it is.
    pub key: Key,
    /// Multiply-accumulates of one image: runs take their time in proportion.
    pub macs: u64,
}

/// What became of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Runs {
    /// The finished ones, in their order.
    pub finished: Vec<Run>,
    /// All that were asked for.
    pub planned: usize,
    /// Images that are trained on, and images held out, for each seed.
    pub images: [usize; 2],
}

/// What all runs of a folder share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shared {
    data: String,
    images: usize,
    shape: [usize; 3],
    width: usize,
    train: TrainConfig,
}

/// All runs in their order: seed by seed, so that an interrupted experiment has whole comparisons.
///
/// # Errors
/// Where a depth is not the paper's or the images do not fit.
pub fn plan(settings: &Settings, dataset: &Dataset) -> Result<Vec<Planned>, ExperimentError> {
    let networks = Network::of_depths(&settings.depths)?;
    if settings.seeds == 0 {
        let (found, expected) = ("0".to_owned(), "at least 1");
        return Err(ExperimentError::Setting { what: "seeds", found, expected });
    }
    let mut planned = Vec::new();
    for network in networks {
        let macs = network.build(settings.width, dataset, 0)?.macs();
        let key = |seed| Key { network, seed };
        planned.extend((0..settings.seeds).map(|seed| Planned { key: key(seed), macs }));
    }
    planned.sort_by_key(|planned| planned.key.seed);
    Ok(planned)
}

/// Trains all networks of `settings` on `dataset`; runs that `folder` has are taken from there.
/// Stops when `watcher` does, after saving the run that it was at: the same call goes on.
///
/// # Errors
/// Where the settings make no sense, the folder's runs have others, or a run fails.
pub fn run(
    settings: &Settings,
    dataset: &Dataset,
    folder: &Path,
    watcher: &mut dyn Watcher,
) -> Result<Runs, ExperimentError> {
    let planned = plan(settings, dataset)?;
    let images = image_counts(settings, dataset)?;
    share(settings, dataset, folder)?;
    let mut finished = Vec::with_capacity(planned.len());
    for plan in &planned {
        let experiment = Experiment { settings, dataset, folder, plan };
        let found = experiment.read()?;
        let Some(run) = found.map_or_else(|| experiment.train(watcher), |run| Ok(Some(run)))?
        else {
            break;
        };
        watcher.on_finished(plan, &run);
        finished.push(run);
    }
    Ok(Runs { finished, planned: planned.len(), images })
}

/// Images that each run is trained on, and images that it holds out.
///
/// # Errors
/// Where the recipe makes no sense, or holds no images out: their error is part of the report.
pub fn image_counts(settings: &Settings, dataset: &Dataset) -> Result<[usize; 2], ExperimentError> {
    let wrong = |problem| ExperimentError::Recipe(Box::new(problem));
    settings.train.validate().map_err(wrong)?;
    let split = TrainConfig { seed: 0, ..settings.train.clone() }.split(dataset);
    let (training, validation) = split.map_err(|problem| wrong(problem.into()))?;
    if validation.is_empty() {
        let (what, found, expected) = ("validation", "0".to_owned(), "a share above 0");
        return Err(ExperimentError::Setting { what, found, expected });
    }
    Ok([training.len(), validation.len()])
}

/// Checks that the folder's runs share these settings, or says so in a new folder.
fn share(settings: &Settings, dataset: &Dataset, folder: &Path) -> Result<(), ExperimentError> {
    let shared = Shared {
        data: dataset.name.clone(),
        images: dataset.len(),
        shape: dataset.shape,
        width: settings.width,
        train: TrainConfig { seed: 0, ..settings.train.clone() },
    };
    let path = folder.join("settings.json");
    let Some(found) = read_json::<Shared>(&path)? else {
        std::fs::create_dir_all(folder).map_err(|problem| io(folder, problem))?;
        return write_json(&path, &shared);
    };
    let other = |what, found: String, expected: String| {
        Err(ExperimentError::Other { path: path.clone(), what, found, expected })
    };
    if (&found.data, found.images, found.shape) != (&shared.data, shared.images, shared.shape) {
        let words = |s: &Shared| format!("{} images {:?} of {}", s.images, s.shape, s.data);
        return other("data set", words(&found), words(&shared));
    }
    if found.width != shared.width {
        return other("width", found.width.to_string(), shared.width.to_string());
    }
    let fields = |config: &TrainConfig| serde_json::to_value(config).unwrap_or_default();
    let (theirs, ours) = (fields(&found.train), fields(&shared.train));
    let differs = ours
        .as_object()
        .into_iter()
        .flatten()
        .find(|(key, value)| theirs.get(key.as_str()) != Some(*value));
    match differs {
        Some((key, value)) => {
            let found = format!("{key} = {}", theirs.get(key).unwrap_or_default());
            other("recipe", found, format!("{key} = {value}"))
        }
        None => Ok(()),
    }
}

/// One run at its place.
struct Experiment<'a> {
    settings: &'a Settings,
    dataset: &'a Dataset,
    folder: &'a Path,
    plan: &'a Planned,
}

impl Experiment<'_> {
    fn path(&self, end: &str) -> PathBuf {
        let Key { network, seed } = self.plan.key;
        self.folder.join(format!("{network}-seed{seed}.{end}"))
    }

    /// The run, where it is finished.
    fn read(&self) -> Result<Option<Run>, ExperimentError> {
        read_json(&self.path("json"))
    }

    /// The run at its beginning, or where it was interrupted.
    fn trainer(&self) -> Result<Trainer, ExperimentError> {
        let Key { network, seed } = self.plan.key;
        let failed = |problem| self.failed(problem);
        let state = self.path("resume.safetensors");
        if state.exists() {
            return Trainer::resume(Checkpoint::load(&state)?, self.dataset).map_err(failed);
        }
        let config = TrainConfig { seed, ..self.settings.train.clone() };
        let graph = network.build(self.settings.width, self.dataset, seed)?;
        Trainer::new(graph, config, self.dataset).map_err(failed)
    }

    /// The run to its end, or none where the watcher stopped it.
    fn train(&self, watcher: &mut dyn Watcher) -> Result<Option<Run>, ExperimentError> {
        let (mut trainer, state) = (self.trainer()?, self.path("resume.safetensors"));
        watcher.on_run(self.plan, trainer.history().len());
        let begun = Instant::now();
        let outcome = trainer.run(&mut *watcher, Some(&state));
        if outcome.map_err(|problem| self.failed(problem))? == Outcome::Stopped {
            return Ok(None);
        }
        let run = Run {
            key: self.plan.key,
            parameters: trainer.graph().parameter_count(),
            macs: self.plan.macs,
            seconds: begun.elapsed().as_secs_f64(),
            epochs: trainer.history().to_vec(),
        };
        write_json(&self.path("json"), &run)?;
        // The run is over: nothing is left to resume.
        let _ = std::fs::remove_file(&state);
        Ok(Some(run))
    }

    fn failed(&self, problem: TrainError) -> ExperimentError {
        let Key { network, seed } = self.plan.key;
        ExperimentError::Run { network, seed, problem: Box::new(problem) }
    }
}

fn io(path: &Path, problem: std::io::Error) -> ExperimentError {
    ExperimentError::Io { path: path.into(), problem }
}

/// The file, or none where there is none.
fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, ExperimentError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(problem) => return Err(io(path, problem)),
    };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|problem| ExperimentError::File { path: path.into(), problem })
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), ExperimentError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|problem| ExperimentError::File { path: path.into(), problem })?;
    write_whole(path, text.as_bytes()).map_err(|problem| io(path, problem))
}
