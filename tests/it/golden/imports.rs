//! Float networks of other tools, imported: our engine against PyTorch on the same weights.

use super::mlperf_resnet8::cifar10_test;
use super::operators::unpacked;
use super::{read_of, test_data};
use crate::rng::Rng;
use ndarray::Array4;
use resmcu_quantizer::data::{Dataset, Decoder};
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::graph::Graph;
use resmcu_quantizer::graph::resnet::by_name;
use resmcu_quantizer::import::{Options, state_dict};
use serde_json::{Value, json};

/// Largest difference, as a share of the largest output or of 1.
const DIFFERENCE_MAX: f32 = 1e-4;

/// -1 to 1 in steps of 1/128: `noise` of `imports.py`.
pub(super) fn noise(seed: u64, count: usize) -> impl Iterator<Item = f32> {
    Rng::new(seed).i8s(count).into_iter().map(|value| f32::from(value) / 128.0)
}

#[track_caller]
pub(super) fn check_output(name: &str, found: &[f32], expected: &[Value]) {
    let expected: Vec<f32> = expected.iter().map(|v| v.as_f64().unwrap() as f32).collect();
    let largest = expected.iter().fold(1.0_f32, |largest, v| largest.max(v.abs()));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (class, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let difference = (found - expected).abs() / largest;
        assert!(difference <= DIFFERENCE_MAX, "{name}, {class}: {found}, expected {expected}");
    }
}

/// Compares the network's answer to a case's seeded image with the judge's.
#[track_caller]
fn check(name: &str, graph: &Graph, case: &Value) {
    let [height, width, channels] = graph.input_shape();
    let seed = case["seed"].as_u64().unwrap();
    let image = noise(seed, height * width * channels).map(|value| 2.0 * value).collect();
    let image = Array4::from_shape_vec([1, height, width, channels], image).unwrap();
    let found = Executor::new().forward_eval(graph, image.view()).unwrap();
    check_output(name, found.as_slice().unwrap(), case["output"].as_array().unwrap());
}

pub(crate) fn options() -> Options {
    Options { name: "imported".to_owned(), ..Options::default() }
}

/// The files of small networks, by name.
pub(crate) fn state_dict_files() -> Vec<(String, Vec<u8>)> {
    let golden = read_of("torch ", "imports/state_dicts.json");
    let models = golden["models"].as_array().unwrap().iter();
    let file = |model: &Value| unpacked(model["file"].as_str().unwrap());
    models.map(|model| (model["name"].as_str().unwrap().to_owned(), file(model))).collect()
}

#[test]
fn small_state_dicts_answer_as_pytorch() {
    let golden = read_of("torch ", "imports/state_dicts.json");
    let models = golden["models"].as_array().unwrap();
    for (model, (name, file)) in models.iter().zip(state_dict_files()) {
        let imported = match state_dict::read(&file, &options()) {
            Ok(imported) => imported,
            Err(error) => panic!("{name}: {error}"),
        };
        check(&name, &imported.graph, model);
        // Counters are left out, and what training scripts put beside the weights.
        let kinds = 1 + if name.ends_with("nested") { 3 } else { 0 };
        assert_eq!(imported.left_out.len(), kinds, "{name}: {:?}", imported.left_out);
        assert_eq!(imported.tensors, imported.graph.parameters().len(), "{name}");
    }
    assert_eq!(models.len(), 13);
}

