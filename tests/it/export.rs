//! Exported models: they hold what they were made from, and outside judges took them.

use crate::golden::operators::tflite_files;
use crate::golden::{read, test_data};
use crate::host::Flash;
use crate::rng::Rng;
use resmcu_model_format::{ModelFile, write::seal};
use resmcu_quantizer::export::{Language, array, tflite as export};
use resmcu_quantizer::graph::resnet::by_name;
use resmcu_quantizer::import::tflite;
use resmcu_quantizer::lower::lower;
use resmcu_quantizer::quantized::QuantizedGraph;

/// A graph without its names, which come from the names of other things in an exported file.
fn nameless(mut graph: QuantizedGraph) -> QuantizedGraph {
    graph.tensors.iter_mut().for_each(|tensor| tensor.name.clear());
    graph.nodes.iter_mut().for_each(|node| node.name.clear());
    graph
}

/// Imports, exports and imports again; the CRC-32 of the exported file.
#[track_caller]
fn check_round_trip(name: &str, bytes: &[u8]) -> u32 {
    let graph = tflite::read(bytes, name).unwrap();
    let flash = Flash::new(&lower(&graph).unwrap().file);
    let written = match export::write(&ModelFile::parse(flash.bytes()).unwrap()) {
        Ok(written) => written,
        Err(error) => panic!("{name}: {error}"),
    };
    let again = match tflite::read(&written, name) {
        Ok(again) => again,
        Err(error) => panic!("{name}: {error}"),
    };
    assert_eq!(nameless(again), nameless(graph), "{name}");
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&written)
}

/// `exported.py` has asked both interpreters about files of these checksums.
#[test]
fn exported_files_are_those_that_the_judges_took() {
    let golden = read("exported/answers.json");
    let judged = golden["models"].as_array().unwrap();
    let files = tflite_files();
    assert_eq!(judged.len(), files.len());
    for ((name, bytes), judged) in files.iter().zip(judged) {
        let name = name.replace(' ', "_");
        let found = check_round_trip(&name, bytes);
        assert_eq!(judged["name"], name.as_str());
        assert_eq!(judged["crc32"], found, "{name}");
    }
    let Some(data) = test_data("the export of MLPerf's ResNet-8") else { return };
    let bytes = std::fs::read(data.join("mlperf-tiny/pretrainedResnet_int8.tflite")).unwrap();
    assert_eq!(golden["mlperf_crc32"], check_round_trip("resnet8", &bytes));
}

#[test]
fn no_altered_model_makes_the_export_panic() {
    let mut rng = Rng::new(23);
    for (name, bytes) in tflite_files().iter().step_by(3) {
        let file = lower(&tflite::read(bytes, "model").unwrap()).unwrap().file;
        for round in 0..300 {
            let mut altered = file.clone();
            for _ in 0..rng.size(1, 4) {
                let at = rng.size(32, file.len() - 1);
                altered[at] = rng.bytes(1)[0];
            }
            seal(&mut altered);
            let flash = Flash::new(&altered);
            let export = || ModelFile::parse(flash.bytes()).map(|model| export::write(&model));
            let caught = std::panic::catch_unwind(export);
            assert!(caught.is_ok(), "{name}: round {round} panics");
        }
    }
}

/// The numbers of an array's source code.
fn numbers(text: &str) -> Vec<u8> {
    let hexadecimal = text.split("0x").skip(1).filter_map(|rest| rest.get(..3));
    let byte = |digits: &str| u8::from_str_radix(digits.strip_suffix(',')?, 16).ok();
    hexadecimal.filter_map(byte).collect()
}

#[test]
fn arrays_hold_the_model_file() {
    let (_, bytes) = &tflite_files()[3];
    let graph = tflite::read(bytes, "some-model 3").unwrap();
    let flash = Flash::new(&lower(&graph).unwrap().file);
    let model = ModelFile::parse(flash.bytes()).unwrap();
    let crc = format!("{:08x}", model.crc());
    for (language, expected) in [
        (
            Language::C,
            "static alignas(16) const uint8_t model_some_model_3[MODEL_SOME_MODEL_3_BYTES]",
        ),
        (Language::Rust, "pub static MODEL_SOME_MODEL_3: Aligned = Aligned(["),
    ] {
        let text = array(language, flash.bytes(), &model);
        assert_eq!(numbers(&text), flash.bytes());
        for part in [expected, "Model `some-model 3`", &crc, &flash.bytes().len().to_string()] {
            assert!(text.contains(part), "no `{part}` in the {language:?} array");
        }
    }
}

#[test]
fn the_native_profile_is_no_tflite_file() {
    let graph = by_name("resnet8").unwrap().build(0).unwrap();
    let graph = resmcu_quantizer::fold_batch_norm::fold(&graph).unwrap();
    let mut ranges = resmcu_quantizer::calibrate::Ranges::new(&graph);
    let batch = ndarray::Array4::from_elem([1, 32, 32, 3], 0.5);
    let executor = resmcu_quantizer::engine::Executor::new();
    ranges.observe(&graph, &executor, &batch.view()).unwrap();
    let quantized = resmcu_quantizer::quantize::quantize(&graph, &ranges).unwrap();
    let flash = Flash::new(&lower(&quantized).unwrap().file);
    let error = export::write(&ModelFile::parse(flash.bytes()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("profile `native`"), "{error}");
}
