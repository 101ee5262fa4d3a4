//! The float graph: operators in SSA form, in the order in which they run.
//!
//! Owns the network's structure, its parameters and what an image must be before it enters; not
//! arithmetic (the engine's) nor integers (the quantizer's). Layout is NHWC, weights `[O,KH,KW,I]`.

mod builder;
mod checkpoint;
mod cost;
mod fake_quantize;
mod init;
mod op;
mod parameters;
pub mod resnet;
mod topology;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use builder::GraphBuilder;
pub use checkpoint::{Checkpoint, CheckpointError, CheckpointProblem, Dtype, ExtraTensor};
pub use fake_quantize::{FakeQuantize, STEP_MIN, WeightQuantizer};
pub(crate) use op::check_elements;
pub use op::{BatchNorm, Conv2d, FullyConnected, Op, Padding};
pub use parameters::{Parameter, ParameterKind, ParameterMut};

/// A node's position in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub usize);

/// One operator, what it reads and the shape of what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique, dotted: `stage1.block0.conv1`.
    pub name: String,
    /// The operator with its parameters.
    pub op: Op,
    /// Nodes before this one.
    pub inputs: Vec<NodeId>,
    /// `[H,W,C]` of the output; `[1,1,C]` after pooling and of the classifier.
    pub shape: [usize; 3],
}

/// What turns a pixel into an input: `(pixel / 255 - mean[c]) / std[c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// A channel each, of `pixel / 255`.
    pub mean: Vec<f32>,
    /// A channel each, of `pixel / 255`; above zero.
    pub std: Vec<f32>,
}

impl Normalization {
    /// `pixel / 255` as it is.
    pub fn identity(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

    /// Normalizes `pixels` (`[.., C]`) into `out` of the same length.
    pub fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        let channels = self.mean.len();
        debug_assert_eq!(pixels.len(), out.len());
        for (pixels, out) in pixels.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for (c, (&pixel, out)) in pixels.iter().zip(out).enumerate() {
                *out = (f32::from(pixel) / 255.0 - self.mean[c]) / self.std[c];
            }
        }
    }
}

/// A network: nodes in topological order, the first is the input, the last is the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The network's name: `resnet8`.
    pub name: String,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// Of the input image.
    pub normalization: Normalization,
    /// As many as the output has channels, or none where they are not known.
    pub class_names: Vec<String>,
}

/// Why a graph is not well formed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphError {
    /// No node at all, or the first is not the only input.
    #[error("the first node must be the input, and the only one")]
    Input,
    /// Two nodes of one name.
    #[error("two nodes are called `{name}`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A node reads one that does not come before it.
    #[error("node {index} `{name}` reads node {input}, which does not come before it")]
    Order {
        /// The reader's position.
        index: usize,
        /// The reader.
        name: String,
        /// What it reads.
        input: usize,
    },
    /// Operator and inputs do not fit.
    #[error("node `{name}` ({kind}): {problem}")]
    Shape {
        /// The node.
        name: String,
        /// Its operator.
        kind: &'static str,
        /// Found against expected.
        problem: String,
    },
    /// Something about the image or the classes does not fit the nodes.
    #[error("{what}: {found}, expected {expected}")]
    Description {
        /// The field.
        what: &'static str,
        /// What is there.
        found: String,
        /// What would fit.
        expected: String,
    },
    /// No network of that name.
    #[error("no network is called `{name}`; known: {known}")]
    UnknownNetwork {
        /// The name that was asked for.
        name: String,
        /// All names.
        known: String,
    },
}

impl Graph {
    /// The input's position.
    pub const INPUT: NodeId = NodeId(0);

    /// The output's position: the last node.
    pub fn output(&self) -> NodeId {
        NodeId(self.nodes.len().saturating_sub(1))
    }

