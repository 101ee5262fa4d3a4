//! Walks the operators of a file, and keeps account of its tensors.

use super::super::assemble::Unfit;
use super::super::flatbuffer::Malformed;
use super::constants::{self, Quantization};
use super::error::{ModelProblem, OperatorProblem, TensorProblem, TfliteError};
use super::schema::{Model, Operator, Tensor, op, operator_name};
use crate::quantized::{
    Dtype, Profile, QuantizedGraph, QuantizedNode, QuantizedOp, QuantizedTensor, Sliding, TensorId,
};
use std::collections::{HashMap, HashSet};

/// Bytes of weights that all layers may have together; a model of a microcontroller has fewer.
const WEIGHT_BYTES_MAX: usize = 1 << 26;

/// Why an operator was refused: itself, or what it refers to.
pub(super) enum Refusal {
    Operator(OperatorProblem),
    Elsewhere(TfliteError),
}

impl From<OperatorProblem> for Refusal {
    fn from(problem: OperatorProblem) -> Self {
        Self::Operator(problem)
    }
}

impl From<TfliteError> for Refusal {
    fn from(error: TfliteError) -> Self {
        Self::Elsewhere(error)
    }
}

impl From<Malformed> for Refusal {
    fn from(error: Malformed) -> Self {
        Self::Elsewhere(error.into())
    }
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Self {
        Self::Operator(OperatorProblem::Float(unfit))
    }
}

impl Refusal {
    /// With the place of the operator, which is number `index`.
    pub(super) fn of(
        self,
        model: &Model<'_>,
        index: usize,
        operator: &Operator<'_>,
    ) -> TfliteError {
        let problem = match self {
            Self::Elsewhere(error) => return error,
            Self::Operator(problem) => problem,
        };
        let output = operator.outputs.first().copied().flatten();
        let tensor = output.and_then(|output| model.tensor(output).ok());
        let name = tensor.map(|tensor| tensor.name()).unwrap_or_default();
        let kind = operator_name(operator.code);
        TfliteError::Operator { index, operator: kind, name, at: operator.at, problem }
    }
}

/// What a tensor of the file is in the graph.
#[derive(Clone, Copy)]
struct Made {
    id: TensorId,
    /// Top, left, bottom, right: what a `PAD` put around it.
    padding: [usize; 4],
}

/// An activation that an operator reads.
#[derive(Clone, Copy)]
pub(super) struct Input {
    pub(super) id: TensorId,
    /// As the file says it, padding included.
    pub(super) shape: [usize; 3],
    pub(super) quantization: Quantization,
    pub(super) padding: [usize; 4],
}

/// The activation that an operator makes.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) tensor: Tensor<'a>,
    pub(super) shape: [usize; 3],
    pub(super) quantization: Quantization,
}

/// A graph as far as it is imported.
pub(super) struct Importer<'a> {
    pub(super) model: Model<'a>,
    graph: QuantizedGraph,
    made: HashMap<usize, Made>,
    read: HashSet<usize>,
    names: HashSet<String>,
    weight_bytes: usize,
}

impl<'a> Importer<'a> {
    pub(super) fn new(bytes: &'a [u8], name: &str) -> Result<Self, TfliteError> {
        let graph = QuantizedGraph {
            name: name.to_owned(),
            class_names: Vec::new(),
            profile: Profile::Tflite,
            tensors: Vec::new(),
            nodes: Vec::new(),
        };
        Ok(Self {
            model: Model::read(bytes)?,
            graph,
            made: HashMap::new(),
            read: HashSet::new(),
            names: HashSet::new(),
            weight_bytes: 0,
        })
    }

    pub(super) fn run(mut self) -> Result<QuantizedGraph, TfliteError> {
        let input = self.model.tensor(self.model.input)?;
        let (shape, quantization) = (input.activation_shape()?, input.quantization()?);
        let name = self.unique("input");
        self.push_tensor(&input, name, shape, quantization)?;
        for index in 0..self.model.operators.len() {
            let operator = self.model.operator(index)?;
            let done = self.operator(&operator);
            done.map_err(|refusal| refusal.of(&self.model, index, &operator))?;
        }
        self.finish()
    }

