//! `resmcu validate`: float against int8 on the host against the device.

use crate::accuracy::Answers;
use crate::device::{Board, input};
use crate::failure::{Failure, OrFail, Outcome};
use crate::host::{integers, top_integers};
use crate::images::{NOISE, Wanted};
use crate::model::{Model, load_checkpoint};
use crate::output::{Opening, Report, grouped, percent};
use clap::Args;
use resmcu_device_link::TensorCrc;
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_int8_runtime::Observer;
use resmcu_quantizer::data::{Dataset, Decoder, FASHION_MNIST_SMALL, Split};
use resmcu_quantizer::fold_batch_norm::fold;
use serde::Serialize;
use std::fmt;

/// `[H,W,C]` of the default data.
const FASHION_MNIST_SHAPE: [usize; 3] = [28, 28, 1];

/// Compares float, host and device over a data set; device and host must agree in every byte
#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// A model file, or a network of the zoo
    model: String,
    /// The float checkpoint that the model was made from
    #[arg(long, value_name = "CHECKPOINT")]
    float: Option<String>,
    /// Compare every tensor of every inference, not only the output
    #[arg(long)]
    trace: bool,
    #[command(flatten)]
    data: super::Data,
    #[command(flatten)]
    on: super::On,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    images: usize,
    target: String,
    compared_bytes: u64,
    differing_bytes: u64,
    compared_tensors: u64,
    differing_tensors: u64,
    first_difference: Option<Difference>,
    top1: Top1,
}

/// Where the device first said something else.
#[derive(Clone, Debug, Serialize)]
struct Difference {
    image: usize,
    /// The first tensor that differs, where the tensors were compared.
    tensor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Top1 {
    float: Option<f64>,
    host: f64,
    device: Option<f64>,
}

/// What one inference on the host leaves: its output, and the checksums of all rows of every
/// tensor, in the order in which they were made.
struct Reference {
    output: Vec<u8>,
    rows: Vec<TensorCrc>,
}

#[derive(Default)]
struct Checksums(Vec<TensorCrc>);

impl Checksums {
    fn push(&mut self, tensor: usize, at: usize, rows: &[u8]) {
        let [at, bytes] = [at, rows.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let tensor = u16::try_from(tensor).unwrap_or(u16::MAX);
        self.0.push(TensorCrc { tensor, at, crc: tensor_crc(rows), bytes });
    }
}

impl Observer for Checksums {
    fn step_end(&mut self, step: usize, at: usize, output: &[u8]) {
        // A sum that goes on has no output yet.
        if !output.is_empty() {
            self.push(step + 1, at, output);
        }
    }
}

impl Validate {
    pub(crate) fn run(&self) -> Outcome {
        let model = self.on.load(&self.model)?;
        let (shape, classes) = model.input_and_classes()?;
        let (data, images) = (self.data_for(&model, shape), self.data.images);
        let data = Wanted { data, split: Split::Test, images, shape, classes }.load()?;
        let references = references(&model, &data)?;
        let mut body = Body {
            data: format!("{} ({})", data.name, data.split),
            images: data.len(),
            target: self.on.target.clone(),
            compared_bytes: 0,
            differing_bytes: 0,
            compared_tensors: 0,
            differing_tensors: 0,
            first_difference: None,
            top1: Top1 { float: None, host: 0.0, device: None },
        };
        body.top1.host = share(&model, &data, references.iter().map(|r| &r.output[..]))?;
        if let Some(float) = &self.float {
            let graph = load_checkpoint(float)?.graph;
            let graph = fold(&graph).or_fail("write the checkpoint again with `resmcu train`")?;
            body.top1.float = Some(Answers::float(&graph, &data)?.accuracy(&data).top1);
        }
        if let Some(board) = self.on.start(&model)? {
            let outputs = self.compare(board, &model, &data, &references, &mut body)?;
            body.top1.device = Some(share(&model, &data, outputs.iter().map(|o| &o[..]))?);
        }
        let differs = body.differing_bytes + body.differing_tensors;
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)?;
        if differs > 0 {
            let failure = Failure::check("the device and the host do not agree in every byte");
            return Err(failure.help("`--trace` names the first tensor that differs"));
        }
        Ok(())
    }

    /// The data that were asked for; for a network that nobody trained, and that does not take the
    /// default ones, noise.
    fn data_for(&self, model: &Model, shape: [usize; 3]) -> &str {
        let default = self.data.data == FASHION_MNIST_SMALL && shape != FASHION_MNIST_SHAPE;
        if model.origin.is_some() && default { NOISE } else { &self.data.data }
    }

