//! What `--resume` goes on with, and whether the command line asks for that run.
//!
//! A run has the settings that it began with. Those that the command line names again must agree:
//! others would make it neither the run that was interrupted nor the one that is asked for.

use super::Train;
use super::settings::Settings;
use crate::failure::{Failure, OrFail, Outcome};
use crate::model::load_checkpoint;
use resmcu_quantizer::graph::{Checkpoint, Graph, resnet};
use resmcu_quantizer::train::{TrainConfig, Trainer};
use std::path::Path;

const HELP: &str = "leave out the settings to go on with the run's own, or `--resume` to begin \
                    again";

impl Train {
    /// The interrupted run in `state`, if there is one to go on with.
    pub(super) fn begun(&self, given: Option<&Graph>, state: &Path) -> Outcome<Option<Checkpoint>> {
        if !self.resume {
            return Ok(None);
        }
        if !state.exists() {
            return Err(Failure::input("there is no interrupted run to resume")
                .in_file(state)
                .help("leave out `--resume` to begin one"));
        }
        let begun = load_checkpoint(&state.display().to_string())?;
        let network = &begun.graph.name;
        let asked = resnet::by_name(&self.network).or_fail("name one of these networks")?.name;
        if given.is_none() && *network != asked {
            return Err(Failure::input(format!("the run is one of `{network}`, not of `{asked}`"))
                .in_file(state)
                .help(format!("`resmcu train {network}` with `--resume` goes on")));
        }
        if let Some(config) = Trainer::settings_of(&begun).map_err(super::describe)?
            && let Some(difference) = difference(&self.settings, self.recipe(given), &config)?
        {
            return Err(Failure::input(difference).in_file(state).help(HELP));
        }
        Ok(Some(begun))
    }
}

/// The first setting that is asked for and is not that of the run. The command that began the run
/// differs in none, nor does one that names some of the run's own settings.
fn difference(asked: &Settings, recipe: TrainConfig, run: &TrainConfig) -> Outcome<Option<String>> {
    let run = TrainConfig { fits: Vec::new(), ..run.clone() };
    if asked.over(recipe)? == run {
        return Ok(None);
    }
    let table = |config: &TrainConfig| toml::Table::try_from(config).map_err(Failure::input);
    let (asked, run) = (table(&asked.over(run.clone())?)?, table(&run)?);
    // What the number of epochs moves comes after it.
    let other = |name: &&String| asked.get(*name) != run.get(*name);
    let epochs = "epochs".to_owned();
    let name = Some(&epochs).filter(other).or_else(|| run.keys().find(other));
    Ok(name.map(|name| {
        let [asked, run] = [&asked, &run].map(|table| words(table.get(name)));
        format!("`{name}` is {asked}, and {run} in the run that is to be resumed")
    }))
}

/// A setting on one line.
fn words(value: Option<&toml::Value>) -> String {
    match value {
        Some(toml::Value::Float(value)) => (*value as f32).to_string(),
        Some(value) => value.to_string(),
        None => "absent".to_owned(),
    }
}
