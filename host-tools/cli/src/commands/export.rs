//! `resmcu export`: a model in the forms that other tools take.

use crate::failure::{Failure, Outcome};
use crate::model::{Model, load_checkpoint};
use crate::output::{ModelName, Opening, Report, size, write_file};
use clap::{Args, ValueEnum};
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_quantizer::export::tflite::ExportError;
use resmcu_quantizer::export::{Language, array, onnx, tflite};
use resmcu_quantizer::quantization_aware::is_on_grids;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Writes a model as an array in C or Rust or as an int8 `.tflite` file, a checkpoint as ONNX
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A model file, a network's name, or for ONNX a checkpoint
    model: String,
    /// What is written
    #[arg(long, value_enum)]
    format: Format,
    /// Where it is written [default: the model's name with the ending of its form]
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
    /// A float network; on the grids of its integers in QDQ format
    Onnx,
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
        if self.format == Format::Onnx {
            return self.onnx();
        }
        let model = Model::load(&self.model)?;
        let file = model.file()?;
        let (form, ending) = match self.format {
            Format::C => ("C array", "h"),
            Format::Rust => ("Rust array", "rs"),
            Format::Tflite | Format::Onnx => (".tflite, int8", "tflite"),
        };
        let bytes = match self.format {
            Format::C => array(Language::C, model.bytes(), &file).into_bytes(),
            Format::Rust => array(Language::Rust, model.bytes(), &file).into_bytes(),
            Format::Tflite | Format::Onnx => {
                tflite::write(&file).map_err(|error| self.refused(&error))?
            }
        };
        let has_classes = self.format == Format::Tflite && !file.header().class_names.is_empty();
        self.written(model.name()?, (form, ending), &bytes, has_classes)
    }

    /// A checkpoint's graph, before any batch normalization is folded.
    fn onnx(&self) -> Outcome {
        let graph = load_checkpoint(&self.model)?.graph;
        let bytes = onnx::write(&graph);
        let form = if is_on_grids(&graph) { "ONNX, QDQ of int8" } else { "ONNX, float" };
        let hash = format!("{:08x}", tensor_crc(&bytes));
        let has_classes = !graph.class_names.is_empty();
        self.written(ModelName { name: graph.name, hash }, (form, "onnx"), &bytes, has_classes)
    }

    fn written(
        &self,
        name: ModelName,
        (form, ending): (&'static str, &str),
        bytes: &[u8],
        has_classes: bool,
    ) -> Outcome {
        let named = || PathBuf::from(format!("{}.{ending}", name.name));
        let path = self.output.clone().unwrap_or_else(named);
        write_file(&path, bytes)?;
        let body = Body {
            form,
            file: path.display().to_string(),
            bytes: bytes.len(),
            crc32: format!("{:08x}", tensor_crc(bytes)),
            left_out: has_classes.then_some("class names, which such a file has no place for"),
        };
        Report { opening: Opening::of(name), body }.print(self.json.json)
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
