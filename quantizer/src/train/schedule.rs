//! The learning rate of each step, and how many steps there are.
//!
//! Owns the shapes of the schedule and how it is squeezed into fewer steps; not the decision to,
//! which is the clock's.

use serde::{Deserialize, Serialize};

use super::TrainConfig;

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
    /// Half a cosine from the peak to zero over the whole run (Loshchilov & Hutter 2017, without
    /// restarts).
    Cosine,
}

/// From step `at` on, what is left of the schedule is squeezed so that the run has `steps` steps.
/// Steps count from the beginning of the run, over all epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fit {
    /// The first step that it concerns.
    pub at: usize,
    /// Steps of the whole run; more than `at`. Those of all epochs are the most that it may be.
    pub steps: usize,
}

impl TrainConfig {
    /// Steps of the whole run, where an epoch has `steps`.
    pub fn steps_in_all(&self, steps: usize) -> usize {
        let whole = self.epochs.saturating_mul(steps);
        self.fits.last().map_or(whole, |fit| fit.steps.min(whole))
    }

    /// The learning rate of `step` of `epoch`, both from 0; an epoch has `steps`.
    pub fn learning_rate_at(&self, epoch: usize, step: usize, steps: usize) -> f32 {
        let steps = steps.max(1);
        let done = self.position(epoch, step, steps);
        let warm_up = if self.warm_up_steps > 0 {
            self.warm_up_steps as f64 / steps as f64
        } else {
            f64::from(self.warm_up_epochs)
        };
        let factor = if done < warm_up {
            if self.warm_up_rate > 0.0 {
                return self.warm_up_rate;
            }
            // The first step is not lost on a rate of zero.
            (done + 1.0 / steps as f64).min(warm_up) / warm_up
        } else {
            match &self.schedule {
                Schedule::MultiStep { milestones, factor } => {
                    let passed = milestones.iter().filter(|&&milestone| done >= milestone as f64);
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

    /// How much of the schedule is behind, in its epochs: of `self.epochs` in all.
    fn position(&self, epoch: usize, step: usize, steps: usize) -> f64 {
        let now = epoch * steps + step;
        if self.fits.first().is_none_or(|fit| now < fit.at) {
            return epoch as f64 + step as f64 / steps as f64;
        }
        // Where the piece that holds now began, and the epochs of the schedule that a step takes.
        let (mut begun, mut from, mut pace) = (0.0, 0, 1.0 / steps as f64);
        for fit in self.fits.iter().take_while(|fit| fit.at <= now) {
            begun += (fit.at - from) as f64 * pace;
            from = fit.at;
            pace = (self.epochs as f64 - begun).max(0.0) / (fit.steps - fit.at) as f64;
        }
        begun + (now - from) as f64 * pace
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

    #[test]
    fn deep_networks_begin_at_a_constant_rate() {
        // The paper's 110 layers: 400 steps of 0.01, then 0.1.
        let deep = TrainConfig::recipe("resnet110");
        check_rate(&deep, 0, 0, 0.01);
        check_rate(&deep, 39, 9, 0.01);
        check_rate(&deep, 40, 0, 0.1);
        check_rate(&deep, 91, 0, 0.01);
    }

    #[test]
    fn squeezed_schedules_end_at_their_last_step() {
        let whole =
            TrainConfig { epochs: 20, schedule: Schedule::Cosine, ..TrainConfig::default() };
        assert_eq!(whole.steps_in_all(10), 200);
        // Half the steps from the first on: a step counts for two.
        let half = TrainConfig { fits: vec![Fit { at: 0, steps: 100 }], ..whole.clone() };
        assert_eq!(half.steps_in_all(10), 100);
        check_rate(&half, 5, 0, 0.05);
        check_rate(&half, 10, 0, 0.0);
        // From the middle on, and then once more: the rate has no jump where the pace changes.
        let fits = vec![Fit { at: 100, steps: 150 }, Fit { at: 125, steps: 135 }];
        let late = TrainConfig { fits, ..whole.clone() };
        assert_eq!(late.steps_in_all(10), 135);
        let rate = |epoch, step| whole.learning_rate_at(epoch, step, 10);
        for (epoch, step, as_of) in [(9, 9, (9, 9)), (10, 0, (10, 0)), (11, 0, (12, 0))] {
            check_rate(&late, epoch, step, rate(as_of.0, as_of.1));
        }
        check_rate(&late, 12, 5, rate(15, 0));
        check_rate(&late, 12, 6, rate(15, 5));
        check_rate(&late, 13, 5, 0.0);
        let steps = TrainConfig { fits: vec![Fit { at: 0, steps: 91 }], ..TrainConfig::default() };
        check_rate(&steps, 4, 5, 0.1);
        check_rate(&steps, 4, 6, 0.01);
    }
}
