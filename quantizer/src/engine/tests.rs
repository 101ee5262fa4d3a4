//! Whole networks: evaluation against training, numeric gradients, and bits on any threads.

use ndarray::{Array4, s};

use super::numeric::noise;
use super::*;
use crate::graph::resnet::{Block, ResNetSpec, Shortcut, Stem};
use crate::graph::{BatchNorm, Op};

/// A small network that has every operator.
fn small(shortcut: Shortcut, block: Block, stem: Stem) -> Graph {
    let spec = ResNetSpec {
        input: [9, 11, 2],
        classes: 3,
        width: 4,
        blocks: vec![1, 1],
        block,
        stem,
        ..ResNetSpec::cifar(1, shortcut)
    };
    let mut graph = spec.build(5).unwrap();
    // Running averages that differ from a fresh network's.
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        if let Op::BatchNorm(BatchNorm { mean, variance, beta, .. }) = &mut node.op {
            mean.iter_mut().zip(noise(index as u64, 64)).for_each(|(m, v)| *m = 0.1 * v);
            beta.iter_mut().zip(noise(index as u64 + 50, 64)).for_each(|(b, v)| *b = v);
            variance.mapv_inplace(|_| 0.8);
        }
    }
    graph
}

fn networks() -> Vec<Graph> {
    let bottleneck = Block::Bottleneck { stride_on_3x3: true };
    vec![
        small(Shortcut::Project, Block::Basic, Stem::Conv3x3),
        small(Shortcut::Pad, bottleneck, Stem::Conv7x7Pool),
        small(Shortcut::Plain, Block::Basic, Stem::Conv3x3),
    ]
}

fn batch(images: usize) -> Array4<f32> {
    Array4::from_shape_vec([images, 9, 11, 2], noise(9, images * 9 * 11 * 2)).unwrap()
}

#[test]
fn all_activations_end_in_the_logits_and_images_are_independent() {
    let executor = Executor::new();
    for graph in networks() {
        let batch = batch(11);
        let logits = executor.forward_eval(&graph, batch.view()).unwrap();
        let all = executor.forward_all(&graph, batch.view()).unwrap();
        assert_eq!(all.len(), graph.nodes.len());
        assert_eq!(all[0], batch);
        assert_eq!(all[graph.output().0].as_slice(), logits.as_slice());
        let one = executor.forward_eval(&graph, batch.slice(s![6..7, .., .., ..])).unwrap();
        assert_eq!(one.row(0), logits.row(6));
        assert!(executor.forward_eval(&graph, batch.slice(s![0..0, .., .., ..])).is_ok());
    }
}

/// The loss's gradient with respect to parameters, through batch statistics and all.
#[track_caller]
fn check_parameter_gradients(graph: &Graph) {
    let (batch, labels) = (batch(6), [0, 2, 1, 1, 0, 2]);
    let mut step = TrainStep::new();
    let mut run = |graph: &Graph| {
        let mut graph = graph.clone();
        let output = step.run(&mut graph, batch.view(), &Targets::new(&labels), 0.1).unwrap();
        (output.loss, step.gradients().to_vec())
    };
    let (_, gradients) = run(graph);
    let trained: Vec<usize> = (0..graph.parameters().len())
        .filter(|&i| graph.parameters()[i].kind.is_trained())
        .collect();
    assert_eq!(gradients.len(), trained.len());
    for (gradient, &parameter) in gradients.iter().zip(&trained) {
        let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        for at in [0, gradient.len() / 2, gradient.len() - 1] {
            let name = &graph.parameters()[parameter].name;
            let mut loss = |step: f32| {
                let mut moved = graph.clone();
                moved.parameters_mut()[parameter].values[at] += step;
                run(&moved).0
            };
            let expected = ((loss(2e-3) - loss(-2e-3)) / 4e-3) as f32;
            let error = (gradient[at] - expected).abs();
            // A kink of some ReLU or pooling may lie inside the step: hence the share of the norm.
            assert!(error < 2e-3 + 0.03 * norm, "{name}[{at}]: {}, {expected}", gradient[at]);
        }
    }
}

#[test]
fn parameter_gradients_of_whole_networks_are_numeric() {
    networks().iter().for_each(check_parameter_gradients);
}

