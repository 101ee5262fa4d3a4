//! Direct convolution of any shape in int8, a vector of output channels at a time: for vector units
//! that multiply a vector by a scalar (RISC-V's V).
//!
//! For each byte of a window the weights of up to 32 outputs are a vector; the byte of each of
//! three pixels (six where a layer has at most sixteen outputs) is the scalar. Pixels are any, each
//! with its own distance from row to row: those whose windows lie inside are read in place, others
//! are gathered first.
//!
//! Sums are modulo 2^32, and the convolution's own sum is below 2^30 by the profile's bound, so
//! that they are exact whatever the order. The constants stand before the weights of each block of
//! outputs: `bias`, `R`, `j` and the scale `m * 2^(16 - e)`, a word each; then
//! `q = (((a << j) + bias + R * skip) * scale) >> 32`, which saturates to int8.
//!
//! Owns packing, patches and the walk; does not know how a pass is computed.

use super::{Channels, PackedConv2d};
use crate::arch::passes::lanes8 as passes;
use crate::ops::conv2d::gather;
use crate::requantize::Form;
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

/// Pixels at once, at most.
pub(crate) const PIXELS: usize = 6;

/// Words of constants of one output.
pub(crate) const CONSTANTS: usize = 4;

/// Pixels and outputs at once, for a layer of so many outputs.
pub(crate) fn block(outputs: usize) -> [usize; 2] {
    if outputs > 16 { [3, 32] } else { [6, 16] }
}

/// Words of the constants and the weights of `lanes` outputs, `patch` bytes each.
pub(crate) fn block_words(lanes: usize, patch: usize) -> usize {
    CONSTANTS * lanes + (lanes * patch).div_ceil(4)
}

/// A layer's weights and what is the same for all of its pixels.
pub(crate) struct Stream<'a> {
    packed: &'a [u32],
    rows: usize,
    row: usize,
    outputs: usize,
    form: Form,
}

impl<'a> Stream<'a> {
    /// None if the packed weights have another length, or nothing is to be computed.
    fn new(layer: &PackedConv2d<'a>) -> Option<Self> {
        let window = &layer.window;
        let (rows, row) = (usize::from(window.size[0]), row_bytes(window));
        let (packed, outputs) = (layer.packed, usize::from(window.output[2]));
        let whole = packed.len() == packed_words(window) && rows * row * outputs != 0;
        whole.then_some(Self { packed, rows, row, outputs, form: layer.form })
    }

    /// For each block of outputs their constants, then `[rows][row][outputs]` bytes, filled up to a
    /// word.
    pub(crate) fn packed(&self) -> &'a [u32] {
        self.packed
    }

    /// Rows of the window; at least one.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of a row of the window; at least one.
    pub(crate) fn row(&self) -> usize {
        self.row
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

/// The window of one pixel.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// Begins with the window.
    pub(crate) bytes: &'a [i8],
    /// From a row of the window to its next.
    pub(crate) pitch: usize,
}

/// Bytes of a row of the window.
fn row_bytes(window: &Window) -> usize {
    usize::from(window.size[1]) * usize::from(window.input[2])
}

/// Length in words of the packed weights.
pub(crate) fn packed_words(window: &Window) -> usize {
    let outputs = usize::from(window.output[2]);
    let ([_, lanes], patch) = (block(outputs), window.patch_len());
    let rest = outputs % lanes;
    outputs / lanes * block_words(lanes, patch) + block_words(rest, patch)
}

/// Words of scratch memory: gathered patches, and a pixel that nobody wants.
pub(crate) fn scratch_words(window: &Window) -> usize {
    let outputs = usize::from(window.output[2]);
    block(outputs)[0] * window.patch_len().div_ceil(4) + outputs.div_ceil(4)
}

/// Packs `weights`, `[O,KH,KW,I]`, with the constants of their channels.
pub(crate) fn pack(
    window: &Window,
    channels: Channels<'_>,
    weights: &[i8],
    mut packed: &mut [u32],
) {
    let (patch, [_, most]) = (window.patch_len(), block(window.output[2].into()));
    for (block, weights) in weights.chunks(most * patch).enumerate() {
        let lanes = weights.len() / patch;
        let (now, rest) = packed.split_at_mut(block_words(lanes, patch));
        let (constants, taps) = now.split_at_mut(CONSTANTS * lanes);
        for lane in 0..lanes {
            let channel = channels.get(block * most + lane);
            constants[lane] = channel.bias;
            constants[lanes + lane] = channel.last;
            constants[2 * lanes + lane] = channel.pre_shift.into();
            constants[3 * lanes + lane] = channel.scale;
        }
        let taps = <[i8]>::mut_from_bytes(taps.as_mut_bytes()).unwrap_or_default();
        taps.fill(0);
        for (lane, row) in weights.chunks_exact(patch).enumerate() {
            let slots = taps.iter_mut().skip(lane).step_by(lanes);
            slots.zip(row).for_each(|(slot, &w)| *slot = w);
        }
        packed = rest;
    }
}

/// Computes a layer.
#[inline(never)] // its frame shall not deepen that of other kernels: small boards have 4 KiB
pub(crate) fn run(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    let window = &layer.window;
    let Some(stream) = Stream::new(layer) else { return };
    let (outputs, [pixels, _]) = (stream.outputs, block(stream.outputs));
    let patch = 4 * window.patch_len().div_ceil(4);
    let Some((patches, spare)) = scratch.split_at_mut_checked(pixels * patch / 4) else { return };
    let patches = <[i8]>::mut_from_bytes(patches.as_mut_bytes()).unwrap_or_default();
    let spare = <[i8]>::mut_from_bytes(spare.as_mut_bytes()).unwrap_or_default();
    let Some(spare) = spare.get_mut(..outputs) else { return };
    let mut at = [0, 0];
    for y in y.chunks_mut((pixels * outputs).max(1)) {
        let mut places = [Place::default(); PIXELS];
        let mut free = &mut *patches;
        for place in places.iter_mut().take(y.len() / outputs.max(1)) {
            let (patch, rest) = free.split_at_mut(patch.min(free.len()));
            *place = place_of(layer, at, x, patch);
            free = rest;
            at[1] += 1;
            if at[1] == usize::from(window.output[1]) {
                at = [at[0] + 1, 0];
            }
        }
        passes::run(&stream, &places, y, spare);
    }
}

/// Where the window at an output position is read: in place, or gathered into `patch`.
fn place_of<'s>(
    layer: &PackedConv2d<'_>,
    at: [usize; 2],
    x: &'s [i8],
    patch: &'s mut [i8],
) -> Place<'s> {
    let window = &layer.window;
    let [height, width, depth] = window.input.map(usize::from);
    let origin = |axis: usize| {
        let start = at[axis] * usize::from(window.stride[axis]);
        start.checked_sub(window.padding[axis].into())
    };
    if let (Some(top), Some(left)) = (origin(0), origin(1))
        && top + usize::from(window.size[0]) <= height
        && left + usize::from(window.size[1]) <= width
    {
        let bytes = x.get((top * width + left) * depth..).unwrap_or_default();
        return Place { bytes, pitch: width * depth };
    }
    let patch = patch.get_mut(..window.patch_len()).unwrap_or_default();
    gather(window, layer.pad, at, x, patch);
    Place { bytes: patch, pitch: row_bytes(window) }
}
