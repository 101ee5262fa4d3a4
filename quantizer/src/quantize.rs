//! From a float graph without batch normalization to integers, in the profile `native`.
//!
//! Weights are symmetric, one scale an output channel, rounded to nearest or as the caller chose
//! them; activations have one scale and zero point a tensor, from calibrated ranges. The image's
//! normalization is folded into the first convolution, residual adds into the convolutions that
//! they follow, average pooling into the classifier. What cannot be expressed so is refused with
//! its name.

mod channel;
mod fuse;
mod grid;
mod weights;

pub(crate) use fuse::{Layer, fuse};
pub use grid::Grid;
pub(crate) use grid::{Grids, Stored};
pub(crate) use weights::RealWeights;
pub use weights::{LayerWeights, WeightBits, WeightScale};

use crate::calibrate::Ranges;
use crate::graph::{Graph, NodeId, Op, Padding};
use crate::quantized::{
    Channels, Dtype, PadValue, Profile, QuantizedGraph, QuantizedNode, QuantizedOp,
    QuantizedTensor, Sliding, TensorId,
};
use channel::Target;
use ndarray::Array1;
use resmcu_int8_kernels::requantize::NativeChannel;

/// Most positions whose int8 values sum up to an int16.
const SUM_POSITIONS_MAX: usize = 256;

/// Output steps that one step of the accumulator may be worth, so that rounding the bias moves no
/// output by more than 1/512 of a step.
const MULTIPLIER_MAX: f64 = 1.0 / 256.0;

/// The smallest worth of an accumulator step, so that zero point and bias, 2^8 steps of the output,
/// fit the accumulator with the smallest shift that Winograd's kernels take: 2^(8 + 16 + 5).
const MULTIPLIER_MIN: f64 = 1.0 / 65_536.0;

/// Why a graph could not be quantized.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum QuantizeError {
    /// A node that the integer operators do not express.
    #[error("layer `{layer}` ({operator}) is not supported: {problem}")]
    Unsupported {
        /// The node's name.
        layer: String,
        /// Its operator.
        operator: &'static str,
        /// Why.
        problem: String,
    },
    /// A weight or a range that is not finite.
    #[error("layer `{layer}` has a {what} that is not finite")]
    NotFinite {
        /// The node's name.
        layer: String,
        /// What it is.
        what: &'static str,
    },
    /// No constants keep the accumulator inside 30 bits.
    #[error("layer `{layer}`, channel {channel}: no shift keeps its accumulator below 2^30")]
    Accumulator {
        /// The node's name.
        layer: String,
        /// Output channel.
        channel: usize,
    },
}

/// Quantizes `graph`, whose batch normalizations are folded, with activations of `ranges` and the
/// nearest weights of eight bits.
///
/// # Errors
/// Where a node is not supported or a number is not finite.
pub fn quantize(graph: &Graph, ranges: &Ranges) -> Result<QuantizedGraph, QuantizeError> {
    quantize_with(graph, ranges, &[])
}

/// The same with the integers of `weights` for the nodes that have some, by node.
///
/// # Errors
/// Where a node is not supported, a number is not finite, or the weights are not the node's.
pub fn quantize_with(
    graph: &Graph,
    ranges: &Ranges,
    weights: &[Option<LayerWeights>],
) -> Result<QuantizedGraph, QuantizeError> {
    let layers = fuse(graph)?;
    let mut quantizer = Quantizer {
        graph,
        grids: Grids::new(graph, &layers, ranges)?,
        weights,
        tensors: Vec::new(),
        nodes: Vec::new(),
        made: vec![None; graph.nodes.len()],
    };
    quantizer.add_tensor(Graph::INPUT, "image", Dtype::I8, Grid::IMAGE);
    for layer in &layers {
        quantizer.layer(layer)?;
    }
    Ok(QuantizedGraph {
        name: graph.name.clone(),
        class_names: graph.class_names.clone(),
        profile: Profile::Native,
        tensors: quantizer.tensors,
        nodes: quantizer.nodes,
    })
}

struct Quantizer<'g> {
    graph: &'g Graph,
    grids: Grids,
    /// By node, where they are not the nearest ones.
    weights: &'g [Option<LayerWeights>],
    tensors: Vec<QuantizedTensor>,
    nodes: Vec<QuantizedNode>,
    /// For each float node the tensor that holds its activation.
    made: Vec<Option<TensorId>>,
}

