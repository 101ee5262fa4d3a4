//! Networks in rings of rows on emulated boards: ResNet-8 in the 16 KiB of small boards, with every
//! byte of RAM counted, and ResNet-50 in half a MiB. Needs QEMU and `cargo xtask boards`.

use crate::devices::{start, two_pools};
use crate::golden::mlperf_resnet8::{cifar10_test, image};
use crate::golden::{i8s, read, test_data};
use crate::host::{Flash, arena, plan};
use crate::rng::Rng;
use ndarray::Array4;
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_device_link::{Client, Qemu, find_target};
use resmcu_int8_kernels::packed::Kernel;
use resmcu_int8_runtime::{Executor, Step, pixel_to_input};
use resmcu_model_format::write::annotate;
use resmcu_model_format::{Isa, KnownAnswer, ModelFile, Notes};
use resmcu_quantizer::calibrate::Ranges;
use resmcu_quantizer::data::{Dataset, Decoder, FASHION_MNIST_SMALL, Source, Split};
use resmcu_quantizer::engine;
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::{Checkpoint, Graph, resnet};
use resmcu_quantizer::import::tflite;
use resmcu_quantizer::kernels::{Limits, Packing};
use resmcu_quantizer::lower::lower_for;
use resmcu_quantizer::plan::search::Memory;
use resmcu_quantizer::quantize::quantize;
use resmcu_quantizer::quantized::QuantizedGraph;
use std::path::Path;
use zerocopy::IntoBytes;

/// What the whole firmware may take of 16 KiB, stack and serial buffers included.
pub(crate) const SMALL_RAM_BYTES: u32 = 15_872;

/// The small boards and their cores.
const SMALL: [(&str, Isa); 2] = [("qemu-microbit", Isa::Armv6m), ("qemu-sifive-e", Isa::Rv32)];

/// Images of each network on each small board.
const IMAGES: usize = 50;

/// The network for a core, within budgets.
fn lowered(graph: &QuantizedGraph, isa: Isa, file_bytes: usize, memory: Memory) -> Vec<u8> {
    let limits = Limits { file_bytes: Some(file_bytes), memory, ..Limits::none(isa) };
    lower_for(graph, Packing::Fastest(limits)).unwrap().file
}

/// The network as integers, calibrated on images `[N,H,W,C]`.
fn quantized(graph: &Graph, images: &Array4<f32>) -> QuantizedGraph {
    let graph = fold(graph).unwrap();
    let mut ranges = Ranges::new(&graph);
    ranges.observe(&graph, &engine::Executor::new(), &images.view()).unwrap();
    quantize(&graph, &ranges).unwrap()
}

/// Normalized images of a data set.
fn normalized(graph: &Graph, data: &Dataset, count: usize) -> Array4<f32> {
    let [height, width, channels] = data.shape;
    let mut images = Array4::zeros([count, height, width, channels]);
    for (index, mut values) in images.outer_iter_mut().enumerate() {
        let pixels = data.image(index, &mut Decoder::new()).unwrap().to_vec();
        graph.normalization.apply(&pixels, values.as_slice_mut().unwrap());
    }
    images
}

/// What the host makes of inputs.
fn on_host(file: &[u8], inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let flash = Flash::new(file);
    let (mut arena, mut plan) = (arena(1 << 20), plan());
    let mut executor = Executor::new(flash.bytes(), &mut arena, &mut plan).unwrap();
    inputs.iter().map(|input| executor.infer(input, &mut ()).to_vec()).collect()
}

/// The board's answers to images that come row by row are `expected`; gives what it takes of RAM.
#[track_caller]
fn check(client: &mut Client<Qemu>, inputs: &[Vec<u8>], expected: &[Vec<u8>], row: usize) -> u32 {
    for (index, (input, expected)) in inputs.iter().zip(expected).enumerate() {
        let answer = client.infer_rows(input.chunks(row)).unwrap();
        assert_eq!(&answer.output, expected, "image {index}");
    }
    let memory = client.memory().unwrap();
    assert!(memory.stack < memory.stack_capacity);
    memory.arena + memory.scratch + memory.plan + memory.statics + memory.stack
}

/// Every byte on both small boards as on the host, within their RAM. The first answers are `known`.
#[track_caller]
fn check_small(graph: &QuantizedGraph, inputs: &[Vec<u8>], known: &[Vec<u8>]) {
    let [_, width, channels] = graph.tensors[0].shape;
    for (name, isa) in SMALL {
        let target = find_target(name).unwrap();
        let file = lowered(graph, isa, target.slot_bytes as usize, Memory::Least);
        let steps = ModelFile::parse(&file).unwrap().header().steps;
        let host = on_host(&file, inputs);
        let mut client = if target.updates {
            // The model comes over the line, and takes the place of a smaller one.
            let mut client = start(target, Some(&two_pools()));
            assert_eq!(client.update(&file, &[], |_, _| {}).unwrap().slot, 1, "{name}");
            client
        } else {
            start(target, Some(&file))
        };
        assert_eq!(&host[..known.len()], known, "{name}: the host");
        let ram = check(&mut client, inputs, &host, width * channels);
        assert!(ram <= SMALL_RAM_BYTES, "{name}: {ram} bytes of RAM");
        // A board's plan is as large as the host says.
        let plan = (usize::from(steps) + 1) * size_of::<Step>();
        assert_eq!(client.memory().unwrap().plan as usize, plan, "{name}");
        assert_eq!(client.stop(), Ok(Some(0)), "{name}");
    }
}

