//! Convolution `[H,W,I] -> [OH,OW,O]` of any kernel, stride and padding: kernel 0, and kernel 16
//! with weights of four bits, for every core.
//!
//! Owns the packing of its weights, its patches and the blocking: four output channels of a pixel,
//! so that an input byte is loaded once for four products, and the four sums, two pointers and
//! two operands stay in the registers of every core, a Cortex-M0's eight low ones included. (Two
//! pixels at once spill on Arm: 4.3 instructions a MAC instead of 3.2 on a Cortex-M4, by
//! `resmcu bench resnet8 --target qemu-mps2-an386`.) Sums are of raw bytes; zero points are in the
//! channel's bias, where the writer folded them.

use crate::arch::passes::dot4;
use crate::requantize::Requantize;
use crate::shape::Window;

/// Output channels of one block of packed weights.
pub const CHANNEL_BLOCK: usize = 4;

/// The number of this kernel in model files, with a byte for each weight.
pub const NUMBER_S8: u16 = 0;

/// Its number with four bits for each weight.
pub const NUMBER_S4: u16 = 16;

/// The smallest and the largest weight of four bits.
pub const INT4: [i8; 2] = [-8, 7];

/// What lies outside of the input.
#[derive(Clone, Copy, Debug)]
pub enum Pad<'a> {
    /// The same in every channel.
    Uniform(i8),
    /// `[I]`, a value a channel.
    PerChannel(&'a [i8]),
}

/// Length in bytes of the packed weights: `[ceil(O/4), KH, KW, I, 4]` int8.
#[must_use]
pub fn packed_len(window: &Window) -> usize {
    usize::from(window.output[2]).next_multiple_of(CHANNEL_BLOCK) * window.patch_len()
}

/// Length of the packed weights of four bits, in words of 16: `[ceil(O/4), KH, KW, I]`.
#[must_use]
pub fn packed_len_s4(window: &Window) -> usize {
    packed_len(window) / CHANNEL_BLOCK
}

/// Length in bytes of the scratch memory: one patch, none for a convolution whose patches lie in
/// the input as they are.
#[must_use]
pub fn scratch_len(window: &Window) -> usize {
    if reads_in_place(window) { 0 } else { window.patch_len() }
}

/// Whether each patch is one pixel of the input.
fn reads_in_place(window: &Window) -> bool {
    window.size == [1, 1]
        && window.padding == [0, 0]
        && (0..2).all(|axis| {
            let last = usize::from(window.output[axis] - 1) * usize::from(window.stride[axis]);
            last < usize::from(window.input[axis])
        })
}

/// Packs `weights`, `[O,KH,KW,I]`, as this kernel reads them; missing channels are zero.
pub fn pack(weights: &[i8], window: &Window, packed: &mut [i8]) {
    let patch = window.patch_len();
    debug_assert_eq!(packed.len(), packed_len(window));
    packed.fill(0);
    for (o, row) in weights.chunks_exact(patch).enumerate() {
        let block = packed.chunks_exact_mut(CHANNEL_BLOCK * patch).nth(o / CHANNEL_BLOCK);
        let lanes = block.unwrap_or_default().iter_mut().skip(o % CHANNEL_BLOCK);
        for (packed, &w) in lanes.step_by(CHANNEL_BLOCK).zip(row) {
            *packed = w;
        }
    }
}

/// Packs `weights`, `[O,KH,KW,I]` inside [`INT4`], four channels of a block in a word, the first
/// one in its lowest bits, in two's complement; missing channels are zero.
pub fn pack_s4(weights: &[i8], window: &Window, packed: &mut [u16]) {
    let patch = window.patch_len();
    debug_assert_eq!(packed.len(), packed_len_s4(window));
    debug_assert!(weights.iter().all(|w| (INT4[0]..=INT4[1]).contains(w)));
    packed.fill(0);
    for (o, row) in weights.chunks_exact(patch).enumerate() {
        let words = packed.iter_mut().skip(o / CHANNEL_BLOCK * patch);
        for (word, &w) in words.zip(row) {
            *word |= u16::from(w.cast_unsigned() & 15) << (4 * (o % CHANNEL_BLOCK));
        }
    }
}

