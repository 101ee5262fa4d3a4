//! A time budget: how many steps fit, measured while the run goes on.
//!
//! Owns when to measure and what follows from it; not the schedule, which takes a [`Fit`]. The
//! clock decides nothing else: with the fits that it found, the same run is repeated to the bit.

use super::schedule::Fit;

/// Share of the budget between two measurements, and before the first.
const INTERVAL: f64 = 0.05;
/// Steps and seconds that are enough for the first measurement, where they come before that.
const FIRST: (usize, f64) = (20, 1.0);
/// Share of the budget that a fit aims at: the rest is for what a measurement does not know.
const AIM: f64 = 0.95;
/// A run that was squeezed and will end before this share of its budget gets steps back.
const SPARE: f64 = 0.85;
/// What validating an image costs before it was measured, as a share of training one: forward
/// only.
const VALIDATION_COST: f64 = 0.35;

/// Steps of a run, and how far it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// Steps that are done.
    pub(super) done: usize,
    /// Steps of the run as it is fitted now.
    pub(super) fitted: usize,
    /// Steps of the run without a budget.
    pub(super) whole: usize,
    /// Steps of an epoch.
    pub(super) epoch: usize,
}

/// Watches a run. All times are seconds of training since the run began, pauses left out.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    seconds: f64,
    /// Steps that validation is as long as, before it was measured.
    validation_steps: f64,
    validation_s: Option<f64>,
    /// Since when steps are measured: the time and the steps then.
    since: Option<(f64, usize)>,
    measured: bool,
}

impl Budget {
    /// `validation` is how many batches the validation images would be.
    pub(super) fn new(seconds: f64, validation: f64) -> Self {
        let validation_steps = validation * VALIDATION_COST;
        Self { seconds, validation_steps, validation_s: None, since: None, measured: false }
    }

    /// Told how long a validation took.
    pub(super) fn validated(&mut self, seconds: f64) {
        self.validation_s = Some(seconds);
        // Steps are measured without it.
        if let Some((since, _)) = &mut self.since {
            *since += seconds;
        }
    }

    /// Asked after each step: the fit that the measured speed asks for, if it is another.
    pub(super) fn after_step(&mut self, now: f64, steps: &Steps) -> Option<Fit> {
        // The first step fills memory and is not measured.
        let &mut (since, from) = self.since.get_or_insert((now, steps.done));
        let (time, count) = (now - since, steps.done - from);
        let first = !self.measured && count >= FIRST.0 && time >= FIRST.1;
        let over = now >= self.seconds;
        let due = count > 0 && (first || time >= INTERVAL * self.seconds);
        if steps.done >= steps.fitted || !(due || over) {
            return None;
        }
        let step = time / count.max(1) as f64;
        if !over {
            self.since = Some((now, steps.done));
            self.measured = true;
        }
        let validation = self.validation_s.unwrap_or(self.validation_steps * step);
        // A step, and its part in the validation of its epoch.
        let cost = step + validation / steps.epoch.max(1) as f64;
        let end = now + (steps.fitted - steps.done) as f64 * cost + validation;
        let spare = steps.fitted < steps.whole && end < SPARE * self.seconds;
        if end <= self.seconds && !spare {
            return None;
        }
        let left = (AIM * self.seconds - now - validation).max(0.0);
        let fits = if over { 1 } else { ((left / cost.max(1e-9)) as usize).max(1) };
        let fitted = steps.done.saturating_add(fits).min(steps.whole);
        (fitted != steps.fitted).then_some(Fit { at: steps.done, steps: fitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: usize = 100;

    /// Runs with steps that take `pace(step)` seconds and validations of `validation` seconds;
    /// when it ended, and after how many steps.
    fn run(
        budget: f64,
        epochs: usize,
        validation: f64,
        pace: impl Fn(usize) -> f64,
    ) -> (f64, usize) {
        let mut budget = Budget::new(budget, 0.1 * EPOCH as f64);
        let (whole, mut now) = (epochs * EPOCH, 0.0);
        let mut steps = Steps { done: 0, fitted: whole, whole, epoch: EPOCH };
        while steps.done < steps.fitted {
            now += pace(steps.done);
            steps.done += 1;
            if let Some(fit) = budget.after_step(now, &steps) {
                assert!(fit.at == steps.done && fit.steps > fit.at && fit.steps <= whole);
                steps.fitted = fit.steps;
            }
            if steps.done.is_multiple_of(EPOCH) || steps.done == steps.fitted {
                now += validation;
                budget.validated(validation);
            }
        }
        (now, steps.done)
    }

    #[track_caller]
    fn check(budget: f64, validation: f64, pace: impl Fn(usize) -> f64) {
        let (now, steps) = run(budget, 1000, validation, pace);
        assert!(now <= budget, "{now} s of {budget} s, {steps} steps");
        assert!(now > 0.8 * budget, "{now} s of {budget} s, {steps} steps");
    }

    #[test]
    fn runs_end_within_their_budget_and_use_it() {
        check(60.0, 0.3, |_| 0.02);
        check(600.0, 2.0, |_| 0.1);
        // Under one epoch.
        check(60.0, 4.0, |_| 1.0);
        // The first step, and then the whole machine, is slower; or other work ends.
        check(60.0, 0.3, |step| if step == 0 { 2.0 } else { 0.02 });
        check(60.0, 0.3, |step| if step > 800 { 0.05 } else { 0.02 });
        check(60.0, 0.3, |step| if step < 300 { 0.05 } else { 0.02 });
        check(60.0, 0.3, |step| if step % 7 == 0 { 0.05 } else { 0.02 });
    }

    #[test]
    fn ample_budgets_change_nothing_and_short_ones_end_at_once() {
        assert_eq!(run(1000.0, 3, 0.3, |_| 0.02).1, 300);
        // One step is over it: one more, with the schedule's last rate, ends the run.
        assert_eq!(run(1.0, 3, 0.3, |_| 5.0).1, 2);
        assert_eq!(run(1e-9, 3, 0.0, |_| 0.1).1, 2);
    }
}
