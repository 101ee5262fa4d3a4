//! The losses of some training steps, for a comparison with another framework from the same
//! weights on the same batches: `cargo bench -p resmcu-quantizer --bench loss_curve -- NETWORK DATA
//! STEPS BATCH RATE FILE`.
//!
//! Writes what the other side needs to `FILE` (safetensors: the initial parameters by name, the
//! batches' images after normalization, `[STEPS·BATCH,H,W,C]`, and their labels), then prints one
//! loss a line. Images come in the order of the data set; SGD with momentum 0.9 and no decay.

use std::collections::HashMap;

use ndarray::Array4;
use resmcu_quantizer::data::{Decoder, Source, Split};
use resmcu_quantizer::engine::{Targets, TrainStep};
use resmcu_quantizer::graph::resnet;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [network, data, steps, batch, rate, file] = arguments.as_slice() else {
        return println!("usage: NETWORK DATA STEPS BATCH RATE FILE");
    };
    let [steps, batch] = [steps, batch].map(|n| n.parse::<usize>().expect("a number"));
    let rate: f32 = rate.parse().expect("a learning rate");
    let set = Source::find(data).and_then(|source| source.load(Split::Train, None));
    let set = set.expect("a data set");
    let mut spec = resnet::by_name(network).expect("a network's name");
    (spec.input, spec.classes) = (set.shape, set.class_count());
    let mut graph = spec.build(0).expect("a graph");
    (graph.normalization.mean, graph.normalization.std) =
        set.channel_mean_and_std().expect("readable images");

    // A stride that meets every class soon, whatever the order of the set.
    let indices = (0..steps * batch).map(|i| i * 7919 % set.len());
    let mut images = vec![0.0; steps * batch * set.image_bytes()];
    let (mut decoder, mut labels) = (Decoder::new(), Vec::new());
    for (index, out) in indices.zip(images.chunks_exact_mut(set.image_bytes())) {
        let bytes = set.image(index, &mut decoder).expect("a readable image");
        graph.normalization.apply(bytes, out);
        labels.push(usize::from(set.label(index)));
    }
    save(&graph, &images, &labels, set.shape, file);

    let [h, w, c] = set.shape;
    let trained = graph.parameters().into_iter().filter(|p| p.kind.is_trained());
    let mut velocity: Vec<Vec<f32>> = trained.map(|p| vec![0.0; p.values.len()]).collect();
    let mut step = TrainStep::new();
    for (images, labels) in images.chunks_exact(batch * h * w * c).zip(labels.chunks_exact(batch)) {
        let images = Array4::from_shape_vec([batch, h, w, c], images.to_vec()).expect("its size");
        let output = step.run(&mut graph, images.view(), &Targets::new(labels), 0.1);
        println!("{}", output.expect("a step").loss);
        let parameters = graph.parameters_mut().into_iter().filter(|p| p.kind.is_trained());
        for (parameter, (velocity, gradient)) in
            parameters.zip(velocity.iter_mut().zip(step.gradients()))
        {
            for ((w, v), g) in parameter.values.iter_mut().zip(velocity).zip(gradient) {
                *v = 0.9 * *v + g;
                *w -= rate * *v;
            }
        }
    }
}

fn save(
    graph: &resmcu_quantizer::graph::Graph,
    images: &[f32],
    labels: &[usize],
    [h, w, c]: [usize; 3],
    file: &str,
) {
    let bytes =
        |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
    let mut tensors: HashMap<String, (Dtype, Vec<usize>, Vec<u8>)> = HashMap::new();
    for parameter in graph.parameters() {
        let values: Vec<f32> = parameter.values.iter().copied().collect();
        let shape = parameter.values.shape().to_vec();
        tensors.insert(parameter.name, (Dtype::F32, shape, bytes(&values)));
    }
    let shape = vec![labels.len(), h, w, c];
    tensors.insert("images".to_owned(), (Dtype::F32, shape, bytes(images)));
    let labels_bytes = labels.iter().flat_map(|&label| (label as i64).to_le_bytes()).collect();
    tensors.insert("labels".to_owned(), (Dtype::I64, vec![labels.len()], labels_bytes));
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("its size"))
    });
    let bytes = safetensors::serialize(views, None).expect("a container");
    std::fs::write(file, bytes).expect("a writable file");
}
