//! `resmcu experiment degradation`: does a deeper network train to a higher loss?

use super::{Choice, describe, words};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{Opening, Report, grouped, percent, table, write_file};
use crate::plot::{self, Chart, Line, Scale};
use crate::{commands, duration};
use clap::Args;
use indicatif::ProgressBar;
use resmcu_quantizer::data::Dataset;
use resmcu_quantizer::experiment::degradation::{self, Planned, Run, Settings, Watcher};
use resmcu_quantizer::experiment::summary::{Comparison, Curve, Metric, Verdict, compare, curves};
use resmcu_quantizer::experiment::{Family, Spread};
use resmcu_quantizer::train::{EpochReport, Observer, StepReport, TrainConfig};
use serde::Serialize;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Trains plain and residual networks of several depths and draws their curves (He et al. 2015,
/// section 4.2)
///
/// Runs that the folder has are not run again; Ctrl-C saves, and the same command goes on.
#[derive(Debug, Args)]
pub(crate) struct Degradation {
    #[command(flatten)]
    choice: Choice,
    /// Runs of each network, with the seeds 0, 1, and so on
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Save and end after this time (90s, 45m, 1.5h); the same command goes on
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    time_budget: Option<Duration>,
    /// The folder of the runs and the report
    #[arg(short, long, value_name = "FOLDER", default_value = "degradation")]
    output: PathBuf,
    #[command(flatten)]
    json: commands::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    training_images: usize,
    validation_images: usize,
    width: usize,
    config: TrainConfig,
    finished_runs: usize,
    planned_runs: usize,
    networks: Vec<Curve>,
    comparisons: Vec<Comparison>,
    files: Vec<String>,
}

impl Degradation {
    pub(crate) fn run(&self) -> Outcome {
        let dataset = self.choice.dataset()?;
        let settings = Settings {
            depths: self.choice.depths.clone(),
            seeds: self.seeds,
            width: self.choice.width,
            train: self.choice.recipe(0),
        };
        let mut progress = Progress::new(&settings, &dataset, self.time_budget)?;
        let runs = degradation::run(&settings, &dataset, &self.output, &mut progress);
        progress.bar.finish_and_clear();
        let runs = runs.map_err(describe)?;
        let (finished, planned) = (runs.finished.len(), runs.planned);
        if finished > 0 {
            let networks = curves(&runs.finished);
            let body = Body {
                data: format!("{} (train)", dataset.name),
                training_images: runs.images[0],
                validation_images: runs.images[1],
                width: settings.width,
                config: settings.train,
                finished_runs: finished,
                planned_runs: planned,
                comparisons: compare(&networks),
                files: write(&self.output, &dataset.name, &runs.finished, &networks)?,
                networks,
            };
            Report { opening: Opening::plain(), body }.print(self.json.json)?;
        }
        if finished == planned {
            return Ok(());
        }
        Err(Failure::check(format!("{finished} of {planned} runs are finished; the rest is saved"))
            .in_file(&self.output)
            .help("the same command goes on"))
    }
}

/// The curves as a picture and as a table for other programs.
fn write(folder: &Path, data: &str, runs: &[Run], networks: &[Curve]) -> Outcome<Vec<String>> {
    let (picture, values) = (folder.join("curves.svg"), folder.join("curves.csv"));
    let title = format!("Plain and residual networks on {data}");
    plot::write(&picture, &title, &charts(runs, networks))?;
    write_file(&values, csv(runs).as_bytes())?;
    Ok([picture, values].map(|path| path.display().to_string()).into())
}

/// A chart a metric: each network's mean over its seeds, and its seeds, pale.
fn charts(runs: &[Run], networks: &[Curve]) -> Vec<Chart> {
    let chart = |metric: Metric| {
        let factor = if metric == Metric::TrainingLoss { 1.0 } else { 100.0 };
        let mut lines = Vec::new();
        for (color, network) in networks.iter().enumerate() {
            let line = |name, faint, points| Line { name, color, faint, points };
            let seeds = runs.iter().filter(|run| run.key.network == network.network);
            lines.extend(seeds.filter(|_| network.seeds > 1).map(|run| {
                let point = |e: &EpochReport| (e.epoch as f64, factor * metric.of(e));
                line(String::new(), true, run.epochs.iter().map(point).collect())
            }));
            let point = |p: &_| mean(p, metric, factor);
            let points = network.points.iter().map(point).collect();
            lines.push(line(network.network.to_string(), false, points));
        }
        let scale = if metric == Metric::TrainingLoss { Scale::Log } else { Scale::Linear };
        Chart { x: "epoch".to_owned(), y: axis(metric).to_owned(), scale, lines, mark: None }
    };
    Metric::ALL.map(chart).into()
}

fn mean(
    point: &resmcu_quantizer::experiment::summary::Point,
    metric: Metric,
    factor: f64,
) -> (f64, f64) {
    (point.epoch as f64, factor * point.get(metric).mean)
}

fn axis(metric: Metric) -> &'static str {
    match metric {
        Metric::TrainingLoss => "training loss",
        Metric::TrainingError => "training error, %",
        Metric::ValidationError => "validation error, %",
    }
}

