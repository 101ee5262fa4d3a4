//! Weights, a block after the other: each sees what the integers before it make.
//!
//! Guarantees that a block's integers are never further from the float network's output than those
//! rounded to nearest, on the images that calibrate. Owns the order, the choice of integers and
//! the correction of biases (Nagel et al. 2019, section 4.2, with measured means: each channel's
//! mean before its `ReLU`, residual included, is the float network's); not ranges.

use super::blocks::{Block, blocks};
use super::reconstruct::{Adaptive, Task, reconstruct};
use super::simulate::{
    channel_means, channel_powers, finish, grid, join, mean_squared_error, operator,
};
use super::{BlockFit, PostTrainingError, Settings};
use crate::engine::Executor;
use crate::graph::{Graph, NodeId, Op};
use crate::quantize::{Grids, Layer, LayerWeights, RealWeights, WeightBits, fuse};
use ndarray::Array4;

/// A sequence over one network.
pub(super) struct Sequence<'a> {
    /// Its biases are corrected as it goes.
    pub(super) graph: &'a mut Graph,
    pub(super) grids: &'a Grids,
    pub(super) settings: &'a Settings,
    /// By node.
    pub(super) weights: Vec<Option<LayerWeights>>,
    pub(super) executor: Executor,
}

/// Tensors by node.
type Tensors = Vec<Option<Array4<f32>>>;

/// A block in float: all its tensors, and each layer's means before the `ReLU`.
struct Float {
    tensors: Tensors,
    means: Vec<Vec<f64>>,
}

/// A block with one choice of integers.
struct Pass {
    output: Array4<f32>,
    /// Layers that have weights.
    layers: Vec<(NodeId, RealWeights, LayerWeights)>,
    /// What is added to each of their biases, by channel.
    corrections: Vec<Vec<f64>>,
    error: f64,
}

