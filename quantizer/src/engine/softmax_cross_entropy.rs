//! Softmax and cross-entropy in one, forward and backward, and what the images should be.
//!
//! Owns [`Targets`] with their checks, and the loss; not its mean over the batch, which the
//! training step takes.

use std::ops::Range;

use super::EngineError;

/// What each image of a batch should be classified as: a distribution over the classes.
///
/// `(1 - smoothing) · (share · first label + (1 - share) · second label) + smoothing / classes`,
/// where images without a second label have a share of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets<'a> {
    /// The first, or only, label of each image: the one that decides whether an answer is right.
    pub labels: &'a [usize],
    /// The second labels of mixed images.
    pub mixed: Option<Mixed<'a>>,
    /// What is taken from the labels and spread over all classes alike (label smoothing, Szegedy
    /// et al. 2016, section 7); from 0, below 1.
    pub smoothing: f32,
    /// A network whose answers the images should get instead; labels only say what is right then.
    pub teacher: Option<Teacher<'a>>,
}

/// What another network says of the images (knowledge distillation, Hinton et al. 2015).
///
/// The loss is then `T² · KL(softmax(its logits / T), softmax(logits / T))`, which for large `T`
/// becomes half the mean of the squared differences of centered logits (section 2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Teacher<'a> {
    /// Its logits, `[N,classes]`.
    pub logits: &'a [f32],
    /// `T`, above zero: how much the classes count that it holds for wrong.
    pub temperature: f32,
}

/// Second labels of images that were mixed from two (mixup, Zhang et al. 2018).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixed<'a> {
    /// The second label of each image.
    pub labels: &'a [usize],
    /// The share of each image's first label, 0 to 1; the second label has the rest.
    pub shares: &'a [f32],
}

impl<'a> Targets<'a> {
    /// One label an image, as it is.
    pub const fn new(labels: &'a [usize]) -> Self {
        Self { labels, mixed: None, smoothing: 0.0, teacher: None }
    }

    /// Images.
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The targets of the images in `range`, which lies within `0..len()`.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let mixed = self.mixed.map(|Mixed { labels, shares }| Mixed {
            labels: &labels[range.clone()],
            shares: &shares[range.clone()],
        });
        let teacher = self.teacher.map(|Teacher { logits, temperature }| {
            let classes = logits.len() / self.len().max(1);
            let logits = &logits[range.start * classes..range.end * classes];
            Teacher { logits, temperature }
        });
        Self { labels: &self.labels[range], mixed, teacher, ..*self }
    }

    /// Refuses targets that are not those of `images` images and `classes` classes.
    pub(super) fn check(&self, images: usize, classes: usize) -> Result<(), EngineError> {
        let share = |value: f32| (0.0..=1.0).contains(&value);
        if !(share(self.smoothing) && self.smoothing < 1.0) {
            let found = self.smoothing.to_string();
            return Err(EngineError::Target { what: "label smoothing", found });
        }
        check_labels(self.labels, images, classes)?;
        if let Some(Teacher { logits, temperature }) = self.teacher {
            if logits.len() != images * classes {
                let found = logits.len().to_string();
                return Err(EngineError::Target {
                    what: "the number of a teacher's logits",
                    found,
                });
            }
            if !(temperature > 0.0 && temperature.is_finite()) {
                let found = temperature.to_string();
                return Err(EngineError::Target { what: "the temperature", found });
            }
        }
        let Some(Mixed { labels, shares }) = self.mixed else { return Ok(()) };
        check_labels(labels, images, classes)?;
        if shares.len() != images {
            return Err(EngineError::LabelCount { labels: shares.len(), images });
        }
        match shares.iter().find(|&&value| !share(value)) {
            Some(found) => {
                let found = found.to_string();
                Err(EngineError::Target { what: "the share of a mixed image", found })
            }
            None => Ok(()),
        }
    }
}

fn check_labels(labels: &[usize], images: usize, classes: usize) -> Result<(), EngineError> {
    if labels.len() != images {
        return Err(EngineError::LabelCount { labels: labels.len(), images });
    }
    match labels.iter().enumerate().find(|(_, label)| **label >= classes) {
        Some((image, &label)) => Err(EngineError::Label { label, image, classes }),
        None => Ok(()),
    }
}

/// What one group of images adds to the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Loss {
    /// The sum of `-Σ target · ln softmax(logits)`.
    pub(super) sum: f64,
    /// Images whose largest logit is their first label's; of equal logits the first counts.
    pub(super) correct: usize,
}