#[test]
fn the_demos_network_runs_in_the_ram_of_small_boards() {
    let zoo = concat!(env!("CARGO_MANIFEST_DIR"), "/../quantizer/zoo");
    let graph = Path::new(zoo).join("resnet8-fashion-mnist.safetensors");
    let graph = Checkpoint::load(&graph).unwrap().graph;
    let data = |split| Source::find(FASHION_MNIST_SMALL).unwrap().load(split, Some(64)).unwrap();
    let integers = quantized(&graph, &normalized(&graph, &data(Split::Train), 64));
    let test = data(Split::Test);
    let input = |index| image(&test, index).into_iter().map(pixel_to_input).collect();
    let inputs: Vec<Vec<u8>> = (0..IMAGES).map(input).collect();
    check_small(&integers, &inputs, &[]);
}

#[test]
fn mlperfs_network_runs_in_the_ram_of_small_boards_as_tflite_micro_does() {
    let Some(data) = test_data("MLPerf's ResNet-8 on two small boards") else { return };
    let file = std::fs::read(data.join("mlperf-tiny/pretrainedResnet_int8.tflite")).unwrap();
    let graph = tflite::read(&file, "resnet8").unwrap();
    let (golden, images) = (read("mlperf_resnet8/answers.json"), cifar10_test(&data));
    let cases = golden["cifar10_test"].as_array().unwrap();
    // The recorded answers are those to the first images.
    for (index, case) in cases.iter().enumerate() {
        assert_eq!(case["index"].as_u64(), Some(index as u64));
    }
    let input = |index| image(&images, index).into_iter().map(pixel_to_input).collect();
    let inputs: Vec<Vec<u8>> = (0..IMAGES).map(input).collect();
    let known = |case: &serde_json::Value| i8s(&case["output"]).as_bytes().to_vec();
    check_small(&graph, &inputs, &cases.iter().map(known).collect::<Vec<_>>());
}

/// A seeded ResNet-8 for a small board, with a known answer; that answer's image and output.
pub(crate) fn resnet8_for(board: &str) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (_, isa) = SMALL.into_iter().find(|(name, _)| *name == board).unwrap();
    let slot = find_target(board).unwrap().slot_bytes as usize;
    // The known answer takes its place, too.
    let file = lowered(&seeded("resnet8", 8), isa, slot - 64, Memory::Least);
    let answer = KnownAnswer { seed: 1, output_crc: 0 };
    let image: Vec<u8> = answer.input().take(32 * 32 * 3).collect();
    let output = on_host(&file, std::slice::from_ref(&image)).remove(0);
    let answer = KnownAnswer { output_crc: tensor_crc(&output), ..answer };
    let file = annotate(&file, &Notes::default(), &[answer]).unwrap();
    (file, image, output)
}

/// A network of the zoo with seeded weights, calibrated on noise.
pub(crate) fn seeded(network: &str, seed: u64) -> QuantizedGraph {
    let graph = resnet::by_name(network).unwrap().build(0).unwrap();
    let [height, width, channels] = graph.input_shape();
    let noise = Rng::new(seed).i8s(height * width * channels);
    let noise = noise.into_iter().map(|value| f32::from(value) / 64.0).collect();
    let image = Array4::from_shape_vec([1, height, width, channels], noise).unwrap();
    quantized(&graph, &image)
}

#[test]
fn rows_cost_little_more_than_the_same_kernels_on_whole_tensors() {
    let graph = seeded("resnet8", 8);
    let rows = lowered(&graph, Isa::Armv7em, usize::MAX, Memory::AtMost(12_288));
    let whole = lower_for(&graph, Packing::Only(Kernel::Direct16)).unwrap().file;
    let kernels = |file: &[u8]| -> Vec<u16> {
        ModelFile::parse(file).unwrap().steps().map(|step| step.kernel).collect()
    };
    assert_eq!(kernels(&rows), kernels(&whole));
    let input = Rng::new(9).bytes(32 * 32 * 3);
    let [rows, whole] = [rows, whole].map(|file| {
        let mut client = start(find_target("qemu-mps2-an386").unwrap(), Some(&file));
        client.bench(&input).unwrap().total
    });
    assert!(100 * rows <= 115 * whole, "{rows} instructions by rows, {whole} by whole tensors");
    assert!(rows <= 12_500_000, "{rows} instructions");
}

#[test]
fn resnet50_runs_in_half_a_mib() {
    const RAM: usize = 576 << 10;
    let file = lowered(&seeded("resnet50", 50), Isa::Armv81mMve, 64 << 20, Memory::AtMost(RAM));
    let input = Rng::new(51).bytes(224 * 224 * 3);
    let expected = on_host(&file, std::slice::from_ref(&input));
    let distinct: std::collections::BTreeSet<_> = expected[0].chunks(4).collect();
    assert!(distinct.len() > 500, "{} different logits of 1000", distinct.len());
    let mut client = start(find_target("qemu-mps3-an547").unwrap(), Some(&file));
    check(&mut client, &[input], &expected, 224 * 3);
    let memory = client.memory().unwrap();
    assert!((memory.arena + memory.scratch) as usize <= RAM, "{memory:?}");
    assert_eq!(client.stop(), Ok(Some(0)));
}
