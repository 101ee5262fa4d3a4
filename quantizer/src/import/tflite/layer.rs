//! The operators, one after another.

use super::super::flatbuffer::Table;
use super::constants::{self, Quantization};
use super::convert::{Importer, Input, Refusal};
use super::error::{OperatorProblem, TfliteError};
use super::schema::{Operator, Tensor, Weights};
use crate::quantized::{Channels, PadValue, QuantizedOp};
use resmcu_int8_kernels::ops::softmax::CLASSES_MAX;
use resmcu_int8_kernels::requantize::TfliteChannel;

/// `BuiltinOptions`: the type of each operator's options.
pub(super) mod options {
    pub(crate) const CONV_2D: u8 = 1;
    pub(crate) const POOL_2D: u8 = 5;
    pub(crate) const FULLY_CONNECTED: u8 = 8;
    pub(crate) const SOFTMAX: u8 = 9;
    pub(crate) const ADD: u8 = 11;
    pub(crate) const MUL: u8 = 21;
    pub(crate) const REDUCER: u8 = 27;
    pub(crate) const SUB: u8 = 28;
    pub(crate) const DIV: u8 = 29;
    pub(crate) const STRIDED_SLICE: u8 = 32;
}

/// The most positions of a mean.
const POSITIONS_MAX: usize = 65_535;

/// The widest window and the largest stride: what a model file's 8 bits hold.
const WINDOW_MAX: i64 = 255;

/// The options of an operator, whose type has to be `kind`.
pub(super) fn options<'a>(operator: &Operator<'a>, kind: u8) -> Result<Table<'a>, Refusal> {
    let (found, table) = operator.options;
    table.filter(|_| found == kind).ok_or_else(|| OperatorProblem::Options.into())
}

pub(super) fn require(
    parameter: &'static str,
    found: impl Into<i64>,
    range: std::ops::RangeInclusive<i64>,
    expected: &'static str,
) -> Result<usize, Refusal> {
    let found = found.into();
    let problem = OperatorProblem::Parameter { parameter, found, expected };
    let inside = usize::try_from(found).ok().filter(|_| range.contains(&found));
    inside.ok_or_else(|| problem.into())
}

/// A side of a window or a stride.
pub(super) fn side(
    table: &Table<'_>,
    field: usize,
    parameter: &'static str,
) -> Result<usize, Refusal> {
    require(parameter, table.i32(field, 0, parameter)?, 1..=WINDOW_MAX, "1 to 255")
}

fn same_quantization(x: Quantization, y: Quantization) -> Result<(), Refusal> {
    let problem = "its input and its output differ in scale or zero point";
    if x == y { Ok(()) } else { Err(OperatorProblem::Input(problem).into()) }
}

impl<'a> Importer<'a> {
    pub(super) fn conv2d(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let table = options(operator, options::CONV_2D)?;
        let padding = table.i8(0, "the padding")?;
        let stride = [side(&table, 2, "vertical stride")?, side(&table, 1, "horizontal stride")?];
        for (field, parameter) in [(4, "horizontal dilation"), (5, "vertical dilation")] {
            require(parameter, table.i32(field, 1, parameter)?, 1..=1, "1")?;
        }
        let x = self.window_input(operator)?;
        let y = self.output(operator)?;
        let weights = self.constant(operator, 1)?;
        let sides = weights.weight_sides(4)?;
        let [outputs, height, width, inputs] = sides[..] else {
            return Err(OperatorProblem::Options.into());
        };
        let expected = format!("[O,KH,KW,{}], KH and KW at most {WINDOW_MAX}", x.shape[2]);
        let fits = inputs == x.shape[2] && height.max(width) <= WINDOW_MAX as usize;
        weights.require_shape(fits, &expected)?;
        let loaded = self.weights(&weights, outputs, height * width * inputs)?;
        let multipliers = per_channel(&loaded, x.quantization, y.quantization, outputs)?;
        let bias = self.bias(operator, outputs)?;
        let channels = fold(&loaded.data, &bias, x.quantization.zero_point, &multipliers)?;
        let (positions, sliding) = Self::sliding(&x, [height, width], stride, padding)?;
        let conv = QuantizedOp::Conv2d {
            input: x.id,
            sliding,
            pad_value: PadValue::Uniform(x.quantization.zero_point),
            weights: loaded.data,
            channels: Channels::Tflite(channels),
            clamp: constants::clamp(table.i8(3, "the activation")?, y.quantization)?,
            skip: None,
        };
        self.push(&weights.name(), conv, &y, [positions[0], positions[1], outputs])
    }

