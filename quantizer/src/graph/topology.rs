//! The graph without its parameters, as the checkpoint's metadata has it.
//!
//! Owns the JSON's words; not the file around it.

use ndarray::{Array1, Array2, Array4};
use serde::{Deserialize, Serialize};

use super::{
    BatchNorm, Conv2d, FullyConnected, Graph, GraphError, Node, NodeId, Normalization, Op, Padding,
    ParameterKind,
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
    Conv2d { bias: bool, stride: usize, padding: Padding },
    BatchNorm { epsilon: f32 },
    Relu,
    Add,
    MaxPool2d { kernel: usize, stride: usize, padding: Padding },
    GlobalAvgPool,
    FullyConnected,
    SubsamplePad { stride: usize, channels: usize },
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
            Op::Conv2d(Conv2d { bias, stride, padding, .. }) => {
                OpTopology::Conv2d { bias: bias.is_some(), stride: *stride, padding: *padding }
            }
            Op::BatchNorm(norm) => OpTopology::BatchNorm { epsilon: norm.epsilon },
            Op::Relu => OpTopology::Relu,
            Op::Add => OpTopology::Add,
            &Op::MaxPool2d { kernel, stride, padding } => {
                OpTopology::MaxPool2d { kernel, stride, padding }
            }
            Op::GlobalAvgPool => OpTopology::GlobalAvgPool,
            Op::FullyConnected(_) => OpTopology::FullyConnected,
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
            OpTopology::Conv2d { bias, stride, padding } => {
                let weights = tensors.four(&name, Weights)?;
                let bias = if bias { Some(tensors.one(&name, Bias)?) } else { None };
                Op::Conv2d(Conv2d { weights, bias, stride, padding })
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
            OpTopology::FullyConnected => {
                let weights = tensors.two(&name, Weights)?;
                Op::FullyConnected(FullyConnected { weights, bias: tensors.one(&name, Bias)? })
            }
            OpTopology::SubsamplePad { stride, channels } => Op::SubsamplePad { stride, channels },
        };
        nodes.push(Node { name, op, inputs, shape });
    }
    let graph = Graph { name, nodes, normalization, class_names };
    graph.validate()?;
    Ok(graph)
}
