//! The settings of a run as the command line names them: the recipe, then a file, then flags.

use crate::failure::{Failure, Outcome};
use crate::output::write_file;
use clap::{Args, ValueEnum};
use resmcu_quantizer::graph::Dtype;
use resmcu_quantizer::train::{Optimizer, Schedule, TrainConfig};
use std::path::{Path, PathBuf};

/// Everything else has a key of the TOML file, the one that is written beside each checkpoint.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct Settings {
    /// Settings in TOML; those below override it, and what neither names is the recipe's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Passes over the training images; milestones of the schedule move in proportion
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// End within this time, `90s`, `10m` or `2h`; the schedule is squeezed into what fits
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    time_budget: Option<f64>,
    /// Hold out this share of the images, a thousand at most, to choose the best epoch by; 0 to
    /// train on all and keep the last epoch
    #[arg(long, value_name = "SHARE")]
    validation: Option<f64>,
    /// End after so many epochs without a new best one
    #[arg(long, value_name = "N")]
    patience: Option<usize>,
    /// Images of a step
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// How weights follow their gradients
    #[arg(long, value_enum, value_name = "OPTIMIZER")]
    optimizer: Option<OptimizerName>,
    /// The peak of the learning rate
    #[arg(long, value_name = "R")]
    learning_rate: Option<f32>,
    /// How the learning rate falls
    #[arg(long, value_enum, value_name = "SCHEDULE")]
    schedule: Option<ScheduleName>,
    /// Epochs in which it rises first
    #[arg(long, value_name = "N")]
    warm_up: Option<f32>,
    /// Pull of weights towards zero
    #[arg(long, value_name = "R")]
    weight_decay: Option<f32>,
    /// The largest norm of all gradients together
    #[arg(long, value_name = "R")]
    clip_norm: Option<f32>,
    /// What is taken from each label and spread over all classes
    #[arg(long, value_name = "SHARE")]
    label_smoothing: Option<f32>,
    /// Learn the answers of the checkpoint given by `--from` instead of the labels, at this
    /// temperature, as `--quantize` does; 0 for the labels
    #[arg(long, value_name = "T")]
    teacher_temperature: Option<f32>,
    /// Mix images in pairs, by shares from Beta(A, A)
    #[arg(long, value_name = "A")]
    mixup: Option<f32>,
    /// Blank a square of this side in each image
    #[arg(long, value_name = "PIXELS")]
    cutout: Option<usize>,
    /// Keep a moving average of the weights, of which each step leaves this share
    #[arg(long, value_name = "SHARE")]
    ema: Option<f32>,
    /// Begin with residual blocks that are the identity
    #[arg(long)]
    zero_gamma: bool,
    /// Of the weights, the split, the order and the augmentation
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OptimizerName {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam with decoupled weight decay
    Adamw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScheduleName {
    /// Along half a cosine, to zero
    Cosine,
    /// To a tenth after half and after three quarters of the epochs, as the paper has it
    Steps,
}

/// How the checkpoint's parameters are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DtypeName {
    /// Exact
    F32,
    /// Half the size, 11 bits of precision
    F16,
    /// Half the size, 8 bits of precision, the range of f32
    Bf16,
}

impl From<DtypeName> for Dtype {
    fn from(name: DtypeName) -> Self {
        match name {
            DtypeName::F32 => Self::F32,
            DtypeName::F16 => Self::F16,
            DtypeName::Bf16 => Self::Bf16,
        }
    }
}

