//! The settings of a run, their checks, and the learning rate of each step.

use serde::{Deserialize, Serialize};

use super::TrainError;

/// How the learning rate falls after the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Multiplied by `factor` when each of the epochs has passed (paper, sections 3.4 and 4.2).
    MultiStep {
        /// Epochs, counted from 0, that begin with a lower rate.
        milestones: Vec<usize>,
        /// Below 1.
        factor: f32,
    },
    /// Half a cosine from the peak to zero over the whole run.
    Cosine,
}

/// All settings of a run. Together with the data and the first graph they decide every bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images of a step. An epoch's last images that do not fill a batch are left out.
    pub batch: usize,
    /// The peak of the learning rate.
    pub learning_rate: f32,
    /// How it falls.
    pub schedule: Schedule,
    /// Epochs, or a part of one, in which the rate rises linearly from zero to its peak.
    pub warm_up_epochs: f32,
    /// Share of the last step that the next one keeps.
    pub momentum: f32,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
    /// L2 penalty on weights; biases, gamma and beta have none.
    pub weight_decay: f32,
    /// Zeros around the normalized image from which the crop is taken; 0 for no crop.
    pub crop_padding: usize,
    /// Mirror half of the images, left to right.
    pub flip: bool,
    /// How far the running averages of batch normalization move in a step.
    pub norm_momentum: f32,
    /// Share of each class's training images that is held out to choose the best epoch.
    pub validation: f64,
    /// Seed of the split, the order and the augmentation.
    pub seed: u64,
}

impl Default for TrainConfig {
    /// The paper's settings for CIFAR-10 (section 4.2): batch 128, rate 0.1, divided by ten after
    /// 32k and 48k of 64k steps, momentum 0.9, decay 1e-4, crop from 4 zeros around, flip.
    fn default() -> Self {
        Self {
            epochs: 182,
            batch: 128,
            learning_rate: 0.1,
            schedule: Schedule::MultiStep { milestones: vec![91, 136], factor: 0.1 },
            warm_up_epochs: 0.0,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 1e-4,
            crop_padding: 4,
            flip: true,
            norm_momentum: 0.1,
            validation: 0.1,
            seed: 0,
        }
    }
}

/// For `resnet8-fashion` on 5,000 images of Fashion-MNIST: the best of eight recipes of 18 to 20
/// epochs, one seed each, judged on 10,000 further training images, never on test images. The
/// first three lay within half a percent of one another.
pub const RESNET8_FASHION: TrainConfig = TrainConfig {
    epochs: 20,
    batch: 32,
    learning_rate: 0.1,
    schedule: Schedule::Cosine,
    warm_up_epochs: 1.0,
    momentum: 0.9,
    nesterov: true,
    weight_decay: 1e-3,
    crop_padding: 1,
    flip: true,
    norm_momentum: 0.1,
    validation: 0.1,
    seed: 0,
};

impl TrainConfig {
    /// Refuses settings that make no sense, by name.
    pub fn validate(&self) -> Result<(), TrainError> {
        let refuse =
            |field, found: String, expected| Err(TrainError::Config { field, found, expected });
        let share = |value: f32| (0.0..1.0).contains(&value);
        for (field, value) in [("epochs", self.epochs), ("batch", self.batch)] {
            if value == 0 {
                return refuse(field, value.to_string(), "at least 1");
            }
        }
        for (field, value) in [
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
            ("warm_up_epochs", self.warm_up_epochs),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return refuse(field, value.to_string(), "a number from 0");
            }
        }
        if !share(self.momentum) {
            return refuse("momentum", self.momentum.to_string(), "at least 0 and below 1");
        }
        if !(self.norm_momentum > 0.0 && self.norm_momentum <= 1.0) {
            return refuse("norm_momentum", self.norm_momentum.to_string(), "above 0, at most 1");
        }
        match &self.schedule {
            Schedule::MultiStep { factor, .. } if !(*factor > 0.0 && *factor <= 1.0) => {
                refuse("schedule factor", factor.to_string(), "above 0, at most 1")
            }
            _ => Ok(()),
        }
    }

    /// The learning rate of `step` of `epoch`, both from 0; an epoch has `steps`.
    pub fn learning_rate_at(&self, epoch: usize, step: usize, steps: usize) -> f32 {
        let done = epoch as f64 + step as f64 / steps.max(1) as f64;
        let warm_up = f64::from(self.warm_up_epochs);
        let factor = if done < warm_up {
            // The first step is not lost on a rate of zero.
            (done + 1.0 / steps.max(1) as f64).min(warm_up) / warm_up
        } else {
            match &self.schedule {
                Schedule::MultiStep { milestones, factor } => {
                    let passed = milestones.iter().filter(|&&milestone| epoch >= milestone);
                    f64::from(*factor).powi(passed.count() as i32)
                }
                Schedule::Cosine => {
                    let rest = (self.epochs as f64 - warm_up).max(1e-9);
                    0.5 * (1.0 + (std::f64::consts::PI * ((done - warm_up) / rest).min(1.0)).cos())
                }
            }
        };
        (f64::from(self.learning_rate) * factor) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_rate(config: &TrainConfig, epoch: usize, step: usize, expected: f32) {
        let found = config.learning_rate_at(epoch, step, 10);
        assert!((found - expected).abs() < 1e-6, "epoch {epoch}, step {step}: {found}, {expected}");
    }

    #[test]
    fn rates_follow_their_schedule() {
        let paper = TrainConfig::default();
        check_rate(&paper, 0, 0, 0.1);
        check_rate(&paper, 90, 9, 0.1);
        check_rate(&paper, 91, 0, 0.01);
        check_rate(&paper, 136, 0, 0.001);
        let warm = TrainConfig { warm_up_epochs: 0.5, ..paper };
        check_rate(&warm, 0, 0, 0.02);
        check_rate(&warm, 0, 4, 0.1);
        check_rate(&warm, 0, 5, 0.1);
        let cosine = TrainConfig {
            epochs: 11,
            warm_up_epochs: 1.0,
            schedule: Schedule::Cosine,
            ..TrainConfig::default()
        };
        check_rate(&cosine, 1, 0, 0.1);
        check_rate(&cosine, 6, 0, 0.05);
        check_rate(&cosine, 11, 0, 0.0);
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut TrainConfig), expected: &str) {
        let mut config = RESNET8_FASHION;
        config.validate().unwrap();
        change(&mut config);
        let found = config.validate().unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        check_refused(|config| config.epochs = 0, "`epochs` is 0");
        check_refused(|config| config.batch = 0, "`batch` is 0");
        check_refused(|config| config.learning_rate = f32::NAN, "`learning_rate` is NaN");
        check_refused(|config| config.weight_decay = -1.0, "`weight_decay` is -1");
        check_refused(|config| config.momentum = 1.0, "`momentum` is 1");
        check_refused(|config| config.norm_momentum = 0.0, "`norm_momentum` is 0");
        let schedule = Schedule::MultiStep { milestones: vec![], factor: 0.0 };
        check_refused(|config| config.schedule = schedule, "`schedule factor` is 0");
    }

    #[test]
    fn settings_are_read_from_json_and_misspelt_ones_refused() {
        let config: TrainConfig = serde_json::from_str(r#"{ "epochs": 3 }"#).unwrap();
        assert_eq!(config, TrainConfig { epochs: 3, ..TrainConfig::default() });
        assert!(serde_json::from_str::<TrainConfig>(r#"{ "epoch": 3 }"#).is_err());
        let text = serde_json::to_string(&RESNET8_FASHION).unwrap();
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), RESNET8_FASHION);
    }
}