/// What a layer's integer weights are multiplied with, in real numbers.
struct Linear<'a> {
    layer: &'a str,
    weights: LayerWeights,
    bias: Vec<f64>,
    /// What is to be added to a stored `x` of channel `i` to be proportional to its real value.
    offsets: Vec<f64>,
    /// The real size of one step of `x`, the same in all channels.
    input_scale: f64,
    /// Largest absolute value of a stored `x`.
    input_bound: f64,
    skip: Option<(f64, f64)>,
    output: (f64, f64),
    multiplier_max: f64,
}

impl Quantizer<'_> {
    fn unsupported(&self, node: NodeId, problem: &str) -> QuantizeError {
        grid::unsupported(self.graph, node, problem)
    }

    fn add_tensor(&mut self, node: NodeId, name: &str, dtype: Dtype, grid: Grid) -> TensorId {
        let id = TensorId(self.tensors.len());
        self.made[node.0] = Some(id);
        self.tensors.push(QuantizedTensor {
            name: name.to_owned(),
            shape: self.graph.node(node).shape,
            dtype,
            scale: grid.scale as f32,
            zero_point: grid.zero_point as i16,
        });
        id
    }

    /// The tensor of an activation that an earlier layer made, which [`fuse`] has checked.
    fn tensor(&self, node: NodeId) -> Result<TensorId, QuantizeError> {
        self.made[node.0].ok_or_else(|| self.unsupported(node, "no layer makes its result"))
    }

    /// Scale and zero point of a tensor.
    fn quantization(&self, id: TensorId) -> (f64, f64) {
        let tensor = &self.tensors[id.0];
        (tensor.scale.into(), tensor.zero_point.into())
    }

    /// The grid of an int8 activation.
    fn grid(&self, node: NodeId) -> Result<Grid, QuantizeError> {
        match self.grids.of(self.graph, node)? {
            Stored::Int8(grid) => Ok(grid),
            _ => Err(self.unsupported(node, "its result is not int8")),
        }
    }

    /// The integers of a layer's weights: the caller's, or the nearest ones.
    fn layer_weights(&self, layer: &Layer) -> Result<LayerWeights, QuantizeError> {
        let real = RealWeights::of(self.graph, layer, &self.grids)?
            .ok_or_else(|| self.unsupported(layer.node, "it has no weights"))?;
        let Some(chosen) = self.weights.get(layer.node.0).and_then(Option::as_ref) else {
            return Ok(real.nearest(WeightBits::Eight, WeightScale::Largest, &[1.0]));
        };
        let length: usize = real.rows.iter().map(Vec::len).sum();
        let scales = || chosen.scales.iter().all(|&s| s.is_finite() && s >= real.scale_min);
        if (chosen.scales.len(), chosen.values.len()) != (real.rows.len(), length) || !scales() {
            return Err(self.unsupported(layer.node, "the chosen integers are not its weights"));
        }
        Ok(chosen.clone())
    }

    fn layer(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let graph = self.graph;
        let node = graph.node(layer.node);
        if layer.input == Graph::INPUT && !matches!(node.op, Op::Conv2d(_)) {
            return Err(self.unsupported(layer.node, "only a convolution can read the image"));
        }
        match &node.op {
            Op::Conv2d(_) => self.conv2d(layer),
            Op::MaxPool2d { kernel, stride, padding } => {
                let input = self.tensor(layer.input)?;
                let sliding = sliding([*kernel; 2], *stride, padding);
                let clamp = [i8::MIN, i8::MAX];
                self.same_scale(layer, QuantizedOp::MaxPool2d { input, sliding, clamp })
            }
            Op::SubsamplePad { stride, channels } => {
                let input = self.tensor(layer.input)?;
                let channels_before = (channels - self.tensors[input.0].shape[2]) / 2;
                let op = QuantizedOp::SubsamplePad { input, stride: *stride, channels_before };
                self.same_scale(layer, op)
            }
            Op::GlobalAvgPool => self.global_avg_pool(layer),
            Op::FullyConnected(_) => self.fully_connected(layer),
            Op::Input | Op::BatchNorm(_) | Op::Relu | Op::Add | Op::FakeQuantize(_) => {
                Err(self.unsupported(layer.node, "it is no layer by itself"))
            }
        }
    }

    /// A layer whose output has its input's scale and zero point.
    fn same_scale(&mut self, layer: &Layer, op: QuantizedOp) -> Result<(), QuantizeError> {
        let grid = self.grid(layer.input)?;
        let name = self.graph.node(layer.node).name.clone();
        let output = self.graph.node(layer.output).name.clone();
        self.add_tensor(layer.output, &output, Dtype::I8, grid);
        self.nodes.push(QuantizedNode { name, op });
        Ok(())
    }

    fn conv2d(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let graph = self.graph;
        let node = graph.node(layer.node);
        let Op::Conv2d(conv) = &node.op else {
            return Err(self.unsupported(layer.node, "it is no convolution"));
        };
        let input = self.tensor(layer.input)?;
        let output = self.grid(layer.output)?;
        let skip = layer.skip.map(|skip| self.skip(layer, skip)).transpose()?;
        let (outputs, kh, kw, inputs) = conv.weights.dim();
        let from_image = layer.input == Graph::INPUT;
        let (input_scale, zero_point) = self.quantization(input);
        let mut offsets = vec![-zero_point; inputs];
        if from_image {
            // (pixel / 255 - mean) / std = (q + 128 - 255 mean) / (255 std)
            let mean = graph.normalization.mean.iter();
            offsets = mean.map(|&mean| 128.0 - 255.0 * f64::from(mean)).collect();
        }
        let pad_value = if from_image {
            let nearest = |&offset: &f64| (-offset).round().clamp(-128.0, 127.0) as i8;
            pad_value(offsets.iter().map(nearest).collect())
        } else {
            PadValue::Uniform(zero_point as i8)
        };
        let linear = Linear {
            layer: &node.name,
            weights: self.layer_weights(layer)?,
            bias: conv.bias.as_ref().map_or(vec![0.0; outputs], wide),
            offsets,
            input_scale,
            input_bound: 128.0,
            skip: skip.map(|skip| self.quantization(skip)),
            output: (output.scale, output.zero_point),
            multiplier_max: MULTIPLIER_MAX,
        };
        let (weights, channels) = linear.quantize()?;
        let low = if layer.relu { output.zero_point as i8 } else { i8::MIN };
        let op = QuantizedOp::Conv2d {
            input,
            sliding: sliding([kh, kw], conv.stride, &conv.padding),
            pad_value,
            weights,
            channels: Channels::Native(channels),
            clamp: [low, i8::MAX],
            skip,
        };
        let output_name = graph.node(layer.output).name.clone();
        self.add_tensor(layer.output, &output_name, Dtype::I8, output);
        self.nodes.push(QuantizedNode { name: node.name.clone(), op });
        Ok(())
    }

    /// The tensor of a residual: its own, or a copy where it is read again after it is joined.
    fn skip(&mut self, layer: &Layer, skip: NodeId) -> Result<TensorId, QuantizeError> {
        if skip == Graph::INPUT {
            return Err(self.unsupported(layer.node, "its residual is the image itself"));
        }
        let original = self.tensor(skip)?;
        let last = self.graph.consumers()[skip.0].iter().max().copied();
        if last.is_none_or(|last| last <= layer.output) {
            return Ok(original);
        }
        let grid = self.grid(skip)?;
        let name = format!("{}.skip", self.graph.node(layer.node).name);
        let copy = self.add_tensor(skip, &name, Dtype::I8, grid);
        self.made[skip.0] = Some(original);
        let op = QuantizedOp::SubsamplePad { input: original, stride: 1, channels_before: 0 };
        self.nodes.push(QuantizedNode { name, op });
        Ok(copy)
    }

    fn global_avg_pool(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let input = self.tensor(layer.input)?;
        let [height, width, _] = self.tensors[input.0].shape;
        let positions = height * width;
        let name = self.graph.node(layer.node).name.clone();
        if let Stored::Sums(grid, positions) = self.grids.of(self.graph, layer.output)? {
            let count = positions as f64;
            let (scale, zero_point) = (grid.scale / count, grid.zero_point * count);
            self.add_tensor(layer.output, &name, Dtype::I16, Grid { scale, zero_point });
            self.nodes.push(QuantizedNode { name, op: QuantizedOp::GlobalSum { input } });
            return Ok(());
        }
        let target = Target {
            sum_scale: 1.0 / positions as f64,
            constant: 0.0,
            skip: None,
            output: (1.0, 0.0),
            sum_bound: 128.0 * positions as f64,
            multiplier_max: MULTIPLIER_MAX,
        };
        let accumulator = || QuantizeError::Accumulator { layer: name.clone(), channel: 0 };
        let constants = target.constants().ok_or_else(accumulator)?;
        let (clamp, constants) = ([i8::MIN, i8::MAX], Channels::Native(vec![constants]));
        self.same_scale(layer, QuantizedOp::GlobalMean { input, constants, clamp })
    }

    fn fully_connected(&mut self, layer: &Layer) -> Result<(), QuantizeError> {
        let graph = self.graph;
        let node = graph.node(layer.node);
        let Op::FullyConnected(fc) = &node.op else {
            return Err(self.unsupported(layer.node, "it is no fully connected layer"));
        };
        let input = self.tensor(layer.input)?;
        let (input_scale, zero_point) = self.quantization(input);
        let sums = self.tensors[input.0].dtype == Dtype::I16;
        let Stored::Logits(scale) = self.grids.of(graph, layer.output)? else {
            return Err(self.unsupported(layer.node, "it is not the network's last layer"));
        };
        let linear = Linear {
            layer: &node.name,
            weights: self.layer_weights(layer)?,
            bias: wide(&fc.bias),
            offsets: vec![-zero_point],
            input_scale,
            input_bound: if sums { self.sum_bound(layer.input) } else { 128.0 },
            skip: None,
            output: (scale, 0.0),
            multiplier_max: 0.25,
        };
        let (weights, channels) = linear.quantize()?;
        let op = QuantizedOp::FullyConnected {
            input,
            weights,
            channels: Channels::Native(channels),
            clamp: [i8::MIN, i8::MAX],
        };
        let grid = Grid { scale, zero_point: 0.0 };
        self.add_tensor(layer.output, &node.name, Dtype::I32, grid);
        self.nodes.push(QuantizedNode { name: node.name.clone(), op });
        Ok(())
    }

    /// Largest absolute value of a sum that the pooling `node` makes.
    fn sum_bound(&self, node: NodeId) -> f64 {
        let pooled = self.graph.node(node).inputs[0];
        let [height, width, _] = self.graph.node(pooled).shape;
        128.0 * (height * width) as f64
    }
}

