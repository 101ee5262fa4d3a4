//! What is chosen after training, on small networks with random weights.

use super::*;
use crate::fold_batch_norm::fold;
use crate::graph::Op;
use crate::graph::resnet::{ResNetSpec, Shortcut};
use crate::quantized::QuantizedOp;
use ndarray::Axis;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A small network, and images that are smooth as photographs are.
pub(crate) fn network(shortcut: Shortcut) -> (Graph, Images) {
    let spec =
        ResNetSpec { input: [12, 12, 3], width: 6, classes: 5, ..ResNetSpec::cifar(1, shortcut) };
    let graph = fold(&spec.build(7).unwrap()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut pixels = Vec::new();
    for _ in 0..40 {
        let phases: [f32; 4] = std::array::from_fn(|_| rng.random_range(0.0..6.0));
        for at in 0..12 * 12 * 3_u16 {
            let (row, column, channel) = (at / 36, at / 3 % 12, usize::from(at % 3));
            let angle = f32::from(row) * phases[channel] / 9.0 + f32::from(column) / 5.0;
            pixels.push(((angle + phases[3]).sin() * 90.0 + 128.0) as u8);
        }
    }
    (graph, Images::new([12, 12, 3], pixels))
}

pub(crate) fn four_bits() -> Settings {
    let adaptive = Adaptive { iterations: 120, batch: 8, rate: 0.05, ..Adaptive::default() };
    Settings {
        weight_bits: WeightBits::Four,
        weight_scale: WeightScale::MeanSquaredError,
        rounding: Rounding::Adaptive(adaptive),
        correct_bias: true,
        ..Settings::default()
    }
}

pub(crate) fn run(graph: &Graph, images: &Images, settings: &Settings) -> PostTrained {
    post_training(graph, images, settings, &|_, done, of| assert!(done <= of)).unwrap()
}

#[test]
fn adaptive_rounding_is_never_worse_than_nearest() {
    for shortcut in [Shortcut::Pad, Shortcut::Project, Shortcut::Plain] {
        let (graph, images) = network(shortcut);
        let chosen = run(&graph, &images, &four_bits());
        let blocks = &chosen.blocks;
        assert!(blocks.iter().all(|block| block.kept_db >= block.nearest_db), "{blocks:?}");
        let gains: f64 = blocks.iter().map(|block| block.kept_db - block.nearest_db).sum();
        assert!(gains > 3.0, "{gains} dB in all: {blocks:?}");
    }
}

/// The integers are inside their bits, and those that the integer network has.
#[track_caller]
fn check_integers(settings: &Settings, limit: i8) {
    let (graph, images) = network(Shortcut::Project);
    let chosen = run(&graph, &images, settings);
    let quantized = chosen.quantize().unwrap();
    let mut largest_inside = 0;
    for node in &quantized.nodes {
        let (QuantizedOp::Conv2d { weights, .. } | QuantizedOp::FullyConnected { weights, .. }) =
            &node.op
        else {
            continue;
        };
        let float = chosen.graph.find(&node.name).unwrap();
        let expected = chosen.weights[float.0].as_ref().unwrap();
        assert_eq!(*weights, expected.values, "{}", node.name);
        let largest = weights.iter().map(|w| w.unsigned_abs()).max().unwrap();
        if ["stem.conv", "classifier"].contains(&node.name.as_str()) {
            assert!(largest > 100, "{}: {largest}", node.name);
        } else {
            largest_inside = largest_inside.max(largest);
        }
    }
    assert_eq!(largest_inside, limit.unsigned_abs());
}

#[test]
fn integers_are_inside_their_bits() {
    check_integers(&four_bits(), 7);
    check_integers(&Settings { rounding: Rounding::Nearest, ..four_bits() }, 7);
    check_integers(&Settings { weight_bits: WeightBits::Eight, ..four_bits() }, 127);
}

/// The mean of each channel of the first convolution, with its weights as they are, or as
/// integers stand for them.
fn stem_means(graph: &Graph, images: &Images, weights: Option<&LayerWeights>) -> Vec<f32> {
    let mut graph = graph.clone();
    let stem = graph.find("stem.conv").unwrap();
    if let (Op::Conv2d(conv), Some(weights)) = (&mut graph.nodes[stem.0].op, weights) {
        let row = weights.values.len() / weights.scales.len();
        for (at, (w, &q)) in conv.weights.iter_mut().zip(&weights.values).enumerate() {
            // The integers multiply bytes; the float weights what normalization makes of them.
            let unit = 255.0 * f64::from(graph.normalization.std[at % 3]);
            *w = (f64::from(q) * weights.scales[at / row] * unit) as f32;
        }
    }
    let batch = images.batch(0..images.len(), &graph.normalization);
    let all = Executor::new().forward_all(&graph, batch.view()).unwrap();
    let means = all[stem.0].axis_iter(Axis(3)).map(|channel| channel.mean().unwrap());
    means.collect()
}

#[test]
fn corrected_biases_leave_no_mean_error() {
    let (graph, images) = network(Shortcut::Pad);
    let stem = graph.find("stem.conv").unwrap();
    let error = |correct_bias| {
        let settings = Settings { correct_bias, rounding: Rounding::Nearest, ..four_bits() };
        let chosen = run(&graph, &images, &settings);
        // Of four bits the mean error would be larger; the stem has eight.
        let found = stem_means(&chosen.graph, &images, chosen.weights[stem.0].as_ref());
        let expected = stem_means(&graph, &images, None);
        let errors = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        errors.fold(0.0, f32::max)
    };
    let (kept, corrected) = (error(false), error(true));
    assert!(corrected < 2e-6 && kept > 10.0 * corrected, "{kept}, corrected {corrected}");
}

#[test]
fn the_choice_does_not_depend_on_threads() {
    let (graph, images) = network(Shortcut::Project);
    let settings = Settings { calibration: Calibration::Auto, equalize: true, ..four_bits() };
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Inside of the pool, not outside: the progress is told by the thread that runs.
        pool.install(|| post_training(&graph, &images, &settings, &|_, _, _| {})).unwrap()
    };
    let one = on(1);
    assert!(one == on(3));
    assert_eq!(one.equalized, 3);
    assert!(one != run(&graph, &images, &Settings { seed: 1, ..settings }));
}

