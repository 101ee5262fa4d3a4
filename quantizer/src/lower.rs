//! From a planned quantized graph to the bytes of a model file.
//!
//! Packs weights as their kernels read them, proves the accumulators' bounds, writes the records.
//! What comes out has been parsed again: a graph that the format does not hold is an error here and
//! not on the device.

mod rows;
mod sums;

pub use rows::{Point, curve};

use crate::accumulator::accumulator_bound;
use crate::kernels::{Layer, Packing, choose};
use crate::plan::search::Memory;
use crate::plan::{Plan, PlanError, Schedule, plan, plan_by};
use crate::quantized::{
    Channels, PadValue, QuantizedGraph, QuantizedOp, QuantizedTensor, Sliding, TensorId,
};
use resmcu_int8_kernels::ops::conv2d;
use resmcu_int8_kernels::packed::Kernel;
use resmcu_int8_kernels::requantize::{NATIVE_ACCUMULATOR_MAX, TFLITE_ACCUMULATOR_MAX};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::write::{DataSection, WriteError, encode};
use resmcu_model_format::{self as format, DataRef, ModelFile, ParseError, Profile};
use zerocopy::IntoBytes;

/// What the header says of the writer.
const PRODUCER: &str = concat!("resmcu ", env!("CARGO_PKG_VERSION"));

/// Why a graph could not be written as a model file.
#[derive(Debug, thiserror::Error)]
pub enum LowerError {
    /// There is no memory plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A number that the format does not hold.
    #[error("layer `{layer}`: {what} is {found}, and the format holds at most {limit}")]
    TooLarge {
        /// The layer or tensor.
        layer: String,
        /// Which number.
        what: &'static str,
        /// The number.
        found: u64,
        /// Its limit.
        limit: u64,
    },
    /// Weights that no choice of kernels makes small enough.
    #[error("the model file takes {found} bytes at least, and its budget is {limit}")]
    Budget {
        /// Bytes of the smallest file.
        found: usize,
        /// The budget.
        limit: usize,
    },
    /// Memory that no schedule keeps to.
    #[error("arena and scratch take {found} bytes at least, and their budget is {limit}")]
    Memory {
        /// Bytes of the smallest schedule.
        found: usize,
        /// The budget.
        limit: usize,
    },
    /// Budgets of memory and of flash that can be kept one by one, but not together.
    #[error(
        "no schedule keeps the budget of memory in a model file of {limit} bytes; without a limit \
         of the file arena and scratch take {found} bytes at least"
    )]
    Budgets {
        /// Bytes of memory of the smallest schedule.
        found: usize,
        /// The budget of the file.
        limit: usize,
    },
    /// The file could not be laid out.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The written file is not a model file.
    #[error("the written file would be refused: {0}")]
    Parse(#[from] ParseError),
}

/// A model file and the plan in it.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The file's bytes.
    pub file: Vec<u8>,
    /// What it was made from.
    pub plan: Plan,
}

/// Plans `graph` and writes it for the generic kernels, which every core has.
///
/// # Errors
/// Where it has no plan, or a number does not fit the format or a kernel.
pub fn lower(graph: &QuantizedGraph) -> Result<Lowered, LowerError> {
    lower_for(graph, Packing::Generic)
}

/// Plans `graph` and writes it with the weights packed as `packing` says.
///
/// # Errors
/// As [`lower`].
pub fn lower_for(graph: &QuantizedGraph, packing: Packing) -> Result<Lowered, LowerError> {
    match packing {
        Packing::Fastest(limits) if limits.memory != Memory::Whole => rows::lower(graph, limits),
        _ => lower_plan(plan(graph)?, packing),
    }
}

/// The same by a schedule, with a rhythm for each node; the order of the nodes stays.
///
/// # Errors
/// As [`lower`].
pub fn lower_by(
    graph: &QuantizedGraph,
    packing: Packing,
    schedule: Schedule,
) -> Result<Lowered, LowerError> {
    lower_plan(plan_by(graph, schedule)?, packing)
}