    /// All that was made is read, and the last operator makes the output.
    fn finish(self) -> Result<QuantizedGraph, TfliteError> {
        let output = self.model.output;
        let unused = |tensor: &&usize| **tensor != output && !self.read.contains(*tensor);
        if let Some(&tensor) = self.made.keys().filter(unused).min() {
            return Err(self.model.tensor(tensor)?.refused(TensorProblem::Unused));
        }
        let last = TensorId(self.graph.nodes.len());
        let made = self.made.get(&output);
        let is_last = made.is_some_and(|made| made.id == last && made.padding == [0; 4]);
        if !is_last || self.graph.nodes.is_empty() {
            return Err(TfliteError::Model(ModelProblem::Output));
        }
        Ok(self.graph)
    }

    fn operator(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        match operator.code {
            op::CONV_2D => self.conv2d(operator),
            op::FULLY_CONNECTED => self.fully_connected(operator),
            op::ADD => self.add(operator),
            op::AVERAGE_POOL_2D => self.pool2d(operator, false),
            op::MAX_POOL_2D => self.pool2d(operator, true),
            op::SOFTMAX => self.softmax(operator),
            op::RESHAPE => self.reshape(operator),
            op::PAD => self.pad(operator),
            op::MEAN => self.mean(operator),
            _ => Err(OperatorProblem::Unknown.into()),
        }
    }

    /// Counts bytes of weights: operators may share a buffer, and the graph copies it.
    pub(super) fn count_weights(&mut self, bytes: usize) -> Result<(), TfliteError> {
        self.weight_bytes = self.weight_bytes.saturating_add(bytes);
        let (found, limit) = (self.weight_bytes, WEIGHT_BYTES_MAX);
        let problem = ModelProblem::TooMany { what: "bytes of weights", found, limit };
        if found <= limit { Ok(()) } else { Err(TfliteError::Model(problem)) }
    }

    /// Input number `index` of an operator, as it was made.
    fn padded_input(&mut self, operator: &Operator<'_>, index: usize) -> Result<Input, Refusal> {
        let missing = OperatorProblem::Count { what: "inputs", found: operator.inputs.len() };
        let tensor = operator.inputs.get(index).copied().flatten().ok_or(missing)?;
        let view = self.model.tensor(tensor)?;
        let not_made = || view.refused(TensorProblem::NotMade);
        let Made { id, padding } = *self.made.get(&tensor).ok_or_else(not_made)?;
        self.read.insert(tensor);
        let (shape, quantization) = (view.activation_shape()?, view.quantization()?);
        Ok(Input { id, shape, quantization, padding })
    }

    /// The same for operators that a `PAD` cannot be folded into.
    fn input(&mut self, operator: &Operator<'_>, index: usize) -> Result<Input, Refusal> {
        let input = self.padded_input(operator, index)?;
        if input.padding != [0; 4] {
            let problem = "its input comes from a PAD, which only CONV_2D and MAX_POOL_2D can take";
            return Err(OperatorProblem::Input(problem).into());
        }
        Ok(input)
    }

    /// The same where the shape matters: a `RESHAPE` before it may only have renamed.
    fn shaped_input(&mut self, operator: &Operator<'_>, index: usize) -> Result<Input, Refusal> {
        let input = self.padded_input(operator, index)?;
        let [top, left, bottom, right] = input.padding;
        let [height, width, channels] = self.graph.tensors[input.id.0].shape;
        if input.shape != [height + top + bottom, width + left + right, channels] {
            let problem = "its input was reshaped, which only FULLY_CONNECTED can take";
            return Err(OperatorProblem::Input(problem).into());
        }
        Ok(input)
    }

    /// Input of a sliding window, which may have been padded.
    pub(super) fn window_input(&mut self, operator: &Operator<'_>) -> Result<Input, Refusal> {
        self.shaped_input(operator, 0)
    }

    /// Input that has to be there in its own shape.
    pub(super) fn plain_input(
        &mut self,
        operator: &Operator<'_>,
        index: usize,
    ) -> Result<Input, Refusal> {
        self.input(operator, index)?;
        self.shaped_input(operator, index)
    }