impl Linear<'_> {
    /// Weights `[O, ..]` in the order of the rows, and the constants of each channel.
    fn quantize(self) -> Result<(Vec<i8>, Vec<NativeChannel>), QuantizeError> {
        let length = (self.weights.values.len() / self.weights.scales.len().max(1)).max(1);
        let rows = self.weights.values.chunks_exact(length).zip(&self.weights.scales);
        let mut channels = Vec::with_capacity(self.bias.len());
        for (channel, ((row, &scale), &bias)) in rows.zip(&self.bias).enumerate() {
            let layer = self.layer.to_owned();
            if !bias.is_finite() {
                return Err(QuantizeError::NotFinite { layer, what: "weight" });
            }
            let constants = self.target(row, scale, bias).constants();
            channels.push(constants.ok_or(QuantizeError::Accumulator { layer, channel })?);
        }
        Ok((self.weights.values, channels))
    }

    /// What a channel of these weights has to compute.
    fn target(&self, weights: &[i8], scale: f64, bias: f64) -> Target {
        let sum_scale = self.input_scale * scale;
        let offsets = self.offsets.iter().cycle();
        let offset: f64 =
            weights.iter().zip(offsets).map(|(&w, offset)| f64::from(w) * offset).sum();
        let magnitude: f64 = weights.iter().map(|&w| f64::from(w).abs()).sum();
        Target {
            sum_scale,
            constant: bias + offset * sum_scale,
            skip: self.skip,
            output: self.output,
            sum_bound: magnitude * self.input_bound,
            multiplier_max: self.multiplier_max,
        }
    }
}

fn wide(values: &Array1<f32>) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn sliding(size: [usize; 2], stride: usize, padding: &Padding) -> Sliding {
    let Padding { top, left, bottom, right } = *padding;
    Sliding { size, stride: [stride; 2], padding: [top, left, bottom, right] }
}

/// One value where all channels have the same.
fn pad_value(values: Vec<i8>) -> PadValue {
    match values.first() {
        Some(&first) if values.iter().all(|&value| value == first) => PadValue::Uniform(first),
        _ => PadValue::PerChannel(values),
    }
}
