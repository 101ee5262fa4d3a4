//! A decoded step: everything a kernel needs, proven when the model was loaded.

use crate::arena::{elements, elements_mut};
#[cfg(not(target_os = "none"))]
use resmcu_int8_kernels::host::{self, HostChannels, HostConv2d, host_conv2d_s8};
use resmcu_int8_kernels::ops::add::{AddConstants, add_in_place_s8, add_s8};
use resmcu_int8_kernels::ops::average_pool2d::{average_pool2d_s8, mean_of_sums_s16};
use resmcu_int8_kernels::ops::conv2d::{
    Conv2d, Pad, Weights, conv2d_s8, packed_len, packed_len_s4,
};
use resmcu_int8_kernels::ops::fully_connected::{fully_connected_native, fully_connected_tflite};
use resmcu_int8_kernels::ops::global_mean::{global_mean_s8, global_mean_s16};
use resmcu_int8_kernels::ops::global_sum::{add_rows_s8, global_sum_s8};
use resmcu_int8_kernels::ops::max_pool2d::max_pool2d_s8;
use resmcu_int8_kernels::ops::softmax::{SoftmaxScale, softmax_s8};
use resmcu_int8_kernels::ops::subsample_pad::{SubsampleShape, subsample_pad_s8};
use resmcu_int8_kernels::packed::{Kernel, PackedConv2d, packed_conv2d_s8};
use resmcu_int8_kernels::requantize::{
    Form, Native, NativeChannel, NativeJoin, Requantize, Tflite, TfliteChannel,
};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::flow::{Flow, Flows};
use resmcu_model_format::{DataRef, ModelFile, PadValue};
use zerocopy::{FromBytes, Immutable};

/// One entry of a decoded plan: a tensor, how far it has come, and the step that makes it. It
/// refers to the model file by offsets, so it outlives any borrow of it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub(crate) flow: Flow,
    pub(crate) work: Work,
}

impl Step {
    /// An entry that waits to be filled.
    pub const VACANT: Self = Self { flow: Flow::VACANT, work: Work::None };
}

impl AsRef<Flow> for Step {
    fn as_ref(&self) -> &Flow {
        &self.flow
    }
}

impl AsMut<Flow> for Step {
    fn as_mut(&mut self) -> &mut Flow {
        &mut self.flow
    }
}

/// Where a layer's numbers lie in the data section, and how its results are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub(crate) weights: u32,
    pub(crate) channels: u32,
    pub(crate) form: Form,
    pub(crate) clamp: [i8; 2],
    pub(crate) zero_point: i8,
    /// Whether the generic kernel reads weights of four bits.
    pub(crate) is_int4: bool,
}

/// What computes a convolution. One type for all, so that a step takes as many bytes on a host as
/// on a device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// The generic kernel.
    Generic,
    /// One with a packing of its own.
    Packed(Kernel),
    /// The kernel of this host, for which it packed the layer anew.
    #[cfg(not(target_os = "none"))]
    Host,
}

/// The operator of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// The input, which comes from outside.
    None,
    Conv2d {
        by: By,
        window: Window,
        pad: PadValue,
        layer: Layer,
    },
    MaxPool2d {
        window: Window,
        clamp: [i8; 2],
    },
    AveragePool2d {
        window: Window,
        clamp: [i8; 2],
    },
    /// The division of the sums over a window of so many positions.
    MeanOfSums {
        positions: u16,
        clamp: [i8; 2],
    },
    GlobalSum,
    /// Whether its input is the sums, int16.
    GlobalMean {
        sums: bool,
        layer: Layer,
    },
    /// Whether its input is int16, and its outputs.
    FullyConnected {
        wide: bool,
        outputs: u16,
        layer: Layer,
    },
    Add {
        constants: u32,
        clamp: [i8; 2],
    },
    /// `own` is the number of the input that the output's memory holds.
    AddInPlace {
        own: u8,
        constants: u32,
        clamp: [i8; 2],
    },
    Softmax(SoftmaxScale),
    SubsamplePad {
        shape: SubsampleShape,
        zero: i8,
    },
}

/// Rows of a step, and of its first input the rows that go into them.
#[derive(Clone, Copy)]
struct Rows {
    x: [u16; 2],
    y: [u16; 2],
}

/// Memory to compute in.
pub(crate) struct Memory<'a> {
    pub(crate) arena: &'a mut [u8],
    pub(crate) scratch: &'a mut [u8],
}

