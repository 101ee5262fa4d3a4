//! The operators of a float file, one after another, into a float graph.
//!
//! Owns what an operator's options and constants mean; not what the graph makes of them, which is
//! `assemble`'s.

use super::super::assemble::{Account, Assembler, Order, Unfit, Value};
use super::super::{FloatImport, Options};
use super::constants;
use super::convert::{Refusal, short};
use super::error::{ModelProblem, OperatorProblem, TensorProblem, TfliteError};
use super::layer::{options, require, side};
use super::schema::{Model, Operator, Tensor, dtype, op, operator_name};
use crate::graph::{Conv2d, FullyConnected, Padding};
use half::f16;
use ndarray::{Array1, Array2, Array4};
use std::collections::HashMap;

impl Model<'_> {
    /// Whether the image goes in as float, and not only to be quantized.
    pub(super) fn is_float(&self) -> Result<bool, TfliteError> {
        let quantized = self.operators.len() > 0 && self.operator(0)?.code == op::QUANTIZE;
        Ok(self.tensor(self.input)?.dtype()? == dtype::FLOAT32 && !quantized)
    }
}

/// A graph as far as it is imported.
pub(super) struct Importer<'a> {
    model: Model<'a>,
    made: HashMap<usize, Value>,
    /// Constants that a `DEQUANTIZE` makes of others.
    converted: HashMap<usize, usize>,
    /// Values that may still be copied out of the file: tensors may share a buffer.
    values_left: usize,
    account: Account,
    int8_weights: bool,
}

