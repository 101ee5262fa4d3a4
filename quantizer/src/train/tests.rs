//! Whole runs: learning, resuming to the bit, stopping, diverging, and what is refused.

use super::*;
use crate::data::{Dataset, Split, SplitInfo};
use crate::graph::resnet::{ResNetSpec, Shortcut};
use crate::graph::{Checkpoint, Graph};

const CLASSES: usize = 3;

/// Images whose class is which third is bright, under noise: easy, but not at once.
fn dataset(images: usize) -> Dataset {
    let mut state = 12345_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut pixels = Vec::new();
    let labels: Vec<u16> = (0..images).map(|i| (i % CLASSES) as u16).collect();
    for &label in &labels {
        for at in 0..9 * 9 {
            let bright = if at / 27 == usize::from(label) { 90 } else { 0 };
            pixels.push(noise() / 2 + bright);
        }
    }
    let info = SplitInfo {
        name: "thirds".into(),
        split: Split::Train,
        shape: [9, 9, 1],
        class_names: (0..CLASSES).map(|class| format!("third {class}")).collect(),
        image_count: Some(images),
    };
    Dataset::new(info, pixels, labels).unwrap()
}

fn graph() -> Graph {
    let spec = ResNetSpec {
        input: [9, 9, 1],
        classes: CLASSES,
        width: 4,
        blocks: vec![1, 1],
        ..ResNetSpec::cifar(1, Shortcut::Project)
    };
    spec.build(1).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig { batch: 8, validation: 0.2, ..TrainConfig::recipe("resnet8-fashion") }
        .with_epochs(5)
}

/// Stops after some steps.
#[derive(Default)]
struct StopAfter {
    steps: usize,
    seen: usize,
    epochs: Vec<EpochReport>,
}

impl Observer for StopAfter {
    fn on_step(&mut self, report: &StepReport) {
        assert!(report.loss.is_finite() && report.step <= report.steps);
        self.seen += 1;
    }

    fn on_epoch(&mut self, report: &EpochReport) {
        self.epochs.push(report.clone());
    }

    fn should_stop(&mut self) -> bool {
        self.seen == self.steps
    }
}

#[test]
fn a_run_learns_and_keeps_its_best_epoch() {
    let dataset = dataset(120);
    let mut trainer = Trainer::new(graph(), config(), &dataset).unwrap();
    assert_eq!(trainer.image_counts(), (96, 24));
    let mut observer = StopAfter::default();
    assert_eq!(trainer.run(&mut observer, None).unwrap(), Outcome::Finished);
    assert_eq!(observer.epochs, trainer.history());
    assert_eq!((observer.seen, observer.epochs.len()), (5 * 12, 5));
    let best = trainer.best_epoch().unwrap();
    assert!(best.validation_accuracy > 0.7, "{best:?}");
    let all = trainer.history().iter().map(|report| report.validation_accuracy);
    assert!(all.clone().all(|accuracy| accuracy <= best.validation_accuracy));
    let executor = crate::engine::Executor::new();
    let logits = logits(&executor, trainer.best(), &trainer.validation).unwrap();
    let again = Evaluation::of(&logits, &trainer.validation).accuracy();
    assert_eq!(again, best.validation_accuracy);
    assert_eq!(trainer.best().class_names[2], "third 2");
}

/// Stops after `steps`, goes on from the file, and compares everything with a run in one go.
#[track_caller]
fn check_resume(steps: usize) {
    let dataset = dataset(120);
    let mut whole = Trainer::new(graph(), config(), &dataset).unwrap();
    whole.run(&mut (), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut part = Trainer::new(graph(), config(), &dataset).unwrap();
    let mut observer = StopAfter { steps, ..StopAfter::default() };
    assert_eq!(part.run(&mut observer, Some(&path)).unwrap(), Outcome::Stopped);
    let mut resumed = Trainer::resume(Checkpoint::load(&path).unwrap(), &dataset).unwrap();
    assert_eq!(resumed.run(&mut (), Some(&path)).unwrap(), Outcome::Finished);
    assert!(resumed.checkpoint() == whole.checkpoint(), "after {steps} steps");
    assert!(Checkpoint::load(&path).unwrap() == whole.checkpoint(), "after {steps} steps");
    assert!(resumed.best() == whole.best(), "after {steps} steps");
}

#[test]
fn a_resumed_run_has_the_bits_of_an_uninterrupted_one() {
    [1, 12, 16, 59].into_iter().for_each(check_resume);
}

#[test]
fn a_diverging_run_names_the_layer() {
    let dataset = dataset(120);
    let config = TrainConfig { learning_rate: 1e30, warm_up_epochs: 0.0, ..config() };
    let mut trainer = Trainer::new(graph(), config, &dataset).unwrap();
    match trainer.run(&mut (), None).unwrap_err() {
        TrainError::Diverged { epoch: 1, step, layer, .. } => {
            assert!(step > 1 && trainer.graph().find(&layer).is_some(), "step {step}, {layer}");
        }
        other => panic!("{other}"),
    }
}

#[track_caller]
fn check_refused(result: Result<Trainer, TrainError>, expected: &str) {
    let found = result.err().unwrap().to_string();
    assert!(found.contains(expected), "{found}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = dataset(60);
    let wide = ResNetSpec { input: [9, 10, 1], ..ResNetSpec::cifar(1, Shortcut::Pad) };
    let refused = Trainer::new(wide.build(0).unwrap(), config(), &data);
    check_refused(refused, "images of shape [9, 9, 1], the network [9, 10, 1]");
    let many = ResNetSpec { input: [9, 9, 1], ..ResNetSpec::cifar(1, Shortcut::Pad) };
    check_refused(Trainer::new(many.build(0).unwrap(), config(), &data), "classes: 3");
    let zero = TrainConfig { batch: 0, ..config() };
    check_refused(Trainer::new(graph(), zero, &data), "`batch` is 0");
    let all = TrainConfig { validation: 1.0, ..config() };
    check_refused(Trainer::new(graph(), all, &data), "valid");
    check_refused(Trainer::resume(graph().into(), &data), "no training state");
    let trainer = Trainer::new(graph(), config(), &data).unwrap();
    check_refused(Trainer::resume(trainer.checkpoint(), &dataset(63)), "60 images, here 63");
    let mut lost = trainer.checkpoint();
    lost.extra.retain(|tensor| tensor.name != "momentum.stem.conv.weights");
    check_refused(Trainer::resume(lost, &data), "`momentum.stem.conv.weights` is missing");
}
