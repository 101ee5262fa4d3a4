//! Direct convolution of any shape with int8 weights: two products in one multiplication.
//!
//! `w (x0 + 2^L x1) = w x0 + 2^L w x1`: on cores that multiply one pair of numbers at a time, one
//! multiplication makes the products of two pixels, as long as their sum over `w x0` stays inside
//! of `L` bits. Where a core multiplies into 64 bits, `L` is 23 and 248 weights always fit; else
//! `L` is 16, and a segment of weights fits whose absolute values add up to at most 255: `|sum of w
//! x0| <= 255 * 128 < 2^15`. Both sums of a segment are a number `s0 + 2^16 s1` of at most 65,537 *
//! 32,640 < 2^31 - 2^15, so that neither it nor `2^15` more wraps, and the upper half of that is
//! `s1`. How many weights that are, eight, four, three, two or one, is found for each eight of a
//! pair of outputs when a layer is packed, and written before their weights: each core's sums are
//! exact for any weights. A core with dual multiplies needs no lanes: it takes two weights of one
//! pixel at a time.
//!
//! Two outputs and four pixels at a time, or six where a core has the registers and the layer the
//! scratch memory. A patch is read as it lies, row by row. Behind it stands whatever stood there,
//! up to a multiple of eight: weights are zero there. Nothing is asked of shapes, constants, clamps
//! or the number of outputs. Owns packing and the walk over pixels; does not know how outputs are
//! computed, nor the layout of the inputs that they are computed of.

use super::direct16::Places;
use super::{Channels, PackedConv2d};
use crate::arch::passes::pixel_pairs as passes;
use crate::requantize::{Form, NativeChannel, TfliteChannel};
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

/// Words of a pair of outputs besides its weights: the constants of both channels.
pub(super) const CONSTANTS: usize = 6;

/// Bytes of a channel's constants.
const RECORD: usize = size_of::<NativeChannel>();
const _: () = assert!(size_of::<TfliteChannel>() == RECORD && 2 * RECORD == 4 * CONSTANTS);

/// Largest sum of absolute weights of a segment.
const SEGMENT_SUM_MAX: u32 = 255;

/// Words of two pixels at once: those that every core computes, and the most of any.
pub(super) const WORDS: [usize; 2] = [2, 3];

/// Weights that have segments of one length.
pub(crate) const GROUP: usize = 8;

/// Weights of an output, filled up.
fn padded(window: &Window) -> usize {
    groups(window) * GROUP
}

/// Groups of eight weights of an output.
fn groups(window: &Window) -> usize {
    window.patch_len().div_ceil(GROUP)
}

/// Words of a pair of outputs before its weights: constants, and a byte for each group, which says
/// how many of its weights are a segment.
pub(super) fn header_words(window: &Window) -> usize {
    CONSTANTS + groups(window).div_ceil(4)
}

/// Words of a pair of outputs.
fn pair_words(window: &Window) -> usize {
    header_words(window) + padded(window) / 2
}

/// Length in words of the packed weights.
pub(crate) fn packed_words(window: &Window) -> usize {
    usize::from(window.output[2]).div_ceil(2) * pair_words(window)
}

/// Words of scratch memory for `words` of [`WORDS`]: patches, outputs that nobody wants, a gathered
/// patch.
pub(crate) fn scratch_words(window: &Window, words: usize) -> usize {
    words * padded(window) + spare_words(window, words) + window.patch_len().div_ceil(4)
}

/// Words of as many pixels.
fn spare_words(window: &Window, words: usize) -> usize {
    2 * words * usize::from(window.output[2]).div_ceil(4)
}

/// How many weights a segment may have.
const SEGMENTS: [u8; 5] = [8, 4, 3, 2, 1];

