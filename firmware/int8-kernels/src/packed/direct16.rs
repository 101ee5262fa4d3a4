//! Direct convolution of any shape in int16: two pixels and two output channels at once.
//!
//! Each patch is widened once and serves all output channels; a step of four input channels is
//! two loads and eight dual multiplies for sixteen products. Weights are stored shifted left by
//! the channel's `j <= 8`, which int16 holds, so that the sums are the profile's `a << j` as they
//! are: modulo 2^32, and below 2^31 in the end by the profile's own bound.
//!
//! A patch is read in the order `[KH][floor(KW*I/4)][4]`, then what remains of its rows, one after
//! another, filled up with zeros. Owns packing, patches and the walk; does not know how the
//! passes are computed.

use super::PackedConv2d;
use super::dsp::int16_pair;
use crate::arch::passes::direct16 as passes;
use crate::ops::conv2d::gather;
use crate::requantize::NativeChannel;
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

/// Words of a step: two tiles or outputs, two words each.
const STEP: usize = 4;

/// Words of a pair of outputs besides its weights: four biases, two scales, two weights of the
/// residual.
pub(crate) const CONSTANTS: usize = 8;

/// A patch of the input as it lies in memory.
pub(crate) struct Patch<'a> {
    /// From its first byte on.
    pub(crate) bytes: &'a [i8],
    /// Bytes from row to row.
    pub(crate) pitch: usize,
    /// Rows of the window.
    pub(crate) rows: usize,
    /// Whole words of a row, and the bytes that remain of it.
    pub(crate) words: usize,
    pub(crate) rest: usize,
}

/// What the pass over one pair of pixels reads.
pub(crate) struct Products<'a> {
    /// `[steps][2 pixels][2]`.
    pub(crate) patches: &'a [u32],
    /// Pairs of output channels: four biases, `[steps][2 outputs][2]` weights, then scales and
    /// weights of the residual.
    pub(crate) packed: &'a [u32],
    /// Whether the output holds a residual.
    pub(crate) join: bool,
}

/// Bytes of a window's row in whole words, and what remains.
fn row_words(window: &Window) -> [usize; 2] {
    let bytes = usize::from(window.size[1]) * usize::from(window.input[2]);
    [bytes / 4, bytes % 4]
}

/// Steps of four that make up a patch.
fn steps(window: &Window) -> usize {
    let ([words, rest], rows) = (row_words(window), usize::from(window.size[0]));
    rows * words + (rows * rest).div_ceil(4)
}

/// Length in words of the packed weights.
pub(crate) fn packed_words(window: &Window) -> usize {
    usize::from(window.output[2]) / 2 * (CONSTANTS + STEP * steps(window))
}

/// Words of scratch memory: two widened patches, a pixel that nobody wants, a gathered patch.
pub(crate) fn scratch_words(window: &Window) -> usize {
    STEP * steps(window)
        + usize::from(window.output[2]).div_ceil(4)
        + window.patch_len().div_ceil(4)
}

/// Packs `weights`, `[O,KH,KW,I]`, with the constants of their channels.
pub(crate) fn pack(
    window: &Window,
    channels: &[NativeChannel],
    weights: &[i8],
    packed: &mut [u32],
) {
    let (patch, steps) = (window.patch_len(), steps(window));
    let pairs = packed.chunks_exact_mut(CONSTANTS + STEP * steps);
    for ((packed, weights), channels) in
        pairs.zip(weights.chunks_exact(2 * patch)).zip(channels.chunks_exact(2))
    {
        for (o, (row, channel)) in weights.chunks_exact(patch).zip(channels).enumerate() {
            packed[2 * o..2 * o + 2].fill(channel.bias as u32);
            let mut step = 4 + 2 * o;
            for_each_step(window, row, |four| {
                let [a, b, c, d] = four.map(|w| i32::from(w) << channel.pre_shift);
                packed[step] = int16_pair(a, c);
                packed[step + 1] = int16_pair(b, d);
                step += STEP;
            });
            packed[4 + STEP * steps + o] = channel.scale_32() as u32;
            packed[6 + STEP * steps + o] = channel.skip_multiplier as u32;
        }
    }
}

