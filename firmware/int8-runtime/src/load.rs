//! From records to decoded steps: what the format cannot prove, because it knows no kernel.

use crate::error::LoadError;
use crate::step::{By, Layer, Step, Work};
#[cfg(not(target_os = "none"))]
use resmcu_int8_kernels::host::{self, HOST_KERNEL};
use resmcu_int8_kernels::ops::conv2d::{
    NUMBER_S4, NUMBER_S8, packed_len, packed_len_s4, scratch_len,
};
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_int8_kernels::ops::subsample_pad::SubsampleShape;
use resmcu_int8_kernels::packed::{Channels, Kernel};
use resmcu_int8_kernels::requantize::{
    Form, NATIVE_ACCUMULATOR_MAX, NativeChannel, TFLITE_ACCUMULATOR_MAX, TfliteChannel,
};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::flow::{Flow, Flows, NONE, prove};
use resmcu_model_format::{
    self as format, DataRef, Dtype, ModelFile, Op, PadValue, Profile, Tensor,
};
use zerocopy::{FromBytes, Immutable};

/// Fills `plan`, which has an entry for each tensor: its step, and its part in the walk. Then walks
/// through it once, to prove every place.
pub(crate) fn decode(file: &ModelFile<'_>, plan: &mut [Step]) -> Result<(), LoadError> {
    let at = format::PREFIX_BYTES as u32;
    let refused = |problem| LoadError::Parse(format::ParseError { at, problem });
    plan.fill(Step::VACANT);
    let records = file.steps().zip(file.tensors().skip(1));
    if let (Some(input), Some(place)) = (file.tensor(0), plan.first_mut()) {
        place.flow = Flow::input(&input);
    }
    for ((step, place), (record, y)) in (0u16..).zip(1..plan.len()).zip(records) {
        let work = Decoder { file, step }.work(&record, &y)?;
        let x = record.op.inputs()[0].unwrap_or(NONE);
        let mut flows = Flows(&mut *plan);
        let (flow, residual) = Flow::output(&y, &record, flows.at(x).height);
        flows.enter(step.saturating_add(1), flow, residual).map_err(refused)?;
        if let Some(place) = plan.get_mut(place) {
            place.work = work;
        }
    }
    prove(&mut Flows(plan)).map_err(refused)
}

/// Decodes one record.
struct Decoder<'f, 'm> {
    file: &'f ModelFile<'m>,
    /// Index of the step that is being decoded.
    step: u16,
}

