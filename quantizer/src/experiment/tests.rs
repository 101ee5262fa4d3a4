//! Both experiments on few small images: files, resuming, refusals, and figures by hand.

use std::path::Path;

use super::degradation::{self, Key, Planned, Run, Settings, Watcher};
use super::gradient_flow::{self, Moment};
use super::summary::{Curve, Metric, Verdict, compare, curves};
use super::*;
use crate::data::{Split, SplitInfo};
use crate::train::{EpochReport, Observer};

/// 60 noisy images of three classes, told apart by which third is bright.
fn dataset() -> Dataset {
    let labels: Vec<u16> = (0..60).map(|i| i % 3).collect();
    let mut state = 1_u32;
    let mut pixels = Vec::new();
    for &label in &labels {
        for at in 0..8 * 9 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            pixels.push((state >> 25) as u8 + if at / 24 == label { 100 } else { 0 });
        }
    }
    let info = SplitInfo {
        name: "thirds".into(),
        split: Split::Train,
        shape: [8, 9, 1],
        class_names: (0..3).map(|class| format!("third {class}")).collect(),
        image_count: Some(60),
    };
    Dataset::new(info, pixels, labels).unwrap()
}

fn settings() -> Settings {
    let train = TrainConfig { epochs: 2, batch: 16, ..recipe() };
    Settings { depths: vec![14, 8], seeds: 2, width: 4, train }
}

/// Counts, and stops in some step.
#[derive(Default)]
struct Count {
    begun: Vec<(Key, usize)>,
    finished: usize,
    steps: usize,
    stop_at: Option<usize>,
}

impl Observer for Count {
    fn on_step(&mut self, _: &crate::train::StepReport) {
        self.steps += 1;
    }

    fn should_stop(&mut self) -> bool {
        self.stop_at == Some(self.steps)
    }
}

impl Watcher for Count {
    fn on_run(&mut self, plan: &Planned, epochs: usize) {
        self.begun.push((plan.key, epochs));
    }

