//! `resmcu run`: what a model says of images.

use crate::device::input;
use crate::failure::{Failure, Outcome};
use crate::host::{dequantize, integers, softmax, top_integers};
use crate::images::Wanted;
use crate::model::Model;
use crate::output::{Opening, Report, grouped, percent};
use clap::Args;
use resmcu_model_format::margin;
use resmcu_quantizer::data::{Decoder, Split};
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs images through a model, on the host or on a board
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A model file, or a network of the zoo
    model: String,
    /// Images of the network's size (PNG or JPEG)
    images: Vec<PathBuf>,
    /// Take test images of this data set instead
    #[arg(long, value_name = "PATH", conflicts_with = "images")]
    data: Option<String>,
    /// The first N of them
    #[arg(short = 'n', value_name = "N", default_value_t = 1, requires = "data")]
    count: usize,
    #[command(flatten)]
    on: super::On,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    target: String,
    /// Of the first image; all are in `images`.
    top: Vec<Class>,
    #[serde(flatten)]
    cost: Cost,
    images: Vec<Answer>,
}

#[derive(Clone, Debug, Serialize)]
struct Answer {
    image: String,
    /// Its margin is below the least that the model trusts.
    unknown: bool,
    top: Vec<Class>,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Clone, Debug, Serialize)]
struct Class {
    class: String,
    score: f32,
}

/// What one inference took.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Cost {
    /// Counted by the board.
    Instructions(u64),
    /// Counted by the board.
    Cycles(u64),
    /// Wall time of the host.
    Seconds(f64),
}

impl Run {
    pub(crate) fn run(&self) -> Outcome {
        let model = self.on.load(&self.model)?;
        let images = self.pixels(&model)?;
        let mut outputs = match self.on.start(&model)? {
            None => on_host(&model, &images)?,
            Some(mut board) => {
                let unit = board.client.summary().unit;
                let mut infer = |(_, pixels): &(String, Vec<u8>)| {
                    let inference = board.client.infer(&input(pixels))?;
                    let cost = Cost::counted(unit, inference.count);
                    Ok(Inferred { output: inference.output, unknown: inference.unknown, cost })
                };
                images.iter().map(&mut infer).collect::<Outcome<Vec<_>>>()?
            }
        }
        .into_iter();
        let mut answers = Vec::with_capacity(images.len());
        for ((image, _), inferred) in images.into_iter().zip(&mut outputs) {
            let Inferred { output, unknown, cost } = inferred;
            answers.push(Answer { image, unknown, top: classes(&model, &output)?, cost });
        }
        let first = answers.first().cloned();
        let first = first.ok_or_else(|| Failure::input("there is no image to run"))?;
        let target = self.on.target.clone();
        let body = Body { target, top: first.top, cost: first.cost, images: answers };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }

    /// The images by name, as `[H,W,C]` bytes.
    fn pixels(&self, model: &Model) -> Outcome<Vec<(String, Vec<u8>)>> {
        let (shape, classes) = model.input_and_classes()?;
        if let Some(data) = &self.data {
            let images = Some(self.count);
            let data = Wanted { data, split: Split::Test, images, shape, classes }.load()?;
            let name = |i| format!("{} #{i}, labelled {}", data.name, label(&data, i));
            let mut decoder = Decoder::new();
            let mut read = |i| Ok((name(i), data.image(i, &mut decoder)?.to_vec()));
            return (0..data.len()).map(&mut read).collect();
        }
        if self.images.is_empty() {
            return Err(Failure::input("no image was named")
                .help("name image files, or a data set with `--data fashion-mnist-small`"));
        }
        let read = |path: &PathBuf| Ok((path.display().to_string(), read_image(path, shape)?));
        self.images.iter().map(read).collect()
    }
}

fn label(data: &resmcu_quantizer::data::Dataset, index: usize) -> &str {
    data.class_names.get(usize::from(data.label(index))).map_or("?", String::as_str)
}

