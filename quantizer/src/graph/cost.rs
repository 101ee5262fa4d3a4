//! What a network costs: multiply-accumulates and parameters, a node and in all.

use super::{Graph, Node, NodeId, Op};

impl Graph {
    /// Multiply-accumulates of one image: convolutions (projections included) and fully connected
    /// layers, as the paper's table 1 counts them.
    pub fn macs(&self) -> u64 {
        (0..self.nodes.len()).map(|index| self.node_macs(NodeId(index))).sum()
    }

    /// Multiply-accumulates of one node for one image; positions in the padding count.
    pub fn node_macs(&self, id: NodeId) -> u64 {
        let Node { op, shape: [rows, columns, _], .. } = self.node(id);
        let product = match op {
            Op::Conv2d(conv) => rows * columns * conv.weights.len(),
            Op::FullyConnected(fc) => fc.weights.len(),
            _ => 0,
        };
        product as u64
    }

    /// Trained parameters: weights, biases, gamma and beta. Running averages are not counted.
    pub fn parameter_count(&self) -> u64 {
        (0..self.nodes.len()).map(|index| self.node_parameter_count(NodeId(index))).sum()
    }

    /// Trained parameters of one node.
    pub fn node_parameter_count(&self, id: NodeId) -> u64 {
        let parameters = self.node(id).parameters();
        parameters.iter().filter(|p| p.kind.is_trained()).map(|p| p.values.len() as u64).sum()
    }
}