/// What is chosen for each layer moves the logits least, all else in float.
#[test]
fn auto_is_the_best_of_all_methods() {
    let (graph, images) = network(Shortcut::Pad);
    let auto = Settings { calibration: Calibration::Auto, ..Settings::default() };
    let chosen = run(&graph, &images, &auto);
    assert!(chosen.weights.iter().all(Option::is_none) && chosen.blocks.is_empty());
    for method in Method::ALL {
        let calibration = Calibration::Fixed(method);
        let fixed = run(&graph, &images, &Settings { calibration, ..Settings::default() });
        assert_eq!(fixed.choices.len(), chosen.choices.len());
        for (choice, fixed) in chosen.choices.iter().zip(&fixed.choices) {
            assert_eq!(choice.tensor, fixed.tensor);
            let same = (choice.low, choice.high) == (fixed.low, fixed.high);
            assert!(choice.method != method || same, "{choice:?} {fixed:?}");
        }
    }
}

#[test]
fn what_cannot_be_chosen_is_refused() {
    let (graph, images) = network(Shortcut::Pad);
    let fails = |graph: &Graph, images: &Images| {
        post_training(graph, images, &four_bits(), &|_, _, _| {}).unwrap_err()
    };
    assert_eq!(fails(&graph, &images.take(0)), PostTrainingError::NoImages);
    let wrong = Images::new([11, 12, 3], vec![7; 11 * 12 * 3]);
    assert!(matches!(fails(&graph, &wrong), PostTrainingError::Engine(_)));
    let mut bad = graph;
    bad.nodes[1].parameters_mut()[0].values[3] = f32::NAN;
    assert!(matches!(fails(&bad, &images), PostTrainingError::Quantize(_)));
    assert_eq!("auto".parse(), Ok(Calibration::Auto));
    assert_eq!("mse".parse(), Ok(Calibration::Fixed(Method::MeanSquaredError)));
    assert!("best".parse::<Calibration>().is_err());
}