impl<'a> Importer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, TfliteError> {
        const SHARED_MAX: usize = 4;
        Ok(Self {
            model: Model::read(bytes)?,
            made: HashMap::new(),
            converted: HashMap::new(),
            values_left: bytes.len().saturating_mul(SHARED_MAX),
            account: Account::default(),
            int8_weights: false,
        })
    }

    pub(super) fn run(mut self, options: &Options) -> Result<FloatImport, TfliteError> {
        let input = self.model.tensor(self.model.input)?;
        require_float(&input)?;
        let shape = input.image_shape()?;
        let (mut graph, image) = Assembler::new(shape)
            .map_err(|_| input.refused(TensorProblem::Shape(input.sides(0).unwrap_or_default())))?;
        self.made.insert(input.index, image);
        for index in 0..self.model.operators.len() {
            let operator = self.model.operator(index)?;
            let done = self.operator(&mut graph, &operator);
            done.map_err(|refusal| refusal.of(&self.model, index, &operator))?;
            *self.account.operators.entry(operator_name(operator.code)).or_default() += 1;
        }
        let output = self.made.get(&self.model.output).copied();
        let output = output.ok_or(TfliteError::Model(ModelProblem::Output))?;
        if self.int8_weights {
            let note = "int8 weights are taken as the floats that they stand for";
            self.account.assumed.push(note.to_owned());
        }
        Ok(graph.finish(output, options, self.account)?)
    }

    fn operator(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        match operator.code {
            op::CONV_2D => self.conv2d(graph, operator),
            op::FULLY_CONNECTED => self.fully_connected(graph, operator),
            op::ADD | op::SUB | op::MUL | op::DIV => self.arithmetic(graph, operator),
            op::AVERAGE_POOL_2D => self.average_pool(graph, operator),
            op::MEAN => self.mean(graph, operator),
            op::MAX_POOL_2D => self.max_pool(graph, operator),
            op::RELU => {
                let (x, name) = (self.input(operator, 0)?, self.name(operator)?);
                let y = graph.relu(&name, x)?;
                self.make(operator, y)
            }
            op::SOFTMAX => self.softmax(graph, operator),
            op::RESHAPE | op::SQUEEZE => self.reshape(graph, operator),
            op::PAD => self.pad(graph, operator),
            op::STRIDED_SLICE => self.strided_slice(graph, operator),
            op::DEQUANTIZE => self.dequantize(operator),
            _ => Err(OperatorProblem::UnknownFloat.into()),
        }
    }

    fn tensor(&self, operator: &Operator<'_>, index: usize) -> Result<Tensor<'a>, Refusal> {
        let missing = OperatorProblem::Count { what: "inputs", found: operator.inputs.len() };
        let tensor = operator.inputs.get(index).copied().flatten().ok_or(missing)?;
        Ok(self.model.tensor(tensor)?)
    }

    /// Input number `index`, which an operator made.
    fn input(&self, operator: &Operator<'_>, index: usize) -> Result<Value, Refusal> {
        let tensor = self.tensor(operator, index)?;
        let made = self.made.get(&tensor.index).copied();
        Ok(made.ok_or_else(|| tensor.refused(TensorProblem::NotMade))?)
    }

    fn output(&self, operator: &Operator<'_>) -> Result<Tensor<'a>, Refusal> {
        let found = operator.outputs.len();
        let [Some(index)] = operator.outputs[..] else {
            return Err(OperatorProblem::Count { what: "outputs", found }.into());
        };
        Ok(self.model.tensor(index)?)
    }

    /// The name of what an operator makes.
    fn name(&self, operator: &Operator<'_>) -> Result<String, Refusal> {
        Ok(short(&self.output(operator)?.name()))
    }

    /// Lets the operator's output be `y`, which has to be of the shape that the file says.
    fn make(&mut self, operator: &Operator<'_>, y: Value) -> Result<(), Refusal> {
        let tensor = self.output(operator)?;
        require_float(&tensor)?;
        let (expected, found) = (y.shape(), tensor.image_shape()?);
        if found != expected {
            return Err(OperatorProblem::Shape { expected, found }.into());
        }
        match self.made.insert(tensor.index, y) {
            None => Ok(()),
            Some(_) => Err(tensor.refused(TensorProblem::MadeTwice).into()),
        }
    }

    /// The same after the activation that is fused with the operator.
    fn make_active(
        &mut self,
        graph: &mut Assembler,
        operator: &Operator<'_>,
        y: Value,
        activation: i8,
    ) -> Result<(), Refusal> {
        let expected = "0 (NONE) or 1 (RELU)";
        let active = require("fused activation", activation, 0..=1, expected)? == 1;
        if !active {
            return self.make(operator, y);
        }
        let name = format!("{}.relu", self.name(operator)?);
        let y = graph.relu(&name, y)?;
        self.make(operator, y)
    }

    /// The floats of a constant of `count` elements, `channels` of them along its first side.
    fn floats(
        &mut self,
        tensor: Tensor<'a>,
        channels: usize,
        count: usize,
    ) -> Result<Vec<f32>, TfliteError> {
        let source = self.converted.get(&tensor.index).copied();
        let source = source.map_or(Ok(tensor), |source| self.model.tensor(source))?;
        let limit = self.values_left;
        let problem =
            ModelProblem::TooMany { what: "values in shared buffers", found: count, limit };
        self.values_left = limit.checked_sub(count).ok_or(TfliteError::Model(problem))?;
        let values: Vec<f32> = match source.dtype()? {
            dtype::FLOAT32 => {
                let bytes = source.constant(count, 4)?.as_chunks().0.iter();
                bytes.map(|&bytes| f32::from_le_bytes(bytes)).collect()
            }
            dtype::FLOAT16 => {
                let bytes = source.constant(count, 2)?.as_chunks().0.iter();
                bytes.map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect()
            }
            dtype::INT8 => {
                let row = count / channels.max(1);
                let weights = source.weights(channels, row)?;
                let scales = weights.scales.iter().cycle().take(channels);
                let rows = weights.data.chunks_exact(row.max(1)).zip(scales);
                self.int8_weights = true;
                rows.flat_map(|(row, scale)| row.iter().map(move |&w| f32::from(w) * scale))
                    .collect()
            }
            found => return Err(source.wrong_dtype(found, "FLOAT32, FLOAT16 or INT8")),
        };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(source.refused(TensorProblem::NotFinite(value.to_string())));
        }
        self.account.tensors += 1;
        Ok(values)
    }

    fn bias(
        &mut self,
        operator: &Operator<'_>,
        channels: usize,
    ) -> Result<Option<Array1<f32>>, Refusal> {
        let Some(index) = operator.inputs.get(2).copied().flatten() else { return Ok(None) };
        let tensor = self.model.tensor(index)?;
        Ok(Some(Array1::from(self.floats(tensor, channels, channels)?)))
    }

    fn conv2d(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        let table = options(operator, options::CONV_2D)?;
        let padding = table.i8(0, "the padding")?;
        let stride = [side(&table, 2, "vertical stride")?, side(&table, 1, "horizontal stride")?];
        for (field, parameter) in [(4, "horizontal dilation"), (5, "vertical dilation")] {
            require(parameter, table.i32(field, 1, parameter)?, 1..=1, "1")?;
        }
        let x = self.input(operator, 0)?;
        let weights = self.tensor(operator, 1)?;
        let sides = weights.constant_sides(4)?;
        let [outputs, height, width, inputs] = [0, 1, 2, 3].map(|axis: usize| sides[axis]);
        let fits = inputs == x.shape()[2];
        weights.require_shape(fits, &format!("[O,KH,KW,{}], without groups", x.shape()[2]))?;
        let padding = around(x, [height, width], stride, padding)?;
        let values = self.floats(weights, outputs, sides.iter().product())?;
        let values = Array4::from_shape_vec([outputs, height, width, inputs], values);
        let layer = Conv2d {
            weights: values.map_err(|error| Unfit(error.to_string()))?,
            bias: self.bias(operator, outputs)?,
            stride: square(stride, "stride")?,
            padding,
            quantizer: None,
        };
        let y = graph.conv(&short(&weights.name()), x, layer)?;
        self.make_active(graph, operator, y, table.i8(3, "the activation")?)
    }

    fn fully_connected(
        &mut self,
        graph: &mut Assembler,
        operator: &Operator<'a>,
    ) -> Result<(), Refusal> {
        let table = options(operator, options::FULLY_CONNECTED)?;
        require("weights format", table.i8(1, "the weights format")?, 0..=0, "0 (DEFAULT)")?;
        let x = self.input(operator, 0)?;
        let weights = self.tensor(operator, 1)?;
        let sides = weights.constant_sides(2)?;
        let (outputs, inputs) = (sides[0], sides[1]);
        weights.require_shape(inputs == x.elements(), &format!("[O,{}]", x.elements()))?;
        let values = self.floats(weights, outputs, outputs.saturating_mul(inputs))?;
        let values = Array2::from_shape_vec([outputs, inputs], values);
        let values = values.map_err(|error| Unfit(error.to_string()))?;
        let bias = self.bias(operator, outputs)?.unwrap_or_else(|| Array1::zeros(outputs));
        let name = short(&weights.name());
        let layer = FullyConnected { weights: values, bias, quantizer: None };
        let y = graph.fully_connected(&name, x, layer, Order::ChannelsLast)?;
        self.make_active(graph, operator, y, table.i8(0, "the activation")?)
    }

    /// An addition of two activations, or one activation and a constant a channel.
    fn arithmetic(
        &mut self,
        graph: &mut Assembler,
        operator: &Operator<'a>,
    ) -> Result<(), Refusal> {
        let kind = match operator.code {
            op::ADD => options::ADD,
            op::SUB => options::SUB,
            op::MUL => options::MUL,
            _ => options::DIV,
        };
        let activation = options(operator, kind)?.i8(0, "the activation")?;
        let name = self.name(operator)?;
        let tensors = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        let made = tensors.map(|tensor| self.made.get(&tensor.index).copied());
        let commutes = matches!(operator.code, op::ADD | op::MUL);
        let y = match made {
            [Some(a), Some(b)] if operator.code == op::ADD => graph.sum(&name, a, b)?,
            [Some(_), Some(_)] => return Err(OperatorProblem::UnknownFloat.into()),
            [Some(x), None] => self.by_constant(graph, operator.code, &name, x, tensors[1])?,
            [None, Some(x)] if commutes => {
                self.by_constant(graph, operator.code, &name, x, tensors[0])?
            }
            [None, _] => return Err(tensors[0].refused(TensorProblem::NotMade).into()),
        };
        self.make_active(graph, operator, y, activation)
    }

    fn by_constant(
        &mut self,
        graph: &mut Assembler,
        code: i32,
        name: &str,
        x: Value,
        constant: Tensor<'a>,
    ) -> Result<Value, Refusal> {
        let channels = x.shape()[2];
        let sides = constant.sides(0)?;
        let (last, others) = sides.split_last().unwrap_or((&1, &[]));
        let count = usize::try_from(*last).unwrap_or(0);
        let fits = others.iter().all(|&side| side == 1) && (count == channels || count == 1);
        constant.require_shape(fits, &format!("[{channels}] or one value"))?;
        let values = self.floats(constant, 1, count)?;
        let values: Vec<f32> = values.iter().copied().cycle().take(channels).collect();
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let each = |f: fn(f32) -> f32| values.iter().map(|&v| f(v)).collect::<Vec<f32>>();
        let (scale, shift) = match code {
            op::ADD => (ones, values),
            op::SUB => (ones, each(|v| -v)),
            op::MUL => (values, zeros),
            _ => (each(f32::recip), zeros),
        };
        if let Some(value) = scale.iter().find(|value| !value.is_finite()) {
            return Err(constant.refused(TensorProblem::NotFinite(value.to_string())).into());
        }
        Ok(graph.affine(name, x, &scale, &shift)?)
    }

    fn average_pool(
        &mut self,
        graph: &mut Assembler,
        operator: &Operator<'a>,
    ) -> Result<(), Refusal> {
        let (x, name) = (self.input(operator, 0)?, self.name(operator)?);
        let (size, stride, padding, activation) = pool(operator)?;
        let whole = size == [x.shape()[0], x.shape()[1]];
        let own = around(x, size, stride, padding)?;
        if !whole || own != Padding::default() {
            return Err(Unfit::from("it is no mean over all positions").into());
        }
        let y = graph.global_average(&name, x, false)?;
        self.make_active(graph, operator, y, activation)
    }

    fn mean(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        options(operator, options::REDUCER)?;
        let (x, name) = (self.input(operator, 0)?, self.name(operator)?);
        let axes = self.tensor(operator, 1)?.integers(2)?;
        let mut axes: Vec<i64> = axes.iter().map(|&a| if a < 0 { a + 4 } else { a }).collect();
        axes.sort_unstable();
        if axes != [1, 2] {
            return Err(Unfit::from("it is no mean over all positions").into());
        }
        let flat = self.output(operator)?.sides(0)?.len() == 2;
        let y = graph.global_average(&name, x, flat)?;
        self.make(operator, y)
    }

    fn max_pool(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        let (x, name) = (self.input(operator, 0)?, self.name(operator)?);
        let (size, stride, padding, activation) = pool(operator)?;
        let own = around(x, size, stride, padding)?;
        let window = [square(size, "window")?, square(stride, "stride")?];
        let y = graph.max_pool(&name, x, window, own)?;
        self.make_active(graph, operator, y, activation)
    }

    fn softmax(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        let table = options(operator, options::SOFTMAX)?;
        let beta = f32::from_le_bytes(table.scalar(0, [0; 4], "the softmax's beta")?);
        if beta != 1.0 {
            return Err(Unfit(format!("its beta is {beta}, and has to be 1")).into());
        }
        let x = self.input(operator, 0)?;
        let y = graph.softmax(x)?;
        self.make(operator, y)
    }

    /// Elements stay where they are: only rows of all elements and their images are known.
    fn reshape(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        let x = self.input(operator, 0)?;
        let tensor = self.output(operator)?;
        let found = tensor.image_shape()?;
        let expected = x.shape();
        if expected.iter().product::<usize>() != found.iter().product::<usize>() {
            return Err(OperatorProblem::Shape { expected, found }.into());
        }
        if tensor.sides(0)?.len() != 2 {
            let y = graph.unflatten(x, found)?;
            return self.make(operator, y);
        }
        let y = graph.flatten(x)?;
        require_float(&tensor)?;
        match self.made.insert(tensor.index, y) {
            None => Ok(()),
            Some(_) => Err(tensor.refused(TensorProblem::MadeTwice).into()),
        }
    }

    fn pad(&mut self, graph: &mut Assembler, operator: &Operator<'a>) -> Result<(), Refusal> {
        const SIDE_MAX: i64 = 16_384;
        let x = self.input(operator, 0)?;
        let sides = self.tensor(operator, 1)?.integers(8)?;
        let side = |index: usize, max| {
            let side = sides.get(index).copied().unwrap_or(0);
            let expected = if max == 0 { "0 for the batch" } else { "0 to 16384" };
            require("padding", side, 0..=max, expected)
        };
        side(0, 0)?;
        side(1, 0)?;
        let all = |index| side(index, SIDE_MAX);
        let padding = Padding { top: all(2)?, bottom: all(3)?, left: all(4)?, right: all(5)? };
        let y = graph.pad(x, padding, [all(6)?, all(7)?])?;
        self.make(operator, y)
    }

    /// Each of so many rows and columns: where it begins and how many it takes say the rest.
    fn strided_slice(
        &mut self,
        graph: &mut Assembler,
        operator: &Operator<'a>,
    ) -> Result<(), Refusal> {
        let table = options(operator, options::STRIDED_SLICE)?;
        let begin_mask = table.i32(0, 0, "the begin mask")?;
        for (field, parameter) in [(2, "ellipsis mask"), (3, "new axis mask"), (4, "shrink mask")] {
            require(parameter, table.i32(field, 0, parameter)?, 0..=0, "0")?;
        }
        let x = self.input(operator, 0)?;
        let begin = self.tensor(operator, 1)?.integers(4)?;
        let strides = self.tensor(operator, 3)?.integers(4)?;
        for (axis, &begin) in begin.iter().enumerate() {
            let begin = if begin_mask >> axis & 1 == 1 { 0 } else { begin };
            require("begin", begin, 0..=0, "0")?;
        }
        for axis in [0, 3] {
            require("stride of batch or channels", strides[axis], 1..=1, "1")?;
        }
        let stride = |axis: usize| require("stride", strides[axis], 1..=255, "1 to 255");
        let y = graph.step(x, [stride(1)?, stride(2)?])?;
        self.make(operator, y)
    }

    /// Only constants are stored in other types than they are computed in.
    fn dequantize(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let (x, y) = (self.tensor(operator, 0)?, self.output(operator)?);
        if self.made.contains_key(&x.index) {
            return Err(Unfit::from("it is not of a constant").into());
        }
        require_float(&y)?;
        match self.converted.insert(y.index, x.index) {
            None => Ok(()),
            Some(_) => Err(y.refused(TensorProblem::MadeTwice).into()),
        }
    }
}

