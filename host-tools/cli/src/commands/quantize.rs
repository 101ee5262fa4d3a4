//! `resmcu quantize`: from a float checkpoint to a model file.

use super::PackedFor;
use crate::accuracy::{Accuracy, Answers};
use crate::failure::{Failure, OrFail, Outcome};
use crate::images::Wanted;
use crate::layer_errors::{LayerError, layer_errors};
use crate::model::{Model, load_checkpoint};
use crate::output::{Opening, Report, grouped, percent, size, table, write_file};
use crate::progress::Stages;
use crate::statistics::Paired;
use crate::trust::{Selected, Trust, Trusted};
use clap::{Args, ValueEnum};
use resmcu_quantizer::calibrate::Images;
use resmcu_quantizer::data::{Dataset, Split};
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::Graph;
use resmcu_quantizer::post_training::{
    Adaptive, BlockFit, Calibration, Choice, Mixed, PostTrainingError, Rounding, Sensitivity,
    Settings, Stage, post_training,
};
use resmcu_quantizer::quantization_aware::{is_on_grids, off_grids};
use resmcu_quantizer::quantize::{LayerWeights, WeightBits, WeightScale};
use resmcu_quantizer::quantized::QuantizedGraph;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where to read what can be quantized.
const OPERATORS: &str = "the operators that int8 models have are listed in int8-kernels/README.md";

/// Training images on which the layers' errors are measured.
const ERROR_IMAGES: usize = 64;

/// Layers that the report names.
const WORST_LAYERS: usize = 5;

/// Folds batch normalization, calibrates, quantizes, plans and writes the model file
#[derive(Debug, Args)]
pub(crate) struct Quantize {
    /// A checkpoint of `resmcu train` or `resmcu import`
    checkpoint: String,
    /// Where the model is written [default: the network's name with `.rmcu`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: super::Data,
    /// Training images from which everything is chosen
    #[arg(long, value_name = "N", default_value_t = 512)]
    calibration_images: usize,
    /// How ranges are chosen: min-max, percentile, percentile=P, mse, entropy, or auto, the best
    /// of them for each layer
    #[arg(long, value_name = "METHOD", default_value_t = Calibration::Auto)]
    calibration: Calibration,
    /// Bits of a weight, but for those of the first layer and the classifier, which keep 8; mixed:
    /// 4 for the least sensitive layers, as many as --flash-budget needs
    #[arg(long, value_enum, value_name = "BITS", default_value_t = Weights::Eight)]
    weights: Weights,
    /// How weights are rounded [default: nearest for 8 bits, adaptive for 4]
    #[arg(long, value_enum, value_name = "ROUNDING")]
    rounding: Option<RoundingKind>,
    /// Iterations of adaptive rounding over each block
    #[arg(long, value_name = "N", default_value_t = Adaptive::default().iterations)]
    iterations: usize,
    /// Give channels between two convolutions like ranges first (cross-layer equalization)
    #[arg(long)]
    equalize: bool,
    /// Leave biases as they are, instead of having them take up each channel's mean error
    #[arg(long)]
    keep_biases: bool,
    /// Seed of the images that adaptive rounding draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    pack: super::PackFor,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    json: super::Json,
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoundingKind {
    /// To the nearest integer
    Nearest,
    /// Up or down, so that each block's output is nearest to the float network's
    Adaptive,
}

/// Bits of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Weights {
    /// In all layers
    #[value(name = "8")]
    Eight,
    /// But in the first layer and the classifier
    #[value(name = "4")]
    Four,
    /// By layer
    Mixed,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    calibration_images: usize,
    weight_images: usize,
    /// None where grids and weights were trained.
    settings: Option<Settings>,
    /// What four bits would cost each layer, where layers were chosen by it.
    sensitivities: Vec<Sensitivity>,
    /// Layers whose weights have four bits.
    four_bit_layers: usize,
    seconds: f64,
    float: Accuracy,
    int8: Accuracy,
    difference: Paired,
    /// Share of images to which both give the same class.
    agreement: f64,
    /// Which answers are given, where a share of right ones was asked for.
    trust: Option<Trusted>,
    /// Of the logits, on training images.
    logits_sqnr_db: f64,
    equalized_pairs: usize,
    layers: Vec<LayerError>,
    ranges: Vec<Choice>,
    blocks: Vec<BlockFit>,
    file: String,
    bytes: usize,
    arena: u32,
    scratch: u32,
}