fn csv(runs: &[Run]) -> String {
    let mut text = "network,seed,epoch,learning_rate,training_loss,training_error,\
                    validation_loss,validation_error\n"
        .to_owned();
    for run in runs {
        let (network, seed) = (run.key.network, run.key.seed);
        for e in &run.epochs {
            let training = 1.0 - e.train_accuracy;
            // Each run of an experiment holds images out.
            let loss = e.validation_loss.unwrap_or(f64::NAN);
            let validation = 1.0 - e.validation_accuracy.unwrap_or(f64::NAN);
            let (epoch, rate) = (e.epoch, e.learning_rate);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{network},{seed},{epoch},{rate},{},{training},{loss},{validation}",
                e.train_loss
            );
        }
    }
    text
}

/// The bar over all runs, a plain line an epoch, and once how long it will take.
struct Progress {
    bar: ProgressBar,
    interrupt: Interrupt,
    deadline: Option<Instant>,
    epochs: usize,
    /// Images of a step, and of an epoch.
    images: [usize; 2],
    /// The run that is at work, and where the bar stood when it began.
    run: Option<(Planned, u64)>,
    /// When work began, and where the bar stood then; none once the estimate is made.
    begun: Option<(Instant, u64)>,
}

/// Multiply-accumulates of one step of the bar.
const UNIT: u64 = 1 << 20;

impl Progress {
    fn new(settings: &Settings, dataset: &Dataset, budget: Option<Duration>) -> Outcome<Self> {
        let planned = degradation::plan(settings, dataset).map_err(describe)?;
        let [training, _] = degradation::image_counts(settings, dataset).map_err(describe)?;
        let batch = settings.train.batch.min(training);
        let images = [batch, training / batch * batch];
        let epochs = settings.train.epochs;
        let all: u64 = planned.iter().map(|planned| work(planned, images[1] * epochs)).sum();
        let bar = crate::progress::bar(usize::try_from(all).unwrap_or(usize::MAX), "training");
        let deadline = budget.and_then(|budget| Instant::now().checked_add(budget));
        let interrupt = Interrupt::listen()?;
        Ok(Self { bar, interrupt, deadline, epochs, images, run: None, begun: None })
    }

    /// Where the bar stands when `epochs` of the run are done.
    fn stand(&self, epochs: usize) -> u64 {
        self.run.map_or(0, |(planned, from)| from + work(&planned, self.images[1] * epochs))
    }
}

/// Steps of the bar for so many images of a run.
fn work(planned: &Planned, images: usize) -> u64 {
    planned.macs * images as u64 / UNIT
}

impl Watcher for Progress {
    fn on_run(&mut self, plan: &Planned, epochs: usize) {
        self.run = Some((*plan, self.bar.position()));
        let stand = self.stand(epochs);
        self.bar.set_position(stand);
        if self.begun.is_none() {
            self.bar.reset_eta();
            self.begun = Some((Instant::now(), stand));
        }
    }

