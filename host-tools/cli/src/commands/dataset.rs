//! `resmcu dataset`: which images are there, and whether they are whole.

use crate::failure::{Failure, Outcome};
use crate::output::{Opening, Report, grouped, table};
use clap::Args;
use resmcu_quantizer::data::{DataError, Source, Survey, named_sets};
use serde::Serialize;
use std::fmt;

/// Lists the data sets with a name, or checks one: every image is read
#[derive(Debug, Args)]
pub(crate) struct Dataset {
    /// A CIFAR binary file, an IDX pair or folder, a folder of images, or a data set's name
    data: Option<String>,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body {
    List { sets: Vec<Set> },
    Check { name: String, file_format: &'static str, splits: Vec<Checked> },
}

#[derive(Debug, Serialize)]
struct Set {
    name: &'static str,
    about: &'static str,
    licence: &'static str,
    there: bool,
    help: &'static str,
}

#[derive(Debug, Serialize)]
struct Checked {
    split: String,
    images: usize,
    /// Height, width and channels, where all images have one size.
    shape: Option<[usize; 3]>,
    /// Height and width of the image with the fewest pixels, and of the one with the most.
    sizes: [[usize; 2]; 2],
    channels: usize,
    per_class: Vec<(String, usize)>,
}

/// Unreadable images that are named; the others are counted.
const UNREADABLE_MAX: usize = 10;

impl Dataset {
    pub(crate) fn run(&self) -> Outcome {
        let body = match &self.data {
            None => list(),
            Some(data) => check(&Source::find(data)?)?,
        };
        Report { opening: Opening::plain(), body }.print(self.json.json)
    }
}

fn list() -> Body {
    let sets = named_sets().iter().map(|set| Set {
        name: set.name,
        about: set.about,
        licence: set.licence,
        there: Source::find(set.name).is_ok(),
        help: set.help,
    });
    Body::List { sets: sets.collect() }
}

/// Reads every image of every split.
fn check(source: &Source) -> Outcome<Body> {
    let mut splits = Vec::new();
    for split in source.splits() {
        let bar = crate::progress::bar(source.count(split).unwrap_or(0), "reading");
        let survey = source.survey(split, &|| bar.inc(1))?;
        bar.finish_and_clear();
        splits.push(checked(survey)?);
    }
    let (name, file_format) = (source.name().to_owned(), source.format());
    Ok(Body::Check { name, file_format, splits })
}

fn checked(survey: Survey) -> Outcome<Checked> {
    let Survey { split, sizes, channels, ref unreadable, .. } = survey;
    let images = survey.images();
    if !unreadable.is_empty() {
        let (count, all) = (unreadable.len(), images + unreadable.len());
        let mut lines: Vec<_> = unreadable.iter().map(DataError::to_string).collect();
        lines.truncate(UNREADABLE_MAX);
        if count > UNREADABLE_MAX {
            lines.push(format!("and {} more", count - UNREADABLE_MAX));
        }
        return Err(Failure::input(format!("{count} of {all} {split} images cannot be read"))
            .at(lines.join("\n      "))
            .help("remove these files, or write them again"));
    }
    let [smallest @ [height, width], largest] = sizes;
    let shape = (smallest == largest).then_some([height, width, channels]);
    let per_class = survey.class_names.into_iter().zip(survey.per_class).collect();
    Ok(Checked { split: split.to_string(), images, shape, sizes, channels, per_class })
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List { sets } => {
                let mut rows = table(&["data set", "holds", "licence", "there"]);
                for set in sets {
                    let there = if set.there { "yes" } else { set.help };
                    rows.add_row([set.name, set.about, set.licence, there]);
                }
                writeln!(f, "{rows}\n\nOther data are named by their path.")
            }
            Self::Check { name, file_format, splits } => {
                writeln!(f, "{name} ({file_format}): every image was read")?;
                for split in splits {
                    let images = grouped(split.images as u64);
                    let [[height, width], [most_height, most_width]] = split.sizes;
                    let (name, channels) = (&split.split, split.channels);
                    write!(f, "\n{name}: {images} images of {height}x{width}")?;
                    match split.shape {
                        Some(_) => writeln!(f, "x{channels}")?,
                        None => writeln!(f, " to {most_height}x{most_width}, {channels} channels")?,
                    }
                    let mut rows = table(&["class", ">images"]);
                    for (class, images) in &split.per_class {
                        rows.add_row([class.clone(), grouped(*images as u64)]);
                    }
                    writeln!(f, "{rows}")?;
                }
                Ok(())
            }
        }
    }
}
