//! From records to decoded steps: what the format cannot prove, because it knows no kernel.

use crate::arena::Span;
use crate::error::LoadError;
use crate::step::{Step, Work};
#[cfg(not(target_os = "none"))]
use resmcu_int8_kernels::host::{self, HOST_KERNEL, HostChannels, HostConv2d};
use resmcu_int8_kernels::ops::conv2d::{
    Conv2d, NUMBER_S4, NUMBER_S8, Pad, Weights, packed_len, packed_len_s4, scratch_len,
};
use resmcu_int8_kernels::ops::softmax::SoftmaxScale;
use resmcu_int8_kernels::ops::subsample_pad::SubsampleShape;
use resmcu_int8_kernels::packed::{Kernel, PackedConv2d};
use resmcu_int8_kernels::requantize::{
    NATIVE_ACCUMULATOR_MAX, Native, NativeChannel, NativeJoin, TFLITE_ACCUMULATOR_MAX, Tflite,
    TfliteChannel,
};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::{
    self as format, DataRef, Dtype, ModelFile, Op, PadValue, Profile, Tensor,
};
use zerocopy::{FromBytes, Immutable};

/// Decodes one record after another.
pub(crate) struct Decoder<'f, 'm> {
    pub(crate) file: &'f ModelFile<'m>,
    /// Index of the step that is being decoded.
    pub(crate) step: u16,
}

