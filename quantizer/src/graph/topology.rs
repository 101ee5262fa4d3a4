//! The graph without its parameters, as the checkpoint's metadata has it.
//!
//! Owns the JSON's words; not the file around it.

use ndarray::{Array1, Array2, Array4};
use serde::{Deserialize, Serialize};

use super::{
    BatchNorm, Conv2d, FakeQuantize, FullyConnected, Graph, GraphError, Node, NodeId,
    Normalization, Op, Padding, ParameterKind, WeightQuantizer,
};

/// A graph's structure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Topology {
    name: String,
    normalization: Normalization,
    class_names: Vec<String>,
    nodes: Vec<NodeTopology>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct NodeTopology {
    name: String,
    inputs: Vec<NodeId>,
    /// `[H,W,C]`.
    shape: [usize; 3],
    op: OpTopology,
}

// Neither flattened nor internally tagged: those buffer numbers, which fails as soon as any crate
// of the build asks serde_json for `arbitrary_precision` (defmt-decoder does).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OpTopology {
    Input,
    Conv2d {
        bias: bool,
        stride: usize,
        padding: Padding,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight_bits: Option<u8>,
    },
    BatchNorm {
        epsilon: f32,
    },
    Relu,
    Add,
    MaxPool2d {
        kernel: usize,
        stride: usize,
        padding: Padding,
    },
    GlobalAvgPool,
    FullyConnected,
    SubsamplePad {
        stride: usize,
        channels: usize,
    },
    FakeQuantize {
        zero_point: i8,
    },
    // Apart from the one without, whose word is older than it.
    QuantizedFullyConnected {
        weight_bits: u8,
    },
}

/// Where the parameters come from.
pub(super) trait Tensors {
    type Error: From<GraphError>;
    fn one(&mut self, node: &str, kind: ParameterKind) -> Result<Array1<f32>, Self::Error>;
    fn two(&mut self, node: &str, kind: ParameterKind) -> Result<Array2<f32>, Self::Error>;
    fn four(&mut self, node: &str, kind: ParameterKind) -> Result<Array4<f32>, Self::Error>;
}

/// The structure of a graph.
pub(super) fn describe(graph: &Graph) -> Topology {
    let describe_node = |node: &Node| NodeTopology {
        name: node.name.clone(),
        inputs: node.inputs.clone(),
        shape: node.shape,
        op: match &node.op {
            Op::Input => OpTopology::Input,
            Op::Conv2d(Conv2d { bias, stride, padding, quantizer, .. }) => OpTopology::Conv2d {
                bias: bias.is_some(),
                stride: *stride,
                padding: *padding,
                weight_bits: quantizer.as_ref().map(|quantizer| quantizer.bits),
            },
            Op::BatchNorm(norm) => OpTopology::BatchNorm { epsilon: norm.epsilon },
            Op::Relu => OpTopology::Relu,
            Op::Add => OpTopology::Add,
            &Op::MaxPool2d { kernel, stride, padding } => {
                OpTopology::MaxPool2d { kernel, stride, padding }
            }
            Op::GlobalAvgPool => OpTopology::GlobalAvgPool,
            Op::FullyConnected(fc) => match &fc.quantizer {
                None => OpTopology::FullyConnected,
                Some(q) => OpTopology::QuantizedFullyConnected { weight_bits: q.bits },
            },
            Op::FakeQuantize(quantizer) => {
                OpTopology::FakeQuantize { zero_point: quantizer.zero_point }
            }
            &Op::SubsamplePad { stride, channels } => OpTopology::SubsamplePad { stride, channels },
        },
    };
    Topology {
        name: graph.name.clone(),
        normalization: graph.normalization.clone(),
        class_names: graph.class_names.clone(),
        nodes: graph.nodes.iter().map(describe_node).collect(),
    }
}

/// The graph of a structure, with its parameters; checked whole.
pub(super) fn build<T: Tensors>(topology: Topology, tensors: &mut T) -> Result<Graph, T::Error> {
    use ParameterKind::{Beta, Bias, Gamma, Mean, Variance, Weights};
    let Topology { name, normalization, class_names, nodes: described } = topology;
    let mut nodes = Vec::with_capacity(described.len());
    for NodeTopology { name, inputs, shape, op } in described {
        let op = match op {
            OpTopology::Input => Op::Input,
            OpTopology::Conv2d { bias, stride, padding, weight_bits } => {
                let weights = tensors.four(&name, Weights)?;
                let bias = if bias { Some(tensors.one(&name, Bias)?) } else { None };
                let quantizer = weight_quantizer(tensors, &name, weight_bits)?;
                Op::Conv2d(Conv2d { weights, bias, stride, padding, quantizer })
            }
            OpTopology::BatchNorm { epsilon } => Op::BatchNorm(BatchNorm {
                gamma: tensors.one(&name, Gamma)?,
                beta: tensors.one(&name, Beta)?,
                mean: tensors.one(&name, Mean)?,
                variance: tensors.one(&name, Variance)?,
                epsilon,
            }),
            OpTopology::Relu => Op::Relu,
            OpTopology::Add => Op::Add,
            OpTopology::MaxPool2d { kernel, stride, padding } => {
                Op::MaxPool2d { kernel, stride, padding }
            }
            OpTopology::GlobalAvgPool => Op::GlobalAvgPool,
            OpTopology::FullyConnected => fully_connected(tensors, &name, None)?,
            OpTopology::QuantizedFullyConnected { weight_bits } => {
                fully_connected(tensors, &name, Some(weight_bits))?
            }
            OpTopology::FakeQuantize { zero_point } => {
                let step = tensors.one(&name, ParameterKind::Step)?;
                Op::FakeQuantize(FakeQuantize { step, zero_point })
            }
            OpTopology::SubsamplePad { stride, channels } => Op::SubsamplePad { stride, channels },
        };
        nodes.push(Node { name, op, inputs, shape });
    }
    let graph = Graph { name, nodes, normalization, class_names };
    graph.validate()?;
    Ok(graph)
}

fn fully_connected<T: Tensors>(
    tensors: &mut T,
    name: &str,
    weight_bits: Option<u8>,
) -> Result<Op, T::Error> {
    let weights = tensors.two(name, ParameterKind::Weights)?;
    let bias = tensors.one(name, ParameterKind::Bias)?;
    let quantizer = weight_quantizer(tensors, name, weight_bits)?;
    Ok(Op::FullyConnected(FullyConnected { weights, bias, quantizer }))
}

fn weight_quantizer<T: Tensors>(
    tensors: &mut T,
    name: &str,
    bits: Option<u8>,
) -> Result<Option<WeightQuantizer>, T::Error> {
    bits.map(|bits| Ok(WeightQuantizer { steps: tensors.one(name, ParameterKind::Step)?, bits }))
        .transpose()
}
