//! Parameters and multiply-accumulates of the builder's networks against the paper's figures.

use super::*;
use crate::graph::Graph;

const BOTTLENECK: Block = Block::Bottleneck { stride_on_3x3: true };

/// `share` is how far a count may be from the paper's rounded figure.
#[track_caller]
fn check_count(name: &str, what: &str, found: u64, paper: f64, share: f64) {
    let error = (found as f64 - paper).abs() / paper;
    assert!(error <= share, "{name} has {found} {what}, the paper {paper}");
}

/// Table 6 of the paper of 2015; 25.6, 44.5, 60.2, 11.7 and 21.8 M as commonly given for 18 to 152.
/// Of pre-activation networks: table 4 of the paper of 2016 (110 and 164), and `timm`'s table of
/// results for `resnetv2_50`, which also has no normalization in its projections.
#[test]
fn parameters_are_the_papers() {
    for (name, millions, share) in [
        ("resnet164", 1.7, 0.02),
        ("preact-resnet110", 1.7, 0.02),
        ("preact-resnet164", 1.7, 0.02),
        ("preact-resnet50", 25.55, 0.0002),
        ("preact-resnet200", 64.7, 0.002),
        ("resnet20", 0.27, 0.02),
        ("resnet32", 0.46, 0.02),
        ("resnet44", 0.66, 0.02),
        ("resnet56", 0.85, 0.02),
        ("resnet110", 1.7, 0.02),
        ("resnet18", 11.7, 0.005),
        ("resnet34", 21.8, 0.005),
        ("resnet50", 25.6, 0.005),
        ("resnet101", 44.5, 0.005),
        ("resnet152", 60.2, 0.005),
    ] {
        let graph = by_name(name).unwrap().build(0).unwrap();
        check_count(name, "parameters", graph.parameter_count(), millions * 1e6, share);
    }
}

/// torchvision's exact counts, which all published weights have.
#[test]
fn parameters_are_torchvisions() {
    for (name, expected) in [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ] {
        let graph = by_name(name).unwrap().build(0).unwrap();
        assert_eq!(graph.parameter_count(), expected, "{name}");
    }
}

/// Table 1 counts multiply-adds as FLOPs, with the stride of a bottleneck on its first 1x1.
#[test]
fn macs_are_the_papers() {
    for (name, billions, share) in [
        ("resnet18", 1.8, 0.02),
        ("resnet34", 3.6, 0.02),
        ("resnet50", 3.8, 0.02),
        ("resnet101", 7.6, 0.02),
        ("resnet152", 11.3, 0.02),
    ] {
        let mut spec = by_name(name).unwrap();
        if spec.block == BOTTLENECK {
            spec.block = Block::Bottleneck { stride_on_3x3: false };
        }
        check_count(name, "MACs", spec.build(0).unwrap().macs(), billions * 1e9, share);
    }
    let torchvision = by_name("resnet50").unwrap().build(0).unwrap();
    assert_eq!(torchvision.macs(), 4_089_184_256);
}

#[test]
fn resnet8_is_mlperf_tinys() {
    let graph = by_name("resnet8").unwrap().build(0).unwrap();
    assert_eq!(graph.macs(), 12_501_632);
    assert_eq!(count(&graph, "conv2d"), 9);
    assert_eq!(graph.node(graph.output()).name, "classifier");
    let fashion = by_name("resnet8-fashion").unwrap().build(0).unwrap();
    assert_eq!((fashion.input_shape(), fashion.classes()), ([28, 28, 1], 10));
}

/// Option A has no parameters in its shortcuts, B projects twice, C everywhere, plain not at all.
#[test]
fn shortcut_options_differ_only_in_their_shortcuts() {
    for (shortcut, adds, pads, convs) in [
        (Shortcut::Pad, 9, 2, 19),
        (Shortcut::Project, 9, 0, 21),
        (Shortcut::ProjectAll, 9, 0, 28),
        (Shortcut::Plain, 0, 0, 19),
    ] {
        let graph = ResNetSpec::cifar(3, shortcut).build(0).unwrap();
        let found = ["add", "subsample_pad", "conv2d"].map(|kind| count(&graph, kind));
        assert_eq!(found, [adds, pads, convs], "{shortcut:?}");
    }
}

/// Nodes of a kind.
fn count(graph: &Graph, kind: &str) -> usize {
    graph.nodes.iter().filter(|node| node.op.kind() == kind).count()
}

/// What a node reads, by name.
#[track_caller]
fn check_reads(graph: &Graph, node: &str, expected: &[&str]) {
    let id = graph.find(node).unwrap_or_else(|| panic!("no `{node}`"));
    let read: Vec<_> = graph.node(id).inputs.iter().map(|&i| &graph.node(i).name).collect();
    assert_eq!(read, expected, "{node}");
}