/// The loss of `logits` (`[N,classes]`), and its gradient times `weight` in `dlogits`.
///
/// `targets` are those of these `N` images, checked. `weight` is one over the batch's images.
pub(super) fn forward_backward(
    logits: &[f32],
    targets: &Targets<'_>,
    weight: f32,
    dlogits: &mut [f32],
) -> Loss {
    let classes = (logits.len() / targets.len().max(1)).max(1);
    if let Some(teacher) = targets.teacher {
        return towards(logits, &teacher, targets.labels, weight, dlogits);
    }
    let uniform = f64::from(targets.smoothing) / classes as f64;
    let mut loss = Loss::default();
    let rows = logits.chunks_exact(classes).zip(dlogits.chunks_exact_mut(classes));
    for (image, ((logits, dlogits), &label)) in rows.zip(targets.labels).enumerate() {
        let best = argmax(logits);
        let peak = logits[best];
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - peak).exp()).sum();
        loss.correct += usize::from(best == label);
        for (dlogit, &logit) in dlogits.iter_mut().zip(logits) {
            let probability = f64::from(logit - peak).exp() / sum;
            *dlogit = weight * (probability - uniform) as f32;
        }
        // The target's mean of `logit - peak`, class by class where there is something of it: a
        // class of no share may have a logit that is infinitely far away.
        let mut mean = 0.0;
        if uniform > 0.0 {
            mean = uniform * logits.iter().map(|&logit| f64::from(logit - peak)).sum::<f64>();
        }
        for (label, share) in shares(targets, image, label) {
            mean += share * f64::from(logits[label] - peak);
            dlogits[label] -= weight * share as f32;
        }
        loss.sum += sum.ln() - mean;
    }
    loss
}

/// The same towards a teacher's answers.
fn towards(
    logits: &[f32],
    teacher: &Teacher<'_>,
    labels: &[usize],
    weight: f32,
    dlogits: &mut [f32],
) -> Loss {
    let classes = (logits.len() / labels.len().max(1)).max(1);
    let temperature = f64::from(teacher.temperature);
    let mut loss = Loss::default();
    let rows = logits.chunks_exact(classes).zip(teacher.logits.chunks_exact(classes));
    for ((logits, goal), (dlogits, &label)) in
        rows.zip(dlogits.chunks_exact_mut(classes).zip(labels))
    {
        let [found, goal_logs] = [logits, goal].map(|row| log_softmax(row, temperature));
        loss.correct += usize::from(argmax(logits) == label);
        for ((dlogit, found), goal) in dlogits.iter_mut().zip(found).zip(goal_logs) {
            let share = goal.exp();
            *dlogit = weight * (temperature * (found.exp() - share)) as f32;
            // A class of no share may be infinitely far away.
            if share > 0.0 {
                loss.sum += temperature * temperature * share * (goal - found);
            }
        }
    }
    loss
}

/// `ln softmax(logits / temperature)`.
fn log_softmax(logits: &[f32], temperature: f64) -> impl Iterator<Item = f64> + use<'_> {
    let peak = f64::from(logits[argmax(logits)]);
    let below = move |&logit: &f32| (f64::from(logit) - peak) / temperature;
    let sum = logits.iter().map(|logit| below(logit).exp()).sum::<f64>().ln();
    logits.iter().map(move |logit| below(logit) - sum)
}

/// An image's labels with their shares, where those are above zero.
fn shares(targets: &Targets<'_>, image: usize, label: usize) -> impl Iterator<Item = (usize, f64)> {
    let sharp = 1.0 - f64::from(targets.smoothing);
    let (first, second) = match targets.mixed {
        Some(Mixed { labels, shares }) => (f64::from(shares[image]), labels[image]),
        None => (1.0, label),
    };
    let pair = [(label, sharp * first), (second, sharp * (1.0 - first))];
    pair.into_iter().filter(|&(_, share)| share > 0.0)
}