/// Undoes [`pack`]: `weights`, `[O,KH,KW,I]` of `patch` values a channel, from what was packed.
/// Answers whether `packed` has the length for it.
#[must_use]
pub fn unpack(packed: &[i8], patch: usize, weights: &mut [i8]) -> bool {
    let block = CHANNEL_BLOCK * patch;
    if patch == 0 || packed.len() != weights.len().next_multiple_of(block) {
        return false;
    }
    for (o, row) in weights.chunks_exact_mut(patch).enumerate() {
        let lanes = packed.iter().skip(o / CHANNEL_BLOCK * block + o % CHANNEL_BLOCK);
        row.iter_mut().zip(lanes.step_by(CHANNEL_BLOCK)).for_each(|(w, &packed)| *w = packed);
    }
    true
}

/// Weights as they are packed.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// [`packed_len`] bytes of [`pack`].
    Int8(&'a [i8]),
    /// [`packed_len_s4`] words of [`pack_s4`].
    Int4(&'a [u16]),
}

/// A convolution and its constants.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d<'a, R: Requantize> {
    /// Shapes, stride and padding.
    pub window: Window,
    /// What lies outside of the input.
    pub pad: Pad<'a>,
    /// Of all output channels.
    pub weights: Weights<'a>,
    /// `[O]`.
    pub channels: &'a [R::Channel],
    /// The arithmetic, and whether a residual is joined.
    pub requantize: R,
}

/// `y[p,o] = requantize(sum_k x[patch(p),k] * w[o,k])`.
///
/// `x`: `[H,W,I]`. `y`: `[OH,OW,O]`, which holds the residual where `requantize` joins one.
/// `scratch`: at least [`scratch_len`] bytes.
#[inline(never)] // its frame shall not deepen that of other operators: small boards have 4 KiB
pub fn conv2d_s8<R: Requantize>(layer: &Conv2d<'_, R>, x: &[i8], y: &mut [i8], scratch: &mut [i8]) {
    let window = &layer.window;
    let outputs = usize::from(window.output[2]);
    debug_assert_eq!(y.len(), window.positions() * outputs);
    debug_assert!(match layer.weights {
        Weights::Int8(weights) => weights.len() == packed_len(window),
        Weights::Int4(weights) => weights.len() == packed_len_s4(window),
    });
    debug_assert_eq!(layer.channels.len(), outputs);
    let in_place = reads_in_place(window);
    let mut positions = Raster::new(window);
    for y in y.chunks_exact_mut(outputs.max(1)) {
        let patch = layer.patch(positions.next(), in_place, x, scratch);
        layer.pixel(patch, y);
    }
}

/// Output positions, row by row.
struct Raster {
    row: usize,
    column: usize,
    columns: usize,
}

impl Raster {
    fn new(window: &Window) -> Self {
        Self { row: 0, column: 0, columns: window.output[1].into() }
    }

    /// The next position: row and column.
    #[inline]
    fn next(&mut self) -> [usize; 2] {
        let at = [self.row, self.column];
        self.column += 1;
        if self.column == self.columns {
            (self.row, self.column) = (self.row + 1, 0);
        }
        at
    }
}

impl<R: Requantize> Conv2d<'_, R> {
    /// The input under the window at an output position, `[KH,KW,I]`: in place, or gathered.
    #[inline]
    fn patch<'s>(
        &self,
        at: [usize; 2],
        in_place: bool,
        x: &'s [i8],
        scratch: &'s mut [i8],
    ) -> &'s [i8] {
        let depth = usize::from(self.window.input[2]);
        if !in_place {
            let patch = self.window.patch_len().min(scratch.len());
            let (patch, _) = scratch.split_at_mut(patch);
            gather(&self.window, self.pad, at, x, patch);
            return patch;
        }
        let ([row, column], strides) = (at, self.window.stride.map(usize::from));
        let [row, column] = [row * strides[0], column * strides[1]];
        let start = (row * usize::from(self.window.input[1]) + column) * depth;
        x.get(start..start + depth).unwrap_or_default()
    }

    /// All output channels of one pixel.
    #[inline]
    fn pixel(&self, patch: &[i8], y: &mut [i8]) {
        let words = self.window.patch_len().max(1);
        match self.weights {
            Weights::Int8(weights) => {
                let blocks = weights.chunks_exact((CHANNEL_BLOCK * words).max(1));
                self.blocks(blocks, |w| dot4::sums(w, patch), y);
            }
            Weights::Int4(weights) => {
                self.blocks(weights.chunks_exact(words), |w| dot_s4(w, patch), y);
            }
        }
    }

    /// A block of output channels after another, of which `sums` makes the sums.
    #[inline]
    fn blocks<'w, T: 'w>(
        &self,
        weights: impl Iterator<Item = &'w [T]>,
        sums: impl Fn(&[T]) -> [i32; CHANNEL_BLOCK],
        y: &mut [i8],
    ) {
        let (mut weights, mut channels) = (weights, self.channels.chunks(CHANNEL_BLOCK));
        for y in y.chunks_mut(CHANNEL_BLOCK) {
            let (Some(weights), Some(channels)) = (weights.next(), channels.next()) else { return };
            for ((y, sum), channel) in y.iter_mut().zip(sums(weights)).zip(channels) {
                self.requantize.requantize(sum, channel, y);
            }
        }
    }
}