/// Makes `rows` of tensor number `tensor`.
pub(crate) fn run(
    file: &ModelFile<'_>,
    flows: &Flows<'_, Step>,
    (tensor, y_rows): (u16, [u16; 2]),
    memory: Memory<'_>,
) {
    let Some(step) = flows.0.get(usize::from(tensor)) else { return };
    let [input, other] = step.flow.inputs;
    let rows = Rows { x: step.flow.reach.rows(y_rows, flows.at(input).height), y: y_rows };
    let (x_place, y_place) = (flows.place(input, rows.x), flows.place(tensor, y_rows));
    let Memory { arena, scratch } = memory;
    if let Work::Add { constants, clamp } = step.work {
        let spans = [x_place, flows.place(other, y_rows), y_place];
        if let (Ok([a, b, y]), [constants]) =
            (arena.get_disjoint_mut(spans), records::<AddConstants>(file, constants, 1))
        {
            add_s8(elements(a), elements(b), constants, clamp, elements_mut(y));
        }
        return;
    }
    // Input and output never overlap: the loader refused a plan where they would.
    if let Ok([x, y]) = arena.get_disjoint_mut([x_place, y_place]) {
        let is_whole = y_rows == [0, step.flow.height];
        compute(file, (&step.work, is_whole), rows, x, y, scratch);
    }
}

/// Constants of the data section; the loader has proven that they are there.
fn records<'m, T: FromBytes + Immutable>(
    file: &ModelFile<'m>,
    offset: u32,
    count: usize,
) -> &'m [T] {
    let bytes = u32::try_from(count.saturating_mul(size_of::<T>())).unwrap_or(u32::MAX);
    elements(file.data(DataRef { offset, bytes }))
}

fn compute(
    file: &ModelFile<'_>,
    (work, is_whole): (&Work, bool),
    rows: Rows,
    x: &[u8],
    y: &mut [u8],
    scratch: &mut [u8],
) {
    match work {
        Work::Conv2d { by, window, pad, layer } => {
            let places = (window.of_rows(rows.x, rows.y), pad_of(file, *pad));
            let (x, y) = (elements(x), elements_mut(y));
            match by {
                By::Generic => conv2d(file, layer, places, x, y, scratch),
                By::Packed(kernel) => packed_conv2d(file, (*kernel, layer), places, x, y, scratch),
                #[cfg(not(target_os = "none"))]
                By::Host => host_conv2d(file, layer, places, x, y, scratch),
            }
        }
        Work::MaxPool2d { window, clamp } => {
            let window = window.of_rows(rows.x, rows.y);
            max_pool2d_s8(&window, elements(x), *clamp, elements_mut(y));
        }
        Work::AveragePool2d { window, clamp } => {
            let window = window.of_rows(rows.x, rows.y);
            average_pool2d_s8(&window, elements(x), *clamp, elements_mut(y));
        }
        Work::GlobalSum => {
            if is_whole {
                return global_sum_s8(elements(x), elements_mut(y));
            }
            if rows.y[0] == 0 {
                y.fill(0);
            }
            add_rows_s8(elements(x), elements_mut(y));
        }
        Work::MeanOfSums { positions, clamp } => {
            mean_of_sums_s16(elements(x), *positions, *clamp, elements_mut(y));
        }
        Work::GlobalMean { sums, layer } => global_mean(file, layer, *sums, x, elements_mut(y)),
        Work::FullyConnected { wide, outputs, layer } => {
            fully_connected(file, layer, (*wide, usize::from(*outputs)), x, y);
        }
        Work::None | Work::Add { .. } => {} // above
        Work::AddInPlace { own, constants, clamp } => {
            if let [constants] = records(file, *constants, 1) {
                let own = usize::from(*own);
                add_in_place_s8(own, elements(x), constants, *clamp, elements_mut(y));
            }
        }
        Work::Softmax(scale) => softmax_s8(elements(x), scale, elements_mut(y)),
        Work::SubsamplePad { shape, zero } => {
            let height = |[begin, end]: [u16; 2]| end.saturating_sub(begin);
            let mut shape = *shape;
            (shape.input[0], shape.output[0]) = (height(rows.x), height(rows.y));
            subsample_pad_s8(&shape, elements(x), *zero, elements_mut(y));
        }
    }
}

fn packed_conv2d(
    file: &ModelFile<'_>,
    (kernel, layer): (Kernel, &Layer),
    (window, pad): (Window, Pad<'_>),
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u8],
) {
    let packed = records(file, layer.weights, kernel.packed_words(&window));
    let Layer { clamp, form, zero_point, .. } = *layer;
    let layer = PackedConv2d { kernel, window, pad, packed, clamp, form, zero_point };
    let (words, _) = scratch.as_chunks_mut::<{ size_of::<u32>() }>();
    packed_conv2d_s8(&layer, x, y, elements_mut(words.as_flattened_mut()));
}