impl<'m> Decoder<'_, 'm> {
    fn work(&self, record: &format::Step<'m>, y: &Tensor<'_>) -> Result<Work, LoadError> {
        if let (Some(kernel), Op::Conv2d(conv)) = (Kernel::from_number(record.kernel), &record.op) {
            return self.packed_conv2d(record.kernel, kernel, conv, y);
        }
        #[cfg(not(target_os = "none"))]
        if let (HOST_KERNEL, Op::Conv2d(conv)) = (record.kernel, &record.op) {
            return self.host_conv2d(conv, y);
        }
        let is_generic = match record.op {
            Op::Conv2d(_) => [NUMBER_S8, NUMBER_S4].contains(&record.kernel),
            _ => record.kernel == NUMBER_S8,
        };
        if !is_generic {
            return Err(LoadError::Kernel { step: self.step, kernel: record.kernel });
        }
        Ok(match &record.op {
            Op::Conv2d(conv) => self.conv2d(record.kernel, conv, y)?,
            Op::AveragePool2d(pool) if self.tensor(pool.input)?.dtype == Dtype::I16 => {
                let [rows, columns] = pool.kernel_size.map(u16::from);
                Work::MeanOfSums { positions: rows.saturating_mul(columns), clamp: pool.clamp }
            }
            Op::MaxPool2d(pool) | Op::AveragePool2d(pool) => {
                let window = self.window(pool.input, y, pool.kernel_size, pool.stride)?;
                let window = Window { padding: [pool.padding[0], pool.padding[1]], ..window };
                let clamp = pool.clamp;
                let largest = matches!(record.op, Op::MaxPool2d(_));
                let max = Work::MaxPool2d { window, clamp };
                if largest { max } else { Work::AveragePool2d { window, clamp } }
            }
            Op::GlobalSum(_) => Work::GlobalSum,
            Op::GlobalMean(mean) => {
                self.channels(mean.channels, 1)?;
                let none = DataRef { offset: 0, bytes: 0 };
                let sums = self.tensor(mean.input)?.dtype == Dtype::I16;
                let layer = layer((none, mean.channels), self.form(), mean.clamp, y);
                Work::GlobalMean { sums, layer }
            }
            Op::FullyConnected(fc) => self.fully_connected(fc, y)?,
            Op::Add(add) => self.add(add)?,
            Op::Softmax(softmax) => {
                let format::Softmax { multiplier, shift, difference_min, .. } = *softmax;
                Work::Softmax(SoftmaxScale { multiplier, shift, difference_min })
            }
            Op::SubsamplePad(op) => {
                let shape = SubsampleShape {
                    input: self.tensor(op.input)?.shape,
                    output: y.shape,
                    stride: op.stride,
                    channels_before: op.channels_before,
                };
                Work::SubsamplePad { shape, zero: y.zero_point as i8 }
            }
        })
    }

    /// A tensor that the format has checked to be there.
    fn tensor(&self, index: u16) -> Result<Tensor<'m>, LoadError> {
        let tensors = self.file.header().tensors;
        let problem = format::Problem::NoSuchTensor { step: self.step, tensor: index, tensors };
        self.file.tensor(index).ok_or(LoadError::Parse(format::ParseError { at: 0, problem }))
    }

    fn window(
        &self,
        input: u16,
        y: &Tensor<'_>,
        size: [u8; 2],
        stride: [u8; 2],
    ) -> Result<Window, LoadError> {
        let input = self.tensor(input)?.shape;
        Ok(Window { input, output: y.shape, size, stride, padding: [0, 0] })
    }

    fn conv2d(
        &self,
        kernel: u16,
        conv: &format::Conv2d,
        y: &Tensor<'_>,
    ) -> Result<Work, LoadError> {
        let (window, pad) = self.sliding(conv, y)?;
        self.scratch(scratch_len(&window))?;
        let is_int4 = kernel == NUMBER_S4;
        if is_int4 {
            self.records::<u16>(conv.weights, packed_len_s4(&window))?;
        } else {
            self.weights(conv.weights, packed_len(&window))?;
        }
        if is_int4 && self.form() == Form::Tflite {
            return Err(LoadError::NotForKernel { step: self.step, kernel });
        }
        self.accumulator(conv.accumulator_bound)?;
        self.channels(conv.channels, y.shape[2])?;
        let form = match self.form() {
            Form::Native if conv.skip.is_some() => Form::NativeJoin,
            form => form,
        };
        let layer = layer((conv.weights, conv.channels), form, conv.clamp, y);
        let layer = Layer { is_int4, ..layer };
        Ok(Work::Conv2d { by: By::Generic, window, pad, layer })
    }

    /// A convolution of a kernel with a packing of its own, if it computes this layer exactly.
    fn packed_conv2d(
        &self,
        number: u16,
        kernel: Kernel,
        conv: &format::Conv2d,
        y: &Tensor<'_>,
    ) -> Result<Work, LoadError> {
        let (window, pad) = self.sliding(conv, y)?;
        self.accumulator(conv.accumulator_bound)?;
        let outputs = usize::from(y.shape[2]);
        let (channels, form) = match self.form() {
            Form::Tflite => {
                let channels = self.tflite_channels(conv.channels, outputs)?;
                let zero_point = y.zero_point as i8;
                (Channels::Tflite { channels, zero_point }, Form::Tflite)
            }
            form => {
                let channels = self.native_channels(conv.channels, outputs)?;
                let join = conv.skip.is_some();
                (Channels::Native(channels), if join { Form::NativeJoin } else { form })
            }
        };
        let bounded = match form {
            Form::Tflite => conv.accumulator_bound <= kernel.tflite_accumulator_max(),
            Form::Native | Form::NativeJoin => true,
        };
        if !bounded || !kernel.accepts(&window, conv.clamp, channels) {
            return Err(LoadError::NotForKernel { step: self.step, kernel: number });
        }
        self.scratch(kernel.scratch_words_min(&window).saturating_mul(4))?;
        self.records::<u32>(conv.weights, kernel.packed_words(&window))?;
        let layer = layer((conv.weights, conv.channels), form, conv.clamp, y);
        Ok(Work::Conv2d { by: By::Packed(kernel), window, pad, layer })
    }

    /// A convolution that a host packed anew for itself.
    #[cfg(not(target_os = "none"))]
    fn host_conv2d(&self, conv: &format::Conv2d, y: &Tensor<'_>) -> Result<Work, LoadError> {
        let (window, pad) = self.sliding(conv, y)?;
        self.accumulator(conv.accumulator_bound)?;
        self.scratch(host::scratch_words(&window).saturating_mul(4))?;
        self.records::<u32>(conv.weights, host::packed_words(&window))?;
        self.channels(conv.channels, y.shape[2])?;
        let form = match self.form() {
            Form::Native if conv.skip.is_some() => Form::NativeJoin,
            form => form,
        };
        let layer = layer((conv.weights, conv.channels), form, conv.clamp, y);
        Ok(Work::Conv2d { by: By::Host, window, pad, layer })
    }

    /// The window of a convolution, and what it reads outside of its input.
    fn sliding(
        &self,
        conv: &format::Conv2d,
        y: &Tensor<'_>,
    ) -> Result<(Window, PadValue), LoadError> {
        let window = self.window(conv.input, y, conv.kernel_size, conv.stride)?;
        let window = Window { padding: [conv.padding[0], conv.padding[1]], ..window };
        Ok((window, conv.pad_value))
    }

    /// That the header declares as much working memory as a kernel needs.
    fn scratch(&self, need: usize) -> Result<(), LoadError> {
        let declared = self.file.header().scratch_bytes;
        if need <= declared as usize {
            return Ok(());
        }
        let need = u32::try_from(need).unwrap_or(u32::MAX);
        Err(LoadError::Scratch { step: self.step, need, declared })
    }

    fn fully_connected(
        &self,
        fc: &format::FullyConnected,
        y: &Tensor<'_>,
    ) -> Result<Work, LoadError> {
        let x = self.tensor(fc.input)?;
        let inputs = usize::try_from(x.elements()).unwrap_or(usize::MAX);
        self.weights(fc.weights, inputs.saturating_mul(usize::from(y.shape[2])))?;
        self.accumulator(fc.accumulator_bound)?;
        self.channels(fc.channels, y.shape[2])?;
        let layer = layer((fc.weights, fc.channels), self.form(), fc.clamp, y);
        Ok(Work::FullyConnected { wide: x.dtype == Dtype::I16, outputs: y.shape[2], layer })
    }

    fn add(&self, add: &format::Add) -> Result<Work, LoadError> {
        let constants: &[resmcu_int8_kernels::ops::add::AddConstants] =
            self.records(add.parameters, 1)?;
        let [constants] = constants else {
            return Err(self.data_size(add.parameters, 0));
        };
        if !constants.is_valid() {
            return Err(LoadError::Channel { step: self.step, channel: 0 });
        }
        let (clamp, constants) = (add.clamp, add.parameters.offset);
        Ok(match add.in_place {
            Some(own) => Work::AddInPlace { own: own.min(1), constants, clamp },
            None => Work::Add { constants, clamp },
        })
    }

    fn form(&self) -> Form {
        match self.file.header().profile {
            Profile::Native => Form::Native,
            Profile::Tflite => Form::Tflite,
        }
    }

    /// That the constants of all output channels are there, and inside their limits.
    fn channels(&self, reference: DataRef, outputs: u16) -> Result<(), LoadError> {
        let outputs = usize::from(outputs);
        match self.file.header().profile {
            Profile::Native => self.native_channels(reference, outputs).map(|_| ()),
            Profile::Tflite => self.tflite_channels(reference, outputs).map(|_| ()),
        }
    }

    fn accumulator(&self, found: u32) -> Result<(), LoadError> {
        let limit = match self.file.header().profile {
            Profile::Native => NATIVE_ACCUMULATOR_MAX,
            Profile::Tflite => TFLITE_ACCUMULATOR_MAX,
        };
        let error = LoadError::Accumulator { step: self.step, found, limit };
        if found <= limit { Ok(()) } else { Err(error) }
    }

    fn data_size(&self, reference: DataRef, expected: usize) -> LoadError {
        let expected = u32::try_from(expected).unwrap_or(u32::MAX);
        LoadError::DataSize { step: self.step, found: reference.bytes, expected }
    }

    fn weights(&self, reference: DataRef, bytes: usize) -> Result<&'m [i8], LoadError> {
        self.records(reference, bytes)
    }

    fn records<T: FromBytes + Immutable>(
        &self,
        reference: DataRef,
        count: usize,
    ) -> Result<&'m [T], LoadError> {
        // The file may lie at any address, so the alignment is checked here too.
        let records = <[T]>::ref_from_bytes(self.file.data(reference)).ok();
        let records = records.filter(|records| records.len() == count);
        records.ok_or(self.data_size(reference, count.saturating_mul(size_of::<T>())))
    }

    fn native_channels(
        &self,
        reference: DataRef,
        count: usize,
    ) -> Result<&'m [NativeChannel], LoadError> {
        let channels = self.records(reference, count)?;
        self.valid(channels, NativeChannel::is_valid)
    }

    fn tflite_channels(
        &self,
        reference: DataRef,
        count: usize,
    ) -> Result<&'m [TfliteChannel], LoadError> {
        let channels = self.records(reference, count)?;
        self.valid(channels, TfliteChannel::is_valid)
    }

    fn valid<T>(
        &self,
        channels: &'m [T],
        is_valid: impl Fn(&T) -> bool,
    ) -> Result<&'m [T], LoadError> {
        match (0u16..).zip(channels).find(|(_, channel)| !is_valid(channel)) {
            Some((channel, _)) => Err(LoadError::Channel { step: self.step, channel }),
            None => Ok(channels),
        }
    }
}

fn layer(
    (weights, channels): (DataRef, DataRef),
    form: Form,
    clamp: [i8; 2],
    y: &Tensor<'_>,
) -> Layer {
    let (weights, channels) = (weights.offset, channels.offset);
    Layer { weights, channels, form, clamp, zero_point: y.zero_point as i8, is_int4: false }
}
