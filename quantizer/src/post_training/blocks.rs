//! Where a network is one tensor wide: the blocks that are reconstructed one after the other.
//!
//! Owns the cut; a block is what lies between two tensors that alone lead on. A residual block is
//! one, with both of its branches, and so is a layer of a plain network.

use crate::graph::{Graph, GraphBuilder, GraphError, NodeId, Normalization};
use crate::quantize::Layer;

/// Layers between two cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The tensor that it begins with.
    pub(super) input: NodeId,
    /// In order. The last makes the tensor that the next block begins with.
    pub(super) layers: Vec<Layer>,
}

impl Block {
    /// The tensor that it ends with.
    pub(super) fn output(&self) -> NodeId {
        self.layers.last().map_or(self.input, |layer| layer.output)
    }

    /// The block as a network of its own.
    ///
    /// # Errors
    /// Where it reads what it does not make.
    pub(super) fn graph(&self, graph: &Graph) -> Result<Graph, GraphError> {
        let mut builder = GraphBuilder::new(graph.node(self.output()).name.clone(), {
            graph.node(self.input).shape
        })?;
        let mut moved = vec![None; graph.nodes.len()];
        moved[self.input.0] = Some(Graph::INPUT);
        for index in self.input.0 + 1..=self.output().0 {
            let node = &graph.nodes[index];
            let inputs: Option<Vec<NodeId>> = node.inputs.iter().map(|i| moved[i.0]).collect();
            let inputs = inputs.ok_or_else(|| GraphError::Order {
                index,
                name: node.name.clone(),
                input: node.inputs.first().map_or(0, |input| input.0),
            })?;
            moved[index] = Some(builder.push(node.name.clone(), node.op.clone(), &inputs)?);
        }
        let channels = graph.node(self.input).shape[2];
        builder.finish(Normalization::identity(channels), Vec::new())
    }
}

/// The blocks of a network, in order.
pub(super) fn blocks(layers: &[Layer]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut input, mut first) = (Graph::INPUT, 0);
    for (index, layer) in layers.iter().enumerate() {
        let leads_on = |later: &Layer| {
            let reads = [Some(later.input), later.skip];
            reads.into_iter().flatten().all(|read| read >= layer.output)
        };
        // What comes later is made later, so that reading this one or later is all it takes.
        if layers[index + 1..].iter().all(leads_on) {
            blocks.push(Block { input, layers: layers[first..=index].to_vec() });
            (input, first) = (layer.output, index + 1);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Executor;
    use crate::fold_batch_norm::fold;
    use crate::graph::resnet::{Activation, ResNetSpec, Shortcut, by_name};
    use crate::quantize::fuse;
    use ndarray::Array4;

    /// Blocks end where expected, and one after the other they are the network.
    #[track_caller]
    fn check(graph: &Graph, expected: &[&str]) {
        let graph = fold(graph).unwrap();
        let blocks = blocks(&fuse(&graph).unwrap());
        let ends = blocks.iter().map(|block| graph.node(block.output()).name.as_str());
        assert!(ends.clone().eq(expected.iter().copied()), "{:?}", ends.collect::<Vec<_>>());
        let [h, w, c] = graph.input_shape();
        let image = Array4::from_shape_fn([2, h, w, c], |(n, y, x, c)| {
            ((n * 31 + y * 7 + x * 3 + c) % 17) as f32 / 8.0 - 1.0
        });
        let executor = Executor::new();
        let whole = executor.forward_eval(&graph, image.view()).unwrap();
        let mut value = image;
        for block in &blocks {
            let part = block.graph(&graph).unwrap();
            value = executor.forward_all(&part, value.view()).unwrap().pop().unwrap();
        }
        for (found, expected) in value.iter().zip(&whole) {
            assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn residual_blocks_are_blocks() {
        let resnet8 = by_name("resnet8").unwrap().build(1).unwrap();
        let ends = ["stem.relu", "stage1.block0.relu", "stage2.block0.relu", "stage3.block0.relu"];
        check(&resnet8, &[&ends[..], &["pool", "classifier"]].concat());
    }

    #[test]
    fn layers_of_plain_networks_are_blocks_and_skips_are_never_cut() {
        let spec = |shortcut| ResNetSpec { input: [12, 12, 3], ..ResNetSpec::cifar(1, shortcut) };
        let count = |spec: ResNetSpec| {
            let graph = fold(&spec.build(2).unwrap()).unwrap();
            let layers = fuse(&graph).unwrap();
            (blocks(&layers).len(), layers.len())
        };
        let (plain, layers) = count(spec(Shortcut::Plain));
        assert_eq!(plain, layers);
        assert_eq!(count(spec(Shortcut::Pad)).0, 1 + 3 + 2);
        let before = ResNetSpec { activation: Activation::Before, ..spec(Shortcut::Project) };
        assert!(count(before).0 >= 3 + 2);
    }
}