/// The length of the segments of each group of a pair of outputs, `[1 or 2][patch]`: an index of
/// [`SEGMENTS`].
fn pair_segments(patch: usize, pair: &[i8]) -> impl Iterator<Item = usize> {
    let rows = move || pair.chunks_exact(patch.max(1));
    (0..patch.div_ceil(GROUP)).map(move |group| {
        let fits = |length: u8| {
            let groups = rows().filter_map(|row| row.chunks(GROUP).nth(group));
            let sum = |segment: &[i8]| segment.iter().map(|w| u32::from(w.unsigned_abs())).sum();
            let mut sums = groups.flat_map(|group| group.chunks(length.into())).map(sum);
            sums.all(|sum: u32| sum <= SEGMENT_SUM_MAX)
        };
        SEGMENTS.into_iter().position(fits).unwrap_or(SEGMENTS.len() - 1)
    })
}

/// Of weights `[O][patch]`, how many groups of eight of a pair of outputs have segments of eight,
/// four, three (and two of what remains), two and one.
#[must_use]
pub fn segments(patch: usize, weights: &[i8]) -> [usize; 5] {
    let mut counts = [0; SEGMENTS.len()];
    let pairs = weights.chunks((2 * patch).max(1));
    pairs.flat_map(|pair| pair_segments(patch, pair)).for_each(|length| counts[length] += 1);
    counts
}

/// Packs `weights`, `[O,KH,KW,I]`, with the constants of their channels as their profile has them;
/// a missing output is zero.
pub(crate) fn pack(window: &Window, channels: Channels<'_>, weights: &[i8], packed: &mut [u32]) {
    let patch = window.patch_len();
    packed.fill(0);
    for (pair, rows) in packed.chunks_exact_mut(pair_words(window)).zip(weights.chunks(2 * patch)) {
        let slots = pair.as_mut_bytes().iter_mut().skip(4 * CONSTANTS);
        let lengths = pair_segments(patch, rows).map(|length| SEGMENTS[length]);
        slots.zip(lengths).for_each(|(slot, length)| *slot = length);
    }
    for (index, row) in weights.chunks_exact(patch).enumerate() {
        let pair = packed.chunks_exact_mut(pair_words(window)).nth(index / 2).unwrap_or_default();
        let Some((constants, words)) = pair.split_at_mut_checked(header_words(window)) else {
            return;
        };
        let record = match channels {
            Channels::Native(channels) => channels.get(index).map(IntoBytes::as_bytes),
            Channels::Tflite { channels, .. } => channels.get(index).map(IntoBytes::as_bytes),
        };
        let slots = constants.as_mut_bytes().chunks_exact_mut(RECORD).nth(index % 2);
        if let (Some(slot), Some(record)) = (slots, record) {
            slot.copy_from_slice(record);
        }
        let slots = words.as_mut_bytes().iter_mut().skip(index % 2).step_by(2);
        slots.zip(row).for_each(|(slot, &w)| *slot = w as u8);
    }
}

/// All pairs of output channels, and how their sums become outputs.
pub(crate) struct Stream<'a> {
    packed: &'a [u32],
    groups: usize,
    outputs: usize,
    form: Form,
    clamp: [i8; 2],
    zero_point: i8,
}

/// A pair of output channels.
#[cfg(any(resmcu_passes = "armv7m", resmcu_passes = "portable"))]
pub(crate) struct Pair<'a> {
    /// What the profile stores of each of both.
    pub(crate) constants: &'a [[u32; CONSTANTS / 2]],
    /// For each [`GROUP`] of weights the length of its segments.
    pub(crate) segments: &'a [u8],
    /// Of both outputs, filled up.
    pub(crate) weights: &'a [[i8; 2]],
}

impl<'a> Stream<'a> {
    /// None if the layer has no weight, no output or another length.
    fn new(layer: &PackedConv2d<'a>) -> Option<Self> {
        let PackedConv2d { packed, form, clamp, zero_point, .. } = *layer;
        let zero_point = if form == Form::Tflite { zero_point } else { 0 };
        let (groups, outputs) = (groups(&layer.window), usize::from(layer.window.output[2]));
        let whole = packed.len() == packed_words(&layer.window) && groups != 0 && outputs != 0;
        whole.then_some(Self { packed, groups, outputs, form, clamp, zero_point })
    }

