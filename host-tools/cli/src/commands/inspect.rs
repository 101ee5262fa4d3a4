//! `resmcu inspect`: what is in a model file.

use crate::failure::Outcome;
use crate::model::Model;
use crate::output::{Opening, Report, grouped, size, table};
use clap::Args;
use resmcu_model_format::{Profile, Tensor};
use serde::Serialize;
use std::fmt;

/// Shows a model file: header, tensors, steps, offsets
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A model file, or a network of the zoo
    model: String,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    producer: String,
    profile: &'static str,
    origin: Option<String>,
    file_bytes: usize,
    arena: u32,
    scratch: u32,
    macs: u64,
    /// The least margin of an answer that is not «unknown».
    margin_min: u32,
    known_answers: u16,
    class_names: Vec<String>,
    tensors: Vec<TensorRow>,
    layers: Vec<crate::layers::Layer>,
}

#[derive(Debug, Serialize)]
struct TensorRow {
    name: String,
    shape: [u16; 3],
    dtype: &'static str,
    scale: f32,
    zero_point: i16,
    offset: u32,
    bytes: u64,
    first: u16,
    last: u16,
}

impl Inspect {
    pub(crate) fn run(&self) -> Outcome {
        let model = Model::load(&self.model)?;
        let file = model.file()?;
        let header = file.header();
        let body = Body {
            producer: header.producer.to_owned(),
            profile: profile_name(header.profile),
            origin: model.origin.clone(),
            file_bytes: model.bytes().len(),
            arena: header.arena_bytes,
            scratch: header.scratch_bytes,
            macs: header.macs,
            margin_min: file.notes().margin_min,
            known_answers: file.notes().known_answers,
            class_names: header.class_names.lines().map(str::to_owned).collect(),
            tensors: file.tensors().map(|tensor| TensorRow::new(&tensor)).collect(),
            layers: crate::layers::layers(&file)?,
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }
}

/// The word for a profile.
pub(crate) fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Native => "native",
        Profile::Tflite => "tflite",
    }
}

impl TensorRow {
    fn new(tensor: &Tensor<'_>) -> Self {
        Self {
            name: tensor.name.to_owned(),
            shape: tensor.shape,
            dtype: match tensor.dtype {
                resmcu_model_format::Dtype::I8 => "int8",
                resmcu_model_format::Dtype::I16 => "int16",
                resmcu_model_format::Dtype::I32 => "int32",
            },
            scale: tensor.scale,
            zero_point: tensor.zero_point,
            offset: tensor.offset,
            bytes: tensor.bytes(),
            first: tensor.first,
            last: tensor.last,
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "written by   {}", self.producer)?;
        writeln!(f, "profile      {}", self.profile)?;
        if let Some(origin) = &self.origin {
            writeln!(f, "weights      {origin}")?;
        }
        writeln!(f, "file         {}", size(self.file_bytes as u64))?;
        writeln!(f, "arena        {}", size(self.arena))?;
        writeln!(f, "scratch      {}", size(self.scratch))?;
        writeln!(f, "MACs         {}", grouped(self.macs))?;
        writeln!(f, "answers      {} known, for the self test", self.known_answers)?;
        match self.margin_min {
            0 => writeln!(f, "trust        every answer")?,
            margin => writeln!(f, "trust        from a margin of {margin}")?,
        }
        if !self.class_names.is_empty() {
            writeln!(f, "classes      {}", self.class_names.join(", "))?;
        }
        let mut tensors =
            table(&["tensor", "shape", "type", ">scale", ">zero", ">offset", ">bytes", ">steps"]);
        for row in &self.tensors {
            let [height, width, channels] = row.shape;
            tensors.add_row([
                row.name.clone(),
                format!("{height}x{width}x{channels}"),
                row.dtype.to_owned(),
                format!("{:.6}", row.scale),
                row.zero_point.to_string(),
                format!("{:#x}", row.offset),
                grouped(row.bytes),
                format!("{}-{}", row.first, row.last),
            ]);
        }
        writeln!(f, "\n{tensors}")?;
        let mut steps = table(&[">step", "layer", "op", "kernel", ">weights", ">MACs"]);
        for (index, layer) in self.layers.iter().enumerate() {
            steps.add_row([
                index.to_string(),
                layer.name.clone(),
                layer.op.clone(),
                layer.kernel.to_owned(),
                grouped(layer.weight_bytes),
                grouped(layer.macs),
            ]);
        }
        writeln!(f, "\n{steps}")
    }
}
