//! MLPerf Tiny's int8 ResNet-8: import, plan, model file, runtime, against TensorFlow Lite Micro.

use super::{i8s, read, test_data};
use crate::host::{Flash, arena, plan};
use crate::rng::Rng;
use resmcu_int8_runtime::Executor;
use resmcu_model_format::Isa;
use resmcu_quantizer::data::{Decoder, Source, Split};
use resmcu_quantizer::import::tflite;
use resmcu_quantizer::kernels::{Limits, Packing};
use resmcu_quantizer::lower::{lower, lower_for};
use resmcu_quantizer::quantized::QuantizedGraph;
use std::path::Path;
use zerocopy::IntoBytes;

fn model_file(data: &Path) -> Vec<u8> {
    lower(&graph(data)).unwrap().file
}

fn graph(data: &Path) -> QuantizedGraph {
    let bytes = std::fs::read(data.join("mlperf-tiny/pretrainedResnet_int8.tflite")).unwrap();
    tflite::read(&bytes, "resnet8").unwrap()
}

/// The model with the fastest kernels of a core.
pub(crate) fn packed_model_file(data: &Path, isa: Isa) -> Vec<u8> {
    let limits = Limits::none(isa);
    lower_for(&graph(data), Packing::Fastest(limits)).unwrap().file
}

/// Runs `test` with the executor of the model, and the folder it lies in.
fn with_executor(skipped: &str, test: impl FnOnce(&Path, &mut Executor<'_, '_>)) {
    let Some(data) = test_data(skipped) else { return };
    let flash = Flash::new(&model_file(&data));
    let mut arena = arena(64 * 1024);
    let mut plan = plan();
    let mut executor = Executor::new(flash.bytes(), &mut arena, &mut plan).unwrap();
    test(&data, &mut executor);
}

pub(crate) fn cifar10_test(data: &Path) -> resmcu_quantizer::data::Dataset {
    let file = data.join("cifar10-lossless/test_batch_first1000.bin.gz");
    Source::find(file.to_str().unwrap()).unwrap().load(Split::Test, None).unwrap()
}

/// Image `index` as `[H,W,C]`.
pub(crate) fn image(images: &resmcu_quantizer::data::Dataset, index: usize) -> Vec<u8> {
    images.image(index, &mut Decoder::new()).unwrap().to_vec()
}

#[test]
fn every_answer_on_64_inputs_is_the_judges() {
    with_executor("32 random inputs and 32 images of MLPerf's ResNet-8", |data, executor| {
        let golden = read("mlperf_resnet8/answers.json");
        let random = golden["random"].as_array().unwrap();
        for case in random {
            let seed = case["seed"].as_u64().unwrap();
            let output = executor.infer(&Rng::new(seed).bytes(3072), &mut ());
            assert_eq!(output, i8s(&case["output"]).as_bytes(), "seed {seed}");
        }
        let images = cifar10_test(data);
        let real = golden["cifar10_test"].as_array().unwrap();
        for case in real {
            let index = usize::try_from(case["index"].as_u64().unwrap()).unwrap();
            let output = executor.infer_image(&image(&images, index), &mut ());
            assert_eq!(output, i8s(&case["output"]).as_bytes(), "image {index}");
        }
        assert_eq!([random.len(), real.len()], [32, 32]);
    });
}

#[test]
fn accuracy_on_1000_lossless_images_is_the_judges() {
    with_executor("1000 images of MLPerf's ResNet-8", |data, executor| {
        let golden = read("mlperf_resnet8/answers.json");
        let images = cifar10_test(data);
        let mut correct = 0;
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
        let mut outputs = crc.digest();
        for index in 0..images.len() {
            let scores = executor.infer_image(&image(&images, index), &mut ());
            let scores: Vec<i8> = scores.iter().map(|&byte| byte as i8).collect();
            outputs.update(scores.as_bytes());
            let largest = scores.iter().max().unwrap();
            let first = scores.iter().position(|score| score == largest).unwrap();
            correct += u64::from(first == usize::from(images.label(index)));
        }
        let expected = |name: &str| golden[name].as_u64().unwrap();
        assert_eq!(images.len() as u64, expected("cifar10_test_images"));
        assert_eq!(correct, expected("cifar10_test_correct"));
        assert_eq!(correct, 880);
        assert_eq!(u64::from(outputs.finalize()), expected("cifar10_test_outputs_crc32"));
    });
}