fn lower_plan(plan: Plan, packing: Packing) -> Result<Lowered, LowerError> {
    let limit = match packing {
        Packing::Fastest(limits) => limits.file_bytes.unwrap_or(usize::MAX),
        Packing::Generic | Packing::Only(_) | Packing::OnlyWithMost(_) => usize::MAX,
    };
    let mut kernels = choose(&plan.graph, packing, usize::MAX);
    loop {
        let (file, weight_bytes) = write(&plan, packing, &kernels)?;
        let excess = file.len().saturating_sub(limit);
        if excess == 0 {
            return Ok(Lowered { file, plan });
        }
        // What besides the convolutions' weights is in the file does not depend on the choice.
        let smaller = choose(&plan.graph, packing, weight_bytes.saturating_sub(excess));
        if smaller == kernels {
            return Err(LowerError::Budget { found: file.len(), limit });
        }
        kernels = smaller;
    }
}

/// The file, and how many bytes of it the convolutions' weights are.
fn write(
    plan: &Plan,
    packing: Packing,
    kernels: &[(Option<Kernel>, usize)],
) -> Result<(Vec<u8>, usize), LowerError> {
    let isa = match packing {
        Packing::Generic => format::Isa::Generic,
        Packing::Fastest(limits) => limits.isa,
        Packing::Only(_) | Packing::OnlyWithMost(_) => format::Isa::Armv7em,
    };
    let data = DataSection::default();
    let mut lowering = Lowering { plan, kernels, data, scratch: 0, weight_bytes: 0 };
    let tensors = (0..plan.graph.tensors.len()).map(|t| lowering.tensor(TensorId(t)));
    let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    let steps = (0..plan.graph.nodes.len()).map(|step| lowering.step(step));
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    let class_names = plan.graph.class_names.join("\n");
    let header = format::Header {
        name: &plan.graph.name,
        producer: PRODUCER,
        profile: plan.graph.profile,
        isa,
        class_names: &class_names,
        arena_bytes: lowering.fit("arena", "its size", plan.arena_bytes)?,
        scratch_bytes: lowering.fit("scratch", "its size", lowering.scratch)?,
        arena_lower_bound: lowering.fit("arena", "its lower bound", plan.lower_bound)?,
        macs: steps.iter().map(|step| step.macs).sum(),
        tensors: 0,
        steps: 0,
    };
    let file = encode(&header, &tensors, &steps, &lowering.data)?;
    ModelFile::parse(&file)?;
    Ok((file, lowering.weight_bytes))
}

struct Lowering<'p> {
    plan: &'p Plan,
    /// The kernel of each node, and its scratch in bytes.
    kernels: &'p [(Option<Kernel>, usize)],
    data: DataSection,
    /// Largest need of any kernel so far, in bytes.
    scratch: usize,
    /// Bytes of the convolutions' weights so far.
    weight_bytes: usize,
}

impl<'p> Lowering<'p> {
    /// `number` as `T`, or an error that says which it is.
    fn fit<T>(&self, layer: &str, what: &'static str, number: usize) -> Result<T, LowerError>
    where
        T: TryFrom<usize> + Into<u64> + Bounded,
    {
        T::try_from(number).map_err(|_| LowerError::TooLarge {
            layer: layer.to_owned(),
            what,
            found: number as u64,
            limit: T::MAX.into(),
        })
    }

    fn fit_all<T, const N: usize>(
        &self,
        layer: &str,
        what: &'static str,
        numbers: [usize; N],
    ) -> Result<[T; N], LowerError>
    where
        T: TryFrom<usize> + Into<u64> + Bounded + Default + Copy,
    {
        let mut fitted = [T::default(); N];
        for (fitted, number) in fitted.iter_mut().zip(numbers) {
            *fitted = self.fit(layer, what, number)?;
        }
        Ok(fitted)
    }

    fn quantized(&self, id: TensorId) -> &'p QuantizedTensor {
        &self.plan.graph.tensors[id.0]
    }

    fn id(&self, id: TensorId) -> Result<u16, LowerError> {
        self.fit(&self.quantized(id).name, "its number", id.0)
    }

