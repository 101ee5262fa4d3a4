//! `resmcu evaluate`: how often a checkpoint or a model is right.

use crate::accuracy::{Accuracy, Answers};
use crate::failure::{Failure, Outcome};
use crate::images::Wanted;
use crate::model::{self, Named};
use crate::output::{ModelName, Opening, Report, percent, table};
use crate::trust::Selected;
use clap::Args;
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_quantizer::data::Split;
use serde::Serialize;
use std::fmt;

/// Measures the accuracy of a checkpoint or a model on a data set
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// A checkpoint or a model file
    model: String,
    #[command(flatten)]
    data: super::Data,
    /// Fail (exit 1) where fewer of the images are right; a share, 0 to 1
    #[arg(long, value_name = "SHARE")]
    min_accuracy: Option<f64>,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    data: String,
    arithmetic: &'static str,
    #[serde(flatten)]
    accuracy: Accuracy,
    /// Which answers are given, where the model does not trust them all.
    given: Option<Selected>,
    images_per_s: f64,
    class_names: Vec<String>,
    confusion: Vec<Vec<usize>>,
}

impl Evaluate {
    pub(crate) fn run(&self) -> Outcome {
        let named = model::load(&self.model)?;
        let (name, arithmetic, shape, classes) = describe(&named, &self.model)?;
        let wanted = Wanted {
            data: &self.data.data,
            split: Split::Test,
            images: self.data.images,
            shape,
            classes,
        };
        let data = wanted.load()?;
        let answers = match &named {
            Named::Model(model) => Answers::int8(model, &data)?,
            Named::Float(checkpoint) => Answers::float(&checkpoint.graph, &data)?,
        };
        let accuracy = answers.accuracy(&data);
        let body = Body {
            data: format!("{} ({})", data.name, data.split),
            arithmetic,
            accuracy,
            given: match &named {
                Named::Model(model) => Selected::of(model, &answers, &data)?,
                Named::Float(_) => None,
            },
            images_per_s: accuracy.images as f64 / answers.seconds.max(1e-9),
            confusion: answers.confusion(&data, classes),
            class_names: data.class_names.clone(),
        };
        Report { opening: Opening::of(name), body }.print(self.json.json)?;
        match self.min_accuracy {
            Some(least) if accuracy.top1 < least => {
                let (found, least) = (percent(accuracy.top1), percent(least));
                Err(Failure::check(format!("{found} of the images are right, below {least}")))
            }
            _ => Ok(()),
        }
    }
}

/// Name, arithmetic, input shape and classes.
fn describe(named: &Named, path: &str) -> Outcome<(ModelName, &'static str, [usize; 3], usize)> {
    Ok(match named {
        Named::Model(model) => {
            let (shape, classes) = model.input_and_classes()?;
            (model.name()?, "int8", shape, classes)
        }
        Named::Float(checkpoint) => {
            let graph = &checkpoint.graph;
            // As of a model file: the CRC-32 of the file's bytes.
            let bytes = std::fs::read(path).map_err(Failure::input)?;
            let hash = format!("{:08x}", tensor_crc(&bytes));
            let name = ModelName { name: graph.name.clone(), hash };
            (name, "float", graph.input_shape(), graph.classes())
        }
    })
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data         {}", self.data)?;
        writeln!(f, "{:<12} {}", self.arithmetic, self.accuracy)?;
        self.given.iter().try_for_each(|given| writeln!(f, "trusted      {given}"))?;
        writeln!(f, "top 5        {}", percent(self.accuracy.top5))?;
        writeln!(f, "speed        {:.0} images/s on this host\n", self.images_per_s)?;
        if self.class_names.len() > 20 {
            return Ok(()); // a matrix that no terminal shows; `--json` has it
        }
        let answers = (0..self.confusion.len()).map(|class| format!(">{class}"));
        let titles: Vec<String> = ["label".to_owned()].into_iter().chain(answers).collect();
        let mut rows = table(&titles.iter().map(String::as_str).collect::<Vec<_>>());
        for (class, row) in self.confusion.iter().enumerate() {
            let name = self.class_names.get(class).map_or("", String::as_str);
            let cells = row.iter().map(|&n| if n == 0 { "·".to_owned() } else { n.to_string() });
            rows.add_row([format!("{class} {name}")].into_iter().chain(cells));
        }
        writeln!(f, "{rows}")
    }
}
