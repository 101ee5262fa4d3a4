//! Convolutions of both profiles on a host: what `ops::conv2d` computes, to the byte, as fast as
//! the host's vector unit allows.
//!
//! A model file for a device is packed anew for this kernel when a host loads it, so that it runs
//! there at this speed whatever core it was made for. No file is written with it and no firmware
//! has it.
//!
//! The input is copied once, with its padding around it, so that every window is whole and each of
//! its rows a run of [`Values`], the type of which the unit multiplies: of int8, channels filled up
//! to a multiple of four, or widened to int16, as many as there are. Where it is so already, and
//! the unit takes its bytes as they are, it is read in place. A step is four bytes of a run: a dot
//! product of four int8 or of two int16 for each of sixteen output channels and some pixels. A row
//! of the window has `S` steps, rounded up so that it can be cut into equal chunks of at most
//! [`CHUNK`]. Weights: for each sixteen outputs `[KH][S][16][4]` int8 or `[KH][S][16][2]` int16
//! with outputs in [`ORDER`](winograd::ORDER), missing ones zero, then their sixteen sums, by which
//! units that multiply unsigned by signed bytes (AVX-512 VNNI) undo that they see `x + 128`.
//!
//! A unit that multiplies int16 computes some shapes by [`winograd`] instead, which has a packing
//! and a copy of its own. A layer packed for one unit is no other's.
//!
//! Owns packing, the copy and the constants; does not know the instructions (`arch::host`).

pub(crate) mod lanes;
#[cfg(test)]
mod tests;
pub(crate) mod winograd;

use crate::arch::host as unit;
use crate::ops::conv2d::Pad;
use crate::packed::dsp::int16_pair;
use crate::requantize::{NativeChannel, TfliteChannel};
use crate::shape::Window;
use lanes::Lanes;
use zerocopy::{FromBytes, IntoBytes};

/// Its number among the kernels.
pub const HOST_KERNEL: u16 = 0x100;

/// What reports call it.
pub const HOST_KERNEL_NAME: &str = "host";

/// Output channels at once.
pub(crate) const OUTPUTS: usize = 16;

/// Bytes of a step: four of each output.
pub(crate) const STEP: usize = 4 * OUTPUTS;

/// Pixels at once.
pub(crate) const PIXELS: usize = 8;

/// Most steps of a chunk of a window's row.
pub(crate) const CHUNK: usize = 16;

/// The copy of the input begins at a line of the cache, so that no pixel of 64 bytes lies on two.
const LINE: usize = 64;

/// The requantization of a layer's channels.
#[derive(Clone, Copy, Debug)]
pub enum HostChannels<'a> {
    /// Profile `native`.
    Native {
        /// `[O]`.
        channels: &'a [NativeChannel],
        /// Whether a residual is joined.
        join: bool,
    },
    /// Profile `tflite`.
    Tflite {
        /// `[O]`.
        channels: &'a [TfliteChannel],
        /// Of the output.
        zero_point: i16,
    },
}

/// A convolution and its constants.
#[derive(Clone, Copy, Debug)]
pub struct HostConv2d<'a> {
    /// Shapes, stride and padding.
    pub window: Window,
    /// What lies outside of the input.
    pub pad: Pad<'a>,
    /// [`packed_words`] words of [`pack`].
    pub packed: &'a [u32],
    /// The arithmetic.
    pub channels: HostChannels<'a>,
    /// Smallest and largest result; `low <= high`.
    pub clamp: [i8; 2],
}

/// What a unit multiplies: values of the copied input and weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// Bytes as they are, or each changed by a mask: 0, or the sign bit, which adds 128.
    Int8 { flip: u8 },
    /// Widened.
    Int16,
}

impl Values {
    fn bytes(self) -> usize {
        if self == Self::Int16 { 2 } else { 1 }
    }

    /// Values of a pixel in the copy.
    fn of_pixel(self, window: &Window) -> usize {
        let channels = usize::from(window.input[2]);
        if self == Self::Int16 { channels } else { channels.next_multiple_of(4) }
    }

    /// Steps of a row of the window that have weights.
    fn filled_steps(self, window: &Window) -> usize {
        (usize::from(window.size[1]) * self.of_pixel(window) * self.bytes()).div_ceil(4)
    }

    /// Steps of a row of the window, and of the whole.
    fn steps(self, window: &Window) -> [usize; 2] {
        let row = self.filled_steps(window);
        let row = row.next_multiple_of(row.div_ceil(CHUNK).max(1));
        [row, usize::from(window.size[0]) * row]
    }

