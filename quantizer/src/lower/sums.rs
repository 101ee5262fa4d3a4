//! Means over whole images as sums that grow row by row.
//!
//! A mean over all positions waits for its whole input; a sum takes each row as it comes. So where
//! a network may run in rings of rows, such a mean becomes a `GlobalSum` and the mean of its sums,
//! which has the same bytes. Owns this rewriting; does not know schedules.

use crate::quantized::{
    Dtype, QuantizedGraph, QuantizedNode, QuantizedOp, QuantizedTensor, TensorId,
};

/// Most positions whose int8 values sum up to an int16.
const POSITIONS_MAX: usize = 256;

/// The graph with a sum before each mean over the whole of its input.
pub(super) fn sums_before_means(graph: &QuantizedGraph) -> QuantizedGraph {
    let (tensors, nodes) = (vec![graph.tensors[0].clone()], vec![]);
    let mut result = QuantizedGraph { tensors, nodes, ..graph.clone() };
    let mut renumbered = vec![TensorId(0)];
    for (node, output) in graph.nodes.iter().zip(&graph.tensors[1..]) {
        let mut node = node.clone();
        node.op.inputs_mut().into_iter().for_each(|input| *input = renumbered[input.0]);
        if let Some(input) = mean_of_all(&result, &node.op) {
            push_sum(&mut result, input, &node.name);
            let sums = TensorId(result.nodes.len());
            node.op.inputs_mut().into_iter().for_each(|input| *input = sums);
        }
        result.nodes.push(node);
        result.tensors.push(output.clone());
        renumbered.push(TensorId(result.nodes.len()));
    }
    result
}

/// The input of a mean over all of its positions, if they are few enough.
fn mean_of_all(graph: &QuantizedGraph, op: &QuantizedOp) -> Option<TensorId> {
    let tensor = |input: &TensorId| &graph.tensors[input.0];
    let input = match op {
        QuantizedOp::GlobalMean { input, .. } => input,
        QuantizedOp::AveragePool2d { input, sliding, .. }
            if sliding.size == tensor(input).shape[..2] && sliding.padding == [0; 4] =>
        {
            input
        }
        _ => return None,
    };
    let QuantizedTensor { shape: [height, width, _], dtype, .. } = tensor(input);
    (*dtype == Dtype::I8 && height * width <= POSITIONS_MAX).then_some(*input)
}

fn push_sum(graph: &mut QuantizedGraph, input: TensorId, mean: &str) {
    let name = format!("{mean}.sums");
    let QuantizedTensor { shape: [_, _, channels], scale, .. } = graph.tensors[input.0];
    let (shape, dtype) = ([1, 1, channels], Dtype::I16);
    let tensor = QuantizedTensor { name: name.clone(), shape, dtype, scale, zero_point: 0 };
    graph.tensors.push(tensor);
    graph.nodes.push(QuantizedNode { name, op: QuantizedOp::GlobalSum { input } });
}
