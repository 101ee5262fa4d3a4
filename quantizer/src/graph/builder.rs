//! Builds a graph node by node: the ResNet builders and the importers go through it.
//!
//! Owns shape inference at construction; not the operators' meaning, nor how weights start.

use super::{Graph, GraphError, Node, NodeId, Normalization, Op, op};

/// A graph in the making. Each node is checked as it is pushed.
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// Starts with the input node, called `input`, of `shape` `[H,W,C]`.
    pub fn new(name: impl Into<String>, shape: [usize; 3]) -> Result<Self, GraphError> {
        op::check_elements(shape).map_err(|problem| GraphError::Shape {
            name: "input".into(),
            kind: Op::Input.kind(),
            problem,
        })?;
        let input = Node { name: "input".into(), op: Op::Input, inputs: Vec::new(), shape };
        let normalization = Normalization::identity(shape[2]);
        let nodes = vec![input];
        Ok(Self { graph: Graph { name: name.into(), nodes, normalization, class_names: vec![] } })
    }

    /// Appends a node that reads `inputs`; its shape follows from theirs.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: &[NodeId],
    ) -> Result<NodeId, GraphError> {
        let (name, index) = (name.into(), self.graph.nodes.len());
        if let Some(input) = inputs.iter().find(|input| input.0 >= index) {
            return Err(GraphError::Order { index, name, input: input.0 });
        }
        let shapes: Vec<_> = inputs.iter().map(|&input| self.shape(input)).collect();
        let shape = match op.output_shape(&shapes) {
            Ok(shape) => shape,
            Err(problem) => return Err(GraphError::Shape { name, kind: op.kind(), problem }),
        };
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), shape });
        Ok(NodeId(index))
    }

    /// `[H,W,C]` of a node that was pushed here.
    ///
    /// # Panics
    /// If `node` is of another builder.
    pub fn shape(&self, node: NodeId) -> [usize; 3] {
        self.graph.nodes[node.0].shape
    }

    /// The whole graph, checked; the last node pushed is its output.
    pub fn finish(
        self,
        normalization: Normalization,
        class_names: Vec<String>,
    ) -> Result<Graph, GraphError> {
        let graph = Graph { normalization, class_names, ..self.graph };
        graph.validate()?;
        Ok(graph)
    }
}