    /// Words of the copy of the input, of what the last window's steps without weights read behind
    /// it, and of the room to begin at a line of the cache.
    fn copy_words(self, window: &Window) -> usize {
        let [rows, columns] = copied(window);
        let bytes = rows * columns * self.of_pixel(window) * self.bytes();
        (bytes + LINE).div_ceil(4) + self.steps(window)[0] - self.filled_steps(window)
    }
}

/// Rows and columns of the copied input.
fn copied(window: &Window) -> [usize; 2] {
    [0, 1].map(|axis| {
        let last = usize::from(window.output[axis]).saturating_sub(1);
        last * usize::from(window.stride[axis]) + usize::from(window.size[axis])
    })
}

/// By what a unit computes layers of this shape, if it is Winograd's method.
fn winograd_of(
    unit: unit::Unit,
    window: &Window,
) -> Option<(winograd::Method, winograd::Convolve)> {
    winograd::Method::of(window).zip(unit.winograd())
}

/// Length in words of the packed weights.
#[must_use]
pub fn packed_words(window: &Window) -> usize {
    packed_words_by(unit::Unit::best(), window)
}

fn packed_words_by(unit: unit::Unit, window: &Window) -> usize {
    if let Some((method, _)) = winograd_of(unit, window) {
        return winograd::packed_words(method, window);
    }
    let blocks = usize::from(window.output[2]).div_ceil(OUTPUTS);
    blocks * (unit.values().steps(window)[1] * STEP / 4 + OUTPUTS)
}

/// Length in words of the scratch memory: the copy of the input, then the weights of 32 outputs,
/// which a unit may copy to where a line of the cache begins.
#[must_use]
pub fn scratch_words(window: &Window) -> usize {
    scratch_words_by(unit::Unit::best(), window)
}

fn scratch_words_by(unit: unit::Unit, window: &Window) -> usize {
    if let Some((method, _)) = winograd_of(unit, window) {
        return winograd::scratch_words(method, window);
    }
    let values = unit.values();
    values.copy_words(window) + (2 * values.steps(window)[1] * STEP + LINE) / 4
}

/// Packs `weights`, `[O,KH,KW,I]`, into [`packed_words`] words.
pub fn pack(window: &Window, weights: &[i8], packed: &mut [u32]) {
    pack_by(unit::Unit::best(), window, weights, packed);
}

fn pack_by(unit: unit::Unit, window: &Window, weights: &[i8], packed: &mut [u32]) {
    debug_assert_eq!(packed.len(), packed_words_by(unit, window));
    if let Some((method, _)) = winograd_of(unit, window) {
        return winograd::pack(method, window, weights, packed);
    }
    let values = unit.values();
    let (depth, patch) = (usize::from(window.input[2]).max(1), window.patch_len().max(1));
    let [row_steps, all_steps] = values.steps(window);
    let block = all_steps * STEP / 4 + OUTPUTS;
    packed.fill(0);
    for (o, weights) in weights.chunks_exact(patch).enumerate() {
        let Some(packed) = packed.chunks_exact_mut(block).nth(o / OUTPUTS) else { return };
        let (steps, sums) = packed.split_at_mut(block - OUTPUTS);
        let rows = weights.chunks_exact(depth * usize::from(window.size[1]));
        for (steps, row) in steps.chunks_exact_mut(row_steps * OUTPUTS).zip(rows) {
            let steps = steps.chunks_exact_mut(OUTPUTS);
            match values {
                Values::Int8 { .. } => {
                    let fours = row.chunks_exact(depth).flat_map(|pixel| pixel.chunks(4));
                    steps.zip(fours).for_each(|(step, four)| step[o % OUTPUTS] = int8_four(four));
                }
                Values::Int16 => {
                    let place = winograd::place(o);
                    steps.zip(row.chunks(2)).for_each(|(step, two)| step[place] = int16_two(two));
                }
            }
        }
        let sum: i32 = weights.iter().map(|&w| i32::from(w)).sum();
        if let Some(slot) = sums.get_mut(o % OUTPUTS) {
            *slot = sum as u32;
        }
    }
}

/// Up to four weights in a word, the first one lowest; missing ones zero.
fn int8_four(weights: &[i8]) -> u32 {
    weights.iter().rev().fold(0, |word, &w| word << 8 | u32::from(w as u8))
}

/// One or two weights in a word, the first one lowest; a missing one zero.
fn int16_two(weights: &[i8]) -> u32 {
    let [low, high] = [0, 1].map(|at| weights.get(at).map_or(0, |&w| i32::from(w)));
    int16_pair(low, high)
}