    /// Runs every image on the board; counts what differs and gives the board's outputs.
    fn compare(
        &self,
        mut board: Board,
        model: &Model,
        data: &Dataset,
        references: &[Reference],
        body: &mut Body,
    ) -> Outcome<Vec<Vec<u8>>> {
        let names: Vec<String> = model.file()?.tensors().map(|t| t.name.to_owned()).collect();
        let bar = crate::progress::bar(data.len(), "on the board");
        let (mut outputs, mut decoder) = (Vec::with_capacity(data.len()), Decoder::new());
        for (index, reference) in references.iter().enumerate() {
            let image = input(data.image(index, &mut decoder)?);
            let output = board.client.infer(&image)?.output;
            let differing = differing_bytes(&output, &reference.output);
            body.compared_bytes += reference.output.len() as u64;
            body.differing_bytes += differing;
            let mut tensor = None;
            if self.trace || differing > 0 {
                let traced = board.client.trace(&image)?;
                let differ = differing_tensors(&traced, &reference.rows, names.len());
                body.compared_tensors += names.len() as u64;
                body.differing_tensors += differ.iter().filter(|d| **d).count() as u64;
                tensor = differ.iter().position(|&d| d).and_then(|t| names.get(t).cloned());
            }
            if body.first_difference.is_none() && (differing > 0 || tensor.is_some()) {
                body.first_difference = Some(Difference { image: index, tensor });
            }
            outputs.push(output);
            bar.inc(1);
        }
        bar.finish_and_clear();
        board.end()?;
        Ok(outputs)
    }
}

/// Which tensors have rows that differ, or that only one of both made. The rows of the device and
/// of the host are made in the same order.
fn differing_tensors(device: &[TensorCrc], host: &[TensorCrc], tensors: usize) -> Vec<bool> {
    let mut differ = vec![false; tensors];
    let mut mark = |rows: &TensorCrc| {
        if let Some(differs) = differ.get_mut(usize::from(rows.tensor)) {
            *differs = true;
        }
    };
    for (device, host) in device.iter().zip(host).filter(|(device, host)| device != host) {
        mark(device);
        mark(host);
    }
    let both = device.len().min(host.len());
    device[both..].iter().chain(&host[both..]).for_each(mark);
    differ
}

fn differing_bytes(found: &[u8], expected: &[u8]) -> u64 {
    let differ = found.iter().zip(expected).filter(|(a, b)| a != b).count();
    (differ + found.len().abs_diff(expected.len())) as u64
}

/// Every image on the host, by the device's own runtime.
fn references(model: &Model, data: &Dataset) -> Outcome<Vec<Reference>> {
    let mut memory = model.memory();
    let mut executor = model.executor(&mut memory)?;
    let bar = crate::progress::bar(data.len(), "on the host");
    let (mut references, mut decoder) = (Vec::with_capacity(data.len()), Decoder::new());
    for index in 0..data.len() {
        let image = input(data.image(index, &mut decoder)?);
        let mut checksums = Checksums::default();
        if !executor.takes_rows() {
            checksums.push(0, 0, &image);
        }
        let output = executor.infer(&image, &mut checksums).to_vec();
        references.push(Reference { output, rows: checksums.0 });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(references)
}

/// The share of images whose best class is right.
fn share<'o>(
    model: &Model,
    data: &Dataset,
    outputs: impl Iterator<Item = &'o [u8]>,
) -> Outcome<f64> {
    let file = model.file()?;
    let tensor = file.tensors().last();
    let tensor = tensor.ok_or_else(|| Failure::input("the model has no output"))?;
    let right = |(index, bytes): &(usize, &[u8])| {
        let best = top_integers(&integers(tensor.dtype, bytes), 1);
        best.first() == Some(&usize::from(data.label(*index)))
    };
    let hits = outputs.enumerate().filter(right).count();
    Ok(hits as f64 / data.len().max(1) as f64)
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data         {}, {} images", self.data, grouped(self.images as u64))?;
        writeln!(f, "target       {}", self.target)?;
        if let Some(float) = self.top1.float {
            writeln!(f, "float        {}", percent(float))?;
        }
        writeln!(f, "int8 host    {}", percent(self.top1.host))?;
        let Some(device) = self.top1.device else { return Ok(()) };
        writeln!(f, "int8 device  {}", percent(device))?;
        let (differing, compared) = (grouped(self.differing_bytes), grouped(self.compared_bytes));
        writeln!(f, "bytes        {differing} of {compared} differ from the host's")?;
        if self.compared_tensors > 0 {
            let differing = grouped(self.differing_tensors);
            writeln!(f, "tensors      {differing} of {} differ", grouped(self.compared_tensors))?;
        }
        match &self.first_difference {
            Some(Difference { image, tensor: Some(tensor) }) => {
                writeln!(f, "first        image {image}, tensor `{tensor}`")
            }
            Some(Difference { image, tensor: None }) => writeln!(f, "first        image {image}"),
            None => Ok(()),
        }
    }
}
