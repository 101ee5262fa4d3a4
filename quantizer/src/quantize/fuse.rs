//! Which float nodes become one integer operator: a convolution takes the add and the `ReLU` that
//! follow it.
//!
//! Owns the patterns; nothing here knows a number. A node that fits no pattern is an error with its
//! name, never dropped.

use super::QuantizeError;
use crate::graph::{Graph, NodeId, Op};

/// One integer operator to be, over nodes of the float graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// The node that names it and holds its parameters.
    pub(crate) node: NodeId,
    /// The node whose activation it reads.
    pub(crate) input: NodeId,
    /// The node whose activation is joined as residual.
    pub(crate) skip: Option<NodeId>,
    /// Whether a `ReLU` ends it.
    pub(crate) relu: bool,
    /// The node whose activation it makes.
    pub(crate) output: NodeId,
}

/// The layers of `graph`, in an order in which they can run.
///
/// # Errors
/// Where a node fits no pattern.
pub(crate) fn fuse(graph: &Graph) -> Result<Vec<Layer>, QuantizeError> {
    let consumers = graph.consumers();
    let fuser = Fuser { graph, consumers: &consumers };
    let mut layers = Vec::new();
    let mut made = vec![Graph::INPUT];
    for index in 1..graph.nodes.len() {
        if let Some(layer) = fuser.layer(NodeId(index))? {
            made.push(layer.output);
            layers.push(layer);
        }
    }
    layers.sort_by_key(|layer| layer.output);
    // Every activation that is read must be one that is made, and nothing may be left over.
    for layer in &layers {
        let read = [Some(layer.input), layer.skip];
        if let Some(missing) = read.into_iter().flatten().find(|node| !made.contains(node)) {
            return Err(fuser.unsupported(missing, "its result is read before and after its ReLU"));
        }
    }
    if layers.last().is_none_or(|last| last.output != graph.output()) {
        return Err(fuser.unsupported(graph.output(), "it does not follow a layer that takes it"));
    }
    Ok(layers)
}

struct Fuser<'g> {
    graph: &'g Graph,
    consumers: &'g [Vec<NodeId>],
}

impl Fuser<'_> {
    fn unsupported(&self, node: NodeId, problem: &str) -> QuantizeError {
        let node = self.graph.node(node);
        QuantizeError::Unsupported {
            layer: node.name.clone(),
            operator: node.op.kind(),
            problem: problem.to_owned(),
        }
    }

    fn only_consumer(&self, node: NodeId) -> Option<NodeId> {
        match self.consumers[node.0][..] {
            [consumer] => Some(consumer),
            _ => None,
        }
    }

    /// The layer that `node` is the core of, or none where another layer takes it.
    fn layer(&self, id: NodeId) -> Result<Option<Layer>, QuantizeError> {
        let node = self.graph.node(id);
        let input = *node.inputs.first().ok_or_else(|| self.unsupported(id, "it has no input"))?;
        let plain = Layer { node: id, input, skip: None, relu: false, output: id };
        match &node.op {
            Op::Conv2d(_) => Ok(Some(self.convolution(plain))),
            Op::Add => match self.main_branch(id) {
                Some(_) => Ok(None),
                None => {
                    Err(self.unsupported(id, "neither input is a convolution that it can join"))
                }
            },
            Op::Relu => {
                let takes = match self.graph.node(input).op {
                    Op::Conv2d(_) | Op::Add => self.only_consumer(input) == Some(id),
                    _ => false,
                };
                let problem = "it does not follow a convolution or an add that only it reads";
                if takes { Ok(None) } else { Err(self.unsupported(id, problem)) }
            }
            Op::BatchNorm(_) => Err(self.unsupported(id, "it has to be folded before")),
            Op::FakeQuantize(_) => Err(self.unsupported(id, "it has to be taken out before")),
            Op::Input => Err(self.unsupported(id, "there is more than one")),
            Op::FullyConnected(_) if id != self.graph.output() => {
                Err(self.unsupported(id, "it is not the network's last layer"))
            }
            Op::MaxPool2d { .. }
            | Op::SubsamplePad { .. }
            | Op::GlobalAvgPool
            | Op::FullyConnected(_) => Ok(Some(plain)),
        }
    }

    /// A convolution with the add and the `ReLU` after it.
    fn convolution(&self, plain: Layer) -> Layer {
        let mut layer = plain;
        let add = self.only_consumer(layer.node).filter(|&next| {
            matches!(self.graph.node(next).op, Op::Add)
                && self.main_branch(next) == Some(layer.node)
        });
        if let Some(add) = add {
            layer.skip = self.graph.node(add).inputs.iter().copied().find(|&i| i != layer.node);
            layer.output = add;
        }
        let next = self.only_consumer(layer.output);
        if let Some(relu) = next.filter(|&next| matches!(self.graph.node(next).op, Op::Relu)) {
            layer.relu = true;
            layer.output = relu;
        }
        layer
    }

    /// The convolution that joins the other input of an add: of two, the later one.
    fn main_branch(&self, add: NodeId) -> Option<NodeId> {
        let inputs = &self.graph.node(add).inputs;
        let joins = |&&input: &&NodeId| {
            matches!(self.graph.node(input).op, Op::Conv2d(_))
                && self.only_consumer(input) == Some(add)
        };
        inputs.iter().filter(joins).max().copied()
    }
}
