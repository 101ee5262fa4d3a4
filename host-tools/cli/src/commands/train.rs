//! `resmcu train`: a float network from images, also one that rounds as its integers will.

mod resume;
mod settings;
mod start;

use crate::curves;
use crate::failure::{Failure, OrFail, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{Opening, Report, grouped, percent};
use clap::Args;
use indicatif::ProgressBar;
use resmcu_quantizer::data::{Dataset, FASHION_MNIST_SMALL, ReadOptions, Source};
use resmcu_quantizer::graph::{Checkpoint, Dtype, Graph, resnet};
use resmcu_quantizer::train::{
    EpochReport, Observer, Outcome as Ending, StepReport, TrainConfig, TrainError, Trainer,
    unit_input,
};
use serde::Serialize;
use settings::DtypeName;
use start::Scheme;
use std::fmt;
use std::path::{Path, PathBuf};

/// Longest side of the images that networks take as they are.
const LARGE: usize = 64;

/// Trains a residual network in float and writes the checkpoint of its best epoch, or of its last
/// without images held out
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// A network of the zoo; its input and classes follow the data
    #[arg(default_value = "resnet8-fashion")]
    network: String,
    /// Begin with the weights of a checkpoint, whose network it is then, and with settings that
    /// suit fine-tuning
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Fine-tune with the rounding of integers (quantization-aware); `resmcu quantize` of the
    /// result gives exactly those
    #[arg(long, value_enum, value_name = "SCHEME", requires = "from")]
    quantize: Option<Scheme>,
    /// A CIFAR binary file, an IDX pair or folder, a folder of images, or a data set's name
    #[arg(long, value_name = "PATH", default_value = FASHION_MNIST_SMALL)]
    data: String,
    /// Side to which the images of a folder are cut and resized [default: 224 for `resnet18` and
    /// the other networks of large images, else as the images are]
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
    /// Where the checkpoint is written [default: the network's name with `.safetensors`; of
    /// `--quantize` its scheme comes before that]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    settings: settings::Settings,
    /// How the checkpoint's parameters are stored
    #[arg(long, value_enum, value_name = "DTYPE", default_value = "f32")]
    dtype: DtypeName,
    /// Draw no curves beside the checkpoint
    #[arg(long)]
    no_curves: bool,
    /// Go on with an interrupted run of the same network, data and output, by its own settings;
    /// others that are named are refused
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    network: String,
    parameters: u64,
    macs: u64,
    data: String,
    training_images: usize,
    validation_images: usize,
    config: TrainConfig,
    finished: bool,
    /// No new best epoch for as many as `patience` says.
    stopped_early: bool,
    best: Option<EpochReport>,
    epochs: Vec<EpochReport>,
    seconds: f64,
    file: String,
}

impl Train {
    pub(crate) fn run(&self) -> Outcome {
        let given = self.given()?;
        let output = self.output(given.as_ref())?;
        let state = output.with_extension("resume.safetensors");
        let begun = self.begun(given.as_ref(), &state)?;
        let dataset = self.images(given.as_ref())?;
        let mut trainer = match begun {
            Some(begun) => self.resumed(begun, given, &dataset)?,
            None => self.trainer(given, &dataset)?,
        };
        let stop = Interrupt::listen()?;
        let begun = std::time::Instant::now();
        let (training_images, validation_images) = trainer.image_counts();
        let epochs = trainer.config().epochs;
        let steps = training_images / trainer.config().batch.min(training_images).max(1);
        let bar = crate::progress::bar(epochs * steps, "training");
        let done = trainer.history().len() * steps;
        bar.set_position(done as u64);
        bar.reset_eta();
        let mut progress = Progress { bar: bar.clone(), epochs, stop };
        let ending = trainer.run(&mut progress, Some(&state)).map_err(describe)?;
        bar.finish_and_clear();
        let finished = ending != Ending::Stopped;
        let stopped_early = ending == Ending::OutOfPatience;
        if finished {
            save(trainer.best(), &output, self.dtype.into())?;
            settings::save(trainer.config(), &output.with_extension("config.toml"))?;
            // The run is over: nothing is left to resume.
            let _ = std::fs::remove_file(&state);
        }
        if !self.no_curves && !trainer.history().is_empty() {
            let title = format!("{} on {}", trainer.graph().name, dataset.name);
            curves::write(&output.with_extension("curves.svg"), &title, trainer.history())?;
        }
        let file = if finished { &output } else { &state };
        let graph = trainer.graph();
        let body = Body {
            network: graph.name.clone(),
            parameters: graph.parameter_count(),
            macs: graph.macs(),
            data: format!("{} (train)", dataset.name),
            training_images,
            validation_images,
            config: trainer.config().clone(),
            finished,
            stopped_early,
            best: trainer.best_epoch().cloned(),
            epochs: trainer.history().to_vec(),
            seconds: begun.elapsed().as_secs_f64(),
            file: file.display().to_string(),
        };
        Report { opening: Opening::plain(), body }.print(self.json.json)?;
        if finished {
            return Ok(());
        }
        Err(Failure::check("the run was interrupted; its state is saved")
            .in_file(&state)
            .help("the same command with `--resume` goes on"))
    }

