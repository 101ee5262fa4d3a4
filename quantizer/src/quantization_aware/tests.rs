//! Networks on grids: what they round to, and that they come off as integers.

use super::*;
use crate::engine::TrainStep;
use crate::graph::ParameterKind;
use crate::graph::resnet::Shortcut;
use crate::post_training::Settings;
use crate::post_training::tests::{four_bits, network, run};

/// Signal to noise of `found` against `exact`, decibel.
fn sqnr(exact: &[f32], found: &[f32]) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let pairs = exact.iter().zip(found);
    let noise = power(&mut pairs.map(|(a, b)| f64::from(a - b)));
    10.0 * (power(&mut exact.iter().map(|&v| f64::from(v))) / noise).log10()
}

fn logits(graph: &Graph, images: &Images) -> Vec<f32> {
    let batch = images.batch(0..images.len(), &graph.normalization);
    Executor::new().forward_eval(graph, batch.view()).unwrap().into_iter().collect()
}

#[track_caller]
fn check_round_trip(shortcut: Shortcut, settings: &Settings) {
    let (graph, images) = network(shortcut);
    let chosen = run(&graph, &images, settings);
    let on = on_grids(&chosen).unwrap();
    assert!(is_on_grids(&on) && !is_on_grids(&chosen.graph));
    let off = off_grids(&on, &images).unwrap();
    assert_eq!(off.graph.nodes.len(), chosen.graph.nodes.len());
    let (found, expected) = (off.quantize().unwrap(), chosen.quantize().unwrap());
    assert_eq!(found.nodes.len(), expected.nodes.len());
    let tensors = found.tensors.iter().zip(&expected.tensors);
    // The logits' scale is measured on the network that rounds.
    for (found, expected) in tensors.take(expected.tensors.len() - 1) {
        assert_eq!((&found.name, found.zero_point), (&expected.name, expected.zero_point));
        assert!((found.scale / expected.scale - 1.0).abs() < 1e-6, "{}", found.name);
    }
    for (node, weights) in off.weights.iter().enumerate() {
        let Some(weights) = weights else { continue };
        let name = &off.graph.nodes[node].name;
        let chosen = chosen.weights[node].clone().unwrap_or_else(|| weights.clone());
        assert_eq!(weights.bits, chosen.bits, "{name}");
        let scales = weights.scales.iter().zip(&chosen.scales);
        scales.for_each(|(a, b)| assert!((a / b - 1.0).abs() < 1e-6, "{name}: {a}, {b}"));
    }
    // What is trained is what the integers compute, but for multipliers and biases.
    let simulated = logits(&on, &images);
    let rounded = logits(&on_grids(&off).unwrap(), &images);
    let db = sqnr(&simulated, &rounded);
    assert!(db > 60.0, "{db} dB");
}

#[test]
fn a_network_comes_off_its_grids_as_it_went_on() {
    for shortcut in [Shortcut::Pad, Shortcut::Project, Shortcut::Plain] {
        check_round_trip(shortcut, &Settings::default());
        check_round_trip(shortcut, &four_bits());
    }
}

#[test]
fn training_on_grids_brings_four_bits_nearer_to_the_float_network() {
    let (graph, images) = network(Shortcut::Project);
    let settings = Settings { rounding: crate::post_training::Rounding::Nearest, ..four_bits() };
    let exact = logits(&graph, &images);
    let mut on = on_grids(&run(&graph, &images, &settings)).unwrap();
    let before = sqnr(&exact, &logits(&on, &images));
    let batch = images.batch(0..images.len(), &graph.normalization);
    let mut step = TrainStep::new();
    let steps = 150;
    for at in 0..steps {
        // Without it the last steps' noise would decide, which differs by instruction set.
        let decay = 1.0 - at as f32 / steps as f32;
        step.run_towards(&mut on, batch.view(), &exact).unwrap();
        let trained = on.parameters_mut().into_iter().filter(|p| p.kind.is_trained());
        for (parameter, gradient) in trained.zip(step.gradients()) {
            let is_step = parameter.kind == ParameterKind::Step;
            let (rate, least) = if is_step { (1e-4, STEP_MIN) } else { (0.003, f32::MIN) };
            let pairs = parameter.values.iter_mut().zip(gradient);
            pairs.for_each(|(value, gradient)| {
                *value = (*value - decay * rate * gradient).max(least);
            });
        }
    }
    let after = sqnr(&exact, &logits(&on, &images));
    assert!(after > before + 1.5, "{before} dB to {after} dB");
    let off = off_grids(&on, &images).unwrap();
    assert!(off.quantize().is_ok());
}

#[test]
fn without_images_there_is_no_range_of_the_logits() {
    let (graph, images) = network(Shortcut::Pad);
    let on = on_grids(&run(&graph, &images, &Settings::default())).unwrap();
    assert_eq!(off_grids(&on, &images.take(0)), Err(PostTrainingError::NoImages));
}
