//! Parameters and multiply-accumulates of the builder's networks against the paper's figures.

use super::*;

/// `share` is how far a count may be from the paper's rounded figure.
#[track_caller]
fn check_count(name: &str, what: &str, found: u64, paper: f64, share: f64) {
    let error = (found as f64 - paper).abs() / paper;
    assert!(error <= share, "{name} has {found} {what}, the paper {paper}");
}

/// Table 6 of the paper; 25.6, 44.5, 60.2, 11.7 and 21.8 M as commonly given for 18 to 152.
#[test]
fn parameters_are_the_papers() {
    for (name, millions, share) in [
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
    for (name, expected) in
        [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
    {
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
    assert_eq!(graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv2d(_))).count(), 9);
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
        let count = |kind| graph.nodes.iter().filter(|node| node.op.kind() == kind).count();
        let found = (count("add"), count("subsample_pad"), count("conv2d"));
        assert_eq!(found, (adds, pads, convs), "{shortcut:?}");
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
    check_refused(&ResNetSpec { blocks: vec![1; 70], ..base }, "2^28");
    let unknown = by_name("resnet9").unwrap_err().to_string();
    assert!(unknown.contains("resnet8, resnet8-fashion, resnet20"), "{unknown}");
}