fn require_float(tensor: &Tensor<'_>) -> Result<(), TfliteError> {
    let found = tensor.dtype()?;
    if found == dtype::FLOAT32 { Ok(()) } else { Err(tensor.wrong_dtype(found, "FLOAT32")) }
}

/// Window, stride, padding and activation of a pooling.
fn pool(operator: &Operator<'_>) -> Result<([usize; 2], [usize; 2], i8, i8), Refusal> {
    let table = options(operator, options::POOL_2D)?;
    let stride = [side(&table, 2, "vertical stride")?, side(&table, 1, "horizontal stride")?];
    let size = [side(&table, 4, "window's height")?, side(&table, 3, "window's width")?];
    Ok((size, stride, table.i8(0, "the padding")?, table.i8(5, "the activation")?))
}

/// One number for rows and columns.
fn square([rows, columns]: [usize; 2], what: &str) -> Result<usize, Unfit> {
    let reason = || Unfit(format!("its {what} is {rows} by {columns}, and has to be square"));
    (rows == columns).then_some(rows).ok_or_else(reason)
}

/// The padding of a window by the file's number for it.
fn around(x: Value, size: [usize; 2], stride: [usize; 2], padding: i8) -> Result<Padding, Refusal> {
    let [height, width, _] = x.shape();
    let (_, [top, bottom]) = constants::window(height, size[0], stride[0], padding)?;
    let (_, [left, right]) = constants::window(width, size[1], stride[1], padding)?;
    Ok(Padding { top, left, bottom, right })
}
