//! Direct convolution of any shape in int8, by dot products of sixteen: for vector units that
//! multiply sixteen pairs of bytes and add them all up in one instruction (Helium's `VMLADAV`).
//!
//! Two pixels and four output channels at once: a step reads sixteen bytes of a window's row for
//! each pixel and each output, 6 loads for 8 dot products. The rows of a window lie in the input
//! as they are; of the last step of a row, what is read behind the row's end meets weights that
//! are zero. Where a window is not wholly inside, or reads behind the input's end, its rows are
//! gathered first, each filled up to whole steps.
//!
//! Sums are modulo 2^32, and the convolution's own sum is below 2^30 by the profile's bound, so
//! that they are exact whatever the order. Constants follow the weights of four outputs: `j`,
//! `bias`, `m * 2^(16 - e)` and `R`, four words each; then `q = ((a << j) + bias + R * skip) *
//! scale >> 32`, which saturates to int8.
//!
//! Owns packing, patches and the walk; does not know how a pass is computed.

use super::{Channels, PackedConv2d};
use crate::arch::passes::dot8 as passes;
use crate::ops::conv2d::gather_rows;
use crate::requantize::Form;
use crate::shape::Window;
use core::ops::Range;
use zerocopy::{FromBytes, IntoBytes};

/// Output channels at once.
pub(crate) const OUTPUTS: usize = 4;

/// Bytes of a step, of each pixel and of each output.
pub(crate) const STEP: usize = 16;

/// Words of the weights of a step: four outputs, four words each.
pub(crate) const STEP_WORDS: usize = OUTPUTS * STEP / 4;

/// Words that follow the weights of four outputs.
pub(crate) const CONSTANTS: usize = 4 * OUTPUTS;

/// A layer's weights and what is the same for all of its pixels.
pub(crate) struct Stream<'a> {
    packed: &'a [u32],
    rows: usize,
    steps: usize,
    outputs: usize,
    form: Form,
}

impl<'a> Stream<'a> {
    /// None if the packed weights have another length, or nothing is to be computed.
    fn new(layer: &PackedConv2d<'a>) -> Option<Self> {
        let window = &layer.window;
        let (rows, steps) = (usize::from(window.size[0]), row_steps(window));
        let outputs = usize::from(window.output[2]);
        let whole = layer.packed.len() == packed_words(window);
        let some = rows != 0 && steps != 0 && outputs != 0;
        (whole && some).then_some(Self {
            packed: layer.packed,
            rows,
            steps,
            outputs,
            form: layer.form,
        })
    }

    /// For each four outputs `[rows][steps][4 outputs][16]` bytes, then [`CONSTANTS`] words.
    pub(crate) fn packed(&self) -> &'a [u32] {
        self.packed
    }

    /// Rows of the window; at least one.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Steps of a row; at least one.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Output channels; at least one.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The arithmetic.
    pub(crate) fn form(&self) -> Form {
        self.form
    }
}

/// Pixels side by side.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Where the first pixel's window begins.
    pub(crate) start: usize,
    /// Bytes from a pixel's window to the next one's.
    pub(crate) pixel: usize,
    /// Bytes from a row of a window to its next.
    pub(crate) pitch: usize,
    /// Pairs of pixels; at least one.
    pub(crate) pairs: usize,
}

impl Run {
    /// Bytes of the input up to the last one that is read.
    pub(crate) fn end(&self, stream: &Stream<'_>) -> usize {
        let last = self.start + (2 * self.pairs).saturating_sub(1) * self.pixel;
        last + (stream.rows - 1) * self.pitch + STEP * stream.steps
    }
}

/// Bytes of a row of the window.
fn row_bytes(window: &Window) -> usize {
    usize::from(window.size[1]) * usize::from(window.input[2])
}

/// Steps of a row of the window.
fn row_steps(window: &Window) -> usize {
    row_bytes(window).div_ceil(STEP)
}

/// Bytes of a gathered patch.
fn patch_bytes(window: &Window) -> usize {
    usize::from(window.size[0]) * row_steps(window) * STEP
}

/// Length in words of the packed weights.
pub(crate) fn packed_words(window: &Window) -> usize {
    let steps = usize::from(window.size[0]) * row_steps(window);
    usize::from(window.output[2]).div_ceil(OUTPUTS) * (STEP_WORDS * steps + CONSTANTS)
}

/// Words of scratch memory: two gathered patches, and two pixels of the output.
pub(crate) fn scratch_words(window: &Window) -> usize {
    2 * patch_bytes(window) / 4 + usize::from(window.output[2]).div_ceil(2)
}

