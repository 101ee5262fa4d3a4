//! `resmcu report`: one page about a model, for a browser.
//!
//! Owns what is measured for it; `page` lays it out, `figures` draws.

mod activations;
mod figures;
mod page;

use super::bench::Measured;
use crate::accuracy::{Accuracy, Answers};
use crate::failure::{Failure, OrFail, Outcome};
use crate::images::Wanted;
use crate::layer_errors::{LayerError, layer_errors};
use crate::layers::{Layer, layers};
use crate::model::{Model, load_checkpoint};
use crate::output::{Opening, Report as Printed, percent, size, write_file};
use crate::statistics::Paired;
use crate::trust::Selected;
use activations::activations;
use clap::Args;
use page::Page;
use resmcu_quantizer::data::{Dataset, Split};
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::Graph;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Images on which layers are looked at.
const LAYER_IMAGES: usize = 64;

/// Writes one self-contained HTML page about a model: accuracy, confusion, errors by layer,
/// histograms, the arena's map, cost by layer
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// A model file, or a network of the zoo
    model: String,
    /// The float checkpoint that it was made from: adds what the integers lose, layer by layer,
    /// and the curves of training where they lie beside it
    #[arg(long, value_name = "CHECKPOINT")]
    float: Option<PathBuf>,
    /// Where the page is written [default: the model's name with `.html`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    data: super::Data,
    #[command(flatten)]
    on: super::On,
    #[command(flatten)]
    json: super::Json,
}

/// What the integers lose against a float network.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    checkpoint: String,
    float: Accuracy,
    difference: Paired,
    agreement: f64,
    layers: Vec<LayerError>,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    int8: Accuracy,
    #[serde(flatten)]
    compared: Option<Compared>,
    unit: &'static str,
    total: u64,
    file: String,
    bytes: usize,
}

impl Report {
    pub(crate) fn run(&self) -> Outcome {
        let model = self.on.load(&self.model)?;
        let (shape, classes) = model.input_and_classes()?;
        let images = self.data.images;
        let wanted = Wanted { data: &self.data.data, split: Split::Test, images, shape, classes };
        let data = wanted.load()?;
        let answers = Answers::int8(&model, &data)?;
        let compared = match &self.float {
            Some(path) => Some(compared(&model, &path.to_string_lossy(), &answers, &data)?),
            None => None,
        };
        let file = model.file()?;
        let measured = Measured::of(&model, &self.on, false)?;
        let opening = Opening::of(model.name()?);
        let page = Page {
            opening: opening.to_string(),
            file: &file,
            bytes: model.bytes().len(),
            origin: model.origin.as_deref(),
            target: &self.on.target,
            data: &data,
            int8: answers.accuracy(&data),
            compared: compared.as_ref(),
            confusion: answers.confusion(&data, classes),
            activations: activations(&model, &data.take(LAYER_IMAGES))?,
            given: Selected::of(&model, &answers, &data)?,
            layers: layers_on(&self.on.target, &model)?,
            measured: &measured,
            curves: self.curves()?,
        };
        let text = page.html()?;
        let default = || PathBuf::from(format!("{}.html", file.header().name));
        let path = self.output.clone().unwrap_or_else(default);
        write_file(&path, text.as_bytes())?;
        let body = Body {
            data: format!("{} ({})", data.name, data.split),
            int8: answers.accuracy(&data),
            compared,
            unit: measured.unit,
            total: measured.total,
            file: path.display().to_string(),
            bytes: text.len(),
        };
        Printed { opening, body }.print(self.json.json)
    }

    /// The curves that `resmcu train` left beside the checkpoint.
    fn curves(&self) -> Outcome<Option<String>> {
        let Some(path) = self.float.as_ref().map(|path| path.with_extension("curves.svg")) else {
            return Ok(None);
        };
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path);
        let help = "remove it, or train again";
        text.or_fail(help).map(Some).map_err(|failure| failure.in_file(&path))
    }
}

/// The model's steps, with the kernels that the target runs them by.
fn layers_on(target: &str, model: &Model) -> Outcome<Vec<Layer>> {
    let mut of_file = layers(&model.file()?)?;
    if target == "host" {
        let on_host = layers(&model.host_file()?)?;
        of_file.iter_mut().zip(on_host).for_each(|(layer, host)| layer.kernel = host.kernel);
    }
    Ok(of_file)
}

/// Runs the float network on the same images.
fn compared(model: &Model, path: &str, int8: &Answers, data: &Dataset) -> Outcome<Compared> {
    let graph: Graph = fold(&load_checkpoint(path)?.graph).map_err(Failure::input)?;
    let found = (graph.input_shape(), graph.classes());
    if found != model.input_and_classes()? {
        let ([h, w, c], classes) = found;
        let what = format!("it takes {h}x{w}x{c} and tells {classes} classes apart; the model not");
        let help = "name the checkpoint that the model was made from";
        return Err(Failure::input(what).at(path).help(help));
    }
    let float = Answers::float(&graph, data)?;
    Ok(Compared {
        checkpoint: path.to_owned(),
        float: float.accuracy(data),
        difference: Paired::new(&float.hits(data), &int8.hits(data)),
        agreement: float.agreement(int8),
        layers: layer_errors(model, &graph, &data.take(LAYER_IMAGES))?,
    })
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data         {}", self.data)?;
        writeln!(f, "int8         {}", self.int8)?;
        if let Some(compared) = &self.compared {
            writeln!(f, "float        {}", compared.float)?;
            writeln!(f, "difference   {}", page::interval(&compared.difference))?;
            writeln!(f, "agreement    {}", percent(compared.agreement))?;
        }
        writeln!(f, "written      {}, {}", self.file, size(self.bytes as u64))
    }
}
