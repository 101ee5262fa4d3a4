//! The settings of a run, their checks, and the recipes of the networks.
//!
//! Owns what a run is told; not the rate of each step, which `schedule` makes of it.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::schedule::{Fit, Schedule};
use crate::data::{DataError, Dataset};
use crate::graph::resnet;

/// How parameters follow their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum; weight decay is an L2 penalty.
    #[default]
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW,
}

/// All settings of a run. Together with the data and the first graph they decide every bit; with
/// a time budget, what the clock decided is in `fits`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images, at most.
    pub epochs: usize,
    /// Images of a step. An epoch's last images that do not fill a batch are left out.
    pub batch: usize,
    /// How parameters follow their gradients.
    pub optimizer: Optimizer,
    /// The peak of the learning rate.
    pub learning_rate: f32,
    /// How it falls.
    pub schedule: Schedule,
    /// Epochs, or a part of one, before the rate is at its peak.
    pub warm_up_epochs: f32,
    /// The same in steps, where `warm_up_epochs` is 0.
    pub warm_up_steps: usize,
    /// The rate while warming up; 0 for a linear rise from zero. The paper's 110-layer network
    /// begins with 0.01 for about 400 steps (section 4.2).
    pub warm_up_rate: f32,
    /// SGD: share of the last step that the next one keeps.
    pub momentum: f32,
    /// SGD: Nesterov's form of momentum.
    pub nesterov: bool,
    /// `AdamW`: share that the mean of gradients keeps in a step.
    pub beta1: f32,
    /// `AdamW`: share that the mean of squared gradients keeps in a step.
    pub beta2: f32,
    /// `AdamW`: what is added to the root of the mean square.
    pub epsilon: f32,
    /// Pull of weights towards zero: SGD adds `decay · w` to the gradient, `AdamW` subtracts
    /// `rate · decay · w`.
    pub weight_decay: f32,
    /// Whether biases, gamma and beta decay as weights do.
    pub decay_norms_and_biases: bool,
    /// The largest norm of all gradients together; longer ones are scaled down. 0 for none.
    pub clip_norm: f32,
    /// What is taken from each label and spread over all classes (Szegedy et al. 2016); 0 for
    /// none.
    pub label_smoothing: f32,
    /// Learn the answers of a teacher instead of the labels (Hinton et al. 2015), at this
    /// temperature; 0 for the labels. In [`Self::fine_tuning`] on grids it is the float network.
    pub teacher_temperature: f32,
    /// Images are mixed in pairs by shares from `Beta(alpha, alpha)` (Zhang et al. 2018); 0 for
    /// none.
    pub mixup_alpha: f32,
    /// Side, in pixels, of the square that is set to zero (`DeVries` & Taylor 2017); 0 for none.
    pub cutout: usize,
    /// Share that the moving average of all parameters keeps in a step; 0 for no average. With an
    /// average, it is what is validated and kept. Running averages of batch normalization are
    /// averaged alike. In the first steps `t` the share is `(1 + t) / (10 + t)`, if that is lower.
    pub ema: f32,
    /// Begin with gamma zero in the last batch normalization of each residual block, so that
    /// blocks begin as the identity (Goyal et al. 2017, section 5.1).
    pub zero_gamma: bool,
    /// Zeros around the normalized image from which the crop is taken; 0 for no crop.
    pub crop_padding: usize,
    /// Smallest share of the area of an image of another size than the network's that a random
    /// crop of it takes before it is resized (Szegedy et al. 2015, section 6).
    pub crop_area_min: f32,
    /// Mirror half of the images, left to right.
    pub flip: bool,
    /// How far the running averages of batch normalization move in a step.
    pub norm_momentum: f32,
    /// Share of each class's training images that is held out to choose the best epoch. 0 to train
    /// on all images and keep the last epoch; a set's own validation images are not used then.
    pub validation: f64,
    /// The most images that are held out of a set without validation images of its own, so that
    /// large sets lose few: a thousand tell accuracies a percent apart.
    pub validation_images_max: usize,
    /// Epochs without a new best one after which the run ends; 0 to go on to the last.
    pub patience: usize,
    /// Seconds of training, validation included, within which the run ends; 0 for as long as it
    /// takes. The schedule is squeezed into the steps that fit, see [`Fit`].
    pub time_budget_s: f64,
    /// Seed of the split, the order and the augmentation.
    pub seed: u64,
    /// Where the schedule was squeezed, in order of their steps: what a time budget found, or a
    /// run of a number of steps.
    pub fits: Vec<Fit>,
}

