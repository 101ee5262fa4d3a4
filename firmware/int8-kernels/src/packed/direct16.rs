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

use super::dsp::int16_pair;
use super::{Channels, PackedConv2d};
use crate::arch::passes::direct16 as passes;
use crate::ops::conv2d::{gather, gather_rows};
use crate::requantize::Form;
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

/// Words of a step: two tiles or outputs, two words each.
const STEP: usize = 4;

/// Words of a pair of outputs besides its weights: four biases, two scales, two last words of
/// [`super::constants`].
pub(crate) const CONSTANTS: usize = 8;

/// How a patch lies in memory.
#[derive(Clone, Copy)]
pub(crate) struct Patch {
    pitch: usize,
    rows: usize,
    words: usize,
    rest: usize,
    bytes: usize,
    steps: usize,
}

impl Patch {
    /// The patches of `window` where their rows lie `pitch` bytes apart.
    fn new(window: &Window, pitch: usize) -> Self {
        let ([words, rest], rows) = (row_words(window), usize::from(window.size[0]));
        let bytes = pitch * rows.saturating_sub(1) + 4 * words + rest;
        Self { pitch, rows, words, rest, bytes, steps: steps(window) }
    }

    /// One of its rows, of whole words.
    fn one_row(self) -> Self {
        Self { rows: 1, bytes: 4 * self.words, steps: self.words, ..self }
    }

    /// Bytes from row to row.
    pub(crate) fn pitch(&self) -> usize {
        self.pitch
    }

    /// Rows of the window.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Whole words of a row, and the bytes that remain of it.
    pub(crate) fn row(&self) -> [usize; 2] {
        [self.words, self.rest]
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        4 * self.words + self.rest
    }

    /// Bytes from the first to the end of the last row.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Steps of four: `rows * words`, and what the remaining bytes fill.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }
}

/// Pairs of output channels.
pub(crate) struct Stream<'a> {
    packed: &'a [u32],
    steps: usize,
    pairs: usize,
    /// The arithmetic.
    pub(crate) form: Form,
}

impl<'a> Stream<'a> {
    /// `packed`: for each pair four biases, `[steps][2 outputs][2]` weights, then scales and
    /// last words. None if it has another length, or no step or no pair.
    fn new(packed: &'a [u32], steps: usize, form: Form) -> Option<Self> {
        let pair = CONSTANTS + STEP * steps;
        let pairs = packed.len() / pair.max(1);
        let whole = packed.len() == pairs * pair && pairs != 0 && steps != 0;
        whole.then_some(Self { packed, steps, pairs, form })
    }

    /// `pairs * (CONSTANTS + 4 * steps)` words.
    pub(crate) fn packed(&self) -> &'a [u32] {
        self.packed
    }

    /// At least one.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// At least one.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs
    }
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

/// Bytes that are gathered before they are widened: a row of the window, or all of it where a row
/// is not made of whole words, and what remains of each follows the last.
fn gathered_bytes(window: &Window) -> usize {
    match row_words(window) {
        [words, 0] => 4 * words,
        _ => window.patch_len(),
    }
}

/// Words of scratch memory: two widened patches, a pixel that nobody wants, gathered bytes.
pub(crate) fn scratch_words(window: &Window) -> usize {
    STEP * steps(window)
        + usize::from(window.output[2]).div_ceil(4)
        + gathered_bytes(window).div_ceil(4)
}