impl<'m> Decoder<'_, 'm> {
    pub(crate) fn decode(&self, record: &format::Step<'m>) -> Result<Step<'m>, LoadError> {
        let y = self.tensor(record.output)?;
        if let (Some(kernel), Op::Conv2d(conv)) = (Kernel::from_number(record.kernel), &record.op) {
            let work = self.packed_conv2d(record.kernel, kernel, conv, &y)?;
            return Ok(Step { x: span(&self.tensor(conv.input)?), y: span(&y), work });
        }
        #[cfg(not(target_os = "none"))]
        if let (HOST_KERNEL, Op::Conv2d(conv)) = (record.kernel, &record.op) {
            let work = self.host_conv2d(conv, &y)?;
            return Ok(Step { x: span(&self.tensor(conv.input)?), y: span(&y), work });
        }
        let is_generic = match record.op {
            Op::Conv2d(_) => [NUMBER_S8, NUMBER_S4].contains(&record.kernel),
            _ => record.kernel == NUMBER_S8,
        };
        if !is_generic {
            return Err(LoadError::Kernel { step: self.step, kernel: record.kernel });
        }
        let (x, work) = match &record.op {
            Op::Conv2d(conv) => (conv.input, self.conv2d(record.kernel, conv, &y)?),
            Op::MaxPool2d(pool) | Op::AveragePool2d(pool) => {
                let window = self.window(pool.input, &y, pool.kernel_size, pool.stride)?;
                let window = Window { padding: [pool.padding[0], pool.padding[1]], ..window };
                let clamp = pool.clamp;
                let largest = matches!(record.op, Op::MaxPool2d(_));
                let max = Work::MaxPool2d { window, clamp };
                (pool.input, if largest { max } else { Work::AveragePool2d { window, clamp } })
            }
            Op::GlobalSum(sum) => (sum.input, Work::GlobalSum),
            Op::GlobalMean(mean) => (mean.input, self.global_mean(mean, &y)?),
            Op::FullyConnected(fc) => (fc.input, self.fully_connected(fc, &y)?),
            Op::Add(add) => self.add(add)?,
            Op::Softmax(softmax) => {
                let format::Softmax { input, multiplier, shift, difference_min } = *softmax;
                (input, Work::Softmax(SoftmaxScale { multiplier, shift, difference_min }))
            }
            Op::SubsamplePad(op) => {
                let shape = SubsampleShape {
                    input: self.tensor(op.input)?.shape,
                    output: y.shape,
                    stride: op.stride,
                    channels_before: op.channels_before,
                };
                (op.input, Work::SubsamplePad { shape, zero: y.zero_point as i8 })
            }
        };
        Ok(Step { x: span(&self.tensor(x)?), y: span(&y), work })
    }

    fn global_mean(
        &self,
        mean: &format::GlobalMean,
        y: &Tensor<'_>,
    ) -> Result<Work<'m>, LoadError> {
        let clamp = mean.clamp;
        if self.file.header().profile == Profile::Tflite {
            let [constants] = self.tflite_channels(mean.channels, 1)? else {
                return Err(self.data_size(mean.channels, size_of::<TfliteChannel>()));
            };
            let requantize = Tflite { zero_point: y.zero_point, clamp };
            return Ok(Work::GlobalMeanTflite { constants, requantize });
        }
        let [constants] = self.native_channels(mean.channels, 1)? else {
            return Err(self.data_size(mean.channels, size_of::<NativeChannel>()));
        };
        Ok(Work::GlobalMean { constants, requantize: Native { clamp } })
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
    ) -> Result<Work<'m>, LoadError> {
        let (window, pad) = self.sliding(conv, y)?;
        self.scratch(scratch_len(&window))?;
        let weights = match kernel {
            NUMBER_S4 => Weights::Int4(self.records(conv.weights, packed_len_s4(&window))?),
            _ => Weights::Int8(self.weights(conv.weights, packed_len(&window))?),
        };
        let outputs = usize::from(y.shape[2]);
        self.accumulator(conv.accumulator_bound)?;
        let clamp = conv.clamp;
        if self.file.header().profile == Profile::Tflite {
            if kernel != NUMBER_S8 {
                return Err(LoadError::NotForKernel { step: self.step, kernel });
            }
            let channels = self.tflite_channels(conv.channels, outputs)?;
            let requantize = Tflite { zero_point: y.zero_point, clamp };
            let layer = Conv2d { window, pad, weights, channels, requantize };
            return Ok(Work::Conv2dTflite(layer));
        }
        let channels = self.native_channels(conv.channels, outputs)?;
        Ok(if conv.skip.is_some() {
            let requantize = NativeJoin { clamp };
            Work::Conv2dJoin(Conv2d { window, pad, weights, channels, requantize })
        } else {
            let requantize = Native { clamp };
            Work::Conv2d(Conv2d { window, pad, weights, channels, requantize })
        })
    }

    /// A convolution of a kernel with a packing of its own, if it computes this layer exactly.
    fn packed_conv2d(
        &self,
        number: u16,
        kernel: Kernel,
        conv: &format::Conv2d,
        y: &Tensor<'_>,
    ) -> Result<Work<'m>, LoadError> {
        let not_for = LoadError::NotForKernel { step: self.step, kernel: number };
        if self.file.header().profile != Profile::Native {
            return Err(not_for);
        }
        let (window, pad) = self.sliding(conv, y)?;
        self.accumulator(conv.accumulator_bound)?;
        let channels = self.native_channels(conv.channels, usize::from(y.shape[2]))?;
        if !kernel.accepts(&window, conv.clamp, channels) {
            return Err(not_for);
        }
        self.scratch(kernel.scratch_words_min(&window).saturating_mul(4))?;
        let packed = self.records(conv.weights, kernel.packed_words(&window))?;
        let join = conv.skip.is_some();
        let clamp = conv.clamp;
        Ok(Work::Packed(PackedConv2d { kernel, window, pad, packed, clamp, join }))
    }

    /// A convolution that a host packed anew for itself.
    #[cfg(not(target_os = "none"))]
    fn host_conv2d(&self, conv: &format::Conv2d, y: &Tensor<'_>) -> Result<Work<'m>, LoadError> {
        let (window, pad) = self.sliding(conv, y)?;
        self.accumulator(conv.accumulator_bound)?;
        self.scratch(host::scratch_words(&window).saturating_mul(4))?;
        let packed = self.records(conv.weights, host::packed_words(&window))?;
        let (outputs, join) = (usize::from(y.shape[2]), conv.skip.is_some());
        let channels = if self.file.header().profile == Profile::Tflite {
            let channels = self.tflite_channels(conv.channels, outputs)?;
            HostChannels::Tflite { channels, zero_point: y.zero_point }
        } else {
            HostChannels::Native { channels: self.native_channels(conv.channels, outputs)?, join }
        };
        Ok(Work::Host(HostConv2d { window, pad, packed, channels, clamp: conv.clamp }))
    }

    /// The window of a convolution, and what it reads outside of its input.
    fn sliding(
        &self,
        conv: &format::Conv2d,
        y: &Tensor<'_>,
    ) -> Result<(Window, Pad<'m>), LoadError> {
        let window = self.window(conv.input, y, conv.kernel_size, conv.stride)?;
        let window = Window { padding: [conv.padding[0], conv.padding[1]], ..window };
        let pad = match conv.pad_value {
            PadValue::Uniform(value) => Pad::Uniform(value),
            PadValue::PerChannel(data) => Pad::PerChannel(self.weights(data, data.bytes as usize)?),
        };
        Ok((window, pad))
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
    ) -> Result<Work<'m>, LoadError> {
        let x = self.tensor(fc.input)?;
        let outputs = usize::from(y.shape[2]);
        let inputs = usize::try_from(x.elements()).unwrap_or(usize::MAX);
        let weights = self.weights(fc.weights, inputs.saturating_mul(outputs))?;
        self.accumulator(fc.accumulator_bound)?;
        if self.file.header().profile == Profile::Tflite {
            let channels = self.tflite_channels(fc.channels, outputs)?;
            let requantize = Tflite { zero_point: y.zero_point, clamp: fc.clamp };
            return Ok(Work::FullyConnected { weights, channels, requantize });
        }
        let channels = self.native_channels(fc.channels, outputs)?;
        Ok(match x.dtype {
            Dtype::I16 => Work::ClassifierS16 { weights, channels },
            Dtype::I8 | Dtype::I32 => Work::ClassifierS8 { weights, channels },
        })
    }

    /// The operator, and the tensor that is its `x`.
    fn add(&self, add: &format::Add) -> Result<(u16, Work<'m>), LoadError> {
        let constants: &[resmcu_int8_kernels::ops::add::AddConstants] =
            self.records(add.parameters, 1)?;
        let [constants] = constants else {
            return Err(self.data_size(add.parameters, 0));
        };
        if !constants.is_valid() {
            return Err(LoadError::Channel { step: self.step, channel: 0 });
        }
        let (clamp, [first, second]) = (add.clamp, add.inputs);
        Ok(match add.in_place {
            Some(0) => (second, Work::AddInPlace { own: 0, constants, clamp }),
            Some(_) => (first, Work::AddInPlace { own: 1, constants, clamp }),
            None => {
                let other = span(&self.tensor(second)?);
                (first, Work::Add { other, constants, clamp })
            }
        })
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

/// The place of a tensor. The format has checked that it is inside the arena.
pub(crate) fn span(tensor: &Tensor<'_>) -> Span {
    let bytes = u32::try_from(tensor.bytes()).unwrap_or(u32::MAX);
    Span { offset: tensor.offset, bytes }
}