#[test]
fn each_refused_state_dict_says_what_and_where() {
    let golden = read_of("torch ", "imports/refused.json");
    let models = golden["models"].as_array().unwrap();
    let mut wrong = vec![];
    for model in models {
        let message = model["message"].as_str().unwrap();
        let file = unpacked(model["file"].as_str().unwrap());
        match state_dict::read(&file, &options()) {
            Ok(_) => wrong.push(format!("`{message}`: imported")),
            Err(error) if error.to_string().contains(message) => {}
            Err(error) => wrong.push(format!("`{message}`: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(models.len() >= 30, "{} models", models.len());
}

/// A tensor of the network `name` as torchvision calls it, and its shape there.
type Named = (String, Vec<usize>);

/// The state dict of torchvision's network, in its order.
fn torchvision_names(name: &str, classes: usize) -> Vec<Named> {
    let mut named: Vec<Named> = Vec::new();
    let mut shortcut: Vec<Named> = Vec::new();
    let mut spec = by_name(name).unwrap();
    spec.classes = classes;
    for parameter in spec.build_zeroed().unwrap().parameters() {
        let shape = match *parameter.values.shape() {
            [o, height, width, i] => vec![o, i, height, width],
            ref other => other.to_vec(),
        };
        let theirs = parameter
            .name
            .replace("stem.conv", "conv1")
            .replace("stem.bn", "bn1")
            .replace("classifier", "fc")
            .replace("shortcut.conv", "downsample.0")
            .replace("shortcut.bn", "downsample.1")
            .replace(".block", ".");
        let theirs = (1..5).fold(theirs, |name, stage| {
            name.replace(&format!("stage{stage}."), &format!("layer{stage}."))
        });
        let (module, kind) = theirs.rsplit_once('.').unwrap();
        let field = match kind {
            "weights" | "gamma" => "weight",
            "beta" => "bias",
            "mean" => "running_mean",
            "variance" => "running_var",
            other => other,
        };
        let entry = (format!("{module}.{field}"), shape);
        // A shortcut stands before a block's last convolution here, and after it there.
        if entry.0.contains("downsample") {
            shortcut.push(entry);
            continue;
        }
        let block = |name: &str| name.splitn(3, '.').take(2).collect::<String>();
        if shortcut.first().is_some_and(|(first, _)| block(first) != block(&entry.0)) {
            named.append(&mut shortcut);
        }
        named.push(entry);
    }
    named
}

/// A safetensors file with the weights that `fill` of `imports.py` makes.
fn filled(named: &[Named]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (seed, (name, shape)) in named.iter().enumerate() {
        let count = shape.iter().product();
        let first = data.len();
        let deviation = (6.0 / (count / shape[0]) as f64).sqrt() as f32;
        for value in noise(seed as u64, count) {
            let value = match name.rsplit('.').next() {
                _ if shape.len() > 1 => value * deviation,
                Some("running_var") => 1.0 + value / 2.0,
                Some("weight") => 0.75 + value / 4.0,
                _ => value / 4.0,
            };
            data.extend(value.to_le_bytes());
        }
        let offsets = [first, data.len()];
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets });
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

#[test]
fn networks_of_torchvision_answer_as_pytorch() {
    let golden = read_of("torch ", "imports/torchvision.json");
    for model in golden["models"].as_array().unwrap() {
        let (name, classes) = (model["name"].as_str().unwrap(), model["classes"].as_u64().unwrap());
        let file = filled(&torchvision_names(name, usize::try_from(classes).unwrap()));
        let options = Options { input: Some([64, 64]), ..options() };
        let imported = state_dict::read(&file, &options).unwrap();
        assert_eq!(imported.graph.name, name);
        check(name, &imported.graph, model);
        // Asked for by its name it is the same.
        let named = Options { network: Some(name.to_owned()), ..options };
        assert_eq!(state_dict::read(&file, &named).unwrap().graph, imported.graph);
    }
}

#[test]
fn akamasters_networks_answer_as_pytorch() {
    let Some(data) = test_data("akamaster's ResNet-20 and -32 on 1000 images") else { return };
    let golden = read_of("torch ", "imports/akamaster.json");
    let images = cifar10_test(&data);
    for model in golden["models"].as_array().unwrap() {
        let name = model["file"].as_str().unwrap();
        let file = std::fs::read(data.join(name)).unwrap();
        let graph = state_dict::read(&file, &options()).unwrap().graph;
        assert!(name.contains(&format!("{}-", graph.name)), "{name} is {}", graph.name);
        check_real(name, &graph, &images, model);
    }
}

/// Compares the answers to real images, and how many are right, with the judge's.
#[track_caller]
pub(super) fn check_real(name: &str, graph: &Graph, images: &Dataset, model: &Value) {
    let mut decoder = Decoder::new();
    let mut batch = Array4::zeros([images.len(), 32, 32, 3]);
    for (i, mut image) in batch.outer_iter_mut().enumerate() {
        let bytes = images.image(i, &mut decoder).unwrap();
        graph.normalization.apply(bytes, image.as_slice_mut().unwrap());
    }
    let logits = Executor::new().forward_eval(graph, batch.view()).unwrap();
    for (row, expected) in logits.rows().into_iter().zip(model["outputs"].as_array().unwrap()) {
        check_output(name, row.as_slice().unwrap(), expected.as_array().unwrap());
    }
    let largest = |row: ndarray::ArrayView1<'_, f32>| {
        (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
    };
    let answers = logits.rows().into_iter().map(largest).enumerate();
    let correct = answers.filter(|&(i, class)| class == usize::from(images.label(i))).count();
    assert_eq!(correct as u64, model["correct"].as_u64().unwrap(), "{name}");
}
