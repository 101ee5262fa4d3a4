//! Checkpoints: what goes in comes out, and broken files are refused with a reason.

use super::super::resnet::{ResNetSpec, Shortcut};
use super::*;
use crate::graph::{FakeQuantize, Normalization, Op, Padding, WeightQuantizer};
use ndarray::Array1;

fn checkpoint() -> Checkpoint {
    let mut graph =
        ResNetSpec { width: 4, ..ResNetSpec::cifar(1, Shortcut::Project) }.build(3).unwrap();
    graph.normalization = Normalization { mean: vec![0.1, 0.2, 0.3], std: vec![0.7, 0.8, 0.9] };
    graph.class_names = (0..10).map(|i| format!("class \"{i}\"")).collect();
    let values = ArrayD::from_shape_vec(vec![2, 2], vec![1e-30, -0.0, 3.0e38, 0.1]).unwrap();
    let extra = vec![ExtraTensor { name: "momentum.x".into(), values }];
    Checkpoint { graph, training: Some(serde_json::json!({ "epoch": 3 })), extra }
}

#[test]
fn f32_comes_back_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    let mut all = vec![checkpoint()];
    let mut folded = checkpoint();
    folded.graph = crate::fold_batch_norm::fold(&folded.graph).unwrap();
    let mut on_grids = folded.clone();
    all.push(folded);
    for node in &mut on_grids.graph.nodes {
        let outputs = node.shape[2];
        let quantizer = |bits| WeightQuantizer { steps: Array1::from_elem(outputs, 0.1), bits };
        match &mut node.op {
            Op::Conv2d(conv) => conv.quantizer = Some(quantizer(4)),
            Op::FullyConnected(fc) => fc.quantizer = Some(quantizer(8)),
            Op::Relu => {
                let step = Array1::from_elem(1, 0.03);
                node.op = Op::FakeQuantize(FakeQuantize { step, zero_point: -128 });
            }
            _ => {}
        }
    }
    all.push(on_grids);
    let mut pooled = checkpoint();
    let spec = ResNetSpec {
        stem: super::super::resnet::Stem::Conv7x7Pool,
        ..ResNetSpec::cifar(1, Shortcut::Pad)
    };
    pooled.graph = spec.build(1).unwrap();
    let Op::Conv2d(conv) = &mut pooled.graph.nodes[1].op else { panic!() };
    conv.padding = Padding { top: 2, left: 3, bottom: 4, right: 3 };
    all.push(pooled);
    for checkpoint in all {
        checkpoint.save(&path, Dtype::F32).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint);
        assert_eq!(
            checkpoint.to_bytes(Dtype::F32).unwrap(),
            Checkpoint::load(&path).unwrap().to_bytes(Dtype::F32).unwrap(),
        );
    }
}

#[test]
fn half_precision_is_read_back_rounded() {
    let exact = checkpoint();
    for (dtype, bound) in [(Dtype::F16, 1.0 / 2048.0), (Dtype::Bf16, 1.0 / 256.0)] {
        let read = Checkpoint::from_bytes(&exact.to_bytes(dtype).unwrap()).unwrap();
        assert_eq!(read.extra, exact.extra);
        for (read, exact) in read.graph.parameters().iter().zip(exact.graph.parameters()) {
            for (read, exact) in read.values.iter().zip(exact.values) {
                assert!((read - exact).abs() <= exact.abs() * bound + 1e-7, "{read} of {exact}");
            }
        }
    }
    let mut large = checkpoint();
    large.graph.parameters_mut()[0].values[0] = 70_000.0;
    let refusal = large.to_bytes(Dtype::F16).unwrap_err().to_string();
    assert_eq!(refusal, "tensor `stem.conv.weights`: 70000, expected a value that F16 holds");
}

/// A file with other metadata than its tensors'.
fn with_json(change: impl FnOnce(String) -> String) -> Vec<u8> {
    let bytes = checkpoint().to_bytes(Dtype::F32).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let json = change(header.metadata().as_ref().unwrap()[KEY].clone());
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let metadata = [(KEY.to_string(), json)].into();
    safetensors::serialize(tensors.tensors(), Some(metadata)).unwrap()
}

#[track_caller]
fn check_refused(bytes: &[u8], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let found = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(found.contains("bad.safetensors: ") && found.contains(expected), "{found}");
}

#[test]
fn bad_files_are_refused_by_name() {
    let replace = |from: &'static str, to: &'static str| {
        with_json(move |json| {
            assert!(json.contains(from), "{json}");
            json.replacen(from, to, 1)
        })
    };
    check_refused(b"", "not a safetensors file");
    let plain = safetensors::serialize(Vec::<(&str, TensorView<'_>)>::new(), None).unwrap();
    check_refused(&plain, "not a checkpoint of this project");
    check_refused(&replace("\"format\":1", "\"format\":2"), "format 2, this version reads 1");
    check_refused(&replace("{", "["), "metadata `resmcu`");
    check_refused(&replace("\"conv2d\"", "\"conv3d\""), "unknown variant `conv3d`");
    check_refused(&replace("stem.conv", "stem.none"), "tensor `stem.none.weights`: missing");
    check_refused(&replace("\"bias\":false", "\"bias\":true"), "tensor `stem.conv.bias`: missing");
    check_refused(&replace("\"stride\":1", "\"stride\":0"), "node `stem.conv` (conv2d)");
    check_refused(&replace("\"inputs\":[1]", "\"inputs\":[71]"), "`stem.bn` reads node 71");
    check_refused(
        &replace(
            concat!(
                r#"{"conv2d":{"bias":false,"stride":1,"#,
                r#""padding":{"top":1,"left":1,"bottom":1,"right":1}}}"#
            ),
            r#""fully_connected""#,
        ),
        "2 dimensions",
    );
    check_refused(&replace("[32,32,3]", "[1000000000,1000000000,3]"), "node `input`");
    let missing = Checkpoint::load(Path::new("no such file")).unwrap_err().to_string();
    assert!(missing.starts_with("no such file: "), "{missing}");
}

#[test]
fn no_prefix_and_no_flipped_byte_is_a_panic() {
    let bytes = checkpoint().to_bytes(Dtype::F32).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap() + 8;
    for end in (0..bytes.len()).step_by(97) {
        assert!(Checkpoint::from_bytes(&bytes[..end]).is_err());
    }
    let mut broken = bytes.clone();
    for at in 0..header {
        for flip in [0x01, 0x10, 0x80] {
            broken[at] ^= flip;
            // Whether it is refused depends on the byte; that it answers is the test.
            let _ = Checkpoint::from_bytes(&broken);
            broken[at] = bytes[at];
        }
    }
}
