//! Whole runs: learning, resuming to the bit, stopping, diverging, and what is refused.

use super::*;
use crate::data::{Dataset, Split, SplitInfo};
use crate::graph::resnet::{ResNetSpec, Shortcut};
use crate::graph::{Checkpoint, Graph, Normalization};

const CLASSES: usize = 3;

/// Images whose class is which third is bright, under noise: easy, but not at once.
pub(super) fn dataset(images: usize) -> Dataset {
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

pub(super) fn graph() -> Graph {
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
        assert!(report.done == (report.epoch - 1) * report.steps + report.step);
        assert!(report.done <= report.all && (0.0..=1.0).contains(&report.accuracy));
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
    assert!(best.validation_accuracy.unwrap() > 0.7, "{best:?}");
    let all = trainer.history().iter().map(|report| report.validation_accuracy);
    assert!(all.clone().all(|accuracy| accuracy <= best.validation_accuracy));
    let executor = crate::engine::Executor::new();
    let logits = logits(&executor, trainer.best(), &trainer.validation).unwrap();
    let again = Evaluation::of(&logits, &trainer.validation).accuracy();
    assert_eq!(Some(again), best.validation_accuracy);
    assert_eq!(trainer.best().class_names[2], "third 2");
}

#[test]
fn with_nothing_held_out_all_images_are_trained_on_and_the_last_epoch_is_kept() {
    let dataset = dataset(120);
    let all = TrainConfig { validation: 0.0, ..config() };
    for config in [all.clone(), TrainConfig { ema: 0.9, ..all.clone() }] {
        let mut trainer = Trainer::new(graph(), config, &dataset).unwrap();
        assert_eq!(trainer.image_counts(), (120, 0));
        assert_eq!(trainer.run(&mut (), None).unwrap(), Outcome::Finished);
        let last = trainer.history().last().unwrap();
        assert_eq!((trainer.best_epoch(), last.epoch), (Some(last), 5));
        assert_eq!((last.validation_loss, last.validation_accuracy), (None, None));
        assert!(trainer.best() == trainer.average.as_ref().unwrap_or(trainer.graph()));
        assert!(last.train_accuracy > 0.6, "{last:?}");
    }
    [12, 17].into_iter().for_each(|steps| check_resume(&all, steps));
}

#[test]
fn no_more_images_are_held_out_than_the_most() {
    #[track_caller]
    fn check(validation: f64, validation_images_max: usize, held_out: usize) {
        let config = TrainConfig { validation, validation_images_max, ..config() };
        let (training, validation) = config.split(&dataset(120)).unwrap();
        assert_eq!((training.len(), validation.len()), (120 - held_out, held_out));
    }
    check(0.2, 1000, 24);
    check(0.2, 24, 24);
    check(0.2, 12, 12);
    check(0.2, 1, 3); // one of each class
    check(0.0, 12, 0);
}

/// Stops after `steps`, goes on from the file, and compares everything with a run in one go.
#[track_caller]
fn check_resume(config: &TrainConfig, steps: usize) {
    let dataset = dataset(120);
    let mut whole = Trainer::new(graph(), config.clone(), &dataset).unwrap();
    let ending = whole.run(&mut (), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut part = Trainer::new(graph(), config.clone(), &dataset).unwrap();
    let mut observer = StopAfter { steps, ..StopAfter::default() };
    assert_eq!(part.run(&mut observer, Some(&path)).unwrap(), Outcome::Stopped);
    let mut resumed = Trainer::resume(Checkpoint::load(&path).unwrap(), &dataset).unwrap();
    assert_eq!(resumed.run(&mut (), Some(&path)).unwrap(), ending);
    let what = format!("after {steps} steps of {config:?}");
    assert!(resumed.checkpoint() == whole.checkpoint(), "{what}");
    assert!(Checkpoint::load(&path).unwrap() == whole.checkpoint(), "{what}");
    assert!(resumed.best() == whole.best(), "{what}");
    assert!(resumed.history() == whole.history(), "{what}");
}

/// Settings that have a state or a way of their own.
fn variants() -> Vec<TrainConfig> {
    let adam = TrainConfig { optimizer: Optimizer::AdamW, learning_rate: 3e-3, ..config() };
    vec![
        TrainConfig { nesterov: false, ..config() },
        TrainConfig { ema: 0.9, ..config() },
        TrainConfig { ema: 0.99, clip_norm: 0.5, ..adam.clone() },
        TrainConfig { label_smoothing: 0.1, decay_norms_and_biases: true, ..adam },
        // Blocks that begin as the identity begin slowly.
        TrainConfig { zero_gamma: true, ..config() }.with_epochs(20),
        TrainConfig { fits: vec![Fit { at: 5, steps: 43 }], ..config() },
    ]
}

#[test]
fn a_resumed_run_has_the_bits_of_an_uninterrupted_one() {
    [1, 12, 16, 59].into_iter().for_each(|steps| check_resume(&config(), steps));
    for variant in variants() {
        [12, 17, 42].into_iter().for_each(|steps| check_resume(&variant, steps));
    }
}

#[test]
fn every_way_to_train_learns() {
    let dataset = dataset(120);
    for config in variants() {
        let mut trainer = Trainer::new(graph(), config.clone(), &dataset).unwrap();
        trainer.run(&mut (), None).unwrap();
        let best = trainer.best_epoch().unwrap().validation_accuracy.unwrap();
        // Guessing is right in a third; five short epochs are enough to be far above it.
        assert!(best > 0.5, "{best} with {config:?}");
    }
}

#[test]
fn the_average_is_what_is_validated_and_kept() {
    let dataset = dataset(120);
    let averaged = TrainConfig { ema: 0.95, epochs: 1, ..config() };
    let mut trainer = Trainer::new(graph(), averaged, &dataset).unwrap();
    let mut plain = Trainer::new(graph(), TrainConfig { epochs: 1, ..config() }, &dataset).unwrap();
    trainer.run(&mut (), None).unwrap();
    plain.run(&mut (), None).unwrap();
    assert!(
        trainer.graph() != trainer.best() && trainer.best() == trainer.average.as_ref().unwrap()
    );
    let executor = crate::engine::Executor::new();
    let logits = logits(&executor, trainer.best(), &trainer.validation).unwrap();
    let found = Evaluation::of(&logits, &trainer.validation).loss;
    assert_eq!(Some(found), trainer.history()[0].validation_loss);
    // The average changes nothing of what it averages, but for the configuration's schedule.
    assert!(trainer.graph() == plain.graph());
}

#[test]
fn impatient_runs_end_after_their_best_epoch() {
    let dataset = dataset(120);
    // A rate of zero: the running averages still move, but hardly any later epoch is better.
    let still = TrainConfig { learning_rate: 0.0, patience: 2, ..config() }.with_epochs(500);
    let mut trainer = Trainer::new(graph(), still, &dataset).unwrap();
    assert_eq!(trainer.run(&mut (), None).unwrap(), Outcome::OutOfPatience);
    let [best, last] = [trainer.best_epoch().unwrap().epoch, trainer.history().len()];
    assert_eq!(last, best + 2);
    assert!(last < 500);
    let mut again = Trainer::resume(trainer.checkpoint(), &dataset).unwrap();
    assert_eq!(again.run(&mut (), None).unwrap(), Outcome::OutOfPatience, "nothing is left to do");
}

#[test]
fn a_run_within_a_budget_is_repeated_by_what_it_found() {
    let dataset = dataset(120);
    let budget = TrainConfig { time_budget_s: 0.5, ..config().with_epochs(100_000) };
    let begun = std::time::Instant::now();
    let mut trainer = Trainer::new(graph(), budget, &dataset).unwrap();
    assert_eq!(trainer.run(&mut (), None).unwrap(), Outcome::Finished);
    // Twenty times the budget: tests run beside others.
    assert!(begun.elapsed().as_secs_f64() < 10.0, "{:?}", begun.elapsed());
    let [epoch, all, done] = trainer.steps();
    assert!(done == all && all < 100_000 * epoch, "{done} of {all} steps");
    let last = trainer.history().last().unwrap();
    // The end of a cosine of so many steps; on a machine that is busy they may be three.
    let end = 1e-3 + 0.3 / (all * all) as f32;
    assert!(last.learning_rate < end, "the schedule ends with the run: {last:?}, {all} steps");
    let found = TrainConfig { time_budget_s: 0.0, ..trainer.config().clone() };
    let mut again = Trainer::new(graph(), found, &dataset).unwrap();
    again.run(&mut (), None).unwrap();
    assert!(again.graph() == trainer.graph() && again.best() == trainer.best());
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
    let zero = TrainConfig { zero_gamma: true, ..config() };
    let plain =
        ResNetSpec { input: [9, 9, 1], classes: 3, ..ResNetSpec::cifar(1, Shortcut::Plain) };
    check_refused(Trainer::new(plain.build(0).unwrap(), zero, &data), "`zero_gamma` is true");
    check_refused(Trainer::resume(graph().into(), &data), "no training state");
    let trainer = Trainer::new(graph(), config(), &data).unwrap();
    check_refused(Trainer::resume(trainer.checkpoint(), &dataset(63)), "60 images, here 63");
    let mut lost = trainer.checkpoint();
    lost.extra.retain(|tensor| tensor.name != "momentum.stem.conv.weights");
    check_refused(Trainer::resume(lost, &data), "`momentum.stem.conv.weights` is missing");
    let adam = TrainConfig { optimizer: Optimizer::AdamW, ema: 0.9, ..config() };
    for name in ["mean.classifier.bias", "square.classifier.bias", "ema.stem.bn.variance"] {
        let mut lost = Trainer::new(graph(), adam.clone(), &data).unwrap().checkpoint();
        lost.extra.retain(|tensor| tensor.name != name);
        check_refused(Trainer::resume(lost, &data), &format!("`{name}` is missing"));
    }
}

#[test]
fn a_teacher_of_the_same_answers_teaches_nothing() {
    let data = dataset(60);
    let taught = || TrainConfig { teacher_temperature: 4.0, ..config().with_epochs(1) };
    // Without batch normalization training and evaluation answer alike.
    let mut graph = crate::fold_batch_norm::fold(&graph()).unwrap();
    graph.normalization = Normalization { mean: vec![0.1], std: vec![0.7] };
    let mut run = Trainer::fine_tune(graph.clone(), Some(graph.clone()), taught(), &data).unwrap();
    run.run(&mut StopAfter::default(), None).unwrap();
    assert_eq!(run.graph().normalization, graph.normalization, "the given network's own");
    assert!(run.history()[0].train_loss < 1e-6, "{:?}", run.history());
    let mut other = graph.clone();
    other.parameters_mut().iter_mut().for_each(|p| p.values.iter_mut().for_each(|v| *v *= 0.9));
    let mut run = Trainer::fine_tune(other, Some(graph.clone()), taught(), &data).unwrap();
    run.run(&mut StopAfter::default(), None).unwrap();
    assert!(run.history()[0].train_loss > 1e-4, "{:?}", run.history());
    let resumed = Trainer::resume(run.checkpoint(), &data).unwrap();
    assert!(resumed.with_teacher(Some(graph.clone())).is_ok());
    check_refused(Trainer::fine_tune(graph, None, taught(), &data), "teacher_temperature");
}