fn conv2d(
    file: &ModelFile<'_>,
    layer: &Layer,
    (window, pad): (Window, Pad<'_>),
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u8],
) {
    let weights = if layer.is_int4 {
        Weights::Int4(records(file, layer.weights, packed_len_s4(&window)))
    } else {
        Weights::Int8(records(file, layer.weights, packed_len(&window)))
    };
    let outputs = usize::from(window.output[2]);
    let (clamp, scratch) = (layer.clamp, elements_mut(scratch));
    let native: &[NativeChannel] = match layer.form {
        Form::Tflite => &[],
        Form::Native | Form::NativeJoin => records(file, layer.channels, outputs),
    };
    match layer.form {
        Form::Native => {
            let requantize = Native { clamp };
            let layer = Conv2d { window, pad, weights, channels: native, requantize };
            conv2d_s8(&layer, x, y, scratch);
        }
        Form::NativeJoin => {
            let requantize = NativeJoin { clamp };
            let layer = Conv2d { window, pad, weights, channels: native, requantize };
            conv2d_s8(&layer, x, y, scratch);
        }
        Form::Tflite => {
            let channels: &[TfliteChannel] = records(file, layer.channels, outputs);
            let requantize = Tflite { zero_point: layer.zero_point.into(), clamp };
            let layer = Conv2d { window, pad, weights, channels, requantize };
            conv2d_s8(&layer, x, y, scratch);
        }
    }
}

fn pad_of<'m>(file: &ModelFile<'m>, pad: PadValue) -> Pad<'m> {
    match pad {
        PadValue::Uniform(value) => Pad::Uniform(value),
        PadValue::PerChannel(data) => Pad::PerChannel(elements(file.data(data))),
    }
}

#[cfg(not(target_os = "none"))]
fn host_conv2d(
    file: &ModelFile<'_>,
    layer: &Layer,
    (window, pad): (Window, Pad<'_>),
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u8],
) {
    let outputs = usize::from(window.output[2]);
    let channels = match layer.form {
        Form::Tflite => HostChannels::Tflite {
            channels: records(file, layer.channels, outputs),
            zero_point: layer.zero_point.into(),
        },
        form => HostChannels::Native {
            channels: records(file, layer.channels, outputs),
            join: form == Form::NativeJoin,
        },
    };
    let packed = records(file, layer.weights, host::packed_words(&window));
    let conv = HostConv2d { window, pad, packed, channels, clamp: layer.clamp };
    let (words, _) = scratch.as_chunks_mut::<{ size_of::<u32>() }>();
    host_conv2d_s8(&conv, x, y, elements_mut(words.as_flattened_mut()));
}

fn global_mean(file: &ModelFile<'_>, layer: &Layer, sums: bool, x: &[u8], y: &mut [i8]) {
    let clamp = layer.clamp;
    if layer.form == Form::Tflite {
        if let [constants] = records::<TfliteChannel>(file, layer.channels, 1) {
            let requantize = Tflite { zero_point: layer.zero_point.into(), clamp };
            mean(constants, requantize, sums, x, y);
        }
    } else if let [constants] = records::<NativeChannel>(file, layer.channels, 1) {
        mean(constants, Native { clamp }, sums, x, y);
    }
}

fn mean<R: Requantize>(constants: &R::Channel, requantize: R, sums: bool, x: &[u8], y: &mut [i8]) {
    if sums {
        global_mean_s16(elements(x), constants, requantize, y);
    } else {
        global_mean_s8(elements(x), constants, requantize, y);
    }
}

fn fully_connected(
    file: &ModelFile<'_>,
    layer: &Layer,
    (wide, outputs): (bool, usize),
    x: &[u8],
    y: &mut [u8],
) {
    let inputs = if wide { x.len() / 2 } else { x.len() };
    let weights = records(file, layer.weights, inputs.saturating_mul(outputs));
    if layer.form == Form::Tflite {
        let channels: &[TfliteChannel] = records(file, layer.channels, outputs);
        let requantize = Tflite { zero_point: layer.zero_point.into(), clamp: layer.clamp };
        let (x, y) = (elements(x), elements_mut(y));
        return fully_connected_tflite(x, weights, channels, requantize, y);
    }
    let channels = records(file, layer.channels, outputs);
    if wide {
        fully_connected_native::<i16>(elements(x), weights, channels, elements_mut(y));
    } else {
        fully_connected_native::<i8>(elements(x), weights, channels, elements_mut(y));
    }
}