    fn on_finished(&mut self, _: &Planned, _: &Run) {
        self.finished += 1;
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Without what the clock said.
fn untimed(runs: &[Run]) -> Vec<Run> {
    runs.iter().map(|run| Run { seconds: 0.0, ..run.clone() }).collect()
}

#[test]
fn runs_are_kept_and_an_interrupted_experiment_goes_on_to_the_same_bits() {
    let (dataset, whole, parts) =
        (dataset(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = degradation::run(&settings(), &dataset, whole.path(), &mut ()).unwrap();
    assert_eq!((expected.finished.len(), expected.planned, expected.images), (8, 8, [54, 6]));
    let names: Vec<String> =
        expected.finished.iter().map(|run| run.key.network.to_string()).collect();
    assert_eq!(names[..4], ["plain-8", "residual-8", "plain-14", "residual-14"]);
    assert_eq!(files(whole.path()).len(), 9);
    // Six steps a run: in the fourth of the second, then in the first of the third.
    for (stop_at, begun, finished) in [(10, 2, 1), (3, 2, 2)] {
        let mut count = Count { stop_at: Some(stop_at), ..Count::default() };
        let runs = degradation::run(&settings(), &dataset, parts.path(), &mut count).unwrap();
        assert_eq!((runs.finished.len(), count.begun.len()), (finished, begun), "{stop_at}");
        assert!(files(parts.path()).iter().any(|name| name.ends_with("resume.safetensors")));
    }
    let mut count = Count::default();
    let found = degradation::run(&settings(), &dataset, parts.path(), &mut count).unwrap();
    assert_eq!(untimed(&found.finished), untimed(&expected.finished));
    assert_eq!((count.begun.len(), count.finished), (6, 8));
    assert_eq!(files(parts.path()), files(whole.path()));
    // More seeds and other depths join what is there.
    let more = Settings { seeds: 3, depths: vec![8], ..settings() };
    let mut count = Count::default();
    degradation::run(&more, &dataset, parts.path(), &mut count).unwrap();
    assert_eq!((count.begun.len(), count.finished), (2, 6));
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut Settings, &Path), expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let one = Settings { seeds: 1, depths: vec![8], ..settings() };
    let mut count = Count { stop_at: Some(1), ..Count::default() };
    degradation::run(&one, &dataset(), folder.path(), &mut count).unwrap();
    let mut settings = one;
    change(&mut settings, folder.path());
    let found = degradation::run(&settings, &dataset(), folder.path(), &mut ());
    let found = found.unwrap_err().to_string();
    assert!(found.contains(expected), "{found}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    check_refused(|s, _| s.depths.clear(), "`depth` is missing");
    check_refused(|s, _| s.depths = vec![20, 21], "`depth` is 21, expected 6n + 2");
    check_refused(|s, _| s.depths = vec![2], "`depth` is 2");
    check_refused(|s, _| s.seeds = 0, "`seeds` is 0");
    check_refused(|s, _| s.width = 0, "empty");
    check_refused(|s, _| s.width = 5, "another width: 4, here 5");
    check_refused(|s, _| s.train.epochs = 3, "another recipe: epochs = 2, here epochs = 3");
    check_refused(|s, _| s.train.epochs = 0, "`epochs` is 0");
    check_refused(|s, _| s.train.learning_rate = 1e30, "another recipe: learning_rate = ");
    let write = |name: &'static str| {
        move |_: &mut Settings, folder: &Path| {
            std::fs::write(folder.join(name), "no JSON").unwrap();
        }
    };
    check_refused(write("settings.json"), "settings.json: not a file of this experiment");
    check_refused(write("plain-8-seed0.json"), "plain-8-seed0.json: not a file");
    check_refused(write("plain-8-seed0.resume.safetensors"), "safetensors");
    let mut other = dataset();
    other.name = "others".into();
    let folder = tempfile::tempdir().unwrap();
    let mut stop = Count { stop_at: Some(1), ..Count::default() };
    degradation::run(&settings(), &dataset(), folder.path(), &mut stop).unwrap();
    let found = degradation::run(&settings(), &other, folder.path(), &mut ()).unwrap_err();
    assert!(found.to_string().contains("another data set"), "{found}");
}

#[test]
fn a_diverging_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    (settings.train.learning_rate, settings.train.warm_up_epochs) = (1e30, 0.0);
    let found = degradation::run(&settings, &dataset(), folder.path(), &mut ()).unwrap_err();
    assert!(found.to_string().starts_with("plain-8, seed 0: training diverged"), "{found}");
}

/// A run whose epochs have these training losses, and errors that are a tenth of them.
fn made(family: Family, depth: usize, seed: u64, losses: &[f64]) -> Run {
    let report = |(at, &loss): (usize, &f64)| EpochReport {
        epoch: at + 1,
        train_loss: loss,
        train_accuracy: 1.0 - loss / 10.0,
        validation_loss: Some(loss),
        validation_accuracy: Some(1.0 - loss / 5.0),
        learning_rate: 0.1,
        best: false,
    };
    let epochs = losses.iter().enumerate().map(report).collect();
    let key = Key { network: Network { family, depth }, seed };
    Run { key, parameters: 1, macs: 2, seconds: 0.0, epochs }
}

#[test]
fn a_difference_counts_beyond_the_spread() {
    use Family::{Plain, Residual};
    let runs = [
        made(Plain, 20, 0, &[3.0, 1.0]),
        made(Plain, 20, 1, &[2.0, 1.2]),
        made(Plain, 56, 0, &[3.0, 2.0]),
        made(Plain, 56, 1, &[2.5, 1.5]),
        made(Residual, 20, 0, &[3.0, 1.0]),
        made(Residual, 20, 1, &[2.0, 1.4]),
        made(Residual, 56, 0, &[3.0, 0.9]),
        made(Residual, 56, 1, &[2.0, 1.1]),
    ];
    let found = curves(&runs);
    let networks: Vec<String> = found.iter().map(|curve| curve.network.to_string()).collect();
    assert_eq!(networks, ["plain-20", "residual-20", "plain-56", "residual-56"]);
    let point = &found[2].points[0];
    assert_eq!((point.epoch, point.training_loss.mean, point.training_loss.low), (1, 2.75, 2.5));
    let loss: Vec<_> = compare(&found)
        .into_iter()
        .filter(|c| c.metric == Metric::TrainingLoss)
        .map(|c| (c.network.to_string(), c.against.to_string(), c.difference, c.spread, c.verdict))
        .collect();
    let expected = [
        ("plain-56", "plain-20", 0.65, 0.5, Verdict::Above),
        ("residual-56", "residual-20", -0.2, 0.4, Verdict::Within),
        ("plain-56", "residual-56", 0.75, 0.5, Verdict::Above),
    ];
    assert_eq!(loss.len(), expected.len());
    for (found, expected) in loss.iter().zip(expected) {
        assert_eq!(
            (found.0.as_str(), found.1.as_str(), found.4),
            (expected.0, expected.1, expected.4)
        );
        assert!((found.2 - expected.2).abs() < 1e-12 && (found.3 - expected.3).abs() < 1e-12);
    }
    // A shorter run shortens its network's curve; one seed has no spread; one depth no pair.
    let few = [made(Plain, 20, 0, &[2.0, 1.0]), made(Plain, 20, 1, &[1.5])];
    assert_eq!(curves(&few)[0].points.len(), 1);
    assert!(compare(&curves(&few)).is_empty() && compare(&[]).is_empty());
    let one: Vec<Curve> = curves(&[runs[0].clone(), runs[2].clone()]);
    assert_eq!(compare(&one)[0].verdict, Verdict::OneSeed);
}

#[test]
fn gradients_are_measured_by_layer_at_both_moments() {
    let train = TrainConfig { batch: 16, seed: 1, ..recipe() };
    let settings = gradient_flow::Settings { depths: vec![8, 14], width: 4, batches: 5, train };
    let flows = gradient_flow::run(&settings, &dataset(), &mut ()).unwrap().unwrap();
    let moments = [Moment::Initialization, Moment::FirstEpoch];
    assert_eq!(flows.len(), 8);
    for (at, flow) in flows.iter().enumerate() {
        assert_eq!(flow.moment, moments[at % 2]);
        assert_eq!(flow.layers.len(), flow.network.depth);
        assert_eq!(flow.layers[0].name, "stem.conv");
        assert_eq!(flow.layers[flow.network.depth - 1].name, "classifier");
        for layer in &flow.layers {
            let Spread { mean, low, high } = layer.gradient;
            assert!(0.0 < low && low < mean && mean < high && layer.weights > 0.0, "{layer:?}");
        }
        assert!(flow.ratio() > 1.0 && flow.ratio().is_finite());
        let network = flow.network.to_string();
        assert_eq!(network, ["plain-8", "residual-8", "plain-14", "residual-14"][at / 2]);
    }
    assert!(flows[1].loss.mean < flows[0].loss.mean, "an epoch lowers the loss");
    assert_eq!(flows, gradient_flow::run(&settings, &dataset(), &mut ()).unwrap().unwrap());
    let mut stop = Count { stop_at: Some(2), ..Count::default() };
    assert_eq!(gradient_flow::run(&settings, &dataset(), &mut stop).unwrap(), None);
    let none = gradient_flow::Settings { batches: 0, ..settings };
    let found = gradient_flow::run(&none, &dataset(), &mut ()).unwrap_err().to_string();
    assert!(found.contains("`batches` is 0"), "{found}");
}
