//! Tensors, buffers and operators of the file as they are put together.

use super::super::flatbuffer::{Field, Table};
use super::{Problem, activation, scale};
use crate::import::tflite::constants::{self, Quantization};
use resmcu_int8_kernels::ops::add::AddConstants;
use resmcu_int8_kernels::ops::conv2d;
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_int8_kernels::requantize::TfliteChannel;
use resmcu_model_format::{self as format, ALIGNMENT, DataRef, ModelFile, PadValue, Step};
use zerocopy::{FromBytes, IntoBytes};

/// `TensorType`.
const INT8: u8 = 9;
const INT32: u8 = 2;

/// An operator: its number, the version that has int8, and the number of its options.
type Kind = (i32, i32, u8);

const ADD: Kind = (0, 2, 11);
const AVERAGE_POOL_2D: Kind = (1, 2, 5);
const CONV_2D: Kind = (3, 3, 1);
const FULLY_CONNECTED: Kind = (9, 4, 8);
const MAX_POOL_2D: Kind = (17, 2, 5);
const SOFTMAX: Kind = (25, 2, 9);
const PAD: Kind = (34, 2, 22);
const MEAN: Kind = (40, 2, 27);

pub(super) struct Writer<'a> {
    model: &'a ModelFile<'a>,
    activations: Vec<format::Tensor<'a>>,
    /// Which of them are `[1,C]` in the file.
    rows: Vec<bool>,
    /// Of the file: the model's activations keep their numbers, constants follow.
    tensors: Vec<Table>,
    buffers: Vec<Table>,
    codes: Vec<Kind>,
    operators: Vec<Table>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(model: &'a ModelFile<'a>) -> Self {
        let activations: Vec<_> = model.tensors().collect();
        // Buffer 0 is the empty one of all that is no constant.
        let (tensors, buffers) = (Vec::new(), vec![Table::default()]);
        let (codes, operators) = (Vec::new(), Vec::new());
        let rows = vec![false; activations.len()];
        let mut writer = Self { model, activations, rows, tensors, buffers, codes, operators };
        for step in model.steps() {
            // Rows of classes have no height and width there; a softmax keeps what it reads.
            let row = |input: u16| writer.rows.get(usize::from(input)) == Some(&true);
            let is_row = match step.op {
                format::Op::FullyConnected(_) => true,
                format::Op::Softmax(softmax) => row(softmax.input),
                format::Op::Add(add) => add.inputs.into_iter().all(row),
                _ => false,
            };
            if let Some(row) = writer.rows.get_mut(usize::from(step.output)) {
                *row = is_row;
            }
        }
        for index in 0..writer.activations.len() {
            let tensor = writer.activations[index];
            let [height, width, channels] = tensor.shape.map(i32::from);
            let shape = match writer.rows[index] {
                true => vec![1, channels],
                false => vec![1, height, width, channels],
            };
            let zero_point = i64::from(tensor.zero_point);
            writer.tensor(tensor.name, &shape, INT8, 0, &[tensor.scale], zero_point);
        }
        writer
    }

    fn tensor(
        &mut self,
        name: &str,
        shape: &[i32],
        dtype: u8,
        buffer: usize,
        scales: &[f32],
        zero_point: i64,
    ) -> i32 {
        let mut table =
            Table::default().ints(0, shape).byte(1, dtype).int(2, buffer as i32).text(3, name);
        if !scales.is_empty() {
            let zeros = vec![zero_point; scales.len()];
            table = table.table(4, Table::default().floats(2, scales).longs(3, &zeros));
        }
        self.tensors.push(table);
        (self.tensors.len() - 1) as i32
    }

    fn constant(
        &mut self,
        name: &str,
        shape: &[i32],
        dtype: u8,
        bytes: Vec<u8>,
        scales: &[f32],
    ) -> i32 {
        let data = Field::Numbers { size: 1, align: ALIGNMENT as usize, bytes };
        self.buffers.push(Table::default().with(0, data));
        self.tensor(name, shape, dtype, self.buffers.len() - 1, scales, 0)
    }

    fn operator(&mut self, kind: Kind, inputs: &[i32], output: i32, options: Table) {
        let known = self.codes.iter().position(|code| *code == kind);
        let code = known.unwrap_or_else(|| {
            self.codes.push(kind);
            self.codes.len() - 1
        });
        let operator = Table::default()
            .int(0, code as i32)
            .ints(1, inputs)
            .ints(2, &[output])
            .byte(3, kind.2)
            .table(4, options);
        self.operators.push(operator);
    }

    /// Scale and zero point of an activation.
    fn quantization(&self, tensor: u16) -> Result<Quantization, Problem> {
        let tensor = &self.activations[usize::from(tensor)];
        let zero_point = i8::try_from(tensor.zero_point);
        let zero_point = zero_point.map_err(|_| "a zero point of it is no int8")?;
        Ok(Quantization { scale: tensor.scale, zero_point })
    }

    fn shape(&self, tensor: u16) -> [usize; 3] {
        self.activations[usize::from(tensor)].shape.map(usize::from)
    }

    /// Weights as they are in the model.
    fn int8s(&self, reference: DataRef) -> &'a [i8] {
        <[i8]>::ref_from_bytes(self.model.data(reference)).unwrap_or_default()
    }

    fn channels(&self, reference: DataRef, count: usize) -> Result<Vec<TfliteChannel>, Problem> {
        let channels = <[TfliteChannel]>::ref_from_bytes(self.model.data(reference));
        let channels = channels.map_err(|_| "its constants are broken")?;
        if channels.len() == count { Ok(channels.to_vec()) } else { Err("its constants".into()) }
    }

    /// The padding by its number (0 SAME, 1 VALID), and the tensor to read: after a `PAD` where
    /// neither is meant.
    fn padded(
        &mut self,
        step: &Step<'_>,
        input: u16,
        [size, stride]: [[u8; 2]; 2],
        padding: [u8; 4],
    ) -> Result<(u8, i32), Problem> {
        if self.rows[usize::from(input)] {
            return Err("its input is a row of a full connection".into());
        }
        let [height, width, channels] = self.shape(input);
        let [rows, columns, _] = self.shape(step.output);
        let [top, left, bottom, right] = padding.map(usize::from);
        if [size, stride].concat().contains(&0) {
            return Err("its window or stride is empty".into());
        }
        let fits = |height: usize, width: usize, number: i8, own: [usize; 4]| {
            let axis = |side, axis: usize| {
                constants::window(side, size[axis].into(), stride[axis].into(), number).ok()
            };
            let (Some(vertical), Some(horizontal)) = (axis(height, 0), axis(width, 1)) else {
                return false;
            };
            (vertical, horizontal) == ((rows, [own[0], own[2]]), (columns, [own[1], own[3]]))
        };
        for number in [1, 0] {
            if fits(height, width, number, [top, left, bottom, right]) {
                return Ok((number as u8, i32::from(input)));
            }
        }
        let (taller, wider) = (height + top + bottom, width + left + right);
        if !fits(taller, wider, 1, [0; 4]) {
            return Err("its windows leave rows or columns out that no padding does".into());
        }
        let sides = [0, 0, top, bottom, left, right, 0, 0];
        let bytes = sides.iter().flat_map(|&side| (side as i32).to_le_bytes()).collect();
        let name = format!("{}/paddings", step.name);
        let sides = self.constant(&name, &[4, 2], INT32, bytes, &[]);
        let shape = [1, taller as i32, wider as i32, channels as i32];
        let Quantization { scale, zero_point } = self.quantization(input)?;
        let name = format!("{}/padded", step.name);
        let padded = self.tensor(&name, &shape, INT8, 0, &[scale], zero_point.into());
        self.operator(PAD, &[i32::from(input), sides], padded, Table::default());
        Ok((1, padded))
    }

    /// The constants of a layer: weights `[O, ..]` with their scales, and the bias.
    fn parameters(
        &mut self,
        step: &Step<'_>,
        input: u16,
        data: &[i8],
        shape: &[i32],
        (channels, scales): (&[TfliteChannel], &[f32]),
    ) -> Result<[i32; 2], Problem> {
        let x = self.quantization(input)?;
        let count: usize = shape.iter().map(|&side| side as usize).product();
        if data.len() != count || count == 0 {
            return Err("its weights are not of its shape".into());
        }
        let rows = data.chunks_exact(count / channels.len().max(1));
        let mut biases = Vec::with_capacity(4 * channels.len());
        for (row, channel) in rows.zip(channels) {
            let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
            let bias = i64::from(channel.bias) + i64::from(x.zero_point) * sum;
            let bias = i32::try_from(bias).map_err(|_| "its bias is no int32")?;
            biases.extend(bias.to_le_bytes());
        }
        let products: Vec<f32> = scales.iter().map(|scale| scale * x.scale).collect();
        let bytes = data.as_bytes().to_vec();
        let weights = self.constant(step.name, shape, INT8, bytes, scales);
        let name = format!("{}/bias", step.name);
        let bias = self.constant(&name, &[channels.len() as i32], INT32, biases, &products);
        Ok([weights, bias])
    }

    pub(super) fn conv2d(&mut self, step: &Step<'_>, conv: &format::Conv2d) -> Result<(), Problem> {
        let (x, y) = (self.quantization(conv.input)?, self.quantization(step.output)?);
        if conv.skip.is_some() || conv.pad_value != PadValue::Uniform(x.zero_point) {
            return Err("it is of the profile `native`".into());
        }
        let (outputs, inputs) = (self.shape(step.output)[2], self.shape(conv.input)[2]);
        let channels = self.channels(conv.channels, outputs)?;
        let scale_of = |(index, channel): (usize, &TfliteChannel)| {
            let found = scale::of_channel(x, y, (channel.multiplier, channel.shift));
            found.ok_or(Problem::Multiplier(index))
        };
        let scales = channels.iter().enumerate().map(scale_of).collect::<Result<Vec<_>, _>>()?;
        let [height, width] = conv.kernel_size.map(i32::from);
        let shape = [outputs as i32, height, width, inputs as i32];
        let windows = [conv.kernel_size, conv.stride];
        let (padding, source) = self.padded(step, conv.input, windows, conv.padding)?;
        let patch = (height * width) as usize * inputs;
        let mut unpacked = vec![0; outputs * patch];
        if !conv2d::unpack(self.int8s(conv.weights), patch, &mut unpacked) {
            return Err("its weights are not of its shape".into());
        }
        let [weights, bias] =
            self.parameters(step, conv.input, &unpacked, &shape, (&channels, &scales))?;
        let options = Table::default()
            .byte(0, padding)
            .int(1, conv.stride[1].into())
            .int(2, conv.stride[0].into())
            .byte(3, activation(conv.clamp, y)?)
            .int(4, 1)
            .int(5, 1);
        self.operator(CONV_2D, &[source, weights, bias], step.output.into(), options);
        Ok(())
    }

    pub(super) fn fully_connected(
        &mut self,
        step: &Step<'_>,
        layer: &format::FullyConnected,
    ) -> Result<(), Problem> {
        let (x, y) = (self.quantization(layer.input)?, self.quantization(step.output)?);
        let outputs = self.shape(step.output)[2];
        let inputs: usize = self.shape(layer.input).iter().product();
        let channels = self.channels(layer.channels, outputs)?;
        let constants = |channel: &TfliteChannel| (channel.multiplier, channel.shift);
        let first = channels.first().map(constants).unwrap_or_default();
        let one = channels.iter().all(|channel| constants(channel) == first);
        let single = scale::of_tensor(x, y, first).filter(|_| one);
        let scales = match single {
            Some(scale) => vec![scale],
            None => {
                let scale_of = |(index, channel): (usize, &TfliteChannel)| {
                    let found = scale::of_channel(x, y, constants(channel));
                    found.ok_or(Problem::Multiplier(index))
                };
                channels.iter().enumerate().map(scale_of).collect::<Result<Vec<_>, _>>()?
            }
        };
        let shape = [outputs as i32, inputs as i32];
        let [weights, bias] = self.parameters(
            step,
            layer.input,
            self.int8s(layer.weights),
            &shape,
            (&channels, &scales),
        )?;
        let options = Table::default().byte(0, activation(layer.clamp, y)?);
        let inputs = [i32::from(layer.input), weights, bias];
        self.operator(FULLY_CONNECTED, &inputs, step.output.into(), options);
        Ok(())
    }

    pub(super) fn pool2d(
        &mut self,
        step: &Step<'_>,
        pool: &format::Pool2d,
        max: bool,
    ) -> Result<(), Problem> {
        let y = self.quantization(step.output)?;
        let windows = [pool.kernel_size, pool.stride];
        let before = self.operators.len();
        let (padding, source) = self.padded(step, pool.input, windows, pool.padding)?;
        let is_padded = self.operators.len() > before;
        if is_padded && !(max && y.zero_point == i8::MIN) {
            return Err("its padding is neither SAME nor VALID".into());
        }
        let options = Table::default()
            .byte(0, padding)
            .int(1, pool.stride[1].into())
            .int(2, pool.stride[0].into())
            .int(3, pool.kernel_size[1].into())
            .int(4, pool.kernel_size[0].into())
            .byte(5, activation(pool.clamp, y)?);
        let kind = if max { MAX_POOL_2D } else { AVERAGE_POOL_2D };
        self.operator(kind, &[source], step.output.into(), options);
        Ok(())
    }

    pub(super) fn mean(
        &mut self,
        step: &Step<'_>,
        mean: &format::GlobalMean,
    ) -> Result<(), Problem> {
        let (x, y) = (self.quantization(mean.input)?, self.quantization(step.output)?);
        let [height, width, _] = self.shape(mean.input);
        let found = TfliteChannel::read_from_bytes(self.model.data(mean.channels));
        let found = found.map_err(|_| "its constants are broken")?;
        if constants::mean(x, y, height * width) != Ok(found) {
            return Err("its constants are not those of its scales".into());
        }
        if activation(mean.clamp, y)? != 0 {
            return Err("a mean has no activation there".into());
        }
        let axes = [1_i32, 2].iter().flat_map(|axis| axis.to_le_bytes()).collect();
        let axes = self.constant("axes", &[2], INT32, axes, &[]);
        let options = Table::default().byte(0, 1); // height and width are kept as sides of one
        self.operator(MEAN, &[i32::from(mean.input), axes], step.output.into(), options);
        Ok(())
    }

    pub(super) fn add(&mut self, step: &Step<'_>, add: &format::Add) -> Result<(), Problem> {
        let y = self.quantization(step.output)?;
        let inputs = [self.quantization(add.inputs[0])?, self.quantization(add.inputs[1])?];
        let [a, b] = add.inputs.map(|input| self.rows[usize::from(input)]);
        if a != b {
            return Err("it adds a row of a full connection and an image".into());
        }
        let found = AddConstants::read_from_bytes(self.model.data(add.parameters));
        let found = found.map_err(|_| "its constants are broken")?;
        if constants::add(inputs, y) != Ok(found) {
            return Err("its constants are not those of its scales".into());
        }
        let options = Table::default().byte(0, activation(add.clamp, y)?);
        self.operator(ADD, &add.inputs.map(i32::from), step.output.into(), options);
        Ok(())
    }

    pub(super) fn softmax(
        &mut self,
        step: &Step<'_>,
        softmax: &format::Softmax,
    ) -> Result<(), Problem> {
        let &format::Softmax { input, multiplier, shift, difference_min } = softmax;
        let found = SoftmaxScale { multiplier, shift, difference_min };
        let beta = scale::of_softmax(self.quantization(input)?, found);
        let beta = beta.ok_or("no beta gives its constants")?;
        let options = Table::default().float(0, beta);
        self.operator(SOFTMAX, &[i32::from(input)], step.output.into(), options);
        Ok(())
    }

    /// The file; none where it would be too long.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        const SCHEMA: i32 = 3;
        let last = self.activations.len() as i32 - 1;
        let code = |&(number, version, _): &Kind| {
            // All are below 127, so that the field of old readers holds them too.
            Table::default().byte(0, number as u8).int(2, version).int(3, number)
        };
        let graph = Table::default()
            .tables(0, self.tensors)
            .ints(1, &[0])
            .ints(2, &[last])
            .tables(3, self.operators)
            .text(4, self.model.header().name);
        let root = Table::default()
            .int(0, SCHEMA)
            .tables(1, self.codes.iter().map(code).collect())
            .tables(2, vec![graph])
            .text(3, "resmcu")
            .tables(4, self.buffers);
        root.file(*b"TFL3")
    }
}