    /// The node at a position.
    ///
    /// # Panics
    /// If the position is of another graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The position of the node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId)
    }

    /// `[H,W,C]` of the image.
    pub fn input_shape(&self) -> [usize; 3] {
        self.nodes.first().map_or([0; 3], |node| node.shape)
    }

    /// Channels of the output.
    pub fn classes(&self) -> usize {
        self.nodes.last().map_or(0, |node| node.shape[2])
    }

    /// For each node, the nodes that read it, in order.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                consumers[input.0].push(NodeId(index));
            }
        }
        consumers
    }

    /// Checks the whole: order, names, arity, shapes, normalization and class names.
    pub fn validate(&self) -> Result<(), GraphError> {
        if !matches!(self.nodes.first(), Some(Node { op: Op::Input, .. })) {
            return Err(GraphError::Input);
        }
        let mut names = std::collections::HashSet::new();
        for (index, node) in self.nodes.iter().enumerate() {
            if !names.insert(node.name.as_str()) {
                return Err(GraphError::DuplicateName { name: node.name.clone() });
            }
            self.validate_node(index, node)?;
        }
        self.validate_description()
    }

    fn validate_node(&self, index: usize, node: &Node) -> Result<(), GraphError> {
        if let Some(input) = node.inputs.iter().find(|input| input.0 >= index) {
            return Err(GraphError::Order { index, name: node.name.clone(), input: input.0 });
        }
        let shapes: Vec<_> = node.inputs.iter().map(|input| self.nodes[input.0].shape).collect();
        let expected = match node.op {
            Op::Input if index > 0 || !node.inputs.is_empty() => return Err(GraphError::Input),
            Op::Input => check_elements(node.shape),
            _ => node.op.output_shape(&shapes),
        };
        let problem = match expected {
            Ok(shape) if shape == node.shape => return Ok(()),
            Ok(shape) => format!("declares shape {:?}, makes {shape:?}", node.shape),
            Err(problem) => problem,
        };
        Err(GraphError::Shape { name: node.name.clone(), kind: node.op.kind(), problem })
    }

    fn validate_description(&self) -> Result<(), GraphError> {
        let channels = self.input_shape()[2];
        let Normalization { mean, std } = &self.normalization;
        let refuse = |what, found, expected| Err(GraphError::Description { what, found, expected });
        for (what, values) in [("normalization mean", mean), ("normalization std", std)] {
            if values.len() != channels {
                let expected = format!("{channels}, a channel each");
                return refuse(what, format!("{} values", values.len()), expected);
            }
        }
        if let Some(value) = mean.iter().find(|value| !value.is_finite()) {
            return refuse("normalization mean", value.to_string(), "a finite number".into());
        }
        if let Some(value) = std.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
            return refuse("normalization std", value.to_string(), "above zero".into());
        }
        let (names, classes) = (self.class_names.len(), self.classes());
        if names != 0 && names != classes {
            return refuse("class names", names.to_string(), format!("{classes}, or none"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Graph), expected: &str) {
        let mut graph = resnet::by_name("resnet8").unwrap().build(0).unwrap();
        graph.validate().unwrap();
        change(&mut graph);
        let found = graph.validate().unwrap_err().to_string();
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn validation_names_what_is_wrong() {
        check(|graph| graph.nodes.clear(), "the first node must be the input");
        check(|graph| graph.nodes[3].op = Op::Input, "the first node must be the input");
        check(|graph| graph.nodes[2].name = "stem.conv".into(), "two nodes are called `stem.conv`");
        check(|graph| graph.nodes[2].inputs = vec![NodeId(9)], "`stem.bn` reads node 9");
        check(|graph| graph.nodes[2].inputs.clear(), "takes 1 inputs, has 0");
        check(
            |graph| graph.nodes[1].shape[0] = 3,
            "declares shape [3, 32, 16], makes [32, 32, 16]",
        );
        check(|graph| graph.normalization.mean.clear(), "normalization mean: 0 values");
        check(|graph| graph.normalization.std[1] = 0.0, "normalization std: 0");
        check(|graph| graph.class_names = vec![String::new()], "class names: 1, expected 10");
    }

    #[test]
    fn normalization_is_a_channel_each() {
        let normalization = Normalization { mean: vec![0.0, 0.5], std: vec![1.0, 0.25] };
        let mut out = [0.0; 4];
        normalization.apply(&[255, 255, 0, 0], &mut out);
        assert_eq!(out, [1.0, 2.0, 0.0, -2.0]);
    }
}
