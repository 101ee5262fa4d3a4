//! `resmcu export`: a model in the forms that other tools take.

use crate::failure::{Failure, Outcome};
use crate::model::Model;
use crate::output::{Opening, Report, size, write_file};
use clap::{Args, ValueEnum};
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_quantizer::export::tflite::ExportError;
use resmcu_quantizer::export::{Language, array, tflite};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Writes a model as an array in C or Rust, or as an int8 `.tflite` file
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A model file, or a network's name
    model: String,
    /// What is written
    #[arg(long, value_enum)]
    format: Format,
    /// Where it is written [default: the model's name with `.h`, `.rs` or `.tflite`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    json: super::Json,
}

/// Forms of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An aligned array in a C11 header
    C,
    /// An aligned array in a Rust module
    Rust,
    /// An int8 file for TensorFlow Lite's interpreters, of models that were imported from one
    Tflite,
}

#[derive(Debug, Serialize)]
struct Body {
    form: &'static str,
    file: String,
    bytes: usize,
    crc32: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'static str>,
}

impl Export {
    pub(crate) fn run(&self) -> Outcome {
        let model = Model::load(&self.model)?;
        let file = model.file()?;
        let (form, ending) = match self.format {
            Format::C => ("C array", "h"),
            Format::Rust => ("Rust array", "rs"),
            Format::Tflite => (".tflite, int8", "tflite"),
        };
        let bytes = match self.format {
            Format::C => array(Language::C, model.bytes(), &file).into_bytes(),
            Format::Rust => array(Language::Rust, model.bytes(), &file).into_bytes(),
            Format::Tflite => tflite::write(&file).map_err(|error| self.refused(&error))?,
        };
        let named = || PathBuf::from(format!("{}.{ending}", file.header().name));
        let path = self.output.clone().unwrap_or_else(named);
        write_file(&path, &bytes)?;
        let has_classes = !file.header().class_names.is_empty();
        let left_out = (self.format == Format::Tflite && has_classes)
            .then_some("class names, which such a file has no place for");
        let body = Body {
            form,
            file: path.display().to_string(),
            bytes: bytes.len(),
            crc32: format!("{:08x}", tensor_crc(&bytes)),
            left_out,
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }

    fn refused(&self, error: &ExportError) -> Failure {
        let help = match error {
            ExportError::Profile => {
                "`--format c` and `rust` take every model; .tflite, those imported from .tflite"
            }
            _ => "`--format c` and `rust` take every model",
        };
        Failure::input(error).at(&self.model).help(help)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "form         {}", self.form)?;
        if let Some(left_out) = self.left_out {
            writeln!(f, "left out     {left_out}")?;
        }
        writeln!(f, "CRC-32       {}", self.crc32)?;
        writeln!(f, "written      {}, {}", self.file, size(self.bytes as u64))
    }
}