/// Packs `weights`, `[O,KH,KW,I]`, with the constants of their channels.
pub(crate) fn pack(window: &Window, channels: Channels<'_>, weights: &[i8], packed: &mut [u32]) {
    packed.fill(0);
    let (patch, row) = (window.patch_len(), row_bytes(window));
    let group = STEP_WORDS * usize::from(window.size[0]) * row_steps(window) + CONSTANTS;
    for (o, weights) in weights.chunks_exact(patch).enumerate() {
        let (lane, channel) = (o % OUTPUTS, channels.get(o));
        let group = &mut packed[o / OUTPUTS * group..][..group];
        let (taps, constants) = group.split_at_mut(group.len() - CONSTANTS);
        let taps = <[u8]>::mut_from_bytes(taps.as_mut_bytes()).unwrap_or_default();
        let steps = row_steps(window) * OUTPUTS * STEP;
        for (taps, row) in taps.chunks_exact_mut(steps).zip(weights.chunks_exact(row)) {
            for (taps, row) in taps.chunks_exact_mut(OUTPUTS * STEP).zip(row.chunks(STEP)) {
                let slots = taps[STEP * lane..].iter_mut();
                slots.zip(row).for_each(|(slot, &w)| *slot = w as u8);
            }
        }
        constants[lane] = channel.pre_shift.into();
        constants[OUTPUTS + lane] = channel.bias;
        constants[2 * OUTPUTS + lane] = channel.scale;
        constants[3 * OUTPUTS + lane] = channel.last;
    }
}

/// Computes a layer.
#[inline(never)] // its frame shall not deepen that of other kernels: small boards have 4 KiB
pub(crate) fn run(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    let window = &layer.window;
    let [_, columns, outputs] = window.output.map(usize::from);
    let Some(stream) = Stream::new(layer) else { return };
    let Some((patches, rest)) = scratch.split_at_mut_checked(2 * patch_bytes(window) / 4) else {
        return;
    };
    let patches = <[i8]>::mut_from_bytes(patches.as_mut_bytes()).unwrap_or_default();
    let aside = <[i8]>::mut_from_bytes(rest.as_mut_bytes()).unwrap_or_default();
    let Some(aside) = aside.get_mut(..2 * outputs) else { return };
    for (row, mut y) in y.chunks_exact_mut((columns * outputs).max(1)).enumerate() {
        let (inside, line) = in_place(layer, row, x.len());
        let mut column = 0;
        while column < columns {
            let pairs = if inside.contains(&column) { (inside.end - column) / 2 } else { 0 };
            if pairs != 0 {
                let (now, rest) = y.split_at_mut((2 * pairs * outputs).min(y.len()));
                let start = line.start + (column - inside.start) * line.pixel;
                let run = Run { start, pairs, ..line };
                passes::run(&stream, &run, x, now);
                (y, column) = (rest, column + 2 * pairs);
                continue;
            }
            let pixels = (columns - column).min(2);
            let bytes = patch_bytes(window);
            for (at, patch) in (column..).zip(patches.chunks_exact_mut(bytes).take(pixels)) {
                let pitch = bytes / stream.rows;
                gather_rows(window, layer.pad, [row, at], x, [0, pitch], patch);
            }
            let run = Run { start: 0, pixel: bytes, pitch: bytes / stream.rows, pairs: 1 };
            let (now, rest) = y.split_at_mut((pixels * outputs).min(y.len()));
            if pixels == 2 {
                passes::run(&stream, &run, patches, now);
            } else {
                aside.iter_mut().zip(&*now).for_each(|(aside, &skip)| *aside = skip);
                passes::run(&stream, &run, patches, aside);
                now.iter_mut().zip(&*aside).for_each(|(y, &q)| *y = q);
            }
            (y, column) = (rest, column + pixels);
        }
    }
}

/// The columns of an output row whose windows are read in place, and a run from the first of them.
fn in_place(layer: &PackedConv2d<'_>, row: usize, bytes: usize) -> (Range<usize>, Run) {
    let window = &layer.window;
    let [height, width, depth] = window.input.map(usize::from);
    let [[rows, columns], stride, padding] =
        [window.size, window.stride, window.padding].map(|pair| pair.map(usize::from));
    let (pixel, pitch) = (stride[1] * depth, width * depth);
    let line = Run { start: 0, pixel, pitch, pairs: 0 };
    let top = (row * stride[0]).checked_sub(padding[0]).filter(|top| top + rows <= height);
    let (Some(top), true) = (top, columns <= width) else { return (0..0, line) };
    // The first column of whole windows, and the input's column there.
    let first = padding[1].div_ceil(stride[1].max(1));
    let left = first * stride[1] - padding[1];
    let start = (top * width + left) * depth;
    let reach = (rows - 1) * pitch + STEP * row_steps(window);
    let Some(room) = bytes.checked_sub(start + reach) else { return (0..0, line) };
    if left + columns > width {
        return (0..0, line);
    }
    let count = 1 + ((width - columns - left) / stride[1].max(1)).min(room / pixel.max(1));
    (first..(first + count).min(window.output[1].into()), Run { start, ..line })
}