    /// Input of which only the elements in their order matter.
    pub(super) fn flat_input(&mut self, operator: &Operator<'_>) -> Result<Input, Refusal> {
        self.input(operator, 0)
    }

    /// The one output of an operator.
    pub(super) fn output(&self, operator: &Operator<'_>) -> Result<Output<'a>, Refusal> {
        let found = operator.outputs.len();
        let [Some(index)] = operator.outputs[..] else {
            return Err(OperatorProblem::Count { what: "outputs", found }.into());
        };
        let tensor = self.model.tensor(index)?;
        let (shape, quantization) = (tensor.activation_shape()?, tensor.quantization()?);
        Ok(Output { tensor, shape, quantization })
    }

    /// Output positions of a window, and its padding together with that of a `PAD` before it.
    pub(super) fn sliding(
        input: &Input,
        size: [usize; 2],
        stride: [usize; 2],
        padding: i8,
    ) -> Result<([usize; 2], Sliding), Refusal> {
        let (rows, vertical) = constants::window(input.shape[0], size[0], stride[0], padding)?;
        let (columns, horizontal) = constants::window(input.shape[1], size[1], stride[1], padding)?;
        let own = [vertical[0], horizontal[0], vertical[1], horizontal[1]];
        let padding = [0, 1, 2, 3].map(|side| own[side] + input.padding[side]);
        Ok(([rows, columns], Sliding { size, stride, padding }))
    }

    /// Adds a node that makes `output`.
    pub(super) fn push(
        &mut self,
        name: &str,
        op: QuantizedOp,
        output: &Output<'a>,
        expected: [usize; 3],
    ) -> Result<(), Refusal> {
        if output.shape != expected {
            return Err(OperatorProblem::Shape { expected, found: output.shape }.into());
        }
        let name = self.unique(&short(name));
        self.push_tensor(&output.tensor, name.clone(), output.shape, output.quantization)?;
        self.graph.nodes.push(QuantizedNode { name, op });
        Ok(())
    }

    fn push_tensor(
        &mut self,
        tensor: &Tensor<'_>,
        name: String,
        shape: [usize; 3],
        Quantization { scale, zero_point }: Quantization,
    ) -> Result<(), TfliteError> {
        let made = Made { id: TensorId(self.graph.tensors.len()), padding: [0; 4] };
        self.make(tensor, made)?;
        let zero_point = zero_point.into();
        let dtype = Dtype::I8;
        self.graph.tensors.push(QuantizedTensor { name, shape, dtype, scale, zero_point });
        Ok(())
    }

    fn make(&mut self, tensor: &Tensor<'_>, made: Made) -> Result<(), TfliteError> {
        match self.made.insert(tensor.index, made) {
            None => Ok(()),
            Some(_) => Err(tensor.refused(TensorProblem::MadeTwice)),
        }
    }

    /// Lets `output` stand for a tensor that is there already, with padding around it.
    pub(super) fn rename(
        &mut self,
        input: &Input,
        output: &Output<'_>,
        padding: [usize; 4],
    ) -> Result<(), Refusal> {
        if input.quantization != output.quantization {
            let problem = "its input and its output differ in scale or zero point";
            return Err(OperatorProblem::Input(problem).into());
        }
        Ok(self.make(&output.tensor, Made { id: input.id, padding })?)
    }

    /// A name that no other layer has.
    fn unique(&mut self, name: &str) -> String {
        let numbered = (2_usize..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let free = names.find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(free.clone());
        free
    }
}

/// The layer's name in one that a converter made: of `model/conv2d_1/Conv2D` the middle part, of
/// several that were fused the last. A model file keeps names in flash.
pub(super) fn short(name: &str) -> String {
    const LONGEST: usize = 40;
    let last = name.rsplit(';').next().unwrap_or(name);
    let mut parts = last.rsplit('/');
    let end = parts.next().unwrap_or(last);
    let layer = parts.next().filter(|layer| !layer.is_empty()).unwrap_or(end);
    layer.chars().take(LONGEST).collect()
}
