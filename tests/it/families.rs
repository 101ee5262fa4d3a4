//! Every family of networks on its whole way: the gradient of a training step, and from folding to
//! the integers that the runtime computes.

use crate::{host, oracle, rng::Rng};
use ndarray::{Array4, Axis};
use resmcu_quantizer::calibrate::Ranges;
use resmcu_quantizer::engine::{Executor, Targets, TrainStep};
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::resnet::{Activation, Block, ResNetSpec, Shortcut, Stem};
use resmcu_quantizer::graph::{Graph, Normalization, Op};
use resmcu_quantizer::lower::lower;
use resmcu_quantizer::quantize::quantize;

const SHAPE: [usize; 3] = [9, 11, 3];

/// Small networks of all families, with normalizations that are not fresh.
fn families() -> Vec<Graph> {
    let bottleneck = Block::Bottleneck { stride_on_3x3: true };
    let mut graphs = Vec::new();
    for activation in [Activation::After, Activation::Before] {
        for (shortcut, block, stem) in [
            (Shortcut::Plain, Block::Basic, Stem::Conv3x3),
            (Shortcut::Pad, Block::Basic, Stem::Conv3x3),
            (Shortcut::Project, Block::Basic, Stem::Conv7x7Pool),
            (Shortcut::ProjectAll, Block::Basic, Stem::Conv3x3),
            (Shortcut::Project, bottleneck, Stem::Conv3x3),
        ] {
            let spec = ResNetSpec {
                name: format!("{activation:?} {shortcut:?} {block:?}"),
                input: SHAPE,
                classes: 4,
                width: 4,
                blocks: vec![2, 2],
                block,
                stem,
                activation,
                ..ResNetSpec::cifar(1, shortcut)
            };
            graphs.push(settled(spec.build(5).unwrap()));
        }
    }
    graphs
}

/// The network after many batches, as it were: running averages of its own activations, gammas
/// and betas that differ.
fn settled(mut graph: Graph) -> Graph {
    let mut rng = Rng::new(3);
    for node in &mut graph.nodes {
        if let Op::BatchNorm(norm) = &mut node.op {
            norm.gamma.mapv_inplace(|_| 0.5 + rng.range(0, 1000) as f32 / 1000.0);
            norm.beta.mapv_inplace(|_| rng.range(-300, 300) as f32 / 1000.0);
        }
    }
    let (images, labels) = (images(64), [0; 64]);
    let mut step = TrainStep::new();
    // A momentum of one takes the batch's averages as they are.
    step.run(&mut graph, images.view(), &Targets::new(&labels), 1.0).unwrap();
    graph.normalization = Normalization { mean: vec![0.5; 3], std: vec![0.25; 3] };
    graph
}

fn pixels(count: usize) -> Vec<u8> {
    let mut rng = Rng::new(9);
    (0..count * SHAPE.iter().product::<usize>()).map(|_| rng.range(0, 255) as u8).collect()
}

/// The pixels as a network takes them, normalized.
fn images(count: usize) -> Array4<f32> {
    let values =
        pixels(count).iter().map(|&pixel| (f32::from(pixel) / 255.0 - 0.5) / 0.25).collect();
    Array4::from_shape_vec([count, SHAPE[0], SHAPE[1], SHAPE[2]], values).unwrap()
}

/// The gradient of each parameter against the slope of the loss along it: the whole gradient, so
/// that kinks of single `ReLU`s hardly count.
#[track_caller]
fn check_gradients(graph: &Graph) {
    let (batch, labels) = (images(8), [0, 2, 1, 1, 3, 2, 0, 3]);
    let mut step = TrainStep::new();
    let mut run = |graph: &Graph| {
        let mut graph = graph.clone();
        let output = step.run(&mut graph, batch.view(), &Targets::new(&labels), 0.1).unwrap();
        (output.loss, step.gradients().to_vec())
    };
    let (_, gradients) = run(graph);
    let all = graph.parameters();
    let trained: Vec<usize> = (0..all.len()).filter(|&i| all[i].kind.is_trained()).collect();
    assert_eq!(gradients.len(), trained.len());
    for (gradient, &parameter) in gradients.iter().zip(&trained) {
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(norm > 1e-6, "{}: no gradient at {}", graph.name, all[parameter].name);
        let mut loss = |length: f64| {
            let mut moved = graph.clone();
            let values = &mut moved.parameters_mut()[parameter];
            for (value, g) in values.values.iter_mut().zip(gradient) {
                *value += (length * f64::from(*g) / norm) as f32;
            }
            run(&moved).0
        };
        let length = 5e-4;
        let slope = (loss(length) - loss(-length)) / (2.0 * length);
        let error = (slope - norm).abs();
        let name = &all[parameter].name;
        assert!(error < 1e-3 + 0.02 * norm, "{}, {name}: {norm}, slope {slope}", graph.name);
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    families().iter().for_each(check_gradients);
}

/// That the integers of a network are the oracle's, and near its floats.
#[track_caller]
fn check_integers(graph: &Graph) {
    const IMAGES: usize = 32;
    let (executor, images) = (Executor::new(), images(IMAGES));
    let folded = fold(graph).unwrap();
    let mut ranges = Ranges::new(&folded);
    ranges.observe(&folded, &executor, &images.view()).unwrap();
    let quantized = quantize(&folded, &ranges).unwrap();
    let lowered = lower(&quantized).unwrap();
    let scale = f64::from(quantized.tensors.last().unwrap().scale);
    let logits = executor.forward_eval(graph, images.view()).unwrap();
    let centre = logits.mean_axis(Axis(0)).unwrap();
    let (mut signal, mut noise) = (0.0_f64, 0.0_f64);
    let pixels = pixels(IMAGES);
    for (image, logits) in pixels.chunks_exact(SHAPE.iter().product()).zip(logits.rows()) {
        let input: Vec<i8> = image.iter().map(|&pixel| (pixel ^ 0x80) as i8).collect();
        let found = host::trace(&lowered.file, &input).unwrap();
        let expected = oracle::network::outputs(&lowered.plan.graph, &input);
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(*found == expected.bytes(), "{}: step {step} differs", graph.name);
        }
        let bytes = found.last().unwrap().as_chunks().0.iter();
        let int8 = bytes.map(|&bytes| f64::from(i32::from_le_bytes(bytes)) * scale);
        for ((&float, int8), &centre) in logits.iter().zip(int8).zip(&centre) {
            signal += f64::from(float - centre).powi(2);
            noise += (f64::from(float) - int8).powi(2);
        }
    }
    let decibel = 10.0 * (signal / noise).log10();
    assert!(decibel > 15.0, "{}: {decibel:.1} dB", graph.name);
}

#[test]
fn every_family_becomes_integers() {
    families().iter().for_each(check_integers);
}