    pub(super) fn fully_connected(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let table = options(operator, options::FULLY_CONNECTED)?;
        require("weights format", table.i8(1, "the weights format")?, 0..=0, "0 (DEFAULT)")?;
        let x = self.flat_input(operator)?;
        let y = self.output(operator)?;
        let weights = self.constant(operator, 1)?;
        let sides = weights.weight_sides(2)?;
        let elements: usize = x.shape.iter().product();
        weights.require_shape(sides[1] == elements, &format!("[O,{elements}]"))?;
        let outputs = sides[0];
        let loaded = self.weights(&weights, outputs, elements)?;
        let multipliers = match loaded.scales[..] {
            [scale] => {
                self.check_bias_scale(operator, &x, scale, y.quantization)?;
                vec![constants::tensor_multiplier(x.quantization, scale, y.quantization)?; outputs]
            }
            _ => per_channel(&loaded, x.quantization, y.quantization, outputs)?,
        };
        let bias = self.bias(operator, outputs)?;
        let channels = fold(&loaded.data, &bias, x.quantization.zero_point, &multipliers)?;
        let layer = QuantizedOp::FullyConnected {
            input: x.id,
            weights: loaded.data,
            channels: Channels::Tflite(channels),
            clamp: constants::clamp(table.i8(0, "the activation")?, y.quantization)?,
        };
        self.push(&weights.name(), layer, &y, [1, 1, outputs])
    }

    pub(super) fn add(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let table = options(operator, options::ADD)?;
        let [a, b] = [self.plain_input(operator, 0)?, self.plain_input(operator, 1)?];
        let y = self.output(operator)?;
        if a.shape != b.shape {
            let problem = "its inputs differ in shape: broadcasting is not supported";
            return Err(OperatorProblem::Input(problem).into());
        }
        if a.id == b.id {
            let problem = "it adds a tensor to itself";
            return Err(OperatorProblem::Input(problem).into());
        }
        let add = QuantizedOp::Add {
            inputs: [a.id, b.id],
            constants: constants::add([a.quantization, b.quantization], y.quantization)?,
            clamp: constants::clamp(table.i8(0, "the activation")?, y.quantization)?,
        };
        self.push(&y.tensor.name(), add, &y, a.shape)
    }

    pub(super) fn pool2d(&mut self, operator: &Operator<'a>, max: bool) -> Result<(), Refusal> {
        let table = options(operator, options::POOL_2D)?;
        let padding = table.i8(0, "the padding")?;
        let stride = [side(&table, 2, "vertical stride")?, side(&table, 1, "horizontal stride")?];
        let size = [side(&table, 4, "window's height")?, side(&table, 3, "window's width")?];
        let input = if max { self.window_input(operator) } else { self.plain_input(operator, 0) }?;
        let y = self.output(operator)?;
        same_quantization(input.quantization, y.quantization)?;
        let (positions, sliding) = Self::sliding(&input, size, stride, padding)?;
        let [top, left, bottom, right] = sliding.padding;
        let narrow = top.max(bottom) < size[0] && left.max(right) < size[1];
        // Zeros around a maximum change nothing where zero is the least that there is.
        let counts = input.padding != [0; 4] && input.quantization.zero_point != i8::MIN;
        if counts || !narrow {
            let problem = "its padding by a PAD would change the largest value";
            return Err(OperatorProblem::Input(problem).into());
        }
        let clamp = constants::clamp(table.i8(5, "the activation")?, y.quantization)?;
        let pool = if max {
            QuantizedOp::MaxPool2d { input: input.id, sliding, clamp }
        } else {
            QuantizedOp::AveragePool2d { input: input.id, sliding, clamp }
        };
        self.push(&y.tensor.name(), pool, &y, [positions[0], positions[1], input.shape[2]])
    }

    pub(super) fn mean(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        options(operator, options::REDUCER)?;
        let x = self.plain_input(operator, 0)?;
        let y = self.output(operator)?;
        let axes = self.constant(operator, 1)?.integers(2)?;
        let mut axes: Vec<i64> = axes.iter().map(|&a| if a < 0 { a + 4 } else { a }).collect();
        axes.sort_unstable();
        let positions = x.shape[0] * x.shape[1];
        if axes != [1, 2] || positions > POSITIONS_MAX {
            let problem = "it is no mean over height and width, of 65,535 positions at most";
            return Err(OperatorProblem::Input(problem).into());
        }
        let constants = constants::mean(x.quantization, y.quantization, positions)?;
        let mean = QuantizedOp::GlobalMean {
            input: x.id,
            constants: Channels::Tflite(vec![constants]),
            clamp: [i8::MIN, i8::MAX],
        };
        self.push(&y.tensor.name(), mean, &y, [1, 1, x.shape[2]])
    }

    pub(super) fn softmax(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let table = options(operator, options::SOFTMAX)?;
        let x = self.plain_input(operator, 0)?;
        let y = self.output(operator)?;
        let expected = Quantization { scale: 1.0 / 256.0, zero_point: i8::MIN };
        if y.quantization != expected {
            let problem = "its output has to have the scale 1/256 and the zero point -128";
            return Err(OperatorProblem::Input(problem).into());
        }
        if x.shape[..2] != [1, 1] || x.shape[2] > usize::from(CLASSES_MAX) {
            let problem = "its input has to be [1,C] with at most 4095 classes";
            return Err(OperatorProblem::Input(problem).into());
        }
        let beta = f32::from_le_bytes(table.scalar(0, [0; 4], "the softmax's beta")?);
        let scale = constants::softmax(beta, x.quantization)?;
        let softmax = QuantizedOp::Softmax { input: x.id, scale };
        self.push(&y.tensor.name(), softmax, &y, x.shape)
    }