impl Default for TrainConfig {
    /// The paper's settings for CIFAR-10 (section 4.2): batch 128, rate 0.1, divided by ten after
    /// 32k and 48k of 64k steps, momentum 0.9, decay 1e-4, crop from 4 zeros around, flip.
    fn default() -> Self {
        Self {
            epochs: 182,
            batch: 128,
            optimizer: Optimizer::Sgd,
            learning_rate: 0.1,
            schedule: Schedule::MultiStep { milestones: vec![91, 136], factor: 0.1 },
            warm_up_epochs: 0.0,
            warm_up_steps: 0,
            warm_up_rate: 0.0,
            momentum: 0.9,
            nesterov: false,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 1e-4,
            decay_norms_and_biases: false,
            clip_norm: 0.0,
            label_smoothing: 0.0,
            teacher_temperature: 0.0,
            mixup_alpha: 0.0,
            cutout: 0,
            ema: 0.0,
            zero_gamma: false,
            crop_padding: 4,
            crop_area_min: 0.08,
            flip: true,
            norm_momentum: 0.1,
            validation: 0.1,
            validation_images_max: 1000,
            patience: 0,
            time_budget_s: 0.0,
            seed: 0,
            fits: Vec::new(),
        }
    }
}

/// What a number of a setting has to be.
#[derive(Clone, Copy)]
enum Bound {
    /// Not zero, for counts.
    FromOne,
    /// Zero or more.
    FromZero,
    /// Above zero.
    Positive,
    /// From 0, below 1.
    Share,
    /// Above 0, at most 1.
    PositiveShare,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::FromOne => value >= 1.0,
                Self::FromZero => value >= 0.0,
                Self::Positive => value > 0.0,
                Self::Share => (0.0..1.0).contains(&value),
                Self::PositiveShare => value > 0.0 && value <= 1.0,
            }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::FromOne => "at least 1",
            Self::FromZero => "a number from 0",
            Self::Positive => "a number above 0",
            Self::Share => "at least 0 and below 1",
            Self::PositiveShare => "above 0, at most 1",
        }
    }
}

