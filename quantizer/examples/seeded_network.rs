//! Makes a network with seeded random weights and the batch statistics of real images, to measure
//! what integers cost a deep network that nobody has trained here.
//!
//! ```text
//! cargo run --release -p resmcu-quantizer --example seeded_network -- \
//!     resnet50 224 DATA OUT.safetensors [IMAGES]
//! ```
//!
//! Node by node over the first training images, each batch normalization gets the mean and the
//! variance of what it reads, so that activations are as wide as a trained network's.

use ndarray::{Array1, Array4};
use resmcu_quantizer::data::{Decoder, ReadOptions, Source, Split};
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::graph::resnet::by_name;
use resmcu_quantizer::graph::{Checkpoint, Dtype, Graph, GraphBuilder, NodeId, Normalization, Op};
use std::error::Error;

/// Images where none are asked for.
const IMAGES: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, side, data, out, rest @ ..] = &arguments[..] else {
        return Err("usage: seeded_network NETWORK SIDE DATA OUT.safetensors [IMAGES]".into());
    };
    let (side, images): (usize, _) = (side.parse()?, rest.first().map(|text| text.parse()));
    let images = images.transpose()?.unwrap_or(IMAGES);
    let mut spec = by_name(name)?;
    spec.input = [side, side, 3];
    let mut graph = spec.build(0)?;
    graph.normalization = Normalization::torchvision();
    let options = ReadOptions { size: Some([side, side]), channels: Some(3), ..Default::default() };
    let dataset = Source::find(data)?.with_options(options).load(Split::Train, Some(images))?;
    let mut batch = Array4::zeros([dataset.len(), side, side, 3]);
    let mut decoder = Decoder::new();
    for (index, mut out) in batch.outer_iter_mut().enumerate() {
        let pixels = dataset.image(index, &mut decoder)?;
        graph.normalization.apply(pixels, out.as_slice_mut().ok_or("a batch in order")?);
    }
    measure(&mut graph, batch)?;
    std::fs::write(out, Checkpoint::from(graph).to_bytes(Dtype::F32)?)?;
    println!("{out}: {name} of seed 0, statistics of {} images", dataset.len());
    Ok(())
}

/// Gives each batch normalization the statistics of `images`.
fn measure(graph: &mut Graph, images: Array4<f32>) -> Result<(), Box<dyn Error>> {
    let last_reader: Vec<usize> = graph
        .consumers()
        .iter()
        .map(|readers| readers.iter().map(|reader| reader.0).max().unwrap_or(usize::MAX))
        .collect();
    let executor = Executor::new();
    let mut values: Vec<Option<Array4<f32>>> = vec![None; graph.nodes.len()];
    values[Graph::INPUT.0] = Some(images);
    for index in 1..graph.nodes.len() {
        let inputs = graph.nodes[index].inputs.clone();
        let of = |input: NodeId| values[input.0].as_ref().ok_or("read before it is made");
        let x = of(inputs[0])?;
        if let Op::BatchNorm(norm) = &mut graph.nodes[index].op {
            (norm.mean, norm.variance) = moments(x);
        }
        let made = match inputs[..] {
            [a, b] => of(a)? + of(b)?,
            _ => alone(&executor, graph, index, x)?,
        };
        values[index] = Some(made);
        for (node, last) in last_reader.iter().enumerate() {
            if *last == index {
                values[node] = None;
            }
        }
    }
    Ok(())
}

/// One node of the graph by itself.
fn alone(
    executor: &Executor,
    graph: &Graph,
    index: usize,
    x: &Array4<f32>,
) -> Result<Array4<f32>, Box<dyn Error>> {
    let node = &graph.nodes[index];
    let (images, height, width, channels) = x.dim();
    let mut builder = GraphBuilder::new("alone", [height, width, channels])?;
    builder.push(node.name.clone(), node.op.clone(), &[Graph::INPUT])?;
    let graph = builder.finish(Normalization::identity(channels), Vec::new())?;
    let [height, width, channels] = node.shape;
    let values = executor.forward_eval(&graph, x.view())?.into_raw_vec_and_offset().0;
    Ok(Array4::from_shape_vec([images, height, width, channels], values)?)
}

/// Mean and variance of each channel.
fn moments(x: &Array4<f32>) -> (Array1<f32>, Array1<f32>) {
    let channels = x.dim().3;
    let count = (x.len() / channels) as f64;
    let (mut sums, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for pixel in x.as_slice().unwrap_or_default().chunks_exact(channels) {
        for ((sum, square), &value) in sums.iter_mut().zip(&mut squares).zip(pixel) {
            *sum += f64::from(value);
            *square += f64::from(value) * f64::from(value);
        }
    }
    let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
    let variance = squares.iter().zip(&mean).map(|(square, mean)| square / count - mean * mean);
    (
        mean.iter().map(|&mean| mean as f32).collect(),
        variance.map(|variance| variance.max(0.0) as f32).collect(),
    )
}
