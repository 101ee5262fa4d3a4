//! `resmcu experiment gradient-flow`: how evenly the gradient is spread over the layers.

use super::{Choice, describe, words};
use crate::commands;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::output::{Opening, Report, table, write_file};
use crate::plot::{self, Chart, Line, Scale};
use clap::Args;
use indicatif::ProgressBar;
use resmcu_quantizer::experiment::gradient_flow::{self, Flow, Moment, Settings};
use resmcu_quantizer::train::{Observer, StepReport, TrainConfig};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Measures the norm of the gradient by layer, at initialization and after an epoch, of plain and
/// residual networks
#[derive(Debug, Args)]
pub(crate) struct GradientFlow {
    #[command(flatten)]
    choice: Choice,
    /// Batches over which norms are averaged
    #[arg(long, value_name = "N", default_value_t = 16)]
    batches: usize,
    /// Of the weights, the order and the augmentation
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// The folder of the report
    #[arg(short, long, value_name = "FOLDER", default_value = "gradient-flow")]
    output: PathBuf,
    #[command(flatten)]
    json: commands::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    images: usize,
    width: usize,
    batches: usize,
    config: TrainConfig,
    networks: Vec<Measured>,
    files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Measured {
    #[serde(flatten)]
    flow: Flow,
    /// The largest layer's norm over the smallest's.
    ratio: f64,
}

impl GradientFlow {
    pub(crate) fn run(&self) -> Outcome {
        let dataset = self.choice.dataset()?;
        let settings = Settings {
            depths: self.choice.depths.clone(),
            width: self.choice.width,
            batches: self.batches,
            train: self.choice.recipe(self.seed),
        };
        let bar = crate::progress::bar(0, "one epoch of each network");
        let interrupt = Interrupt::listen()?;
        let mut progress = Progress { bar: bar.clone(), interrupt };
        let flows = gradient_flow::run(&settings, &dataset, &mut progress);
        bar.finish_and_clear();
        let Some(flows) = flows.map_err(describe)? else {
            return Err(Failure::check("the experiment was interrupted")
                .help("it begins anew; fewer `-n` images or a smaller `--width` take less time"));
        };
        let title = format!("Gradients by layer on {}", dataset.name);
        let (picture, values) =
            (self.output.join("gradients.svg"), self.output.join("gradients.csv"));
        std::fs::create_dir_all(&self.output).map_err(|error| {
            let help = "name another folder with `-o`";
            Failure::input(error).in_file(&self.output).help(help)
        })?;
        plot::write(&picture, &title, &charts(&flows))?;
        write_file(&values, csv(&flows).as_bytes())?;
        let measured = |flow: Flow| Measured { ratio: flow.ratio(), flow };
        let body = Body {
            data: format!("{} (train)", dataset.name),
            images: dataset.len(),
            width: settings.width,
            batches: settings.batches,
            config: settings.train,
            networks: flows.into_iter().map(measured).collect(),
            files: [picture, values].map(|path| path.display().to_string()).into(),
        };
        Report { opening: Opening::plain(), body }.print(self.json.json)
    }
}

fn moment(moment: Moment) -> &'static str {
    match moment {
        Moment::Initialization => "at initialization",
        Moment::FirstEpoch => "after one epoch",
    }
}

/// A chart a moment, a line a network.
fn charts(flows: &[Flow]) -> Vec<Chart> {
    let chart = |at: Moment| {
        let flows = flows.iter().filter(|flow| flow.moment == at);
        let line = |(color, flow): (usize, &Flow)| {
            let layers = flow.layers.iter().enumerate();
            let points = layers.map(|(at, layer)| (at as f64 + 1.0, layer.gradient.mean));
            Line { name: flow.network.to_string(), color, faint: false, points: points.collect() }
        };
        Chart {
            x: "layer, from the image to the classifier".to_owned(),
            y: format!("gradient norm {}", moment(at)),
            scale: Scale::Log,
            lines: flows.enumerate().map(line).collect(),
            mark: None,
        }
    };
    [Moment::Initialization, Moment::FirstEpoch].map(chart).into()
}

fn csv(flows: &[Flow]) -> String {
    let mut text =
        "network,moment,layer,name,gradient_mean,gradient_low,gradient_high,weights\n".to_owned();
    for flow in flows {
        for (at, layer) in flow.layers.iter().enumerate() {
            let (network, moment, gradient) = (flow.network, moment(flow.moment), layer.gradient);
            text += &format!(
                "{network},{moment},{},{},{},{},{},{}\n",
                at + 1,
                layer.name,
                gradient.mean,
                gradient.low,
                gradient.high,
                layer.weights
            );
        }
    }
    text
}

/// The bar, which begins again with each network.
struct Progress {
    bar: ProgressBar,
    interrupt: Interrupt,
}

impl Observer for Progress {
    fn on_step(&mut self, report: &StepReport) {
        if report.step == 1 {
            self.bar.reset();
            self.bar.set_length(report.steps as u64);
        }
        self.bar.set_position(report.step as u64);
    }

    fn should_stop(&mut self) -> bool {
        self.interrupt.pressed()
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (batches, batch) = (self.batches, self.config.batch);
        writeln!(f, "data         {}: {} images", self.data, self.images)?;
        writeln!(f, "norms        mean over {batches} batches of {batch} images, not augmented")?;
        writeln!(f, "recipe       the first epoch of: {}\n", words(&self.config))?;
        let mut rows = table(&[
            "network",
            "when",
            ">loss",
            ">first layer",
            ">median",
            ">last layer",
            ">largest / smallest",
        ]);
        for Measured { flow, ratio } in &self.networks {
            let mut norms: Vec<f64> = flow.layers.iter().map(|l| l.gradient.mean).collect();
            let ends = [norms.first(), norms.last()].map(|norm| norm.copied().unwrap_or(f64::NAN));
            norms.sort_by(f64::total_cmp);
            let median = norms.get(norms.len() / 2).copied().unwrap_or(f64::NAN);
            rows.add_row([
                flow.network.to_string(),
                moment(flow.moment).to_owned(),
                format!("{:.3}", flow.loss.mean),
                format!("{:.2e}", ends[0]),
                format!("{median:.2e}"),
                format!("{:.2e}", ends[1]),
                format!("{ratio:.1}"),
            ]);
        }
        writeln!(f, "{rows}\n\nwritten      {}", self.files.join(", "))
    }
}
