//! What a finished model notes of itself: a known answer for the device's self test, and the least
//! margin of an answer that is to be trusted.
//!
//! Owns where the held-out images come from that the margin is chosen on. The choice itself is
//! `resmcu_quantizer::trust`.

use crate::accuracy::Answers;
use crate::failure::{Failure, Outcome};
use crate::images::Wanted;
use crate::model::Model;
use crate::output::percent;
use crate::statistics::wilson95;
use clap::Args;
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_model_format::write::annotate;
use resmcu_model_format::{KnownAnswer, Notes};
use resmcu_quantizer::data::{Dataset, Split};
use resmcu_quantizer::train::TrainConfig;
use resmcu_quantizer::trust::{CONFIDENCE, Given, Judged, least_margin};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Seed of the input whose answer the model knows.
const KNOWN_SEED: u32 = 1;

/// When answers are trusted.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct Trust {
    /// Answer «unknown» where the best class is so little ahead of the second that fewer than this
    /// share of such answers would be right; the margin is chosen on images that the network has
    /// not learnt from
    #[arg(long, value_name = "SHARE", value_parser = share)]
    trust: Option<f64>,
    /// The images that the margin is chosen on [default: those that `resmcu train` held out]
    #[arg(long, value_name = "PATH", requires = "trust")]
    trust_data: Option<String>,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| "not a share of 0 to below 1, as 0.95".to_owned())
}

/// What was promised, and what it costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trusted {
    /// The share that was asked for.
    precision: f64,
    /// How sure it is.
    confidence: f64,
    /// The least margin of an answer.
    margin_min: u32,
    /// On the images that it was chosen on.
    chosen_on: Selected,
    /// On images that nothing was chosen on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<Selected>,
}

/// Answers that a model gives at its margin.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Selected {
    data: String,
    images: usize,
    /// The share of images that get an answer.
    coverage: f64,
    /// The share of given answers that are right.
    precision: f64,
    /// Wilson's 95 % interval of `precision`.
    ci95: [f64; 2],
}

impl Trust {
    /// Whether a share was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.trust.is_some()
    }

    /// The model with its known answer and, where a share was asked for, the margin that promises
    /// it. `checkpoint` is the float network's file and the data that it learnt from.
    pub(crate) fn annotate(
        &self,
        model: &Model,
        checkpoint: Option<(&Path, &str)>,
    ) -> Outcome<(Model, Option<Trusted>)> {
        let answer = known_answer(model)?;
        let trusted = match self.trust {
            None => None,
            Some(share) => Some(choose(model, share, &self.held_out(model, checkpoint)?)?),
        };
        let margin_min = trusted.as_ref().map_or(0, |trusted| trusted.margin_min);
        let notes = Notes { margin_min, known_answers: 1 };
        let file = annotate(model.bytes(), &notes, &[answer]).map_err(Failure::input)?;
        Ok((Model::new(&file)?, trusted))
    }

    /// Images that the network has not learnt from.
    fn held_out(&self, model: &Model, checkpoint: Option<(&Path, &str)>) -> Outcome<Dataset> {
        let (shape, classes) = model.input_and_classes()?;
        let wanted = |data| Wanted { data, split: Split::Test, images: None, shape, classes };
        if let Some(data) = &self.trust_data {
            return wanted(data.as_str()).load();
        }
        let unknown = |found: &str| {
            Failure::input(found).help("name such images: `--trust-data PATH`, none of the tests'")
        };
        let unseen = "which images the network has not learnt from is not known";
        let (file, data) = checkpoint.ok_or_else(|| unknown(unseen))?;
        let config = settings(file).ok_or_else(|| {
            let found = format!("{unseen}: its settings are not beside {}", file.display());
            unknown(&found)
        })?;
        if config.validation == 0.0 {
            return Err(unknown("the network learnt from all images: none was held out"));
        }
        let held_out = wanted(data).held_out_by(&config)?;
        Ok(held_out)
    }
}

/// The settings that `resmcu train` wrote beside a checkpoint, or the zoo's beside its own.
fn settings(checkpoint: &Path) -> Option<TrainConfig> {
    let text = ["config.toml", "toml"]
        .iter()
        .find_map(|ending| std::fs::read_to_string(checkpoint.with_extension(ending)).ok())?;
    toml::from_str(&text).ok()
}

/// What the model answers to the input of [`KNOWN_SEED`].
fn known_answer(model: &Model) -> Outcome<KnownAnswer> {
    let answer = KnownAnswer { seed: KNOWN_SEED, output_crc: 0 };
    let mut memory = model.memory();
    let mut executor = model.executor(&mut memory)?;
    let input: Vec<u8> = answer.input().take(executor.input_bytes()).collect();
    executor.begin();
    executor.feed(&input, &mut ());
    Ok(KnownAnswer { output_crc: tensor_crc(executor.run(&mut ())), ..answer })
}

fn choose(model: &Model, precision: f64, held_out: &Dataset) -> Outcome<Trusted> {
    let answers = Answers::int8(model, held_out)?.judged(held_out);
    let margin_min = least_margin(&answers, precision).ok_or_else(|| {
        let all = Given::at(0, &answers);
        let (asked, found, images) = (percent(precision), percent(all.precision()), all.images);
        Failure::check(format!(
            "no margin promises that {asked} of the answers are right: of all, {found} of {images} \
             held-out images are"
        ))
        .help("ask for less, or hold more images out: `--trust-data` with some thousand")
    })?;
    let name = format!("held out of {} ({})", held_out.name, held_out.split);
    let chosen_on = Selected::new(name, margin_min, &answers);
    Ok(Trusted { precision, confidence: CONFIDENCE, margin_min, chosen_on, test: None })
}

impl Selected {
    /// What the margin of `model` does to its answers; none where it trusts them all.
    pub(crate) fn of(model: &Model, answers: &Answers, data: &Dataset) -> Outcome<Option<Self>> {
        let margin_min = model.file()?.notes().margin_min;
        let name = format!("{} ({})", data.name, data.split);
        Ok((margin_min > 0).then(|| Self::new(name, margin_min, &answers.judged(data))))
    }

    fn new(data: String, margin_min: u32, answers: &[Judged]) -> Self {
        let selected = Given::at(margin_min, answers);
        Self {
            data,
            images: selected.images,
            coverage: selected.coverage(),
            precision: selected.precision(),
            ci95: wilson95(selected.right, selected.given),
        }
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, sure) = (percent(self.precision), percent(self.confidence));
        let margin = self.margin_min;
        writeln!(f, "trust        from a margin of {margin}: {asked} right, {sure} sure of it")?;
        writeln!(f, "             {}", self.chosen_on)?;
        self.test.iter().try_for_each(|test| writeln!(f, "             {test}"))
    }
}

impl fmt::Display for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, images, ci95: [low, high], .. } = self;
        let (coverage, precision) = (percent(self.coverage), percent(self.precision));
        let (low, high) = (100.0 * low, 100.0 * high);
        write!(f, "{data}: {coverage} of {images} images answered, ")?;
        write!(f, "{precision} of them rightly (95 %: {low:.2} to {high:.2})")
    }
}
