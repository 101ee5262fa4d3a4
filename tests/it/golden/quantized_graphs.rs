//! Quantized ONNX files: the float graph on their grids against ONNX Runtime's answers, and the
//! integers that follow from it.

use super::float_graphs::{files, options, read_onnx};
use super::imports::noise;
use super::read_of;
use crate::host::trace;
use ndarray::Array4;
use resmcu_quantizer::calibrate::Images;
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::{Graph, Normalization, Op};
use resmcu_quantizer::import::Options;
use resmcu_quantizer::lower::lower;
use resmcu_quantizer::quantization_aware::{off_grids, on_grids};
use resmcu_quantizer::quantized::Dtype;
use serde_json::Value;

/// Images of bytes `v`, which enter as `(v - 128) / 64`.
fn of_bytes() -> Options {
    let (mean, std) = (vec![128.0 / 255.0], vec![64.0 / 255.0]);
    Options { normalization: Some(Normalization { mean, std }), ..options() }
}

/// The image of a seed, as bytes less 128.
fn image(seed: u64, count: usize) -> Vec<i8> {
    noise(seed, count).map(|value| (value * 128.0) as i8).collect()
}

fn floats(values: &Value) -> Vec<f32> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

/// The step of the last grid of a graph, which is that of its logits where they are rounded.
fn last_step(graph: &Graph) -> f32 {
    let steps = graph.nodes.iter().rev().find_map(|node| match &node.op {
        Op::FakeQuantize(grid) => grid.step.first().copied(),
        _ => None,
    });
    steps.unwrap()
}

/// Root mean square of the differences in steps of the last grid.
fn differences(found: &[Vec<f32>], expected: &[Vec<f32>], step: f32) -> f32 {
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    let squares: Vec<f32> = pairs.map(|(a, b)| ((a - b) / step).powi(2)).collect();
    (squares.iter().sum::<f32>() / squares.len() as f32).sqrt()
}

/// The network's answers to the images of the first seeds.
fn answers(graph: &Graph, images: usize) -> Vec<Vec<f32>> {
    let [height, width, channels] = graph.input_shape();
    let answer = |seed| {
        let values = image(seed, height * width * channels);
        let values = values.iter().map(|&v| f32::from(v) / 64.0).collect();
        let image = Array4::from_shape_vec([1, height, width, channels], values).unwrap();
        Executor::new().forward_eval(graph, image.view()).unwrap().into_raw_vec_and_offset().0
    };
    (0..images as u64).map(answer).collect()
}

#[track_caller]
fn check(name: &str, file: &[u8], case: &Value) {
    let imported = read_onnx(file, &of_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let graph = imported.graph;
    let grids = graph.nodes.iter().filter(|node| matches!(node.op, Op::FakeQuantize(_))).count();
    assert_eq!(grids as u64, case["grids"].as_u64().unwrap(), "{name}: grids");
    let [height, width, channels] = graph.input_shape();
    let count = height * width * channels;
    let expected: Vec<_> = case["outputs"].as_array().unwrap().iter().map(floats).collect();
    let step = last_step(&graph);

    let float = answers(&graph, expected.len());
    // Ties of a grid may fall to the other side, a value by a step; a wrong grid moves them all.
    let noise = differences(&float, &expected, step);
    assert!(noise < 1.0, "{name}: {noise} steps from ONNX Runtime");

    let pixels = (0..64).flat_map(|seed| image(seed, count)).map(|v| (v as u8) ^ 0x80).collect();
    let images = Images::new([height, width, channels], pixels);
    let chosen = off_grids(&fold(&graph).unwrap(), &images).unwrap();
    let quantized = chosen.quantize().unwrap();
    let last = quantized.tensors.last().unwrap();
    assert_eq!(last.dtype, Dtype::I32, "{name}");
    let lowered = lower(&quantized).unwrap();
    let integers = (0..expected.len() as u64).map(|seed| {
        let outputs = trace(&lowered.file, &image(seed, count)).unwrap();
        let words = outputs.last().unwrap().as_chunks::<4>().0;
        words.iter().map(|&word| i32::from_le_bytes(word) as f32 * last.scale).collect()
    });
    let integers: Vec<_> = integers.collect();
    // Of the file's grids those of sums, means and logits have no integers.
    let kept = on_grids(&chosen).unwrap();
    // What the logits' own fine scale and the multipliers of 15 bits leave: 0.06 were measured.
    let noise = differences(&integers, &answers(&kept, expected.len()), step);
    assert!(noise < 0.25, "{name}: {noise} steps from the float network on its grids");
}

#[test]
fn quantized_onnx_files_answer_as_onnx_runtime() {
    let models = files("onnxruntime ", "imports/onnx_qdq.json");
    let golden = read_of("onnxruntime ", "imports/onnx_qdq.json");
    assert_eq!(models.len(), 8);
    for ((name, file), case) in models.iter().zip(golden["models"].as_array().unwrap()) {
        check(name, file, case);
    }
}