impl Cost {
    fn counted(unit: resmcu_device_link::wire_protocol::CounterUnit, count: u64) -> Self {
        match unit {
            resmcu_device_link::wire_protocol::CounterUnit::Instructions => {
                Self::Instructions(count)
            }
            resmcu_device_link::wire_protocol::CounterUnit::Cycles => Self::Cycles(count),
        }
    }
}

/// What came out, before it is put into words.
struct Inferred {
    output: Vec<u8>,
    unknown: bool,
    cost: Cost,
}

fn on_host(model: &Model, images: &[(String, Vec<u8>)]) -> Outcome<Vec<Inferred>> {
    let mut memory = model.memory();
    let mut executor = model.executor(&mut memory)?;
    let mut outputs = Vec::with_capacity(images.len());
    for (name, pixels) in images {
        if pixels.len() != executor.input_bytes() {
            return Err(Failure::input("the image has another size than the input").at(name));
        }
        let start = Instant::now();
        let output = executor.infer_image(pixels, &mut ()).to_vec();
        let cost = Cost::Seconds(start.elapsed().as_secs_f64());
        outputs.push(Inferred { unknown: is_unknown(model, &output)?, output, cost });
    }
    Ok(outputs)
}

/// Whether the model does not trust this answer.
fn is_unknown(model: &Model, output: &[u8]) -> Outcome<bool> {
    let file = model.file()?;
    let dtype = file.tensors().last().map(|tensor| tensor.dtype);
    let dtype = dtype.ok_or_else(|| Failure::input("the model has no output"))?;
    Ok(margin(integers(dtype, output).into_iter()) < file.notes().margin_min)
}

/// The five best classes with their probabilities.
fn classes(model: &Model, output: &[u8]) -> Outcome<Vec<Class>> {
    let file = model.file()?;
    let tensor = file.tensors().last();
    let tensor = tensor.ok_or_else(|| Failure::input("the model has no output"))?;
    let integers = integers(tensor.dtype, output);
    let scores = dequantize(&tensor, output);
    // A network of the profile `tflite` may end in its own softmax.
    let ends_in_softmax = matches!(
        file.steps().last().map(|step| step.op),
        Some(resmcu_model_format::Op::Softmax(_))
    );
    let scores = if ends_in_softmax { scores } else { softmax(&scores) };
    let names: Vec<&str> = file.header().class_names.lines().collect();
    let class = |class: usize| Class {
        class: names.get(class).map_or_else(|| class.to_string(), |&name| name.to_owned()),
        score: scores[class],
    };
    Ok(top_integers(&integers, 5).into_iter().map(class).collect())
}

/// An image file as `[H,W,C]` bytes, grey or RGB as the network wants it.
fn read_image(path: &Path, [height, width, channels]: [usize; 3]) -> Outcome<Vec<u8>> {
    let image = image::open(path).map_err(|error| {
        Failure::input(format!("the image could not be read: {error}"))
            .in_file(path)
            .help("PNG and JPEG files are read")
    })?;
    let (found_width, found_height) = (image.width() as usize, image.height() as usize);
    if (found_height, found_width) != (height, width) {
        let found = format!("the image is {found_height}x{found_width}");
        return Err(Failure::input(format!("{found}, and the network takes {height}x{width}"))
            .in_file(path)
            .help(format!("scale it to {width} by {height} pixels")));
    }
    match channels {
        1 => Ok(image.into_luma8().into_raw()),
        3 => Ok(image.into_rgb8().into_raw()),
        _ => Err(Failure::input(format!("the network takes {channels} channels, no image has"))),
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Instructions(count) => write!(f, "{} instructions", grouped(count)),
            Self::Cycles(count) => write!(f, "{} cycles", grouped(count)),
            Self::Seconds(seconds) => write!(f, "{:.2} ms", 1000.0 * seconds),
        }
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "target       {}", self.target)?;
        for answer in &self.images {
            let unknown = if answer.unknown { ": unknown" } else { "" };
            writeln!(f, "\n{}: {}{unknown}", answer.image, answer.cost)?;
            for Class { class, score } in &answer.top {
                writeln!(f, "  {:>8}  {class}", percent(f64::from(*score)))?;
            }
        }
        Ok(())
    }
}