impl Settings {
    /// The recipe, what the file says, what the command line says; the later overrides.
    pub(super) fn over(&self, recipe: TrainConfig) -> Outcome<TrainConfig> {
        let mut config = recipe;
        if let Some(path) = &self.config {
            let read = std::fs::read_to_string(path).map_err(|error| {
                Failure::input(format!("the file could not be read: {error}")).in_file(path)
            });
            config = changed_by(&config, &read?).map_err(|error| {
                Failure::input(error)
                    .in_file(path)
                    .help("`resmcu train` writes a file of all settings beside its checkpoint")
            })?;
        }
        if let Some(epochs) = self.epochs {
            config = config.with_epochs(epochs);
        }
        if let Some(warm_up) = self.warm_up {
            (config.warm_up_epochs, config.warm_up_steps) = (warm_up, 0);
        }
        config.schedule = match self.schedule {
            Some(ScheduleName::Cosine) => Schedule::Cosine,
            Some(ScheduleName::Steps) => Schedule::MultiStep {
                milestones: vec![config.epochs / 2, config.epochs * 3 / 4],
                factor: 0.1,
            },
            None => config.schedule,
        };
        config.optimizer = match self.optimizer {
            Some(OptimizerName::Sgd) => Optimizer::Sgd,
            Some(OptimizerName::Adamw) => Optimizer::AdamW,
            None => config.optimizer,
        };
        config.zero_gamma |= self.zero_gamma;
        set(&mut config.time_budget_s, self.time_budget);
        set(&mut config.validation, self.validation);
        set(&mut config.patience, self.patience);
        set(&mut config.batch, self.batch);
        set(&mut config.learning_rate, self.learning_rate);
        set(&mut config.weight_decay, self.weight_decay);
        set(&mut config.clip_norm, self.clip_norm);
        set(&mut config.label_smoothing, self.label_smoothing);
        set(&mut config.teacher_temperature, self.teacher_temperature);
        set(&mut config.mixup_alpha, self.mixup);
        set(&mut config.cutout, self.cutout);
        set(&mut config.ema, self.ema);
        set(&mut config.seed, self.seed);
        Ok(config)
    }
}

fn set<T>(setting: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *setting = value;
    }
}

/// What `--config` of the same network and data repeats the run with, to the bit.
pub(super) fn save(config: &TrainConfig, path: &Path) -> Outcome {
    let text = toml::to_string_pretty(config).map_err(Failure::input)?;
    write_file(path, text.as_bytes())
}

/// The settings with those that `text` names.
fn changed_by(config: &TrainConfig, text: &str) -> Result<TrainConfig, String> {
    // Alone first: its errors have lines.
    toml::from_str::<TrainConfig>(text).map_err(|error| error.to_string())?;
    let mut all = toml::Table::try_from(config).map_err(|error| error.to_string())?;
    all.extend(text.parse::<toml::Table>().map_err(|error| error.to_string())?);
    all.try_into().map_err(|error: toml::de::Error| error.to_string())
}

/// Seconds of `90s`, `10m`, `2h`.
fn seconds(text: &str) -> Result<f64, String> {
    let unit = text.chars().last().filter(char::is_ascii_alphabetic);
    let factor = match unit {
        Some('s') => 1.0,
        Some('m') => 60.0,
        Some('h') => 3600.0,
        _ => return Err("a number with `s`, `m` or `h`".to_owned()),
    };
    let number = &text[..text.len() - 1];
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number * factor),
        _ => Err("a number above 0 with `s`, `m` or `h`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        #[track_caller]
        fn check(text: &str, expected: Option<f64>) {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        }
        check("90s", Some(90.0));
        check("1.5m", Some(90.0));
        check("2h", Some(7200.0));
        for bad in ["", "s", "90", "-1s", "0m", "nans", "infh", "1d", "1m\u{e9}"] {
            check(bad, None);
        }
    }

    #[test]
    fn a_file_changes_what_it_names_alone() {
        let recipe = TrainConfig::recipe("resnet8-fashion");
        let changed = changed_by(&recipe, "epochs = 3").unwrap();
        assert_eq!(changed, TrainConfig { epochs: 3, ..recipe.clone() });
        assert_eq!(changed_by(&recipe, "").unwrap(), recipe);
        let refused = changed_by(&recipe, "epoch = 3").unwrap_err();
        assert!(refused.contains("unknown field `epoch`"), "{refused}");
        let written = toml::to_string_pretty(&recipe).unwrap();
        assert_eq!(changed_by(&TrainConfig::default(), &written).unwrap(), recipe);
    }
}