impl TrainConfig {
    /// The settings that suit a network of that name: the paper's, but where others were found
    /// better or are needed on a host.
    ///
    /// - `resnet8-fashion`, on 5,000 images of Fashion-MNIST: the best of eight recipes of 18 to
    ///   20 epochs, one seed each, judged on 10,000 further training images, never on test images.
    ///   The first three lay within half a percent of one another.
    /// - `resnet8`, which is not the paper's: a cosine after an epoch of warm-up, Nesterov's
    ///   momentum and five times the decay, which suit runs of 10 to 100 epochs.
    /// - Depths 110 and 164: the warm-up that the paper gives its 110 layers.
    /// - The networks for ImageNet: 90 epochs with steps at 30 and 60, as published weights were
    ///   trained, in batches of 32 with a rate to match (linear scaling, Goyal et al. 2017), so
    ///   that memory stays that of a host.
    pub fn recipe(network: &str) -> Self {
        let spec = resnet::by_name(network);
        let is_large = spec.is_ok_and(|spec| spec.stem == resnet::Stem::Conv7x7Pool);
        match network {
            "resnet8-fashion" => Self {
                epochs: 20,
                batch: 32,
                schedule: Schedule::Cosine,
                warm_up_epochs: 1.0,
                nesterov: true,
                weight_decay: 1e-3,
                crop_padding: 1,
                ..Self::default()
            },
            "resnet8" => Self {
                epochs: 60,
                schedule: Schedule::Cosine,
                warm_up_epochs: 1.0,
                nesterov: true,
                weight_decay: 5e-4,
                ..Self::default()
            },
            _ if network.contains("110") || network.contains("164") => {
                Self { warm_up_steps: 400, warm_up_rate: 0.01, ..Self::default() }
            }
            _ if is_large => Self {
                epochs: 90,
                batch: 32,
                learning_rate: 0.0125,
                schedule: Schedule::MultiStep { milestones: vec![30, 60], factor: 0.1 },
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// The settings to go on with from trained weights, of a network of that name: few epochs at a
    /// low rate, with the augmentation of its recipe.
    pub fn fine_tuning(network: &str) -> Self {
        Self {
            epochs: 6,
            learning_rate: 0.002,
            schedule: Schedule::Cosine,
            warm_up_epochs: 0.0,
            warm_up_steps: 0,
            warm_up_rate: 0.0,
            ..Self::recipe(network)
        }
    }

    /// What is trained on, and what is held out to choose the best epoch; see
    /// [`Dataset::split_validation`].
    ///
    /// # Errors
    /// When one class alone or single images leave nothing to hold out.
    pub fn split(&self, dataset: &Dataset) -> Result<(Dataset, Dataset), DataError> {
        let share_max = self.validation_images_max as f64 / dataset.len().max(1) as f64;
        dataset.split_validation(self.validation.min(share_max), self.seed)
    }

    /// The same settings over another number of epochs: milestones move in proportion.
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        if let Schedule::MultiStep { milestones, .. } = &mut self.schedule {
            let from = self.epochs.max(1);
            milestones.iter_mut().for_each(|at| *at = (*at * epochs + from / 2) / from);
        }
        Self { epochs, ..self }
    }

    /// Refuses settings that make no sense, by name.
    pub fn validate(&self) -> Result<(), TrainError> {
        let refuse =
            |field, found: String, expected| Err(TrainError::Config { field, found, expected });
        for (field, value, bound) in self.numbers() {
            if !bound.holds(value) {
                // A value of 32 bits in its own digits, not in those of its 64 bits.
                return refuse(field, (value as f32).to_string(), bound.expected());
            }
        }
        if self.warm_up_epochs > 0.0 && self.warm_up_steps > 0 {
            let found = self.warm_up_steps.to_string();
            return refuse("warm_up_steps", found, "0 beside `warm_up_epochs`");
        }
        if self.warm_up_rate > 0.0 && self.warm_up_epochs == 0.0 && self.warm_up_steps == 0 {
            let found = self.warm_up_rate.to_string();
            return refuse("warm_up_rate", found, "0 without `warm_up_epochs` or `warm_up_steps`");
        }
        if self.patience > 0 && self.validation == 0.0 {
            let found = self.patience.to_string();
            return refuse("patience", found, "0 where `validation` is 0: no epoch is the best");
        }
        match &self.schedule {
            Schedule::MultiStep { factor, .. }
                if !Bound::PositiveShare.holds(f64::from(*factor)) =>
            {
                return refuse("schedule factor", factor.to_string(), "above 0, at most 1");
            }
            _ => {}
        }
        let ordered = self.fits.windows(2).all(|pair| pair[0].at < pair[1].at);
        if !ordered || self.fits.iter().any(|fit| fit.steps <= fit.at) {
            let found = format!("{:?}", self.fits);
            return refuse("fits", found, "rising steps, each before the steps of its run");
        }
        Ok(())
    }

    /// All numbers that have bounds, by name.
    fn numbers(&self) -> [(&'static str, f64, Bound); 20] {
        use Bound::{FromOne, FromZero, Positive, PositiveShare, Share};
        [
            ("epochs", self.epochs as f64, FromOne),
            ("batch", self.batch as f64, FromOne),
            ("learning_rate", self.learning_rate.into(), FromZero),
            ("warm_up_epochs", self.warm_up_epochs.into(), FromZero),
            ("warm_up_rate", self.warm_up_rate.into(), FromZero),
            ("momentum", self.momentum.into(), Share),
            ("beta1", self.beta1.into(), Share),
            ("beta2", self.beta2.into(), Share),
            ("epsilon", self.epsilon.into(), Positive),
            ("weight_decay", self.weight_decay.into(), FromZero),
            ("clip_norm", self.clip_norm.into(), FromZero),
            ("label_smoothing", self.label_smoothing.into(), Share),
            ("teacher_temperature", self.teacher_temperature.into(), FromZero),
            ("mixup_alpha", self.mixup_alpha.into(), FromZero),
            ("crop_area_min", self.crop_area_min.into(), PositiveShare),
            ("ema", self.ema.into(), Share),
            ("norm_momentum", self.norm_momentum.into(), PositiveShare),
            ("validation", self.validation, Share),
            ("validation_images_max", self.validation_images_max as f64, FromOne),
            ("time_budget_s", self.time_budget_s, FromZero),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut TrainConfig), expected: &str) {
        let mut config = TrainConfig::recipe("resnet8-fashion");
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
        check_refused(|config| config.learning_rate = f32::INFINITY, "`learning_rate` is inf");
        check_refused(|config| config.weight_decay = -0.1, "`weight_decay` is -0.1");
        check_refused(|config| config.momentum = 1.0, "`momentum` is 1");
        check_refused(|config| config.beta1 = -0.5, "`beta1` is -0.5");
        check_refused(|config| config.beta2 = 1.0, "`beta2` is 1");
        check_refused(|config| config.epsilon = 0.0, "`epsilon` is 0");
        check_refused(|config| config.clip_norm = -1.0, "`clip_norm` is -1");
        check_refused(|config| config.label_smoothing = 1.0, "`label_smoothing` is 1");
        check_refused(|config| config.mixup_alpha = -0.2, "`mixup_alpha` is -0.2");
        check_refused(|config| config.ema = 1.0, "`ema` is 1");
        check_refused(|config| config.norm_momentum = 0.0, "`norm_momentum` is 0");
        check_refused(|config| config.validation = 1.0, "`validation` is 1");
        check_refused(|config| config.validation = -0.1, "`validation` is -0.1");
        check_refused(|config| config.validation_images_max = 0, "`validation_images_max` is 0");
        check_refused(|config| (config.validation, config.patience) = (0.0, 3), "`patience` is 3");
        check_refused(|config| config.time_budget_s = f64::NAN, "`time_budget_s` is NaN");
        check_refused(|config| config.warm_up_epochs = -1.0, "`warm_up_epochs` is -1");
        check_refused(|config| config.warm_up_steps = 3, "`warm_up_steps` is 3");
        let rate = |config: &mut TrainConfig| {
            (config.warm_up_epochs, config.warm_up_rate) = (0.0, 0.01);
        };
        check_refused(rate, "`warm_up_rate` is 0.01");
        let schedule = Schedule::MultiStep { milestones: vec![], factor: 0.0 };
        check_refused(|config| config.schedule = schedule, "`schedule factor` is 0");
        check_refused(|config| config.fits = vec![Fit { at: 3, steps: 3 }], "`fits` is");
        let twice = vec![Fit { at: 3, steps: 9 }, Fit { at: 3, steps: 8 }];
        check_refused(|config| config.fits = twice, "`fits` is");
    }

    #[test]
    fn settings_are_read_from_json_and_misspelt_ones_refused() {
        let config: TrainConfig = serde_json::from_str(r#"{ "epochs": 3 }"#).unwrap();
        assert_eq!(config, TrainConfig { epochs: 3, ..TrainConfig::default() });
        assert!(serde_json::from_str::<TrainConfig>(r#"{ "epoch": 3 }"#).is_err());
        let mut config = TrainConfig::recipe("resnet8-fashion");
        config.optimizer = Optimizer::AdamW;
        config.fits.push(Fit { at: 1, steps: 9 });
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""optimizer":"adamw""#), "{text}");
        assert_eq!(serde_json::from_str::<TrainConfig>(&text).unwrap(), config);
    }

    #[test]
    fn every_network_has_a_recipe_that_holds() {
        for name in resnet::NAMES {
            TrainConfig::recipe(name).validate().unwrap();
        }
        let shorter = TrainConfig::recipe("resnet20").with_epochs(4);
        assert_eq!(shorter.epochs, 4);
        let expected = Schedule::MultiStep { milestones: vec![2, 3], factor: 0.1 };
        assert_eq!(shorter.schedule, expected);
    }
}