/// Calls `f` with each four of a patch, in the order in which this kernel reads it.
fn for_each_step(window: &Window, patch: &[i8], mut f: impl FnMut([i8; 4])) {
    let [words, rest] = row_words(window);
    let rows = || patch.chunks_exact(4 * words + rest);
    for row in rows() {
        row.as_chunks::<4>().0.iter().for_each(|&four| f(four));
    }
    let mut rests = rows().flat_map(|row| &row[4 * words..]).copied().peekable();
    while rests.peek().is_some() {
        f([(); 4].map(|()| rests.next().unwrap_or(0)));
    }
}

/// Computes a layer.
pub(crate) fn run(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    let window = &layer.window;
    let outputs = usize::from(window.output[2]);
    let Some((patches, rest)) = scratch.split_at_mut_checked(STEP * steps(window)) else { return };
    let Some((spare, gathered)) = rest.split_at_mut_checked(outputs.div_ceil(4)) else { return };
    let spare = <[i8]>::mut_from_bytes(spare.as_mut_bytes()).unwrap_or_default();
    let gathered = <[i8]>::mut_from_bytes(gathered.as_mut_bytes()).unwrap_or_default();
    let Some(spare) = spare.get_mut(..outputs) else { return };
    let Some(gathered) = gathered.get_mut(..window.patch_len()) else { return };
    let places = Places::new(window);
    let mut at = [0, 0];
    for y in y.chunks_mut((2 * outputs).max(1)) {
        places.widen(layer, at, x, gathered, patches);
        at = places.after(at);
        let second = patches.get_mut(2..).unwrap_or_default();
        let (first, y) = y.split_at_mut(outputs.min(y.len()));
        let y = if y.is_empty() {
            &mut *spare
        } else {
            places.widen(layer, at, x, gathered, second);
            at = places.after(at);
            y
        };
        let pair = Products { patches, packed: layer.packed, join: layer.join };
        passes::products(&pair, first, y);
    }
}

/// Where the patches of a layer lie.
struct Places {
    columns: usize,
    stride: [usize; 2],
    padding: [usize; 2],
    /// Bytes of a pixel and of a row of the input, and of a row of the window.
    pixel: usize,
    line: usize,
    row: usize,
    /// The last places at which the window lies wholly inside, of its upper left corner.
    last: [usize; 2],
}

impl Places {
    fn new(window: &Window) -> Self {
        let pixel = usize::from(window.input[2]);
        let [height, width] = [0, 1].map(|axis| usize::from(window.input[axis]));
        let size = window.size.map(usize::from);
        // With a window that is larger than the image, no place is inside.
        let last = |side: usize, size: usize| (side + 1).saturating_sub(size);
        Self {
            columns: window.output[1].into(),
            stride: window.stride.map(usize::from),
            padding: window.padding.map(usize::from),
            pixel,
            line: width * pixel,
            row: size[1] * pixel,
            last: [last(height, size[0]), last(width, size[1])],
        }
    }

    /// The place after this one.
    fn after(&self, [row, column]: [usize; 2]) -> [usize; 2] {
        if column + 1 == self.columns { [row + 1, 0] } else { [row, column + 1] }
    }

    /// Widens the patch of an output position into every other two words of `patches`.
    fn widen(
        &self,
        layer: &PackedConv2d<'_>,
        at: [usize; 2],
        x: &[i8],
        gathered: &mut [i8],
        patches: &mut [u32],
    ) {
        let corner = [0, 1].map(|axis| at[axis] * self.stride[axis]);
        // Before the image, this wraps around and is larger than any place.
        let [top, left] = [0, 1].map(|axis| corner[axis].wrapping_sub(self.padding[axis]));
        let (source, pitch) = if top < self.last[0] && left < self.last[1] {
            (x.get(top * self.line + left * self.pixel..).unwrap_or_default(), self.line)
        } else {
            gather(&layer.window, layer.pad, at, x, gathered);
            (&*gathered, self.row)
        };
        let [words, rest] = row_words(&layer.window);
        let rows = usize::from(layer.window.size[0]);
        passes::widen_patch(&Patch { bytes: source, pitch, rows, words, rest }, patches);
    }
}
