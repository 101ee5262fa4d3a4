//! `resmcu quantize`: from a float checkpoint to a model file.

use crate::accuracy::{Accuracy, Answers};
use crate::failure::{Failure, OrFail, Outcome};
use crate::host::dequantize;
use crate::images::{Wanted, batch};
use crate::model::{Model, load_checkpoint};
use crate::output::{Opening, Report, grouped, percent, size, table, write_file};
use crate::statistics::Paired;
use clap::Args;
use resmcu_int8_runtime::Observer;
use resmcu_quantizer::calibrate::Ranges;
use resmcu_quantizer::data::{Dataset, Decoder, Split};
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::Graph;
use resmcu_quantizer::lower::lower;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Images that are calibrated on at once.
const BATCH: usize = 32;

/// Training images on which the layers' errors are measured.
const ERROR_IMAGES: usize = 32;

/// Layers that the report names.
const WORST_LAYERS: usize = 5;

/// Folds batch normalization, calibrates, quantizes, plans and writes the model file
#[derive(Debug, Args)]
pub(crate) struct Quantize {
    /// A checkpoint of `resmcu train`
    checkpoint: String,
    /// Where the model is written [default: the network's name with `.rmcu`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: super::Data,
    /// Training images on which the ranges of activations are measured
    #[arg(long, value_name = "N", default_value_t = 512)]
    calibration_images: usize,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    calibration_images: usize,
    float: Accuracy,
    int8: Accuracy,
    difference: Paired,
    worst_layers: Vec<LayerError>,
    file: String,
    bytes: usize,
    arena: u32,
    scratch: u32,
}

/// How far a layer's integers are from the float activation.
#[derive(Clone, Debug, Serialize)]
struct LayerError {
    name: String,
    sqnr_db: f64,
}

impl Quantize {
    pub(crate) fn run(&self) -> Outcome {
        let checkpoint = load_checkpoint(&self.checkpoint)?;
        let graph =
            fold(&checkpoint.graph).or_fail("write the checkpoint again with `resmcu train`")?;
        let calibration = self.images(&graph, Split::Train, Some(self.calibration_images))?;
        let test = self.images(&graph, Split::Test, self.data.images)?;
        let ranges = calibrate(&graph, &calibration)?;
        let quantized = resmcu_quantizer::quantize::quantize(&graph, &ranges)
            .or_fail("the operators that int8 models have are listed in int8-kernels/README.md")?;
        let lowered = lower(&quantized).or_fail("a smaller network fits the model format")?;
        let model = Model::new(&lowered.file)?;
        let float = Answers::float(&graph, &test)?;
        let int8 = Answers::int8(&model, &test)?;
        let mut worst_layers = layer_errors(&model, &graph, &calibration.take(ERROR_IMAGES))?;
        worst_layers.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
        worst_layers.truncate(WORST_LAYERS);
        let default = || PathBuf::from(format!("{}.rmcu", graph.name));
        let path = self.output.clone().unwrap_or_else(default);
        write_file(&path, model.bytes())?;
        let header = *model.file()?.header();
        let body = Body {
            data: format!("{} ({})", test.name, test.split),
            calibration_images: ranges.images(),
            float: float.accuracy(&test),
            int8: int8.accuracy(&test),
            difference: Paired::new(&float.hits(&test), &int8.hits(&test)),
            worst_layers,
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
}

/// The ranges of every activation over `images`.
fn calibrate(graph: &Graph, images: &Dataset) -> Outcome<Ranges> {
    let (executor, mut ranges) = (Executor::new(), Ranges::new(graph));
    let bar = crate::progress::bar(images.len(), "calibrating");
    for first in (0..images.len()).step_by(BATCH) {
        let range = first..(first + BATCH).min(images.len());
        let batch = batch(images, range.clone(), &graph.normalization)?;
        ranges.observe(graph, &executor, &batch.view()).map_err(Failure::input)?;
        bar.inc(range.len() as u64);
    }
    bar.finish_and_clear();
    Ok(ranges)
}

/// Keeps every step's output.
#[derive(Default)]
struct Tape(Vec<Vec<u8>>);

impl Observer for Tape {
    fn step_end(&mut self, _step: usize, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

/// Signal to quantization noise of each layer, in decibel, over `images`.
fn layer_errors(model: &Model, graph: &Graph, images: &Dataset) -> Outcome<Vec<LayerError>> {
    let file = model.file()?;
    let tensors: Vec<_> = file.tensors().skip(1).collect();
    let normalized = batch(images, 0..images.len(), &graph.normalization)?;
    let all = Executor::new().forward_all(graph, normalized.view()).map_err(Failure::input)?;
    let mut powers = vec![(0.0_f64, 0.0_f64); tensors.len()];
    let mut arena = model.arena();
    let (mut executor, mut decoder) = (model.executor(&mut arena)?, Decoder::new());
    for index in 0..images.len() {
        let mut tape = Tape::default();
        if executor.write_image(0, images.image(index, &mut decoder)?) {
            executor.run(&mut tape);
        }
        for ((tensor, bytes), power) in tensors.iter().zip(&tape.0).zip(&mut powers) {
            // A copy of a residual has no node of its own.
            let Some(node) = graph.find(tensor.name) else { continue };
            let float = all[node.0].index_axis(ndarray::Axis(0), index);
            for (&float, int8) in float.iter().zip(dequantize(tensor, bytes)) {
                power.0 += f64::from(float).powi(2);
                power.1 += f64::from(float - int8).powi(2);
            }
        }
    }
    let errors = tensors.iter().zip(powers).filter(|(_, (signal, _))| *signal > 0.0);
    let error = |(tensor, (signal, noise)): (&resmcu_model_format::Tensor<'_>, (f64, f64))| {
        let sqnr_db = 10.0 * (signal / noise.max(f64::MIN_POSITIVE)).log10();
        LayerError { name: tensor.name.to_owned(), sqnr_db }
    };
    Ok(errors.map(error).collect())
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data         {}", self.data)?;
        writeln!(f, "calibration  {} training images", grouped(self.calibration_images as u64))?;
        writeln!(f, "float        {}", self.float)?;
        writeln!(f, "int8         {}", self.int8)?;
        let Paired { difference, ci95: [low, high], only_first, only_second } = self.difference;
        let (low, high) = (percent(low), percent(high));
        writeln!(f, "difference   {} (95 %, paired: {low} to {high})", percent(difference))?;
        writeln!(f, "             {only_first} images only float knows, {only_second} only int8")?;
        writeln!(f, "arena        {}", size(self.arena))?;
        writeln!(f, "scratch      {}", size(self.scratch))?;
        writeln!(f, "written      {}, {}\n", self.file, size(self.bytes as u64))?;
        let mut rows = table(&["worst tensors", ">SQNR, dB"]);
        for layer in &self.worst_layers {
            rows.add_row([layer.name.clone(), format!("{:.1}", layer.sqnr_db)]);
        }
        writeln!(f, "{rows}")
    }
}