impl Sequence<'_> {
    /// Goes over all blocks with `images`, normalized `[N,H,W,C]`; `tick` is called after every
    /// iteration of adaptive rounding.
    pub(super) fn run(
        &mut self,
        images: Array4<f32>,
        tick: &dyn Fn(),
    ) -> Result<Vec<BlockFit>, PostTrainingError> {
        let mut fits = Vec::new();
        let mut float_input = images.clone();
        let mut input = images;
        for (index, block) in blocks(&fuse(self.graph)?).iter().enumerate() {
            let mut float = self.float(block, float_input)?;
            let goal = float.tensors[block.output().0].take().ok_or(PostTrainingError::Order)?;
            let nearest = self.pass(block, &input, &goal, &float, None)?;
            let nearest_error = nearest.error;
            let adaptive = match self.settings.rounding {
                super::Rounding::Adaptive(adaptive) => Some(adaptive),
                super::Rounding::Nearest => None,
            };
            let kept = match adaptive {
                Some(adaptive) => {
                    self.adapt(block, &input, &goal, &float, nearest, (&adaptive, index), tick)?
                }
                None => nearest,
            };
            let name = self.graph.node(block.output()).name.clone();
            let power = mean_squared_error(&goal, &Array4::zeros(goal.raw_dim()));
            fits.push(BlockFit::new(name, power, nearest_error, kept.error));
            self.keep(&kept);
            (float_input, input) = (goal, kept.output);
        }
        Ok(fits)
    }

    /// The better one of `nearest` and what adaptive rounding finds.
    #[expect(clippy::too_many_arguments, reason = "all of it is the block's, and only here")]
    fn adapt(
        &self,
        block: &Block,
        input: &Array4<f32>,
        goal: &Array4<f32>,
        float: &Float,
        nearest: Pass,
        (adaptive, index): (&Adaptive, usize),
        tick: &dyn Fn(),
    ) -> Result<Pass, PostTrainingError> {
        if nearest.layers.is_empty() || nearest.error <= 0.0 {
            (0..adaptive.iterations).for_each(|_| tick());
            return Ok(nearest);
        }
        let task = Task {
            graph: self.graph,
            block,
            input,
            goal,
            layers: &nearest.layers,
            error: nearest.error,
            seed: self.settings.seed.wrapping_add(index as u64),
        };
        let hard = reconstruct(&task, adaptive, tick)?;
        let adapted = self.pass(block, input, goal, float, Some(&hard))?;
        Ok(if adapted.error < nearest.error { adapted } else { nearest })
    }

    /// Runs a block in float.
    fn float(&self, block: &Block, input: Array4<f32>) -> Result<Float, PostTrainingError> {
        let mut tensors: Tensors = vec![None; self.graph.nodes.len()];
        tensors[block.input.0] = Some(input);
        let mut means = Vec::new();
        for layer in &block.layers {
            let mut values = {
                let input = read(&tensors, layer.input)?;
                operator(&self.executor, self.graph, layer, None, &input.view())?
            };
            join(&mut values, layer.skip.map(|skip| read(&tensors, skip)).transpose()?);
            means.push(channel_means(&values));
            finish(&mut values, layer.relu, None);
            tensors[layer.output.0] = Some(values);
        }
        tensors[block.input.0] = None;
        Ok(Float { tensors, means })
    }

    /// Runs a block with integers: `chosen`, or the nearest ones.
    fn pass(
        &self,
        block: &Block,
        input: &Array4<f32>,
        goal: &Array4<f32>,
        float: &Float,
        chosen: Option<&[LayerWeights]>,
    ) -> Result<Pass, PostTrainingError> {
        let mut tensors: Tensors = vec![None; self.graph.nodes.len()];
        let (mut layers, mut corrections) = (Vec::new(), Vec::new());
        for (layer, means) in block.layers.iter().zip(&float.means) {
            let of = |node: NodeId| match node == block.input {
                true => Ok(input),
                false => read(&tensors, node),
            };
            let input = of(layer.input)?;
            let mut op = None;
            let real = RealWeights::of(self.graph, layer, self.grids)?;
            if let Some(real) = real {
                let weights = match chosen.and_then(|chosen| chosen.get(layers.len())) {
                    Some(weights) => weights.clone(),
                    None => self.nearest(layer, &real, input),
                };
                op = Some(with_weights(&self.graph.node(layer.node).op, &real, &weights));
                layers.push((layer.node, real, weights));
            }
            let has_weights = op.is_some();
            let mut values = operator(&self.executor, self.graph, layer, op, &input.view())?;
            join(&mut values, layer.skip.map(of).transpose()?);
            if has_weights {
                let found = channel_means(&values);
                let mut correction: Vec<f64> =
                    means.iter().zip(found).map(|(expected, found)| expected - found).collect();
                if !self.settings.correct_bias {
                    correction.fill(0.0);
                }
                add(&mut values, &correction);
                corrections.push(correction);
            }
            finish(&mut values, layer.relu, grid(self.grids.of(self.graph, layer.output)?));
            tensors[layer.output.0] = Some(values);
        }
        let output = tensors[block.output().0].take().ok_or(PostTrainingError::Order)?;
        let error = mean_squared_error(&output, goal);
        Ok(Pass { output, layers, corrections, error })
    }

    /// The nearest integers of a layer that reads `input`.
    fn nearest(&self, layer: &Layer, real: &RealWeights, input: &Array4<f32>) -> LayerWeights {
        let mut powers = channel_powers(input);
        let units = real.units.iter().cycle();
        powers.iter_mut().zip(units).for_each(|(power, unit)| *power *= unit * unit);
        // A fully connected layer reads every position by itself.
        let bits = self.bits(layer);
        real.nearest(bits, self.settings.weight_scale, &powers)
    }

    /// Four bits never hold what reads the image, nor the classifier: both are small, and the
    /// network is most sensitive to them (`BRECQ`, section 4).
    fn bits(&self, layer: &Layer) -> WeightBits {
        let name = &self.graph.node(layer.node).name;
        let keeps = is_end(self.graph, layer) || self.settings.eight_bit_layers.contains(name);
        if keeps { WeightBits::Eight } else { self.settings.weight_bits }
    }

    /// Keeps what was chosen for a block.
    fn keep(&mut self, pass: &Pass) {
        for ((node, _, weights), correction) in pass.layers.iter().zip(&pass.corrections) {
            self.weights[node.0] = Some(weights.clone());
            let moved = |bias: &mut ndarray::Array1<f32>| {
                for (bias, correction) in bias.iter_mut().zip(correction) {
                    *bias = (f64::from(*bias) + correction) as f32;
                }
            };
            match &mut self.graph.nodes[node.0].op {
                Op::Conv2d(conv) => {
                    let outputs = correction.len();
                    moved(conv.bias.get_or_insert_with(|| ndarray::Array1::zeros(outputs)));
                }
                Op::FullyConnected(fc) => moved(&mut fc.bias),
                _ => {}
            }
        }
    }
}

/// Whether a layer reads the image, or makes the logits.
pub(super) fn is_end(graph: &Graph, layer: &Layer) -> bool {
    layer.input == Graph::INPUT || layer.output == graph.output()
}

fn read(tensors: &Tensors, node: NodeId) -> Result<&Array4<f32>, PostTrainingError> {
    tensors[node.0].as_ref().ok_or(PostTrainingError::Order)
}

/// The operator with the weights that integers stand for.
pub(super) fn with_weights(op: &Op, real: &RealWeights, weights: &LayerWeights) -> Op {
    let values = real.dequantize(weights);
    let mut op = op.clone();
    let target = match &mut op {
        Op::Conv2d(conv) => conv.weights.as_slice_mut(),
        Op::FullyConnected(fc) => fc.weights.as_slice_mut(),
        _ => None,
    };
    target.unwrap_or_default().copy_from_slice(&values);
    op
}

/// Adds a value to each channel.
fn add(values: &mut Array4<f32>, channels: &[f64]) {
    for pixel in values.as_slice_mut().unwrap_or_default().chunks_exact_mut(channels.len().max(1)) {
        pixel.iter_mut().zip(channels).for_each(|(value, &add)| *value += add as f32);
    }
}
