//! Every operator on every emulated board, and MLPerf's network against TensorFlow Lite Micro.
//!
//! The cases are the suites' own, as model files; the boards give the CRC of every tensor, the
//! oracle its bytes. Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::start;
use crate::golden::mlperf_resnet8::{cifar10_test, image, packed_model_file};
use crate::golden::{i8s, read, test_data};
use crate::oracle::{self, network::outputs};
use crate::rng::Rng;
use crate::suite::{self, Case};
use resmcu_device_link::wire_protocol::{LoadFailure, tensor_crc};
use resmcu_device_link::{Target, find_target, targets};
use resmcu_int8_kernels::ops::conv2d::NUMBER_S8;
use resmcu_int8_runtime::pixel_to_input;
use resmcu_model_format::{Isa, ModelFile, Op};
use zerocopy::IntoBytes;

/// Boards with less RAM do not run every case.
const LARGE_BYTES: u64 = 1 << 20;

/// The loader's codes of a model that is larger than the board.
const ARENA: u16 = 100;
const STEPS: u16 = 101;

/// That each tensor of a case is the oracle's; false where the board is too small for it.
#[track_caller]
fn check(target: &Target, case: &Case) -> bool {
    let lowered = case.lower();
    if lowered.file.len() as u64 > target.slot_bytes {
        return false;
    }
    let mut client = start(target, Some(&lowered.file));
    if let Err(LoadFailure { code: ARENA | STEPS, .. }) = client.summary().model {
        return false;
    }
    let traced = client.trace(case.input.as_bytes());
    let traced = traced.unwrap_or_else(|error| panic!("{}, {}: {error}", target.name, case.name));
    let expected = outputs(&lowered.plan.graph, &case.input);
    let tensors: Vec<Vec<u8>> = std::iter::once(case.input.as_bytes().to_vec())
        .chain(expected.iter().map(oracle::network::Value::bytes))
        .collect();
    let mut covered = vec![0; tensors.len()];
    for rows in &traced {
        let (tensor, at) = (usize::from(rows.tensor), rows.at as usize);
        let bytes = rows.bytes as usize;
        let name = &lowered.plan.graph.tensors[tensor].name;
        let crc = tensor_crc(&tensors[tensor][at..at + bytes]);
        assert_eq!(rows.crc, crc, "{}, {}, tensor {name} at {at}", target.name, case.name);
        assert_eq!(at, covered[tensor], "{}, {}, tensor {name}", target.name, case.name);
        covered[tensor] += bytes;
    }
    for (tensor, covered) in tensors.iter().zip(covered).skip(1) {
        assert_eq!(covered, tensor.len(), "{}, {}", target.name, case.name);
    }
    true
}

/// Every operator on the board of this name.
fn every_operator(name: &str) {
    let target = find_target(name).unwrap();
    let mut cases = suite::edges();
    (1..=2).for_each(|seed| cases.extend(suite::random(seed)));
    cases.iter().for_each(|case| assert!(check(target, case), "{}", case.name));
}

/// The small boards run code that larger ones run too: some cases show that it runs there.
#[test]
fn small_boards_run_what_fits_them() {
    let cases: Vec<Case> = (1..=2).flat_map(suite::random).collect();
    for target in targets().iter().filter(|target| target.ram_bytes < LARGE_BYTES) {
        let ran = cases.iter().filter(|case| check(target, case)).count();
        assert!(ran >= cases.len() / 2, "{}: {ran} of {}", target.name, cases.len());
    }
}

/// A test for each board, so that they run side by side, and one alone can be asked for.
macro_rules! every_operator_on {
    ($($test:ident: $name:literal;)+) => {
        mod every_operator_is_the_oracles {
            $(#[test]
            fn $test() {
                super::every_operator($name);
            })+
        }

        #[test]
        fn every_board_has_its_test() {
            let tested = [$($name),+];
            let large = targets().iter().filter(|target| target.ram_bytes >= LARGE_BYTES);
            assert!(large.map(|target| target.name).eq(tested), "{tested:?}");
        }
    };
}

every_operator_on! {
    mps2_an385_m0: "qemu-mps2-an385-m0";
    mps2_an385: "qemu-mps2-an385";
    mps2_an386: "qemu-mps2-an386";
    mps2_an500: "qemu-mps2-an500";
    mps2_an505: "qemu-mps2-an505";
    mps3_an547_m4: "qemu-mps3-an547-m4";
    mps3_an547: "qemu-mps3-an547";
    virt_rv32imc: "qemu-virt-rv32imc";
    virt_rv32imac: "qemu-virt-rv32imac";
    virt_rv32v: "qemu-virt-rv32v";
}

#[test]
fn mlperf_resnet8_on_boards_answers_as_tflite_micro() {
    let Some(data) = test_data("64 inputs of MLPerf's ResNet-8 on six boards") else { return };
    let golden = read("mlperf_resnet8/answers.json");
    let images = cifar10_test(&data);
    for (name, isa) in [
        ("qemu-mps2-an385-m0", Isa::Armv6m),
        ("qemu-mps2-an385", Isa::Armv7m),
        ("qemu-mps2-an386", Isa::Armv7em),
        ("qemu-mps3-an547", Isa::Armv81mMve),
        ("qemu-virt-rv32imc", Isa::Rv32),
        ("qemu-virt-rv32v", Isa::Rv32v),
    ] {
        let file = packed_model_file(&data, isa);
        let generic = ModelFile::parse(&file)
            .unwrap()
            .steps()
            .filter(|step| matches!(step.op, Op::Conv2d(_)) && step.kernel == NUMBER_S8);
        assert_eq!(generic.count(), 0, "{name}");
        let mut client = start(find_target(name).unwrap(), Some(&file));
        let mut compared = 0;
        for case in golden["random"].as_array().unwrap() {
            let input = Rng::new(case["seed"].as_u64().unwrap()).bytes(3072);
            let output = client.infer(&input).unwrap().output;
            assert_eq!(output, i8s(&case["output"]).as_bytes(), "{name}, seed {}", case["seed"]);
            compared += 1;
        }
        for case in golden["cifar10_test"].as_array().unwrap() {
            let index = usize::try_from(case["index"].as_u64().unwrap()).unwrap();
            let input: Vec<u8> = image(&images, index).iter().map(|&v| pixel_to_input(v)).collect();
            let output = client.infer(&input).unwrap().output;
            assert_eq!(output, i8s(&case["output"]).as_bytes(), "{name}, image {index}");
            compared += 1;
        }
        assert_eq!(compared, 64, "{name}");
    }
}