/// The first position of the largest value.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    const LABELS: [usize; 3] = [4, 0, 2];
    /// A pair of two classes, of one and the same, and a second label of no share.
    const MIXED: Mixed<'_> = Mixed { labels: &[1, 0, 3], shares: &[0.3, 0.6, 1.0] };

    #[track_caller]
    fn check(targets: &Targets<'_>) {
        let logits = noise(1, 15);
        let mut dlogits = vec![f32::NAN; 15];
        let loss = forward_backward(&logits, targets, 1.0, &mut dlogits);
        check_gradient(&logits, &[1.0], &dlogits, |logits| {
            vec![forward_backward(logits, targets, 1.0, &mut [0.0; 15]).sum as f32]
        });
        // What the definition says, class by class.
        let mut expected = 0.0;
        for (image, logits) in logits.chunks_exact(5).enumerate() {
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
            for (class, &logit) in logits.iter().enumerate() {
                let is = |label: usize| f64::from(u8::from(class == label));
                let first = is(targets.labels[image]);
                let hard = targets.mixed.map_or(first, |mixed| {
                    let share = f64::from(mixed.shares[image]);
                    share * first + (1.0 - share) * is(mixed.labels[image])
                });
                let smoothing = f64::from(targets.smoothing);
                let target = (1.0 - smoothing) * hard + smoothing / 5.0;
                expected -= target * (f64::from(logit) - sum.ln());
            }
        }
        assert!((loss.sum - expected).abs() < 1e-6, "{targets:?}: {}, {expected}", loss.sum);
        // The parts of a batch are the whole of it.
        let parts = [0..1, 1..3].map(|range| {
            let (start, end) = (range.start * 5, range.end * 5);
            let (targets, mut part) = (targets.slice(range), vec![f32::NAN; end - start]);
            let loss = forward_backward(&logits[start..end], &targets, 1.0, &mut part);
            assert_eq!(part, dlogits[start..end]);
            loss
        });
        assert_eq!(parts[0].correct + parts[1].correct, loss.correct);
        assert!((parts[0].sum + parts[1].sum - loss.sum).abs() < 1e-12);
    }

    #[test]
    fn losses_are_the_definition_and_gradients_numeric() {
        for smoothing in [0.0, 0.1, 0.9] {
            for mixed in [None, Some(MIXED)] {
                check(&Targets { labels: &LABELS, mixed, smoothing, teacher: None });
            }
        }
    }

    #[test]
    fn a_teachers_answers_are_the_goal() {
        let (logits, goal) = (noise(1, 15), noise(2, 15));
        for temperature in [0.5, 1.0, 4.0] {
            let teacher = Some(Teacher { logits: &goal, temperature });
            let targets = Targets { teacher, ..Targets::new(&LABELS) };
            let mut dlogits = vec![f32::NAN; 15];
            let loss = forward_backward(&logits, &targets, 1.0, &mut dlogits);
            check_gradient(&logits, &[1.0], &dlogits, |logits| {
                vec![forward_backward(logits, &targets, 1.0, &mut [0.0; 15]).sum as f32]
            });
            // The divergence as its definition has it.
            let t = f64::from(temperature);
            let softmax = |row: &[f32]| {
                let exponentials: Vec<f64> =
                    row.iter().map(|&z| (f64::from(z) / t).exp()).collect();
                let sum: f64 = exponentials.iter().sum();
                exponentials.into_iter().map(|e| e / sum).collect::<Vec<_>>()
            };
            let rows = logits.chunks_exact(5).zip(goal.chunks_exact(5));
            let expected: f64 = rows
                .flat_map(|(row, goal)| softmax(goal).into_iter().zip(softmax(row)))
                .map(|(goal, found)| t * t * goal * (goal / found).ln())
                .sum();
            assert!((loss.sum - expected).abs() < 1e-6, "{}, {expected}", loss.sum);
            let same =
                Targets { teacher: Some(Teacher { logits: &logits, temperature }), ..targets };
            let loss = forward_backward(&logits, &same, 1.0, &mut dlogits);
            assert!(loss.sum.abs() < 1e-9 && dlogits.iter().all(|d| d.abs() < 1e-6));
            let tail = targets.slice(1..3);
            assert_eq!(tail.teacher.map(|teacher| teacher.logits), Some(&goal[5..]));
        }
    }

    #[test]
    fn large_logits_do_not_overflow_and_ties_go_to_the_first() {
        let of =
            |logits: &[f32; 2], targets| forward_backward(logits, &targets, 1.0, &mut [0.0; 2]);
        let loss = of(&[1e30, 1e30], Targets::new(&[0]));
        assert!((loss.sum - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(loss.correct, 1);
        assert_eq!(of(&[3.0, f32::NEG_INFINITY], Targets::new(&[0])).sum, 0.0);
        assert!(of(&[f32::NAN, 0.0], Targets::new(&[0])).sum.is_nan());
        let mixed = Some(Mixed { labels: &[0], shares: &[0.0] });
        let loss = of(&[3.0, f32::NEG_INFINITY], Targets { mixed, ..Targets::new(&[1]) });
        assert_eq!((loss.sum, loss.correct), (0.0, 0), "correct is counted on the first label");
    }

    #[test]
    fn targets_of_other_images_are_refused() {
        let check = |targets: Targets<'_>, expected: &str| {
            let found = targets.check(2, 3).unwrap_err().to_string();
            assert!(found.contains(expected), "{found}");
        };
        let pair = Targets::new(&[0, 2]);
        pair.check(2, 3).unwrap();
        check(Targets::new(&[0]), "1 labels for 2 images");
        check(Targets::new(&[0, 3]), "label 3 of image 1");
        check(Targets { smoothing: 1.0, ..pair }, "label smoothing is 1");
        check(Targets { smoothing: f32::NAN, ..pair }, "label smoothing is NaN");
        let mixed = |labels, shares| Targets { mixed: Some(Mixed { labels, shares }), ..pair };
        check(mixed(&[0], &[0.5, 0.5]), "1 labels for 2 images");
        check(mixed(&[4, 0], &[0.5, 0.5]), "label 4 of image 0");
        check(mixed(&[1, 0], &[0.5]), "1 labels for 2 images");
        check(mixed(&[1, 0], &[0.5, 1.5]), "the share of a mixed image is 1.5");
        let taught = |logits, temperature| {
            let teacher = Some(Teacher { logits, temperature });
            Targets { teacher, ..pair }
        };
        taught(&[0.0; 6], 4.0).check(2, 3).unwrap();
        check(taught(&[0.0; 5], 4.0), "the number of a teacher's logits is 5");
        check(taught(&[0.0; 6], 0.0), "the temperature is 0");
        check(taught(&[0.0; 6], f32::INFINITY), "the temperature is inf");
    }
}