impl Quantize {
    pub(crate) fn run(&self) -> Outcome {
        let checkpoint = load_checkpoint(&self.checkpoint)?;
        let graph =
            fold(&checkpoint.graph).or_fail("write the checkpoint again with `resmcu train`")?;
        let calibration = self.images(&graph, Split::Train, Some(self.calibration_images))?;
        let test = self.images(&graph, Split::Test, self.data.images)?;
        let mut settings = self.settings();
        let packing = self.pack.packing()?;
        let (images, start) = (Images::of(&calibration)?, Instant::now());
        let stages = Stages::default();
        let trained = is_on_grids(&graph);
        self.agrees(trained, packing.limits.file_bytes.is_some())?;
        let mut sensitivities = Vec::new();
        if self.weights == Weights::Mixed {
            let (measured, eight) = mixed(&graph, &images, &packing, &stages)?;
            (sensitivities, settings.eight_bit_layers) = (measured, eight);
        }
        let chosen = if trained {
            off_grids(&graph, &images)
        } else {
            post_training(&graph, &images, &settings, &|stage, done, of| {
                stages.at(name(stage), done, of);
            })
        };
        let chosen = chosen.map_err(refused)?;
        stages.finish();
        let quantized = chosen.quantize().or_fail(OPERATORS)?;
        let is_four = |weights: &&LayerWeights| weights.bits == WeightBits::Four;
        let four_bit_layers = chosen.weights.iter().flatten().filter(is_four).count();
        let seconds = start.elapsed().as_secs_f64();
        let lowered = packing.lower(&quantized)?;
        let learnt = (Path::new(&self.checkpoint), self.data.data.as_str());
        let (model, mut trusted) =
            self.trust.annotate(&Model::new(&lowered.file)?, Some(learnt))?;
        let float = Answers::float(&graph, &test)?;
        let int8 = Answers::int8(&model, &test)?;
        if let Some(trusted) = &mut trusted {
            trusted.test = Selected::of(&model, &int8, &test)?;
        }
        let layers = layer_errors(&model, &chosen.float, &calibration.take(ERROR_IMAGES))?;
        let default = || PathBuf::from(format!("{}.rmcu", graph.name));
        let path = self.output.clone().unwrap_or_else(default);
        write_file(&path, model.bytes())?;
        let header = *model.file()?.header();
        let body = Body {
            data: format!("{} ({})", test.name, test.split),
            calibration_images: images.len(),
            weight_images: chosen.weight_images,
            settings: (!trained).then_some(settings),
            sensitivities,
            four_bit_layers,
            seconds,
            float: float.accuracy(&test),
            int8: int8.accuracy(&test),
            difference: Paired::new(&float.hits(&test), &int8.hits(&test)),
            agreement: float.agreement(&int8),
            trust: trusted,
            logits_sqnr_db: layers.last().map_or(0.0, |logits| logits.sqnr_db),
            equalized_pairs: chosen.equalized,
            layers,
            ranges: chosen.choices,
            blocks: chosen.blocks,
            file: path.display().to_string(),
            bytes: model.bytes().len(),
            arena: header.arena_bytes,
            scratch: header.scratch_bytes,
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }

    fn images(&self, graph: &Graph, split: Split, images: Option<usize>) -> Outcome<Dataset> {
        let (shape, classes) = (graph.input_shape(), graph.classes());
        Wanted { data: &self.data.data, split, images, shape, classes }.load()
    }

    /// Whether the arguments go with each other, and with a network whose grids were trained.
    fn agrees(&self, trained: bool, has_budget: bool) -> Outcome {
        if self.weights != Weights::Mixed {
            return Ok(());
        }
        if trained {
            let found = "the bits of these weights were chosen before they were trained";
            return Err(Failure::input(found).help("leave --weights away"));
        }
        if has_budget {
            return Ok(());
        }
        let found = "without a budget every layer keeps eight bits";
        Err(Failure::input(found)
            .help("say how large the model may be: --flash-budget BYTES, or --board"))
    }

    fn settings(&self) -> Settings {
        let is_four = self.weights != Weights::Eight;
        let default = if is_four { RoundingKind::Adaptive } else { RoundingKind::Nearest };
        let adaptive = Adaptive { iterations: self.iterations, ..Adaptive::default() };
        Settings {
            calibration: self.calibration,
            equalize: self.equalize,
            weight_bits: if is_four { WeightBits::Four } else { WeightBits::Eight },
            eight_bit_layers: Vec::new(),
            weight_scale: WeightScale::MeanSquaredError,
            rounding: match self.rounding.unwrap_or(default) {
                RoundingKind::Nearest => Rounding::Nearest,
                RoundingKind::Adaptive => Rounding::Adaptive(adaptive),
            },
            correct_bias: !self.keep_biases,
            seed: self.seed,
        }
    }
}

/// What four bits cost each layer, and the layers that keep eight.
fn mixed(
    graph: &Graph,
    images: &Images,
    packing: &PackedFor,
    stages: &Stages,
) -> Outcome<(Vec<Sensitivity>, Vec<String>)> {
    let progress = |stage, done, of| stages.at(name(stage), done, of);
    let mixed = Mixed::new(graph, images, &progress).map_err(refused)?;
    let fits = |quantized: &QuantizedGraph| packing.lower(quantized).is_ok();
    let eight = mixed.eight_bit_layers(fits).or_fail(OPERATORS)?;
    // Where nothing fits, the end says by how much: with four bits everywhere.
    Ok((mixed.sensitivities().to_vec(), eight.unwrap_or_default()))
}

/// What takes time, in words.
fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Histograms => "calibrating",
        Stage::Ranges => "ranges",
        Stage::Sensitivity => "sensitivity",
        Stage::Weights => "rounding",
    }
}

