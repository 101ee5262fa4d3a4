//! Float networks that come with their graph: our engine against `LiteRT` and ONNX Runtime on the
//! same weights.

use super::imports::{check_output, check_real, noise};
use super::mlperf_resnet8::cifar10_test;
use super::operators::unpacked;
use super::{read_of, test_data};
use ndarray::Array4;
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::graph::{Graph, Normalization};
use resmcu_quantizer::import::{FloatImport, Options, onnx, tflite};
use serde_json::Value;

/// Images as they are, so that a golden answer's image is the network's.
pub(crate) fn options() -> Options {
    let normalization = Some(Normalization { mean: vec![0.0], std: vec![1.0] });
    Options { name: "imported".to_owned(), normalization, ..Options::default() }
}

/// One importer, and the files that its golden answers are in.
type Read = fn(&[u8], &Options) -> Result<FloatImport, String>;

pub(crate) fn read_tflite(bytes: &[u8], options: &Options) -> Result<FloatImport, String> {
    tflite::read_float(bytes, options).map_err(|error| error.to_string())
}

pub(crate) fn read_onnx(bytes: &[u8], options: &Options) -> Result<FloatImport, String> {
    onnx::read(bytes, options).map_err(|error| error.to_string())
}

/// The small models of a golden file, by name.
pub(crate) fn files(judge: &str, golden: &str) -> Vec<(String, Vec<u8>)> {
    let golden = read_of(judge, golden);
    let file = |model: &Value| {
        let name = model["name"].as_str().unwrap().to_owned();
        (name, unpacked(model["file"].as_str().unwrap()))
    };
    golden["models"].as_array().unwrap().iter().map(file).collect()
}

/// Compares the network's answer to a case's seeded image with the judge's. What scales the image
/// is part of the graph's normalization.
#[track_caller]
fn check(name: &str, graph: &Graph, case: &Value) {
    let [height, width, channels] = graph.input_shape();
    let seed = case["seed"].as_u64().unwrap();
    let Normalization { mean, std } = &graph.normalization;
    let image = noise(seed, height * width * channels).enumerate();
    let image = image.map(|(i, v)| (2.0 * v - mean[i % channels]) / std[i % channels]).collect();
    let image = Array4::from_shape_vec([1, height, width, channels], image).unwrap();
    let found = Executor::new().forward_eval(graph, image.view()).unwrap();
    check_output(name, found.as_slice().unwrap(), case["output"].as_array().unwrap());
}

#[track_caller]
fn check_models(judge: &str, golden: &str, read: Read, count: usize) {
    let models = files(judge, golden);
    assert_eq!(models.len(), count, "{golden}");
    let golden = read_of(judge, golden);
    let mut refused = vec![];
    for ((name, file), case) in models.iter().zip(golden["models"].as_array().unwrap()) {
        match read(file, &options()) {
            Ok(imported) => check(name, &imported.graph, case),
            Err(error) => refused.push(format!("{name}: {error}")),
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[track_caller]
fn check_refused(judge: &str, golden: &str, read: Read, count: usize) {
    let golden = read_of(judge, golden);
    let models = golden["models"].as_array().unwrap();
    let mut wrong = vec![];
    for model in models {
        let message = model["message"].as_str().unwrap();
        match read(&unpacked(model["file"].as_str().unwrap()), &options()) {
            Ok(_) => wrong.push(format!("`{message}`: imported")),
            Err(error) if error.contains(message) => {}
            Err(error) => wrong.push(format!("`{message}`: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(models.len(), count);
}

#[test]
fn small_float_tflite_files_answer_as_litert() {
    check_models("LiteRT ", "imports/tflite.json", read_tflite, 6);
}

#[test]
fn each_refused_float_tflite_file_says_what_and_where() {
    check_refused("LiteRT ", "imports/tflite_refused.json", read_tflite, 14);
}

#[test]
fn small_onnx_files_answer_as_onnx_runtime() {
    check_models("onnxruntime ", "imports/onnx.json", read_onnx, 15);
}

#[test]
fn each_refused_onnx_file_says_what_and_where() {
    check_refused("onnxruntime ", "imports/onnx_refused.json", read_onnx, 40);
    check_refused("onnxruntime ", "imports/onnx_qdq_refused.json", read_onnx, 9);
}

#[test]
fn open_sides_of_an_onnx_image_are_the_callers() {
    let golden = read_of("onnxruntime ", "imports/onnx_refused.json");
    let open = golden["models"].as_array().unwrap().iter();
    let mut open = open.filter(|model| model["message"] == "height or width are open");
    let file = unpacked(open.next().unwrap()["file"].as_str().unwrap());
    let sized = Options { input: Some([12, 10]), ..options() };
    assert_eq!(read_onnx(&file, &sized).unwrap().graph.input_shape(), [12, 10, 3]);
}

#[test]
fn a_graph_says_what_became_of_each_operator() {
    let models = files("LiteRT ", "imports/tflite.json");
    let of = |name: &str| {
        let (_, file) = models.iter().find(|(found, _)| found == name).unwrap();
        read_tflite(file, &options()).unwrap()
    };
    let scaled = of("scaled");
    let expected =
        ["1 x addition into the bias before it", "2 x scaling of the image into its normalization"];
    assert_eq!(scaled.folded, expected);
    assert_eq!(scaled.graph.normalization.std, [4.0; 3]);
    assert_eq!(scaled.graph.normalization.mean, [2.0, -1.0, 0.5]);
    let residual = of("residual");
    assert!(residual.mapped.contains(&"4 x CONV_2D".to_owned()), "{:?}", residual.mapped);
    assert_eq!((residual.tensors, residual.left_out.len()), (10, 1));
    assert_eq!(of("dynamic range").assumed.len(), 1);
    // Without the caller's word there is no normalization.
    let (_, file) = &models[0];
    let unknown = read_tflite(file, &Options::default()).unwrap_err();
    assert!(unknown.contains("how the image is normalized is not known"), "{unknown}");
}

#[test]
fn the_float_network_of_mlperf_answers_as_litert() {
    let Some(data) = test_data("MLPerf's float ResNet-8 on 1000 images") else { return };
    let golden = read_of("LiteRT ", "imports/tflite.json");
    let model = &golden["mlperf"];
    let file = std::fs::read(data.join(model["file"].as_str().unwrap())).unwrap();
    // Pixels of 0 to 255.
    let raw = Some(Normalization { mean: vec![0.0], std: vec![1.0 / 255.0] });
    let imported = read_tflite(&file, &Options { normalization: raw, ..options() }).unwrap();
    check_real("mlperf", &imported.graph, &cifar10_test(&data), model);
    assert_eq!(model["correct"], 881);
}
