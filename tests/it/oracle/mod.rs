//! The arithmetic once more, written from the specification (README of `int8-kernels`) in wide
//! integers and naive loops. Calls nothing that it judges: of the firmware's crates it knows the
//! records of constants, no function.

mod add;
mod average_pool2d;
mod conv2d;
mod fully_connected;
mod global_mean;
mod global_sum;
mod max_pool2d;
pub(crate) mod network;
mod requantize;
pub(crate) mod softmax;
mod subsample_pad;

pub(crate) use add::add;
pub(crate) use average_pool2d::{average_pool2d, mean_of_sums};
pub(crate) use conv2d::conv2d;
pub(crate) use fully_connected::{fully_connected_native, fully_connected_tflite};
pub(crate) use global_mean::global_mean;
pub(crate) use global_sum::global_sum;
pub(crate) use max_pool2d::max_pool2d;
pub(crate) use softmax::softmax;
pub(crate) use subsample_pad::subsample_pad;

use resmcu_quantizer::quantized::Sliding;

/// A tensor `[H,W,C]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tensor<T> {
    pub(crate) shape: [usize; 3],
    pub(crate) elements: Vec<T>,
}

impl<T: Copy> Tensor<T> {
    pub(crate) fn new(shape: [usize; 3], elements: Vec<T>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), elements.len());
        Self { shape, elements }
    }

    /// Each element from its place.
    pub(crate) fn from_fn(shape: [usize; 3], mut f: impl FnMut([usize; 3]) -> T) -> Self {
        let [height, width, channels] = shape;
        let mut elements = Vec::with_capacity(height * width * channels);
        for h in 0..height {
            for w in 0..width {
                for c in 0..channels {
                    elements.push(f([h, w, c]));
                }
            }
        }
        Self { shape, elements }
    }

    fn at(&self, [h, w, c]: [usize; 3]) -> T {
        self.elements[(h * self.shape[1] + w) * self.shape[2] + c]
    }

    /// The element at a place that may lie outside.
    fn inside(&self, h: i64, w: i64, c: usize) -> Option<T> {
        let h = usize::try_from(h).ok().filter(|&h| h < self.shape[0])?;
        let w = usize::try_from(w).ok().filter(|&w| w < self.shape[1])?;
        Some(self.at([h, w, c]))
    }
}

/// Output rows and columns of a window.
pub(crate) fn positions(input: [usize; 3], sliding: &Sliding) -> [usize; 2] {
    let [top, left, bottom, right] = sliding.padding;
    let rows = (input[0] + top + bottom - sliding.size[0]) / sliding.stride[0] + 1;
    let columns = (input[1] + left + right - sliding.size[1]) / sliding.stride[1] + 1;
    [rows, columns]
}

/// The input's row and column under the window's `[kh,kw]` at the output position `[oh,ow]`.
fn under(sliding: &Sliding, [oh, ow]: [usize; 2], [kh, kw]: [usize; 2]) -> [i64; 2] {
    let axis = |o: usize, k: usize, axis: usize| {
        (o * sliding.stride[axis] + k) as i64 - sliding.padding[axis] as i64
    };
    [axis(oh, kh, 0), axis(ow, kw, 1)]
}

/// All `[kh,kw]` of a window.
fn taps(sliding: &Sliding) -> impl Iterator<Item = [usize; 2]> + use<> {
    let [height, width] = sliding.size;
    (0..height).flat_map(move |kh| (0..width).map(move |kw| [kh, kw]))
}

fn clamp(q: i64, [low, high]: [i8; 2]) -> i8 {
    let clamped = if q < i64::from(low) { i64::from(low) } else { q.min(i64::from(high)) };
    i8::try_from(clamped).unwrap()
}
