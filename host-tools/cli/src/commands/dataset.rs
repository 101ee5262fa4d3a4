//! `resmcu dataset`: which images are there, and whether they are whole.

use crate::failure::Outcome;
use crate::output::{Opening, Report, grouped, table};
use clap::Args;
use resmcu_quantizer::data::{DataError, Source, Split, named_sets};
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
    shape: [usize; 3],
    per_class: Vec<(String, usize)>,
}

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

/// Reads every image of every split, holding one at a time.
fn check(source: &Source) -> Result<Body, DataError> {
    let mut splits = Vec::new();
    for split in source.splits() {
        splits.push(check_split(source, split)?);
    }
    let (name, file_format) = (source.name().to_owned(), source.format());
    Ok(Body::Check { name, file_format, splits })
}

fn check_split(source: &Source, split: Split) -> Result<Checked, DataError> {
    let mut stream = source.stream(split)?;
    let info = stream.info().clone();
    let mut image = vec![0; info.image_bytes()];
    let mut counts = vec![0; info.class_names.len()];
    let bar = crate::progress::bar(info.image_count.unwrap_or(0), "reading");
    while let Some(label) = stream.next_into(&mut image)? {
        bar.inc(1);
        // The reader has checked that every label has a class.
        if let Some(count) = counts.get_mut(usize::from(label)) {
            *count += 1;
        }
    }
    bar.finish_and_clear();
    Ok(Checked {
        split: split.to_string(),
        images: counts.iter().sum(),
        shape: info.shape,
        per_class: info.class_names.into_iter().zip(counts).collect(),
    })
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
                    let [height, width, channels] = split.shape;
                    let images = grouped(split.images as u64);
                    writeln!(
                        f,
                        "\n{}: {images} images of {height}x{width}x{channels}",
                        split.split
                    )?;
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