    /// The elements stay where they are, so a reshape has only to be of as many elements.
    pub(super) fn reshape(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let x = self.flat_input(operator)?;
        let y = self.output(operator)?;
        let count = |shape: [usize; 3]| shape.iter().product::<usize>();
        if count(x.shape) != count(y.shape) {
            let (expected, found) = (x.shape, y.shape);
            return Err(OperatorProblem::Shape { expected, found }.into());
        }
        self.rename(&x, &y, [0; 4])
    }

    pub(super) fn pad(&mut self, operator: &Operator<'a>) -> Result<(), Refusal> {
        let x = self.window_input(operator)?;
        let y = self.output(operator)?;
        let sides = self.constant(operator, 1)?.integers(8)?;
        let side = |index: usize| sides.get(index).copied().unwrap_or(0);
        for (index, parameter) in [(0, "batch"), (1, "batch"), (6, "channel"), (7, "channel")] {
            require(parameter, side(index), 0..=0, "padded by 0")?;
        }
        let around = |index| require("padding", side(index), 0..=WINDOW_MAX, "0 to 255");
        let [top, bottom, left, right] = [around(2)?, around(3)?, around(4)?, around(5)?];
        let [height, width, channels] = x.shape;
        let expected = [height + top + bottom, width + left + right, channels];
        if y.shape != expected {
            return Err(OperatorProblem::Shape { expected, found: y.shape }.into());
        }
        let own = [top, left, bottom, right];
        self.rename(&x, &y, [0, 1, 2, 3].map(|side| own[side] + x.padding[side]))
    }

    /// Input number `index` of an operator, which has to be a constant.
    fn constant(&self, operator: &Operator<'_>, index: usize) -> Result<Tensor<'a>, Refusal> {
        let missing = OperatorProblem::Count { what: "inputs", found: operator.inputs.len() };
        let tensor = operator.inputs.get(index).copied().flatten().ok_or(missing)?;
        Ok(self.model.tensor(tensor)?)
    }

    fn weights(
        &mut self,
        tensor: &Tensor<'a>,
        channels: usize,
        row: usize,
    ) -> Result<Weights, TfliteError> {
        self.count_weights(channels.saturating_mul(row))?;
        tensor.weights(channels, row)
    }

    /// The bias, zeros where it is left out.
    fn bias(&self, operator: &Operator<'_>, channels: usize) -> Result<Vec<i32>, Refusal> {
        match operator.inputs.get(2).copied().flatten() {
            Some(tensor) => Ok(self.model.tensor(tensor)?.bias(channels)?),
            None => Ok(vec![0; channels]),
        }
    }

    /// What TensorFlow Lite Micro demands of the bias of a layer with one scale for all weights.
    fn check_bias_scale(
        &self,
        operator: &Operator<'_>,
        x: &Input,
        weights: f32,
        y: Quantization,
    ) -> Result<(), Refusal> {
        const STEPS_MAX: f64 = 0.02;
        let Some(bias) = operator.inputs.get(2).copied().flatten() else { return Ok(()) };
        let scale = f64::from(self.model.tensor(bias)?.bias_scale()?);
        let product = f64::from(x.quantization.scale) * f64::from(weights);
        let steps = (product - scale).abs() / f64::from(y.scale);
        let problem = "its bias does not have the scale of input times weights";
        if steps <= STEPS_MAX { Ok(()) } else { Err(OperatorProblem::Input(problem).into()) }
    }
}

/// Multiplier and shift of each output channel.
fn per_channel(
    weights: &Weights,
    x: Quantization,
    y: Quantization,
    channels: usize,
) -> Result<Vec<(i32, i32)>, OperatorProblem> {
    let scales = weights.scales.iter().cycle().take(channels);
    scales.map(|&scale| constants::channel_multiplier(x, scale, y)).collect()
}

/// The constants of each channel, with `-z_x * sum(w)` folded into the bias.
fn fold(
    weights: &[i8],
    bias: &[i32],
    zero_point: i8,
    multipliers: &[(i32, i32)],
) -> Result<Vec<TfliteChannel>, OperatorProblem> {
    let rows = weights.chunks_exact((weights.len() / bias.len().max(1)).max(1));
    let channels = rows.zip(bias).zip(multipliers).enumerate();
    channels
        .map(|(channel, ((row, &bias), &(multiplier, shift)))| {
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let bias = i64::from(bias) - i64::from(zero_point) * sum;
            let folded =
                i32::try_from(bias).map_err(|_| OperatorProblem::Bias { channel, bias })?;
            Ok(TfliteChannel { bias: folded, multiplier, shift })
        })
        .collect()
}
