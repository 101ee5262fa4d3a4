//! Direct convolution of any shape with int8 weights: two pixels in one product.
//!
//! `w (x0 + 2^L x1) = w x0 + 2^L w x1`: on cores that multiply one pair of numbers at a time, one
//! multiplication makes the products of two pixels, as long as their sum over `w x0` stays inside
//! of `L` bits. Where a core multiplies into 64 bits, `L` is 23 and 248 weights always fit; else
//! `L` is 16, and a segment of weights fits whose absolute values add up to at most 255: `|sum of w
//! x0| <= 255 * 128 < 2^15`. How many weights that are, eight, four, two or one, is found for each
//! eight of a pair of outputs when a layer is packed, and written before their weights: each core's
//! sums are exact for any weights.
//!
//! Four pixels and two outputs at a time. A patch is read as it lies, row by row, and filled up
//! with zeros to a multiple of eight. Nothing is asked of shapes, constants, clamps or the number
//! of outputs. Owns packing and the walk; does not know how sums are computed.

use super::direct16::{Patch, Places};
use super::{Channels, PackedConv2d};
use crate::arch::passes::pixel_pairs as passes;
use crate::requantize::{
    Form, Native, NativeChannel, NativeJoin, Requantize, Tflite, TfliteChannel,
};
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

/// Words of a pair of outputs besides its weights: the constants of both channels.
pub(super) const CONSTANTS: usize = 6;

/// Bytes of a channel's constants.
const RECORD: usize = size_of::<NativeChannel>();
const _: () = assert!(size_of::<TfliteChannel>() == RECORD && 2 * RECORD == 4 * CONSTANTS);

/// Largest sum of absolute weights of a segment.
const SEGMENT_SUM_MAX: u32 = 255;

/// Pixels at once.
const PIXELS: usize = 4;

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

/// Words of scratch memory: four patches, outputs that nobody wants, a gathered patch.
pub(crate) fn scratch_words(window: &Window) -> usize {
    2 * padded(window)
        + PIXELS * usize::from(window.output[2]).div_ceil(4)
        + window.patch_len().div_ceil(4)
}

/// How many weights a segment may have.
const SEGMENTS: [u8; 4] = [8, 4, 2, 1];

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
/// four, two and one.
#[must_use]
pub fn segments(patch: usize, weights: &[i8]) -> [usize; 4] {
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

/// Computes a layer.
#[inline(never)] // its frame shall not deepen that of other kernels: small boards have 4 KiB
pub(crate) fn run(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    let window = &layer.window;
    let outputs = usize::from(window.output[2]);
    let Some((patches, rest)) = scratch.split_at_mut_checked(2 * padded(window)) else { return };
    let Some((spare, gathered)) = rest.split_at_mut_checked(PIXELS * outputs.div_ceil(4)) else {
        return;
    };
    let spare = <[i8]>::mut_from_bytes(spare.as_mut_bytes()).unwrap_or_default();
    let gathered = <[i8]>::mut_from_bytes(gathered.as_mut_bytes()).unwrap_or_default();
    let Some(gathered) = gathered.get_mut(..window.patch_len()) else { return };
    let patches = patches.as_chunks_mut::<2>().0;
    patches.fill([0, 0]);
    let mut places = Places::new(layer);
    for y in y.chunks_mut((PIXELS * outputs).max(1)) {
        let pixels = y.len() / outputs.max(1);
        for pixel in 0..pixels {
            let (patch, bytes) = places.next(x, gathered);
            widen(&patch, bytes, pixel, patches);
        }
        if pixels == PIXELS {
            products(layer, patches, y);
        } else if let Some(aside) = spare.get_mut(..PIXELS * outputs) {
            aside.iter_mut().zip(&*y).for_each(|(aside, &skip)| *aside = skip);
            products(layer, patches, aside);
            y.iter_mut().zip(aside).for_each(|(y, &mut computed)| *y = computed);
        }
    }
}

/// Writes a patch as pixel `pixel`: the first of a word, which the second is added to.
fn widen(patch: &Patch, bytes: &[i8], pixel: usize, patches: &mut [[u32; 2]]) {
    let [words, rest] = patch.row();
    let (shift, is_second) = (passes::LANE * (pixel as u32 % 2), pixel % 2 == 1);
    let mut slots = patches.iter_mut().map(|slot| &mut slot[pixel / 2 % 2]);
    for row in 0..patch.rows() {
        let row = bytes.get(row * patch.pitch()..).unwrap_or_default();
        let row = row.get(..4 * words + rest).unwrap_or_default();
        for (&x, slot) in row.iter().zip(&mut slots) {
            let kept = if is_second { *slot } else { 0 };
            *slot = kept.wrapping_add((i32::from(x) as u32) << shift);
        }
    }
}

/// All output channels of four pixels.
fn products(layer: &PackedConv2d<'_>, patches: &[[u32; 2]], y: &mut [i8]) {
    let outputs = usize::from(layer.window.output[2]);
    let (header, groups) = (header_words(&layer.window), groups(&layer.window));
    let (clamp, zero_point) = (layer.clamp, layer.zero_point.into());
    let mut sums = [[0; PIXELS]; 2];
    for (index, pair) in layer.packed.chunks_exact(pair_words(&layer.window)).enumerate() {
        let Some((constants, weights)) = pair.split_at_checked(header) else { return };
        let Some((constants, segments)) = constants.split_at_checked(CONSTANTS) else { return };
        let segments = segments.as_bytes().get(..groups).unwrap_or_default();
        let weights = <[i8]>::ref_from_bytes(weights.as_bytes()).unwrap_or_default();
        passes::sums(patches, weights.as_chunks().0, segments, &mut sums);
        for ((record, sums), output) in constants.chunks(CONSTANTS / 2).zip(&sums).zip([0, 1]) {
            let output = 2 * index + output;
            if output >= outputs {
                break;
            }
            let y = y.get_mut(output..).unwrap_or_default();
            match layer.form {
                Form::Native => requantize(Native { clamp }, record, sums, outputs, y),
                Form::NativeJoin => requantize(NativeJoin { clamp }, record, sums, outputs, y),
                Form::Tflite => requantize(Tflite { zero_point, clamp }, record, sums, outputs, y),
            }
        }
    }
}

/// Makes outputs of the sums of a channel, of which `record` are the constants: one every `outputs`
/// bytes.
#[inline]
fn requantize<R: Requantize>(
    requantize: R,
    record: &[u32],
    sums: &[i32; PIXELS],
    outputs: usize,
    y: &mut [i8],
) {
    let Ok(channel) = R::Channel::ref_from_bytes(record.as_bytes()) else { return };
    let mut at = 0;
    for &sum in sums {
        if let Some(y) = y.get_mut(at) {
            requantize.requantize(sum, channel, y);
        }
        at += outputs;
    }
}