    /// The images to learn from. Those of a folder are cut and resized to the size that is asked
    /// for, or to the input of a network for large images, or of a checkpoint.
    fn images(&self, given: Option<&Graph>) -> Outcome<Dataset> {
        let mut options = ReadOptions::default();
        if let Some(graph) = given {
            let [height, width, channels] = graph.input_shape();
            options.size = Some([height, width]);
            options.channels = Some(channels);
        } else {
            let spec = resnet::by_name(&self.network).or_fail("name one of these networks")?;
            let [side, _, channels] = spec.input;
            if let Some(side) = self.image_size.or((side > LARGE).then_some(side)) {
                options.size = Some([side, side]);
                options.channels = Some(channels);
            }
        }
        let dataset = Source::find(&self.data)?.with_options(options).load_training()?;
        let [height, width, _] = dataset.shape;
        match self.image_size {
            Some(side) if [height, width] != [side; 2] => {
                let found = format!("images of {height}x{width}, and `--image-size` is {side}");
                Err(Failure::input(found)
                    .at(&self.data)
                    .help("only folders of images are resized; leave out `--image-size`"))
            }
            _ => Ok(dataset),
        }
    }

    fn output(&self, given: Option<&Graph>) -> Outcome<PathBuf> {
        let name = given.map_or(self.network.as_str(), |graph| &graph.name);
        let suffix = self.quantize.map_or("", Scheme::suffix);
        match &self.output {
            Some(output) if output.extension().is_some_and(|ending| ending == "rmcu") => {
                Err(Failure::input("training writes a checkpoint, and models end in `.rmcu`")
                    .in_file(output)
                    .help("end it in `.safetensors`; `resmcu quantize` makes the model of it"))
            }
            Some(output) => Ok(output.clone()),
            None => Ok(format!("{name}{suffix}.safetensors").into()),
        }
    }

    fn trainer(&self, given: Option<Graph>, dataset: &Dataset) -> Outcome<Trainer> {
        let config = self.settings.over(self.recipe(given.as_ref()))?;
        let Some(given) = given else {
            let graph = self.random(&config, dataset)?;
            return Trainer::new(graph, config, dataset).map_err(describe);
        };
        let given = unit_input(given, dataset).map_err(describe)?;
        let graph = self.start(given.clone(), dataset)?;
        Trainer::fine_tune(graph, Some(given), config, dataset).map_err(describe)
    }

    fn resumed(
        &self,
        begun: Checkpoint,
        given: Option<Graph>,
        dataset: &Dataset,
    ) -> Outcome<Trainer> {
        let teacher = given.map(|given| unit_input(given, dataset)).transpose();
        let trainer = Trainer::resume(begun, dataset).map_err(describe)?;
        trainer.with_teacher(teacher.map_err(describe)?).map_err(describe)
    }
}

fn save(graph: &Graph, path: &Path, dtype: Dtype) -> Outcome {
    let checkpoint = Checkpoint { graph: graph.clone(), training: None, extra: Vec::new() };
    checkpoint.save(path, dtype).or_fail("name another file with `-o`")
}

/// An error of the trainer with what to do about it.
fn describe(error: TrainError) -> Failure {
    let help = match &error {
        TrainError::Config { .. } => "`resmcu train --help` lists the settings",
        TrainError::Mismatch { .. } => "name a data set that goes with the network",
        TrainError::Diverged { .. } => "try a lower `--learning-rate`",
        TrainError::Resume { .. } => "leave out `--resume` to begin again",
        _ => "`resmcu dataset PATH` checks the data",
    };
    Failure::input(error).help(help)
}

/// The bar, and one plain line an epoch.
struct Progress {
    bar: ProgressBar,
    epochs: usize,
    stop: Interrupt,
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport) {
        let StepReport { epoch, loss, accuracy, learning_rate, images_per_s, .. } = report;
        let accuracy = percent(*accuracy);
        self.bar.set_message(format!(
            "epoch {epoch}, loss {loss:.3}, {accuracy}, lr {learning_rate:.4}, \
             {images_per_s:.0} images/s"
        ));
        // A time budget may change how many there are.
        self.bar.set_length(report.all as u64);
        self.bar.set_position(report.done as u64);
    }

    fn on_epoch(&mut self, report: &EpochReport) {
        let EpochReport { epoch, train_loss, train_accuracy, .. } = report;
        let EpochReport { validation_accuracy, learning_rate, best, .. } = report;
        let training = percent(*train_accuracy);
        let validation = validation_accuracy
            .map_or(String::new(), |accuracy| format!(", validation {}", percent(accuracy)));
        // With nothing held out the latest is kept, which goes without saying.
        let best = if *best && validation_accuracy.is_some() { ", best" } else { "" };
        self.bar.suspend(|| {
            eprintln!(
                "epoch {epoch}/{}: loss {train_loss:.4}, training {training}{validation}, \
                 lr {learning_rate:.4}{best}",
                self.epochs
            );
        });
    }

    fn should_stop(&mut self) -> bool {
        self.stop.pressed()
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parameters, macs) = (grouped(self.parameters), grouped(self.macs));
        writeln!(f, "network      {}: {parameters} parameters, {macs} MACs", self.network)?;
        let (training, validation) = (self.training_images, self.validation_images);
        writeln!(f, "data         {}: {training} images, {validation} held out", self.data)?;
        if let Some(best) = &self.best {
            match best.validation_accuracy.map(percent) {
                Some(accuracy) => {
                    writeln!(f, "best epoch   {}: {accuracy} of the held-out images", best.epoch)?;
                }
                None => writeln!(f, "kept epoch   {}, the last: none held out", best.epoch)?,
            }
        }
        if self.stopped_early {
            let (epochs, patience) = (self.epochs.len(), self.config.patience);
            writeln!(f, "ended        after epoch {epochs}: no better one in {patience}")?;
        }
        writeln!(f, "time         {:.0} s", self.seconds)?;
        let what = if self.finished { "written" } else { "state" };
        writeln!(f, "{what:<12} {}", self.file)
    }
}