    fn tensor(&self, id: TensorId) -> Result<format::Tensor<'p>, LowerError> {
        let tensor = self.quantized(id);
        let (first, last) = self.plan.life(id);
        let (offset, rows) = self.plan.place(id);
        Ok(format::Tensor {
            name: &tensor.name,
            shape: self.fit_all(&tensor.name, "a side", tensor.shape)?,
            dtype: tensor.dtype,
            scale: tensor.scale,
            zero_point: tensor.zero_point,
            offset: self.fit(&tensor.name, "its offset", offset)?,
            first: self.fit(&tensor.name, "its first step", first)?,
            last: self.fit(&tensor.name, "its last step", last)?,
            rows: self.fit(&tensor.name, "its rows", rows)?,
        })
    }

    fn step(&mut self, index: usize) -> Result<format::Step<'p>, LowerError> {
        let node = &self.plan.graph.nodes[index];
        Ok(format::Step {
            name: &node.name,
            kernel: self.number(index),
            output: self.id(TensorId(index + 1))?,
            macs: self.plan.graph.macs(index),
            op: self.op(index, &node.name, &node.op)?,
            rows: self.fit(&node.name, "its rows", self.plan.group(index))?,
            on_demand: self.plan.schedule[index].on_demand,
        })
    }

    /// The kernel's number in the file.
    fn number(&self, index: usize) -> u16 {
        let generic = || match Layer::of(&self.plan.graph, index) {
            Some(layer) if layer.is_generic_int4() => conv2d::NUMBER_S4,
            _ => conv2d::NUMBER_S8,
        };
        self.kernels[index].0.map_or_else(generic, Kernel::number)
    }

    fn op(
        &mut self,
        index: usize,
        layer: &str,
        op: &QuantizedOp,
    ) -> Result<format::Op, LowerError> {
        use format::Op;
        Ok(match op {
            QuantizedOp::Conv2d { .. } => Op::Conv2d(self.conv2d(index, layer, op)?),
            QuantizedOp::MaxPool2d { input, sliding, clamp } => {
                Op::MaxPool2d(self.pool2d(layer, *input, sliding, *clamp)?)
            }
            QuantizedOp::AveragePool2d { input, sliding, clamp } => {
                Op::AveragePool2d(self.pool2d(layer, *input, sliding, *clamp)?)
            }
            QuantizedOp::GlobalSum { input } => {
                Op::GlobalSum(format::GlobalSum { input: self.id(*input)? })
            }
            QuantizedOp::GlobalMean { input, constants, clamp } => {
                let channels = self.channels(constants);
                let input = self.id(*input)?;
                Op::GlobalMean(format::GlobalMean { input, channels, clamp: *clamp })
            }
            QuantizedOp::FullyConnected { input, weights, channels, clamp } => {
                Op::FullyConnected(format::FullyConnected {
                    input: self.id(*input)?,
                    weights: self.data.push(weights.as_bytes()),
                    channels: self.channels(channels),
                    clamp: *clamp,
                    accumulator_bound: self.accumulator(index, layer)?,
                })
            }
            QuantizedOp::Add { inputs, constants, clamp } => Op::Add(format::Add {
                inputs: [self.id(inputs[0])?, self.id(inputs[1])?],
                parameters: self.data.push(constants.as_bytes()),
                clamp: *clamp,
                in_place: self.plan.in_place[index].map(|input| u8::from(input == 1)),
            }),
            QuantizedOp::Softmax { input, scale } => Op::Softmax(format::Softmax {
                input: self.id(*input)?,
                multiplier: scale.multiplier,
                shift: scale.shift,
                difference_min: scale.difference_min,
            }),
            QuantizedOp::SubsamplePad { input, stride, channels_before } => {
                Op::SubsamplePad(format::SubsamplePad {
                    input: self.id(*input)?,
                    stride: self.fit(layer, "the stride", *stride)?,
                    channels_before: self.fit(layer, "a channel count", *channels_before)?,
                })
            }
        })
    }

    fn conv2d(
        &mut self,
        index: usize,
        layer: &str,
        op: &QuantizedOp,
    ) -> Result<format::Conv2d, LowerError> {
        let QuantizedOp::Conv2d { input, sliding, pad_value, weights, channels, clamp, skip } = op
        else {
            unreachable!("called for convolutions only");
        };
        let padding = self.fit_all(layer, "the padding", sliding.padding)?;
        let window = Window {
            input: self.fit_all(layer, "a side", self.quantized(*input).shape)?,
            output: self.fit_all(layer, "a side", self.quantized(TensorId(index + 1)).shape)?,
            size: self.fit_all(layer, "the kernel", sliding.size)?,
            stride: self.fit_all(layer, "the stride", sliding.stride)?,
            padding: [padding[0], padding[1]],
        };
        let weights = self.packed(index, &window, weights);
        let pad_value = match pad_value {
            PadValue::Uniform(value) => format::PadValue::Uniform(*value),
            PadValue::PerChannel(values) => {
                format::PadValue::PerChannel(self.data.push(values.as_bytes()))
            }
        };
        Ok(format::Conv2d {
            input: self.id(*input)?,
            kernel_size: window.size,
            stride: window.stride,
            padding,
            pad_value,
            weights,
            channels: self.channels(channels),
            clamp: *clamp,
            skip: skip.map(|skip| self.id(skip)).transpose()?,
            accumulator_bound: self.accumulator(index, layer)?,
        })
    }

    /// The weights as the layer's kernel reads them, and its scratch memory reserved.
    fn packed(&mut self, index: usize, window: &Window, weights: &[i8]) -> DataRef {
        let (kernel, scratch) = self.kernels[index];
        if let (Some(kernel), Some(layer)) = (kernel, Layer::of(&self.plan.graph, index)) {
            let mut packed = vec![0; kernel.packed_words(window)];
            kernel.pack(window, layer.channels, weights, &mut packed);
            self.scratch = self.scratch.max(scratch);
            self.weight_bytes += packed.as_bytes().len();
            return self.data.push(packed.as_bytes());
        }
        self.scratch = self.scratch.max(conv2d::scratch_len(window));
        let packed = if self.number(index) == conv2d::NUMBER_S4 {
            let mut packed = vec![0; conv2d::packed_len_s4(window)];
            conv2d::pack_s4(weights, window, &mut packed);
            packed.as_bytes().to_vec()
        } else {
            let mut packed = vec![0; conv2d::packed_len(window)];
            conv2d::pack(weights, window, &mut packed);
            packed.as_bytes().to_vec()
        };
        self.weight_bytes += packed.len();
        self.data.push(&packed)
    }

    fn pool2d(
        &self,
        layer: &str,
        input: TensorId,
        sliding: &Sliding,
        clamp: [i8; 2],
    ) -> Result<format::Pool2d, LowerError> {
        Ok(format::Pool2d {
            input: self.id(input)?,
            kernel_size: self.fit_all(layer, "the window", sliding.size)?,
            stride: self.fit_all(layer, "the stride", sliding.stride)?,
            padding: self.fit_all(layer, "the padding", sliding.padding)?,
            clamp,
        })
    }

    fn channels(&mut self, channels: &Channels) -> DataRef {
        match channels {
            Channels::Native(channels) => self.data.push(channels.as_bytes()),
            Channels::Tflite(channels) => self.data.push(channels.as_bytes()),
        }
    }

    /// The proven bound of a layer's accumulator, if its kernel holds it.
    fn accumulator(&self, index: usize, layer: &str) -> Result<u32, LowerError> {
        let limit = match self.plan.graph.profile {
            Profile::Native => NATIVE_ACCUMULATOR_MAX,
            Profile::Tflite => TFLITE_ACCUMULATOR_MAX,
        };
        let found = accumulator_bound(&self.plan.graph, index);
        let bound = u32::try_from(found).ok().filter(|&bound| bound <= limit);
        bound.ok_or_else(|| LowerError::TooLarge {
            layer: layer.to_owned(),
            what: "the accumulator's bound",
            found,
            limit: limit.into(),
        })
    }
}

/// Integers of the format, with their limit for messages.
trait Bounded {
    const MAX: Self;
}

impl Bounded for u8 {
    const MAX: Self = Self::MAX;
}

impl Bounded for u16 {
    const MAX: Self = Self::MAX;
}

impl Bounded for u32 {
    const MAX: Self = Self::MAX;
}