/// What a unit computes: the sums of windows in the copied input with the weights of a layer.
pub(crate) struct Work<'a> {
    /// The copied input.
    pub(crate) x: &'a [u8],
    /// Sixteen outputs after another: their steps, then their sums.
    pub(crate) packed: &'a [u32],
    /// Rows of the window, steps of a row.
    pub(crate) rows: usize,
    pub(crate) steps: usize,
    /// Bytes of the copy from pixel to pixel and from row to row of the output.
    pub(crate) pixel: usize,
    pub(crate) line: usize,
    /// Bytes from a row of the copy to its next.
    pub(crate) pitch: usize,
    /// `[OH,OW,O]`.
    pub(crate) output: [usize; 3],
    pub(crate) layer: &'a HostConv2d<'a>,
    /// What `x` and `packed` hold.
    pub(crate) values: Values,
}

impl Work<'_> {
    /// Words of sixteen outputs.
    pub(crate) fn block_words(&self) -> usize {
        self.rows * self.steps * STEP / 4 + OUTPUTS
    }

    /// Where the windows of eight output positions from `first` on begin in `x`; those that are no
    /// more are the last one.
    pub(crate) fn windows(&self, first: usize) -> [usize; PIXELS] {
        let [rows, columns, _] = self.output;
        core::array::from_fn(|i| {
            let at = (first + i).min((rows * columns).saturating_sub(1));
            at / columns.max(1) * self.line + at % columns.max(1) * self.pixel
        })
    }

    /// Whether every window and all weights are there, and anything is to be computed.
    pub(crate) fn is_whole(&self, y: &[i8]) -> bool {
        let [rows, columns, outputs] = self.output;
        let some = rows * columns * outputs * self.rows * self.steps != 0;
        let last = || {
            let window = (rows - 1) * self.line + (columns - 1) * self.pixel;
            window + (self.rows - 1) * self.pitch + 4 * self.steps
        };
        some && self.x.len() >= last()
            && y.len() == rows * columns * outputs
            && self.packed.len() == outputs.div_ceil(OUTPUTS) * self.block_words()
    }

    /// The constants of block `block` of sixteen outputs.
    pub(crate) fn lanes(&self, block: usize) -> Lanes {
        let sums = self.packed.chunks_exact(self.block_words()).nth(block).unwrap_or_default();
        let sums = sums.last_chunk::<OUTPUTS>().copied().unwrap_or_default();
        let flip = if let Values::Int8 { flip } = self.values { flip } else { 0 };
        Lanes::new(self.layer, block * OUTPUTS, sums.map(|sum| sum as i32), flip)
    }

    /// Requantizes and stores the sums of sixteen outputs, from `block` on, of one position.
    #[inline(always)]
    pub(crate) fn store(
        &self,
        position: usize,
        block: usize,
        sums: &[i32; OUTPUTS],
        lanes: &Lanes,
        y: &mut [i8],
    ) {
        let outputs = self.output[2];
        let start = position * outputs + block * OUTPUTS;
        let count = (outputs - block * OUTPUTS).min(OUTPUTS);
        let Some(y) = y.get_mut(start..start + count) else { return };
        if let Ok(y) = <&mut [i8; OUTPUTS]>::try_from(&mut *y) {
            lanes.finish(sums, y);
        } else {
            let mut aside = [0; OUTPUTS];
            aside.iter_mut().zip(&*y).for_each(|(aside, &skip)| *aside = skip);
            lanes.finish(sums, &mut aside);
            y.iter_mut().zip(aside).for_each(|(y, q)| *y = q);
        }
    }
}

/// What `ops::conv2d_s8` computes for the same layer.
///
/// `x`: `[H,W,I]`. `y`: `[OH,OW,O]`, which holds the residual where one is joined. `scratch`: at
/// least [`scratch_words`] words.
pub fn host_conv2d_s8(layer: &HostConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    host_conv2d_by(unit::Unit::best(), layer, x, y, scratch);
}