fn refused(error: PostTrainingError) -> Failure {
    let help = match error {
        PostTrainingError::NoImages => "ask for one with --calibration-images at least",
        _ => OPERATORS,
    };
    Failure::input(error).help(help)
}

impl Body {
    fn write_settings(&self, settings: &Settings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = grouped(self.calibration_images as u64);
        let Settings { calibration, weight_bits, rounding, .. } = *settings;
        let four = self.four_bit_layers;
        writeln!(f, "calibration  {calibration}, {images} training images")?;
        let rounding = match rounding {
            Rounding::Nearest => "to nearest".to_owned(),
            Rounding::Adaptive(Adaptive { iterations, .. }) => {
                format!("adaptively, {} iterations a block", grouped(iterations as u64))
            }
        };
        let bits = match (weight_bits, &settings.eight_bit_layers[..]) {
            (WeightBits::Eight, _) => "8 bits".to_owned(),
            (WeightBits::Four, []) => "4 bits (first layer and classifier 8)".to_owned(),
            (WeightBits::Four, eight) => {
                let names = eight.join(", ");
                format!("4 bits in {four} layers, 8 in first, last and {names}")
            }
        };
        writeln!(f, "weights      {bits}, rounded {rounding}")
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data         {}", self.data)?;
        match &self.settings {
            Some(settings) => self.write_settings(settings, f)?,
            None => writeln!(f, "grids        trained, with their weights")?,
        }
        writeln!(f, "took         {:.1} s", self.seconds)?;
        writeln!(f, "float        {}", self.float)?;
        writeln!(f, "int8         {}", self.int8)?;
        let Paired { difference, ci95: [low, high], only_first, only_second } = self.difference;
        let (low, high) = (percent(low), percent(high));
        writeln!(f, "difference   {} (95 %, paired: {low} to {high})", percent(difference))?;
        writeln!(f, "             {only_first} images only float knows, {only_second} only int8")?;
        let (agreement, sqnr) = (percent(self.agreement), self.logits_sqnr_db);
        writeln!(f, "agreement    {agreement} of the images; logits {sqnr:.1} dB")?;
        self.trust.iter().try_for_each(|trusted| write!(f, "{trusted}"))?;
        writeln!(f, "arena        {}", size(self.arena))?;
        writeln!(f, "scratch      {}", size(self.scratch))?;
        writeln!(f, "written      {}, {}\n", self.file, size(self.bytes as u64))?;
        let mut worst: Vec<&LayerError> = self.layers.iter().collect();
        worst.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        let titles = ["worst tensors", ">SQNR, dB", ">cosine", ">clipped", "range"];
        let mut rows = table(&titles);
        for layer in worst.iter().take(WORST_LAYERS) {
            let range = self.ranges.iter().find(|choice| choice.tensor == layer.name);
            rows.add_row([
                layer.name.clone(),
                format!("{:.1}", layer.sqnr_db),
                format!("{:.5}", layer.cosine),
                format!("{:.4} %", 100.0 * layer.clipped),
                range.map_or(String::new(), |choice| choice.method.to_string()),
            ]);
        }
        writeln!(f, "{rows}")
    }
}
