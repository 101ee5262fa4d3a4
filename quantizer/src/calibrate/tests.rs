//! Ranges and histograms: what they hold, and that no number of threads changes them.

use super::*;
use crate::fold_batch_norm::fold;
use crate::graph::resnet::by_name;
use crate::quantize::Grid;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Values that are roughly normal, with a few far away.
fn values(count: usize, seed: u64, relu: bool) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut value = |index: usize| {
        let sum: f32 = (0..6).map(|_| rng.random_range(-1.0_f32..1.0)).sum();
        let value = if index % 997 == 3 { 4.0 * sum } else { sum };
        if relu { value.max(0.0) } else { value }
    };
    (0..count).map(&mut value).collect()
}

fn histogram(values: &[f32]) -> Histogram {
    let mut histogram = Histogram::default();
    histogram.add(values);
    histogram
}

/// Mean squared error on the grid of a range, from the values themselves.
fn error(values: &[f32], (low, high): (f64, f64)) -> f64 {
    let grid = Grid::of_range(low, high);
    let squares = values.iter().map(|&v| (grid.nearest(v.into()) - f64::from(v)).powi(2));
    squares.sum::<f64>() / values.len() as f64
}

/// The least squared error over all ranges, by trying many on the values themselves.
#[track_caller]
fn check_squared_error(seed: u64, relu: bool) {
    let values = values(20_000, seed, relu);
    let histogram = histogram(&values);
    let (low, high) = Method::MinMax.range(&histogram, relu);
    let found = error(&values, Method::MeanSquaredError.range(&histogram, relu));
    let shares = || (20..=100).map(|percent| f64::from(percent) / 100.0);
    let lows = if relu { vec![0.0] } else { shares().map(|share| share * low).collect() };
    let all = lows.iter().flat_map(|&low| shares().map(move |share| (low, share * high)));
    let best = all.map(|range| error(&values, range)).fold(f64::INFINITY, f64::min);
    assert!(found <= 1.03 * best, "seed {seed}: {found}, brute force {best}");
    assert!(found < error(&values, (low, high)));
}

#[test]
fn the_squared_error_is_the_least() {
    (0..2).for_each(|seed| check_squared_error(seed, true));
    check_squared_error(2, false);
}

/// A percentile leaves outside what it says, at both ends.
#[track_caller]
fn check_percentile(percent: f64, relu: bool) {
    let values = values(20_000, 5, relu);
    let (low, high) = Method::Percentile(percent).range(&histogram(&values), relu);
    let outside = |beyond: &dyn Fn(f64) -> bool| {
        values.iter().filter(|&&v| beyond(v.into())).count() as f64 / values.len() as f64
    };
    let share = (1.0 - percent / 100.0) / if relu { 1.0 } else { 2.0 };
    for found in [outside(&|v| v > high), outside(&|v| v < low)] {
        let is_cut = found > 0.0 || share * (values.len() as f64) < 1.0 || relu;
        assert!(found <= share + 1e-3 && is_cut, "{percent} %: {found} outside, not {share}");
    }
    assert_eq!(relu, low == 0.0);
}

#[test]
fn a_percentile_is_counted() {
    for percent in [99.99, 99.9, 99.0, 90.0] {
        check_percentile(percent, true);
        check_percentile(percent, false);
    }
}

/// Divergence of the values themselves, by its definition, over bins of an eighth of a step.
fn divergence(values: &[f32], high: f64) -> f64 {
    let grid = Grid::of_range(0.0, high);
    let width = high / 255.0 / 8.0;
    let mut counts = vec![0.0_f64; 255 * 8 + 1];
    let (mut clipped, mut total) = (0.0, 0.0);
    for value in values.iter().map(|&v| f64::from(v)).filter(|v| *v > 0.0) {
        total += 1.0;
        if value <= high { counts[(value / width) as usize] += 1.0 } else { clipped += 1.0 }
    }
    let level = |bin: usize| (grid.nearest((bin as f64 + 0.5) * width) / grid.scale).round();
    let used: Vec<usize> = (0..counts.len()).filter(|&bin| counts[bin] > 0.0).collect();
    let last = *used.last().unwrap();
    let mut sum = 0.0;
    for &bin in &used {
        let same: Vec<usize> = used.iter().copied().filter(|&b| level(b) == level(bin)).collect();
        let mean = same.iter().map(|&b| counts[b]).sum::<f64>() / same.len() as f64;
        let p = (counts[bin] + if bin == last { clipped } else { 0.0 }) / total;
        sum += p * (p / (mean / (total - clipped))).ln();
    }
    sum
}