/// The same by one of the host's units.
fn host_conv2d_by(
    unit: unit::Unit,
    layer: &HostConv2d<'_>,
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let window = &layer.window;
    if let Some(winograd) = winograd_of(unit, window) {
        return winograd::run(winograd, layer, x, y, scratch);
    }
    let values = unit.values();
    let ([rows, columns], [steps, _]) = (copied(window), values.steps(window));
    if scratch.len() < scratch_words_by(unit, window) {
        return;
    }
    let (copy, spare) = scratch.split_at_mut(values.copy_words(window));
    let (x, columns) = if is_in_place(values, window, x) {
        (x.as_bytes(), usize::from(window.input[1]))
    } else {
        let (copy, dimensions) = (from_line(copy), [rows, columns, values.of_pixel(window)]);
        match values {
            Values::Int8 { flip: 0 } => {
                copy_padded(window, dimensions, layer.pad, |x| x as u8, x, copy);
            }
            Values::Int8 { flip } => {
                copy_padded(window, dimensions, layer.pad, |x| x as u8 ^ flip, x, copy);
            }
            Values::Int16 => {
                let copy = <[i16]>::mut_from_prefix_with_elems(copy, copy.len() / 2);
                let Ok((copy, _)) = copy else { return };
                copy_padded(window, dimensions, layer.pad, i16::from, x, copy);
            }
        }
        (&*copy, columns)
    };
    let pixel = values.of_pixel(window) * values.bytes();
    let mut work = Work {
        x,
        packed: layer.packed,
        rows: window.size[0].into(),
        steps,
        pixel: usize::from(window.stride[1]) * pixel,
        line: usize::from(window.stride[0]) * columns * pixel,
        pitch: columns * pixel,
        output: window.output.map(usize::from),
        layer,
        values,
    };
    let [rows, columns, outputs] = work.output;
    if work.line == columns * work.pixel {
        // Pixels lie equally far from each other from row to row too: all are one row.
        work.output = [1, rows * columns, outputs];
    }
    if work.is_whole(y) {
        unit.convolve(&work, from_line(spare), y);
    }
}

/// Whether the input needs no copy.
fn is_in_place(values: Values, window: &Window, x: &[i8]) -> bool {
    let [rows, columns] = copied(window);
    // Pixels on two lines of the cache each cost more than the copy where many outputs read them.
    let is_fit = x.as_ptr().align_offset(LINE) == 0 || window.output[2] <= 4 * OUTPUTS as u16;
    let dimensions = [rows, columns, values.of_pixel(window)];
    values == Values::Int8 { flip: 0 }
        && is_fit
        && window.padding == [0, 0]
        && dimensions.iter().zip(window.input).all(|(&n, input)| n <= input.into())
        && values.filled_steps(window) == values.steps(window)[0]
}

/// The bytes of `words` from the first one that begins a line of the cache.
fn from_line(words: &mut [u32]) -> &mut [u8] {
    let bytes = words.as_mut_bytes();
    let begin = bytes.as_ptr().align_offset(LINE);
    bytes.get_mut(begin..).unwrap_or_default()
}

/// Copies `x` into `copy`, `[rows, columns, filled]`, padded, each value as `put` makes it.
fn copy_padded<T: Copy + Default>(
    window: &Window,
    [rows, columns, filled]: [usize; 3],
    pad: Pad<'_>,
    put: impl Fn(i8) -> T,
    x: &[i8],
    copy: &mut [T],
) {
    let [height, width, depth] = window.input.map(usize::from);
    let [top, left] = window.padding.map(usize::from);
    let fill = |pixels: &mut [T]| match pad {
        Pad::Uniform(value) => pixels.fill(put(value)),
        Pad::PerChannel(values) => {
            for pixel in pixels.chunks_exact_mut(filled) {
                pixel.iter_mut().zip(values).for_each(|(x, &value)| *x = put(value));
            }
        }
    };
    let inside = width.min(columns.saturating_sub(left));
    let lines = copy.chunks_exact_mut((columns * filled).max(1)).take(rows);
    for (row, line) in lines.enumerate() {
        let source = row.checked_sub(top).filter(|&row| row < height);
        let source = source.and_then(|row| x.get(row * width * depth..(row + 1) * width * depth));
        let Some(source) = source else {
            fill(line);
            continue;
        };
        let (before, rest) = line.split_at_mut((left * filled).min(line.len()));
        let (middle, after) = rest.split_at_mut((inside * filled).min(rest.len()));
        fill(before);
        fill(after);
        if depth == filled {
            middle.iter_mut().zip(source).for_each(|(y, &x)| *y = put(x));
        } else if depth == 3 {
            let pixels = source.as_chunks::<3>().0;
            for (y, &[red, green, blue]) in middle.as_chunks_mut::<4>().0.iter_mut().zip(pixels) {
                *y = [put(red), put(green), put(blue), T::default()];
            }
        } else {
            for (y, x) in middle.chunks_exact_mut(filled).zip(source.chunks_exact(depth)) {
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = put(x));
            }
        }
    }
}