/// The gradient of the squared differences from a goal, at a parameter in the middle of each.
#[test]
fn gradients_towards_a_goal_are_numeric() {
    for graph in networks() {
        let mut graph = crate::fold_batch_norm::fold(&graph).unwrap();
        let batch = batch(6);
        let goal: Vec<f32> = (0..6 * graph.classes()).map(|at| (at % 5) as f32 / 4.0).collect();
        let mut step = TrainStep::new();
        let found = step.run_towards(&mut graph, batch.view(), &goal).unwrap();
        let logits = Executor::new().forward_eval(&graph, batch.view()).unwrap();
        let squares = logits.iter().zip(&goal).map(|(a, b)| f64::from(a - b).powi(2));
        let expected = squares.sum::<f64>() / goal.len() as f64;
        assert!((found - expected).abs() < 1e-5 * expected, "{found}, expected {expected}");
        for (parameter, gradient) in step.gradients().to_vec().iter().enumerate() {
            let at = gradient.len() / 2;
            let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let mut loss = |length: f32| {
                let mut moved = graph.clone();
                moved.parameters_mut()[parameter].values[at] += length;
                step.run_towards(&mut moved, batch.view(), &goal).unwrap()
            };
            let slope = ((loss(1e-3) - loss(-1e-3)) / 2e-3) as f32;
            let error = (gradient[at] - slope).abs();
            assert!(error < 2e-3 + 0.03 * norm, "{}: {}, {slope}", graph.name, gradient[at]);
        }
        let refusal = step.run_towards(&mut graph, batch.view(), &goal[1..]).unwrap_err();
        assert!(matches!(refusal, EngineError::LabelCount { images: 6, .. }), "{refusal}");
    }
}

/// Everything that a step and an evaluation make, as bits.
fn bits(threads: usize) -> Vec<u64> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let mut bits = Vec::new();
        for mut graph in networks() {
            let (batch, labels) = (batch(19), [1; 19]);
            let mut step = TrainStep::new();
            for _ in 0..2 {
                let output =
                    step.run(&mut graph, batch.view(), &Targets::new(&labels), 0.1).unwrap();
                bits.push(output.loss.to_bits());
            }
            let gradients = step.gradients().iter().flatten();
            bits.extend(gradients.map(|value| u64::from(value.to_bits())));
            let logits = Executor::new().forward_eval(&graph, batch.view()).unwrap();
            bits.extend(logits.iter().map(|value| u64::from(value.to_bits())));
        }
        bits
    })
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let one = bits(1);
    assert!(one == bits(2) && one == bits(3));
}

/// Repeated images have the same statistics, so the gradients are those of the images alone; but
/// they fill shards, and more calls than one of a shard.
#[test]
fn images_of_a_batch_are_told_apart_in_every_call_of_a_shard() {
    let graph = ResNetSpec::cifar(1, Shortcut::Project).build(3).unwrap();
    let values = noise(4, 2 * 32 * 32 * 3);
    let gradients = |times: usize| {
        let (images, labels) = (2 * times, [1, 7].repeat(times));
        let batch = Array4::from_shape_vec([images, 32, 32, 3], values.repeat(times)).unwrap();
        let mut step = TrainStep::new();
        step.run(&mut graph.clone(), batch.view(), &Targets::new(&labels), 0.1).unwrap();
        step.gradients().to_vec()
    };
    let (once, often) = (gradients(1), gradients(5));
    for (once, often) in once.iter().zip(&often) {
        let largest = once.iter().fold(0.0_f32, |largest, g| largest.max(g.abs()));
        for (once, often) in once.iter().zip(often) {
            assert!((once - often).abs() <= 1e-3 * largest, "{once}, {often} of {largest}");
        }
    }
}

#[test]
fn bad_batches_are_refused() {
    let mut graph = small(Shortcut::Pad, Block::Basic, Stem::Conv3x3);
    let mut step = TrainStep::new();
    let wrong = Array4::zeros([2, 9, 9, 2]);
    let refusal = Executor::new().forward_eval(&graph, wrong.view()).unwrap_err();
    assert!(matches!(refusal, EngineError::BatchShape { found: [9, 9, 2], .. }), "{refusal}");
    let refusal = step.run(&mut graph, batch(2).view(), &Targets::new(&[0]), 0.1).unwrap_err();
    assert_eq!(refusal, EngineError::LabelCount { labels: 1, images: 2 });
    let refusal = step.run(&mut graph, batch(2).view(), &Targets::new(&[0, 3]), 0.1).unwrap_err();
    assert_eq!(refusal, EngineError::Label { label: 3, image: 1, classes: 3 });
}

#[test]
fn the_first_layer_that_is_not_finite_is_named() {
    let mut graph = small(Shortcut::Pad, Block::Basic, Stem::Conv3x3);
    let mut step = TrainStep::new();
    step.run(&mut graph, batch(4).view(), &Targets::new(&[0; 4]), 0.1).unwrap();
    assert_eq!(step.first_non_finite(&graph), None);
    let id = graph.find("stage2.block0.conv1").unwrap();
    graph.nodes[id.0].parameters_mut()[0].values[3] = f32::INFINITY;
    let output = step.run(&mut graph, batch(4).view(), &Targets::new(&[0; 4]), 0.1).unwrap();
    assert!(!output.loss.is_finite());
    assert_eq!(step.first_non_finite(&graph), Some("stage2.block0.conv1"));
}