/// Copies the input under the window at output position `at` into `patch`, `[KH,KW,I]`, a row of
/// the window at a time; what lies outside becomes `pad`.
pub(crate) fn gather(window: &Window, pad: Pad<'_>, at: [usize; 2], x: &[i8], patch: &mut [i8]) {
    let row_bytes = usize::from(window.size[1]) * usize::from(window.input[2]);
    gather_rows(window, pad, at, x, [0, row_bytes], patch);
}

/// The same of rows of the window from `first` on, as many as `patch` has, `pitch` bytes apart;
/// what lies between them stays.
pub(crate) fn gather_rows(
    window: &Window,
    pad: Pad<'_>,
    at: [usize; 2],
    x: &[i8],
    [first, pitch]: [usize; 2],
    patch: &mut [i8],
) {
    let depth = usize::from(window.input[2]);
    let [rows, columns] = [window.inside(0, at[0]), window.inside(1, at[1])];
    let row_bytes = usize::from(window.size[1]) * depth;
    let line_bytes = usize::from(window.input[1]) * depth;
    let above = first.saturating_sub(rows.begin);
    let mut source = (rows.input + above) * line_bytes + columns.input * depth;
    let (left, right) = (columns.begin * depth, columns.end * depth);
    for (ky, row) in (first..).zip(patch.chunks_exact_mut(pitch.max(1))) {
        let Some(row) = row.get_mut(..row_bytes) else { return };
        if ky < rows.begin || ky >= rows.end {
            fill(pad, row);
            continue;
        }
        let inside = x.get(source..source + (right - left)).unwrap_or_default();
        // The loader has proven the lengths; `min` tells it to the compiler, without a panic.
        let (before, rest) = row.split_at_mut(left.min(row.len()));
        let (middle, after) = rest.split_at_mut(inside.len().min(rest.len()));
        let inside = inside.get(..middle.len()).unwrap_or_default();
        fill(pad, before);
        middle.copy_from_slice(inside);
        fill(pad, after);
        source += line_bytes;
    }
}

/// Fills pixels with what lies outside of the input.
fn fill(pad: Pad<'_>, pixels: &mut [i8]) {
    match pad {
        Pad::Uniform(value) => pixels.fill(value),
        Pad::PerChannel(values) => {
            for pixel in pixels.chunks_exact_mut(values.len().max(1)) {
                pixel.iter_mut().zip(values).for_each(|(x, &value)| *x = value);
            }
        }
    }
}

/// The products of a patch with a block of words, `[K]`, each with the four weights of one input.
#[inline(never)]
fn dot_s4(weights: &[u16], patch: &[i8]) -> [i32; CHANNEL_BLOCK] {
    let mut sums = [0_i32; CHANNEL_BLOCK];
    for (&word, &x) in weights.iter().zip(patch) {
        // Each weight goes to the upper end, from where a shift brings its sign down.
        let lanes = [28, 24, 20, 16].map(|up| (i32::from(word) << up) >> 28);
        for (sum, w) in sums.iter_mut().zip(lanes) {
            *sum = sum.wrapping_add(i32::from(x) * w);
        }
    }
    sums
}