    /// Whether `x` are `words` words for each weight of an output, and `y` twice as many pixels.
    pub(crate) fn fits(&self, words: usize, x: &[u32], y: &[i8]) -> bool {
        x.len() == words * GROUP * self.groups && y.len() == 2 * words * self.outputs
    }

    /// At least one.
    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    /// The arithmetic.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Smallest and largest result.
    pub(crate) fn clamp(&self) -> [i8; 2] {
        self.clamp
    }

    /// Of the profile `tflite`, else zero.
    pub(crate) fn zero_point(&self) -> i8 {
        self.zero_point
    }

    /// Words of a pair before its weights.
    pub(crate) fn header_words(&self) -> usize {
        CONSTANTS + self.groups.div_ceil(4)
    }

    /// All pairs as they lie in memory: `[header_words]` and `[groups][8][2]` bytes.
    #[cfg(not(any(resmcu_passes = "armv7m", resmcu_passes = "portable")))]
    pub(crate) fn packed(&self) -> &'a [u32] {
        self.packed
    }

    /// One after another.
    #[cfg(any(resmcu_passes = "armv7m", resmcu_passes = "portable"))]
    pub(crate) fn pairs(&self) -> impl Iterator<Item = Pair<'a>> {
        let (header, groups) = (self.header_words(), self.groups);
        self.packed.chunks_exact((header + GROUP / 2 * groups).max(1)).map(move |pair| {
            let (header, weights) = pair.split_at_checked(header).unwrap_or_default();
            let (constants, segments) = header.split_at_checked(CONSTANTS).unwrap_or_default();
            Pair {
                constants: constants.as_chunks().0,
                segments: segments.as_bytes().get(..groups).unwrap_or_default(),
                weights: <[[i8; 2]]>::ref_from_bytes(weights.as_bytes()).unwrap_or_default(),
            }
        })
    }
}

/// Computes a layer.
#[inline(never)] // its frame shall not deepen that of other kernels: small boards have 4 KiB
pub(crate) fn run(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    let window = &layer.window;
    let (padded, outputs) = (padded(window), usize::from(window.output[2]));
    let Some(stream) = Stream::new(layer) else { return };
    let [fewest, most] = passes::WORDS;
    let is_enough = scratch.len() >= scratch_words(window, most);
    let most = if is_enough { most } else { WORDS[0] };
    let Some((patches, rest)) = scratch.split_at_mut_checked(most * padded) else { return };
    let spare_words = spare_words(window, most);
    let Some((spare, gathered)) = rest.split_at_mut_checked(spare_words) else { return };
    let spare = <[i8]>::mut_from_bytes(spare.as_mut_bytes()).unwrap_or_default();
    let gathered = <[i8]>::mut_from_bytes(gathered.as_mut_bytes()).unwrap_or_default();
    let Some(gathered) = gathered.get_mut(..window.patch_len()) else { return };
    let mut places = Places::new(layer);
    for y in y.chunks_mut((2 * most * outputs).max(1)) {
        let pixels = y.len() / outputs.max(1);
        let words = pixels.div_ceil(2).max(fewest);
        let Some(patches) = patches.get_mut(..words * padded) else { return };
        for pixel in 0..pixels {
            let (patch, bytes) = places.next(x, gathered);
            passes::widen(&patch, bytes, [pixel, words], patches);
        }
        if pixels == 2 * words {
            passes::outputs(&stream, words, patches, y);
        } else if let Some(aside) = spare.get_mut(..2 * words * outputs) {
            aside.iter_mut().zip(&*y).for_each(|(aside, &skip)| *aside = skip);
            passes::outputs(&stream, words, patches, aside);
            y.iter_mut().zip(aside).for_each(|(y, &mut computed)| *y = computed);
        }
    }
}