/// The paper's figure 1 b, its section 4.2 on the first and the last unit, and its code on those
/// that change the shape.
#[test]
fn pre_activation_leaves_the_identity_alone() {
    let graph = by_name("preact-resnet20").unwrap().build(0).unwrap();
    check_reads(&graph, "stage1.block0.conv1", &["stem.relu"]);
    check_reads(&graph, "stage1.block0.add", &["stage1.block0.conv2", "stem.relu"]);
    check_reads(&graph, "stage1.block1.bn1", &["stage1.block0.add"]);
    check_reads(&graph, "stage1.block1.conv1", &["stage1.block1.relu1"]);
    check_reads(&graph, "stage1.block1.conv2", &["stage1.block1.relu2"]);
    check_reads(&graph, "stage1.block1.add", &["stage1.block1.conv2", "stage1.block0.add"]);
    check_reads(&graph, "stage2.block0.shortcut.conv", &["stage2.block0.relu1"]);
    let add = ["stage2.block0.conv2", "stage2.block0.shortcut.conv"];
    check_reads(&graph, "stage2.block0.add", &add);
    check_reads(&graph, "final.bn", &["stage3.block2.add"]);
    check_reads(&graph, "pool", &["final.relu"]);
    // Each convolution but the two projections has one batch normalization and one ReLU.
    let found = ["conv2d", "batch_norm", "relu", "add"].map(|kind| count(&graph, kind));
    assert_eq!(found, [21, 19, 19, 9]);
    let padded = by_name("preact-resnet20-a").unwrap().build(0).unwrap();
    check_reads(&padded, "stage2.block0.shortcut", &["stage2.block0.relu1"]);
    assert_eq!([count(&padded, "conv2d"), count(&padded, "subsample_pad")], [19, 2]);
    let large = by_name("preact-resnet50").unwrap().build(0).unwrap();
    check_reads(&large, "stage1.block0.conv1", &["stem.pool"]);
    check_reads(&large, "stage1.block0.shortcut.conv", &["stem.pool"]);
    check_reads(&large, "stage4.block0.shortcut.conv", &["stage4.block0.relu1"]);
}

/// A plain network is its residual one with option A (which has no parameters), less the adds.
#[test]
fn plain_networks_are_the_residual_ones_without_shortcuts() {
    for depth in [20, 32, 44, 56, 110] {
        let residual = by_name(&format!("resnet{depth}")).unwrap().build(3).unwrap();
        let plain = by_name(&format!("plain{depth}")).unwrap().build(3).unwrap();
        assert_eq!(residual.parameter_count(), plain.parameter_count(), "{depth}");
        assert_eq!(count(&plain, "conv2d") + count(&plain, "fully_connected"), depth);
        assert_eq!(count(&plain, "add") + count(&plain, "subsample_pad"), 0, "{depth}");
        for (residual, plain) in residual.parameters().iter().zip(plain.parameters()) {
            assert_eq!((&residual.name, &residual.values), (&plain.name, &plain.values));
        }
    }
    // Table 2 of the paper compares these.
    for (depth, convs) in [(18, 17), (34, 33)] {
        let plain = by_name(&format!("plain{depth}")).unwrap().build(0).unwrap();
        assert_eq!((count(&plain, "conv2d"), count(&plain, "add")), (convs, 0), "{depth}");
    }
}

#[test]
fn every_name_is_known_with_its_shortcuts() {
    for name in NAMES {
        let spec = by_name(name).unwrap();
        assert_eq!(spec.name, name);
        assert_eq!(spec.shortcut == Shortcut::Plain, name.starts_with("plain"), "{name}");
        assert_eq!(spec.activation == Activation::Before, name.starts_with("preact"), "{name}");
        for (suffix, shortcut) in
            [("a", Shortcut::Pad), ("b", Shortcut::Project), ("c", Shortcut::ProjectAll)]
        {
            let found = by_name(&format!("{name}-{suffix}"));
            match spec.shortcut {
                Shortcut::Plain => assert!(found.is_err(), "{name}-{suffix}"),
                _ => assert_eq!(found.unwrap().shortcut, shortcut, "{name}-{suffix}"),
            }
        }
    }
    for name in ["", "resnet", "resnet-a", "resnet8-", "resnet20-d", "resnet20-a-b", "plain50"] {
        assert!(by_name(name).is_err(), "{name}");
    }
}

#[test]
fn any_input_width_and_class_count_is_built() {
    let spec = ResNetSpec {
        input: [17, 33, 5],
        classes: 3,
        width: 6,
        block: BOTTLENECK,
        blocks: vec![1, 2],
        ..ResNetSpec::cifar(1, Shortcut::Pad)
    };
    let graph = spec.build(1).unwrap();
    assert_eq!(graph.node(graph.find("stage2.block1.add").unwrap()).shape, [9, 17, 48]);
    assert_eq!(graph.classes(), 3);
    assert_ne!(graph, spec.build(2).unwrap());
    assert_eq!(graph, spec.build(1).unwrap());
}

#[track_caller]
fn check_refused(spec: &ResNetSpec, expected: &str) {
    let found = spec.build(0).unwrap_err().to_string();
    assert!(found.contains(expected), "{found}");
}

#[test]
fn impossible_specs_are_refused() {
    let base = ResNetSpec::cifar(1, Shortcut::Project);
    check_refused(&ResNetSpec { width: 0, ..base.clone() }, "empty");
    check_refused(&ResNetSpec { classes: 0, ..base.clone() }, "empty");
    check_refused(&ResNetSpec { input: [0, 1, 1], ..base.clone() }, "empty");
    check_refused(&ResNetSpec { width: 1 << 40, ..base.clone() }, "2^28");
    check_refused(&ResNetSpec { width: 1 << 13, blocks: vec![1; 70], ..base }, "2^28");
    let unknown = by_name("resnet9").unwrap_err().to_string();
    assert!(unknown.contains("resnet8, resnet8-fashion, resnet20"), "{unknown}");
}
