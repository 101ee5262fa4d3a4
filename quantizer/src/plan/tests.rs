//! Plans of small graphs, checked against what memory allows by hand.

use super::*;
use crate::quantized::{
    Channels, Dtype, PadValue, Profile, QuantizedNode, QuantizedTensor, Sliding,
};

/// A graph whose tensors have `bytes`, and whose nodes are convolutions with `(input, skip)`.
fn graph(bytes: &[usize], nodes: &[(usize, Option<usize>)]) -> QuantizedGraph {
    let tensor = |(id, &bytes): (usize, &usize)| QuantizedTensor {
        name: format!("t{id}"),
        shape: [1, 1, bytes],
        dtype: Dtype::I8,
        scale: 1.0,
        zero_point: 0,
    };
    let node = |(id, &(input, skip)): (usize, &(usize, Option<usize>))| QuantizedNode {
        name: format!("n{id}"),
        op: QuantizedOp::Conv2d {
            input: TensorId(input),
            sliding: Sliding { size: [1, 1], stride: [1, 1], padding: [0; 4] },
            pad_value: PadValue::Uniform(0),
            weights: Vec::new(),
            channels: Channels::Native(Vec::new()),
            clamp: [-128, 127],
            skip: skip.map(TensorId),
        },
    };
    QuantizedGraph {
        name: "g".to_owned(),
        class_names: Vec::new(),
        profile: Profile::Native,
        tensors: bytes.iter().enumerate().map(tensor).collect(),
        nodes: nodes.iter().enumerate().map(node).collect(),
    }
}

/// The arena, and that no two buffers that live together share a byte.
#[track_caller]
fn check(bytes: &[usize], nodes: &[(usize, Option<usize>)], arena: usize) {
    let plan = plan(&graph(bytes, nodes)).unwrap();
    assert_eq!((plan.arena_bytes, plan.lower_bound), (arena, arena));
    for (i, a) in plan.buffers.iter().enumerate() {
        for b in &plan.buffers[..i] {
            let together = a.first <= b.last && b.first <= a.last;
            let share = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            assert!(!(together && share), "{a:?} and {b:?}");
        }
    }
}

#[test]
fn a_chain_needs_its_widest_pair() {
    check(&[16, 64, 32, 16], &[(0, None), (1, None), (2, None)], 96);
}

#[test]
fn a_residual_costs_no_memory() {
    // Input, x, middle, x again in place.
    check(&[16, 64, 64, 64], &[(0, None), (1, None), (2, Some(1))], 128);
}

#[test]
fn the_projection_runs_when_the_middle_is_smallest() {
    // x 16, wide middle 64, narrow middle 16, projection 64, join: given projection first, but
    // then 16 + 64 + 64 + 16 would live together.
    let nodes = [(0, None), (1, None), (1, None), (3, None), (4, Some(2))];
    check(&[16, 16, 64, 64, 16, 64], &nodes, 96);
}

#[test]
fn a_residual_that_is_read_again_is_refused() {
    let graph = graph(&[16, 16, 16, 16, 16], &[(0, None), (1, None), (2, Some(1)), (3, Some(1))]);
    let error = plan(&graph).unwrap_err().to_string();
    assert!(error.contains("`n2`") && error.contains("`n3`"), "{error}");
}

#[test]
fn a_node_that_reads_what_follows_is_refused() {
    let error = plan(&graph(&[16, 16], &[(1, None)])).unwrap_err();
    assert_eq!(error, PlanError::Order { layer: "n0".to_owned() });
}