    fn on_finished(&mut self, plan: &Planned, run: &Run) {
        let from = match self.run.take() {
            Some((_, from)) => from,
            None => {
                let key = plan.key;
                let line = format!("{} seed {}: found finished", key.network, key.seed);
                self.bar.suspend(|| eprintln!("{line}"));
                self.bar.position()
            }
        };
        self.bar.set_position(from + work(plan, self.images[1] * run.epochs.len()));
    }
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport) {
        let Some((planned, _)) = self.run else { return };
        let StepReport { epoch, step, loss, .. } = report;
        let images = self.images[1] * (epoch - 1) + self.images[0] * step;
        let from = self.stand(0);
        self.bar.set_position(from + work(&planned, images));
        let (key, epochs) = (planned.key, self.epochs);
        let run = format!("{} seed {}", key.network, key.seed);
        self.bar.set_message(format!("{run}, epoch {epoch}/{epochs}, loss {loss:.3}"));
    }

    fn on_epoch(&mut self, report: &EpochReport) {
        let Some((planned, _)) = self.run else { return };
        let EpochReport { epoch, train_loss, train_accuracy, validation_accuracy, .. } = report;
        let validation_accuracy = validation_accuracy.unwrap_or(f64::NAN);
        let errors = [*train_accuracy, validation_accuracy].map(|share| percent(1.0 - share));
        let (key, epochs, [training, validation]) = (planned.key, self.epochs, errors);
        let line = format!(
            "{} seed {}: epoch {epoch}/{epochs}: loss {train_loss:.4}, error {training} in \
             training, {validation} in validation",
            key.network, key.seed
        );
        self.bar.suspend(|| eprintln!("{line}"));
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        if let Some((begun, from)) = self.begun.filter(|(_, from)| *from < done) {
            let each = begun.elapsed().as_secs_f64() / (done - from) as f64;
            let rest = duration::words(each * all.saturating_sub(done) as f64);
            if *epoch == 1 {
                self.bar.suspend(|| eprintln!("about {rest} to go, by the epochs so far"));
            }
        }
    }

    fn should_stop(&mut self) -> bool {
        self.interrupt.pressed() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A comparison in words.
fn sentence(comparison: &Comparison, seeds: usize) -> String {
    let Comparison { network, against, difference, spread, .. } = comparison;
    let (size, side) = (difference.abs(), if *difference > 0.0 { "above" } else { "below" });
    let judged = match comparison.verdict {
        Verdict::Above | Verdict::Below => {
            format!("more than the spread of {seeds} seeds ({spread:.4})")
        }
        Verdict::Within => format!("within the spread of {seeds} seeds ({spread:.4})"),
        Verdict::OneSeed => "one seed, and so no spread to judge it by".to_owned(),
    };
    let deeper = network.family == against.family;
    let meaning = match (comparison.verdict, deeper) {
        (Verdict::Above, true) => ": degradation",
        (Verdict::Within | Verdict::Below, true) => ": no degradation",
        _ => "",
    };
    format!("{network} ends {size:.4} {side} {against}, {judged}{meaning}")
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (training, validation) = (self.training_images, self.validation_images);
        writeln!(f, "data         {}: {training} images, {validation} held out", self.data)?;
        writeln!(f, "recipe       {}", words(&self.config))?;
        writeln!(f, "runs         {} of {} finished\n", self.finished_runs, self.planned_runs)?;
        let metrics = Metric::ALL.map(|metric| format!(">{}", axis(metric)));
        let mut titles = vec!["network", ">parameters", ">seeds"];
        titles.extend(metrics.iter().map(String::as_str));
        let mut rows = table(&titles);
        for network in &self.networks {
            let Some(last) = network.points.last() else { continue };
            let cell = |metric: Metric| {
                let Spread { mean, low, high } = last.get(metric);
                match metric {
                    Metric::TrainingLoss => format!("{mean:.4} ({low:.4} to {high:.4})"),
                    _ => {
                        let [mean, low, high] = [mean, low, high].map(|share| 100.0 * share);
                        format!("{mean:.2} ({low:.2} to {high:.2})")
                    }
                }
            };
            let fixed = [
                network.network.to_string(),
                grouped(network.parameters),
                network.seeds.to_string(),
            ];
            rows.add_row(fixed.into_iter().chain(Metric::ALL.map(cell)));
        }
        writeln!(f, "{rows}\n")?;
        let losses = self.comparisons.iter().filter(|c| c.metric == Metric::TrainingLoss);
        for comparison in losses {
            let of = |network| {
                let found = self.networks.iter().find(|curve| curve.network == network);
                found.map_or(0, |curve| curve.seeds)
            };
            let seeds = of(comparison.network).min(of(comparison.against));
            writeln!(f, "In training loss {}.", sentence(comparison, seeds))?;
        }
        if self.networks.iter().any(|curve| curve.network.family == Family::Residual) {
            writeln!(f, "Residual networks have shortcuts of option A: no parameters.")?;
        }
        writeln!(f, "\nwritten      {}", self.files.join(", "))
    }
}
