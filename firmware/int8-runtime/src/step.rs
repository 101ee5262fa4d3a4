//! A decoded step: everything a kernel needs, proven when the model was loaded.

use crate::arena::{Span, elements, elements_mut};
#[cfg(not(target_os = "none"))]
use resmcu_int8_kernels::host::{HostConv2d, host_conv2d_s8};
use resmcu_int8_kernels::ops::add::{AddConstants, add_in_place_s8, add_s8};
use resmcu_int8_kernels::ops::average_pool2d::average_pool2d_s8;
use resmcu_int8_kernels::ops::conv2d::{Conv2d, conv2d_s8};
use resmcu_int8_kernels::ops::fully_connected::{fully_connected_native, fully_connected_tflite};
use resmcu_int8_kernels::ops::global_mean::global_mean_s8;
use resmcu_int8_kernels::ops::global_sum::global_sum_s8;
use resmcu_int8_kernels::ops::max_pool2d::max_pool2d_s8;
use resmcu_int8_kernels::ops::softmax::{SoftmaxScale, softmax_s8};
use resmcu_int8_kernels::ops::subsample_pad::{SubsampleShape, subsample_pad_s8};
use resmcu_int8_kernels::packed::{PackedConv2d, packed_conv2d_s8};
use resmcu_int8_kernels::requantize::{Native, NativeChannel, NativeJoin, Tflite, TfliteChannel};
use resmcu_int8_kernels::shape::Window;

/// One entry of the decoded plan.
#[derive(Clone, Copy, Debug)]
pub struct Step<'m> {
    /// The (first) input.
    pub(crate) x: Span,
    /// The output, which holds the residual before where one is joined.
    pub(crate) y: Span,
    pub(crate) work: Work<'m>,
}

/// The operator of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work<'m> {
    Conv2d(Conv2d<'m, Native>),
    Conv2dJoin(Conv2d<'m, NativeJoin>),
    Conv2dTflite(Conv2d<'m, Tflite>),
    Packed(PackedConv2d<'m>),
    #[cfg(not(target_os = "none"))]
    Host(HostConv2d<'m>),
    MaxPool2d {
        window: Window,
        clamp: [i8; 2],
    },
    AveragePool2d {
        window: Window,
        clamp: [i8; 2],
    },
    GlobalSum,
    GlobalMean {
        constants: &'m NativeChannel,
        requantize: Native,
    },
    GlobalMeanTflite {
        constants: &'m TfliteChannel,
        requantize: Tflite,
    },
    ClassifierS8 {
        weights: &'m [i8],
        channels: &'m [NativeChannel],
    },
    ClassifierS16 {
        weights: &'m [i8],
        channels: &'m [NativeChannel],
    },
    FullyConnected {
        weights: &'m [i8],
        channels: &'m [TfliteChannel],
        requantize: Tflite,
    },
    Add {
        other: Span,
        constants: &'m AddConstants,
        clamp: [i8; 2],
    },
    /// `x` is the other input; `own` is the number of the one that the output's memory holds.
    AddInPlace {
        own: u8,
        constants: &'m AddConstants,
        clamp: [i8; 2],
    },
    Softmax(SoftmaxScale),
    SubsamplePad {
        shape: SubsampleShape,
        zero: i8,
    },
}

impl Step<'_> {
    /// Computes the output from the tensors in `arena`, with `scratch` to work in.
    pub(crate) fn run(&self, arena: &mut [u8], scratch: &mut [u8]) {
        if let Work::Add { other, constants, clamp } = self.work {
            let spans = [self.x.range(), other.range(), self.y.range()];
            if let Ok([a, b, y]) = arena.get_disjoint_mut(spans) {
                add_s8(elements(a), elements(b), constants, clamp, elements_mut(y));
            }
            return;
        }
        // Input and output never overlap: the loader refused a plan where they would.
        if let Ok([x, y]) = arena.get_disjoint_mut([self.x.range(), self.y.range()]) {
            self.compute(x, y, scratch);
        }
    }

    fn compute(&self, x: &[u8], y: &mut [u8], scratch: &mut [u8]) {
        let words = scratch.len() - scratch.len() % size_of::<u32>();
        let (words, _) = scratch.split_at_mut(words);
        if let Work::Packed(layer) = &self.work {
            return packed_conv2d_s8(layer, elements(x), elements_mut(y), elements_mut(words));
        }
        #[cfg(not(target_os = "none"))]
        if let Work::Host(layer) = &self.work {
            return host_conv2d_s8(layer, elements(x), elements_mut(y), elements_mut(words));
        }
        let scratch = elements_mut(scratch);
        match &self.work {
            Work::Conv2d(layer) => conv2d_s8(layer, elements(x), elements_mut(y), scratch),
            Work::Conv2dJoin(layer) => conv2d_s8(layer, elements(x), elements_mut(y), scratch),
            Work::Conv2dTflite(layer) => conv2d_s8(layer, elements(x), elements_mut(y), scratch),
            Work::MaxPool2d { window, clamp } => {
                max_pool2d_s8(window, elements(x), *clamp, elements_mut(y));
            }
            Work::AveragePool2d { window, clamp } => {
                average_pool2d_s8(window, elements(x), *clamp, elements_mut(y));
            }
            Work::GlobalSum => global_sum_s8(elements(x), elements_mut(y)),
            Work::GlobalMean { constants, requantize } => {
                global_mean_s8(elements(x), *constants, *requantize, elements_mut(y));
            }
            Work::GlobalMeanTflite { constants, requantize } => {
                global_mean_s8(elements(x), *constants, *requantize, elements_mut(y));
            }
            Work::ClassifierS8 { weights, channels } => {
                fully_connected_native::<i8>(elements(x), weights, channels, elements_mut(y));
            }
            Work::ClassifierS16 { weights, channels } => {
                fully_connected_native::<i16>(elements(x), weights, channels, elements_mut(y));
            }
            Work::FullyConnected { weights, channels, requantize } => {
                let x = elements(x);
                fully_connected_tflite(x, weights, channels, *requantize, elements_mut(y));
            }
            Work::Add { .. } | Work::Packed(_) => {} // above
            #[cfg(not(target_os = "none"))]
            Work::Host(_) => {}
            Work::AddInPlace { own, constants, clamp } => {
                let own = usize::from(*own);
                add_in_place_s8(own, elements(x), constants, *clamp, elements_mut(y));
            }
            Work::Softmax(scale) => softmax_s8(elements(x), scale, elements_mut(y)),
            Work::SubsamplePad { shape, zero } => {
                subsample_pad_s8(shape, elements(x), *zero, elements_mut(y));
            }
        }
    }
}
