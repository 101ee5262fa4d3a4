//! `resmcu import`: networks of other tools become models of ours.

use crate::failure::{Failure, OrFail, Outcome};
use crate::model::Model;
use crate::output::{Opening, Report, grouped, size, write_file};
use clap::Args;
use resmcu_quantizer::import::tflite;
use resmcu_quantizer::lower::lower;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Imports an int8 `.tflite` file as a model of the profile `tflite`
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file
    file: PathBuf,
    /// Where the model is written [default: the file's name with `.rmcu`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    layers: usize,
    parameters: u64,
    macs: u64,
    arena: u32,
    file: String,
    bytes: usize,
}

impl Import {
    pub(crate) fn run(&self) -> Outcome {
        let bytes = std::fs::read(&self.file).map_err(|error| {
            Failure::input(format!("the file could not be read: {error}"))
                .in_file(&self.file)
                .help("name a TensorFlow Lite file, int8 throughout")
        })?;
        let name = self.file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into());
        let graph = tflite::read(&bytes, &name).map_err(|error| {
            Failure::input(error).in_file(&self.file).help(
                "int8 convolutions, fully connected layers, adds, poolings, softmax are supported",
            )
        })?;
        let lowered = lower(&graph).or_fail("the network cannot be expressed as a model file")?;
        let model = Model::new(&lowered.file)?;
        let path = self.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.rmcu")));
        write_file(&path, model.bytes())?;
        let file = model.file()?;
        let layers = crate::layers::layers(&file)?;
        let body = Body {
            layers: layers.len(),
            parameters: layers.iter().map(|layer| layer.params).sum(),
            macs: file.header().macs,
            arena: file.header().arena_bytes,
            file: path.display().to_string(),
            bytes: model.bytes().len(),
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "layers       {}", self.layers)?;
        writeln!(f, "parameters   {}", grouped(self.parameters))?;
        writeln!(f, "MACs         {}", grouped(self.macs))?;
        writeln!(f, "arena        {}", size(self.arena))?;
        writeln!(f, "written      {}, {}", self.file, size(self.bytes as u64))
    }
}