/// Packs `weights`, `[O,KH,KW,I]`, with the constants of their channels.
pub(crate) fn pack(window: &Window, channels: Channels<'_>, weights: &[i8], packed: &mut [u32]) {
    let (patch, steps) = (window.patch_len(), steps(window));
    let pairs = packed.chunks_exact_mut(CONSTANTS + STEP * steps);
    for (pair, (packed, weights)) in pairs.zip(weights.chunks_exact(2 * patch)).enumerate() {
        for (o, row) in weights.chunks_exact(patch).enumerate() {
            let channel = channels.get(2 * pair + o);
            packed[2 * o..2 * o + 2].fill(channel.bias);
            let mut step = 4 + 2 * o;
            for_each_step(window, row, |four| {
                let [a, b, c, d] = four.map(|w| i32::from(w) << channel.pre_shift);
                packed[step] = int16_pair(a, c);
                packed[step + 1] = int16_pair(b, d);
                step += STEP;
            });
            packed[4 + STEP * steps + o] = channel.scale;
            packed[6 + STEP * steps + o] = channel.last;
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
#[inline(never)] // its frame shall not deepen that of other kernels: small boards have 4 KiB
pub(crate) fn run(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    let window = &layer.window;
    let outputs = usize::from(window.output[2]);
    let Some((patches, rest)) = scratch.split_at_mut_checked(STEP * steps(window)) else { return };
    let Some((spare, gathered)) = rest.split_at_mut_checked(outputs.div_ceil(4)) else { return };
    let spare = <[i8]>::mut_from_bytes(spare.as_mut_bytes()).unwrap_or_default();
    let gathered = <[i8]>::mut_from_bytes(gathered.as_mut_bytes()).unwrap_or_default();
    let Some(spare) = spare.get_mut(..outputs) else { return };
    let Some(gathered) = gathered.get_mut(..gathered_bytes(window)) else { return };
    let Some(stream) = Stream::new(layer.packed, steps(window), layer.form) else { return };
    let mut places = Places::new(layer);
    for y in y.chunks_mut((2 * outputs).max(1)) {
        places.widen_next(x, gathered, patches);
        let (first, mut second) = y.split_at_mut(outputs.min(y.len()));
        if second.is_empty() {
            second = &mut *spare;
        } else {
            places.widen_next(x, gathered, patches.get_mut(2..).unwrap_or_default());
        }
        passes::products(&stream, patches, first, second);
    }
}

/// The patches of a layer, one after another.
pub(crate) struct Places<'a, 'p> {
    layer: &'a PackedConv2d<'p>,
    /// Patches in the input, and gathered ones.
    inside: Patch,
    gathered: Patch,
    /// Output position.
    at: [usize; 2],
    /// Input column of the window's left end, and its first byte: before the image, both wrap
    /// around and are larger than any.
    left: usize,
    start: usize,
    /// Whether the window's rows all lie inside.
    row_is_inside: bool,
    /// Input columns and bytes from one position to the next.
    columns: usize,
    bytes: usize,
    /// Input columns at which a window begins that ends inside.
    last: usize,
}

impl<'a, 'p> Places<'a, 'p> {
    pub(crate) fn new(layer: &'a PackedConv2d<'p>) -> Self {
        let window = &layer.window;
        let pixel = usize::from(window.input[2]);
        let (columns, row) = (usize::from(window.stride[1]), usize::from(window.size[1]));
        let mut places = Self {
            layer,
            inside: Patch::new(window, usize::from(window.input[1]) * pixel),
            gathered: Patch::new(window, row * pixel),
            at: [0, 0],
            left: 0,
            start: 0,
            row_is_inside: false,
            columns,
            bytes: columns * pixel,
            // With a window that is wider than the image, no place is inside.
            last: (usize::from(window.input[1]) + 1).saturating_sub(row),
        };
        places.begin_row();
        places
    }

    fn begin_row(&mut self) {
        let window = &self.layer.window;
        let [top, left] = window.padding.map(usize::from);
        let top = (self.at[0] * usize::from(window.stride[0])).wrapping_sub(top);
        let last = (usize::from(window.input[0]) + 1).saturating_sub(window.size[0].into());
        self.row_is_inside = top < last;
        self.left = 0_usize.wrapping_sub(left);
        let first = top.wrapping_mul(usize::from(window.input[1])).wrapping_sub(left);
        self.start = first.wrapping_mul(usize::from(window.input[2]));
    }

    /// Widens the next patch into the first two of every four words of `patches`. `gathered`: a
    /// row of the window, or a patch.
    fn widen_next(&mut self, x: &[i8], gathered: &mut [i8], patches: &mut [u32]) {
        if self.is_inside() || self.gathered.rest != 0 {
            let (patch, bytes) = self.next(x, gathered);
            return passes::widen_patch(&patch, bytes, patches);
        }
        let (window, pad) = (&self.layer.window, self.layer.pad);
        let row = self.gathered.one_row();
        let rows = patches.chunks_mut((STEP * row.steps).max(1)).take(self.gathered.rows);
        for (first, patches) in rows.enumerate() {
            gather_rows(window, pad, self.at, x, [first, row.pitch], gathered);
            passes::widen_patch(&row, gathered, patches);
        }
        self.advance();
    }

    /// Whether the next patch lies in the input as it is.
    #[inline]
    fn is_inside(&self) -> bool {
        self.row_is_inside && self.left < self.last
    }

    /// The next patch, and its bytes: in the input, or gathered where the window leaves it.
    #[inline]
    pub(crate) fn next<'x>(&mut self, x: &'x [i8], gathered: &'x mut [i8]) -> (Patch, &'x [i8]) {
        let next = if self.is_inside() {
            (self.inside, x.get(self.start..).unwrap_or_default())
        } else {
            gather(&self.layer.window, self.layer.pad, self.at, x, gathered);
            (self.gathered, &*gathered)
        };
        self.advance();
        next
    }

    #[inline]
    fn advance(&mut self) {
        self.at[1] += 1;
        if self.at[1] == usize::from(self.layer.window.output[1]) {
            self.at = [self.at[0] + 1, 0];
            self.begin_row();
        } else {
            self.left = self.left.wrapping_add(self.columns);
            self.start = self.start.wrapping_add(self.bytes);
        }
    }
}
