//! Single operators and small networks in `.tflite` files, against TensorFlow Lite Micro.

use super::{i8s, read};
use crate::host::trace;
use crate::rng::Rng;
use resmcu_quantizer::import::tflite;
use resmcu_quantizer::lower::lower;
use std::io::Read;

const FOLDERS: [&str; 8] = [
    "add",
    "average_pool2d",
    "conv2d",
    "fully_connected",
    "max_pool2d",
    "softmax",
    "network",
    "global_mean",
];

/// A `.tflite` file as the golden files hold it: zlib in hexadecimal.
pub(crate) fn unpacked(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks_exact(2);
    let packed: Vec<u8> = digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let mut bytes = vec![];
    flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
    bytes
}

/// All these `.tflite` files, with their names.
pub(crate) fn tflite_files() -> Vec<(String, Vec<u8>)> {
    let mut files = vec![];
    for operator in FOLDERS {
        let golden = read(&format!("{operator}/answers.json"));
        for (number, model) in golden["models"].as_array().unwrap().iter().enumerate() {
            let bytes = unpacked(model["model"].as_str().unwrap());
            files.push((format!("{operator} {number}"), bytes));
        }
    }
    files
}

#[track_caller]
fn check(operator: &str) {
    let golden = read(&format!("{operator}/answers.json"));
    let models = golden["models"].as_array().unwrap();
    assert!(models.len() >= 12, "{operator}: {} models", models.len());
    for (number, model) in models.iter().enumerate() {
        let bytes = unpacked(model["model"].as_str().unwrap());
        let graph = match tflite::read(&bytes, operator) {
            Ok(graph) => graph,
            Err(error) => panic!("{operator} {number}: {error}"),
        };
        let file = lower(&graph).unwrap().file;
        for case in model["cases"].as_array().unwrap() {
            let seed = case["seed"].as_u64().unwrap();
            let input = Rng::new(seed).i8s(graph.tensors[0].bytes());
            let got = trace(&file, &input).unwrap().pop().unwrap();
            let got: Vec<i8> = got.into_iter().map(|byte| byte as i8).collect();
            let expected = i8s(&case["output"]);
            assert_eq!(got, expected, "{operator} {number}, seed {seed}");
        }
    }
}

#[test]
fn every_operator_and_network_answers_as_the_judge() {
    FOLDERS.into_iter().for_each(check);
}