#[test]
fn the_entropy_is_near_the_least_of_a_brute_force() {
    // Half of a normal distribution, and one value far outside that deserves no steps.
    // So many that the noise of the brute force's bins is small.
    let mut values: Vec<f32> = values(400_000, 7, true).into_iter().map(|v| v.min(3.0)).collect();
    values.push(12.0);
    let histogram = histogram(&values);
    let (low, high) = Method::Entropy.range(&histogram, true);
    assert!(low == 0.0 && (1.5..4.0).contains(&high), "{high}");
    let found = divergence(&values, high);
    for n in 1..=12 {
        let other = divergence(&values, f64::from(n));
        assert!(found <= other + 0.02, "{found} at {high}, {other} at {n}");
    }
}

#[test]
fn degenerate_histograms_have_ranges() {
    let none = Histogram::default();
    let zeros = histogram(&[0.0; 9]);
    let one = histogram(&[2.5]);
    let below = histogram(&[-2.5, -1.0]);
    let bad = histogram(&[1.0, f32::NAN]);
    for method in Method::ALL {
        assert_eq!(method.range(&none, true), (0.0, 0.0), "{method}");
        assert_eq!(method.range(&zeros, false), (0.0, 0.0), "{method}");
        let (low, high) = method.range(&one, true);
        assert!(low == 0.0 && (2.4..=2.5).contains(&high), "{method}: {high}");
        let (low, high) = method.range(&below, false);
        assert!((-2.5..=-2.4).contains(&low) && high == 0.0, "{method}: {low} {high}");
        assert!(!method.range(&bad, false).0.is_finite(), "{method}");
    }
}

#[test]
fn methods_have_names() {
    for method in Method::ALL {
        assert_eq!(method.to_string().parse(), Ok(method));
    }
    assert_eq!("percentile=99.5".parse(), Ok(Method::Percentile(99.5)));
    for bad in ["", "max", "percentile=", "percentile=50", "percentile=101", "percentile=NaN"] {
        assert!(bad.parse::<Method>().is_err(), "{bad}");
    }
}

/// Histograms of a network on `threads` threads.
fn observe(threads: usize) -> Histograms {
    let graph = fold(&by_name("resnet8").unwrap().build(3).unwrap()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let pixels = (0..40 * 32 * 32 * 3).map(|_| rng.random()).collect();
    let images = Images::new([32, 32, 3], pixels);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut histograms = Histograms::new(&graph).unwrap();
    let executor = Executor::new();
    pool.install(|| histograms.observe(&graph, &executor, &images, &|_| {})).unwrap();
    histograms
}

#[test]
fn histograms_do_not_depend_on_threads_and_hold_what_ranges_hold() {
    let [one, three] = [1, 3].map(observe);
    assert!(one == three);
    let graph = fold(&by_name("resnet8").unwrap().build(3).unwrap()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let pixels = (0..40 * 32 * 32 * 3).map(|_| rng.random()).collect();
    let batch = Images::new([32, 32, 3], pixels).batch(0..40, &graph.normalization);
    let mut ranges = Ranges::new(&graph);
    ranges.observe(&graph, &Executor::new(), &batch.view()).unwrap();
    let found = one.ranges(&graph, Method::MinMax);
    for layer in fuse(&graph).unwrap() {
        let (low, high) = ranges.of(layer.output);
        assert_eq!(found.of(layer.output), (low.min(0.0), high.max(0.0)), "{layer:?}");
    }
}
