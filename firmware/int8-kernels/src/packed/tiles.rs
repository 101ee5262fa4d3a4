//! Convolutions by transformed tiles: what Winograd's method and its polyphase form have in common.
//!
//! A pair of tiles side by side is transformed, `V = B^T x B`, multiplied point by point with the
//! transformed weights and summed over the channels, two outputs at once, and transformed back.
//! Weights are stored transformed; or they are stored as int8 or int4, and transformed for as many
//! pairs of tiles as the scratch holds. Owns walk, edges and memory; does not know the transforms.

mod inputs;

use super::{Channels, PackedConv2d, polyphase2, winograd4};
use crate::arch::passes;
use crate::ops::conv2d::Pad;
use crate::requantize::Form;
use crate::shape::Window;
use core::num::NonZero;
use inputs::Place;
use zerocopy::{FromBytes, IntoBytes};

/// Which transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// F(4x4, 3x3), stride 1.
    Winograd4,
    /// F(2x2, 3x3) of the four phases of stride 2.
    Polyphase2,
}

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Transformed, an int16 for each point.
    Stored,
    /// As they are, transformed on the fly.
    OnTheFly,
    /// In four bits, unpacked and transformed on the fly.
    Int4,
}

/// The sizes of a method.
pub(crate) struct Geometry {
    /// Places in the transformed domain.
    pub(crate) points: usize,
    /// Input rows of a tile.
    pub(crate) rows: usize,
    /// Input columns of a pair of tiles.
    pub(crate) columns: usize,
    /// Output rows and columns of a pair.
    output: [usize; 2],
    /// Words of one output channel besides its weights.
    pub(crate) constants: usize,
}

/// Input rows and columns from one pair of tiles to the next.
const STEP: [usize; 2] = [4, 8];

/// Input rows of the largest tile, and outputs of the largest pair.
const ROWS_MAX: usize = 6;
const OUTPUTS_MAX: usize = 32;

/// Pairs of output channels that a tile at an edge computes at once.
const EDGE_PAIRS: usize = 4;

impl Method {
    pub(crate) const fn geometry(self) -> Geometry {
        match self {
            Self::Winograd4 => Geometry {
                points: winograd4::POINTS,
                rows: winograd4::ROWS,
                columns: winograd4::COLUMNS,
                output: [4, 8],
                constants: winograd4::CONSTANTS,
            },
            Self::Polyphase2 => Geometry {
                points: polyphase2::POINTS,
                rows: polyphase2::ROWS,
                columns: polyphase2::COLUMNS,
                output: [2, 4],
                constants: polyphase2::CONSTANTS,
            },
        }
    }

    /// Whether a convolution has the shape and the constants for this method.
    pub(super) fn accepts(self, window: &Window, channels: Channels<'_>) -> bool {
        let stride = match self {
            Self::Winograd4 => [1, 1],
            Self::Polyphase2 => [2, 2],
        };
        window.size == [3, 3]
            && window.stride == stride
            && (self == Self::Polyphase2 || winograd4::accepts(channels))
    }

    /// Words of two output channels as they are multiplied: transformed, and their constants.
    pub(crate) const fn pair_words(self, channels: usize) -> usize {
        let geometry = self.geometry();
        geometry.points * channels + 2 * geometry.constants
    }

    /// Words of two output channels as they are stored.
    fn stored_words(self, weights: Weights, channels: usize) -> usize {
        match weights {
            Weights::Stored => self.pair_words(channels),
            Weights::OnTheFly => channels / 4 * 18 + 2 * self.geometry().constants,
            Weights::Int4 => channels / 4 * 9 + 2 * self.geometry().constants,
        }
    }

    /// Words of the packed weights.
    pub(super) fn packed_words(self, window: &Window, weights: Weights) -> usize {
        usize::from(window.output[2]) / 2 * self.stored_words(weights, padded_channels(window))
    }

    /// Words of scratch memory for the passes over `pairs` pairs of tiles at once.
    pub(super) fn scratch_words(self, window: &Window, weights: Weights, pairs: usize) -> usize {
        let memory = Memory::new(self, weights, window);
        memory.fill
            + memory.padded
            + memory.vertical
            + memory.unpacked
            + memory.transformed
            + pairs.max(1) * memory.pair
    }

    /// Pairs of tiles of a whole layer.
    pub(super) fn tile_pairs(self, window: &Window) -> usize {
        let [rows, columns] = self.geometry().output;
        usize::from(window.output[0]).div_ceil(rows)
            * usize::from(window.output[1]).div_ceil(columns)
    }

    /// Packs `weights`, `[O,3,3,I]`, with the constants of their channels.
    pub(super) fn pack(
        self,
        window: &Window,
        channels: Channels<'_>,
        weights: &[i8],
        kind: Weights,
        packed: &mut [u32],
    ) {
        let (depth, words) = (usize::from(window.input[2]), padded_channels(window));
        let (pair, constants) = (self.stored_words(kind, words), self.geometry().constants);
        let weights = weights.chunks_exact(2 * 9 * depth);
        for (first, (packed, weights)) in packed.chunks_exact_mut(pair).zip(weights).enumerate() {
            packed.fill(0);
            let (slots, rest) = packed.split_at_mut(pair - 2 * constants);
            for (index, row) in weights.chunks_exact(9 * depth).enumerate() {
                let channel = channels.get(2 * first + index);
                self.pack_row(row, depth, kind, index, slots);
                let rest = &mut rest[constants * index..constants * (index + 1)];
                match self {
                    Self::Winograd4 => winograd4::pack_constants(row, channel, depth, rest),
                    Self::Polyphase2 => polyphase2::pack_constants(&channel, rest),
                }
            }
        }
    }

    /// Packs the weights `[3,3,depth]` of channel `index` (0 or 1) of a pair.
    fn pack_row(self, row: &[i8], depth: usize, kind: Weights, index: usize, slots: &mut [u32]) {
        let weight = |tap: usize, i: usize| if i < depth { row[tap * depth + i] } else { 0 };
        let taps = |i: usize| [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|tap| weight(tap, i));
        for quad in 0..depth.div_ceil(4) {
            let four = [0, 1, 2, 3].map(|i| taps(4 * quad + i));
            match kind {
                Weights::Stored => {
                    for (point, slots) in slots.chunks_exact_mut(4 * depth.div_ceil(4)).enumerate()
                    {
                        let [a, b, c, d] =
                            four.map(|taps| self.weight(&taps.map(i32::from), point));
                        let at = 4 * quad + 2 * index;
                        slots[at] = super::dsp::int16_pair(a, c);
                        slots[at + 1] = super::dsp::int16_pair(b, d);
                    }
                }
                Weights::OnTheFly => {
                    let slots = slots.iter_mut().skip(18 * quad + 9 * index);
                    for (tap, slot) in slots.take(9).enumerate() {
                        *slot = u32::from_le_bytes(four.map(|taps| taps[tap] as u8));
                    }
                }
                Weights::Int4 => {
                    for (tap, slot) in slots.iter_mut().skip(9 * quad).take(9).enumerate() {
                        let four = u32::from_le_bytes(four.map(|taps| taps[tap] as u8 & 15));
                        *slot |= four << (4 * index);
                    }
                }
            }
        }
    }

    /// One point of the transform of nine weights.
    pub(crate) fn weight(self, taps: &[i32; 9], point: usize) -> i32 {
        let [vertical, horizontal] = match self {
            Self::Winograd4 => winograd4::weight_rows(point),
            Self::Polyphase2 => polyphase2::weight_rows(point),
        };
        let mut sum = 0;
        for (v, row) in vertical.iter().zip(taps.as_chunks::<3>().0) {
            for (h, &w) in horizontal.iter().zip(row) {
                sum += v * h * w;
            }
        }
        sum
    }
}

/// Words of each part of the scratch memory.
struct Memory {
    /// A row of padding.
    fill: usize,
    /// The pair's input, where its channels have to be filled up to a multiple of four.
    padded: usize,
    /// The vertical pass of a pair of tiles.
    vertical: usize,
    /// The weights of two outputs in eight bits, where they are stored in four.
    unpacked: usize,
    /// The transformed weights of two outputs.
    transformed: usize,
    /// A transformed pair of tiles.
    pair: usize,
}

impl Memory {
    fn new(method: Method, weights: Weights, window: &Window) -> Self {
        let (channels, geometry) = (padded_channels(window), method.geometry());
        let is_padded = channels != usize::from(window.input[2]);
        let eight = method.stored_words(Weights::OnTheFly, channels);
        Self {
            fill: geometry.columns * channels / 4,
            padded: if is_padded { geometry.rows * geometry.columns * channels / 4 } else { 0 },
            vertical: geometry.rows * geometry.columns * channels / 2,
            unpacked: if weights == Weights::Int4 { eight } else { 0 },
            transformed: if weights == Weights::Stored { 0 } else { method.pair_words(channels) },
            pair: geometry.points * channels,
        }
    }
}

/// Input channels as they are multiplied, four at once.
fn padded_channels(window: &Window) -> usize {
    usize::from(window.input[2]).next_multiple_of(4)
}

/// What the passes over transformed tiles need.
pub(crate) struct Products<'a> {
    /// A pair of tiles: `[points][C/4][2 tiles][2]`.
    pub(crate) v: &'a [u32],
    /// Pairs of output channels, [`Method::pair_words`] each.
    pub(crate) weights: &'a [u32],
    /// Input channels.
    pub(crate) channels: usize,
    /// From pixel to pixel and from row to row of the output, in bytes.
    pub(crate) pixel: usize,
    pub(crate) row: usize,
    /// The arithmetic.
    pub(crate) form: Form,
}

/// Computes a layer. `scratch`: at least [`Method::scratch_words`] for one pair of tiles; what is
/// more lets transformed weights serve for more tiles.
#[inline(never)] // its frame shall not deepen that of other kernels: small boards have 4 KiB
pub(super) fn run(
    layer: &PackedConv2d<'_>,
    (method, kind): (Method, Weights),
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let channels = padded_channels(&layer.window);
    let memory = Memory::new(method, kind, &layer.window);
    let geometry = method.geometry();
    let pairs_a_row = usize::from(layer.window.output[1]).div_ceil(geometry.output[1]);
    let pairs_a_row = NonZero::new(pairs_a_row).unwrap_or(NonZero::<usize>::MIN);
    let walk = Walk { layer, method, geometry, channels, pairs_a_row };
    let Some((fill, rest)) = scratch.split_at_mut_checked(memory.fill) else { return };
    let Some((padded, rest)) = rest.split_at_mut_checked(memory.padded) else { return };
    let Some((u, rest)) = rest.split_at_mut_checked(memory.vertical) else { return };
    let Some((unpacked, rest)) = rest.split_at_mut_checked(memory.unpacked) else { return };
    let Some((transformed, v)) = rest.split_at_mut_checked(memory.transformed) else { return };
    let fill = <[i8]>::mut_from_bytes(fill.as_mut_bytes()).unwrap_or_default();
    let padded = <[i8]>::mut_from_bytes(padded.as_mut_bytes()).unwrap_or_default();
    match layer.pad {
        Pad::Uniform(value) => fill.fill(value),
        Pad::PerChannel(values) => {
            let pixels = fill.chunks_exact_mut(channels.max(1));
            pixels.for_each(|pixel| pixel.iter_mut().zip(values).for_each(|(x, &v)| *x = v));
        }
    }
    let mut place = Place::default();
    let (mut first, total) = (0, method.tile_pairs(&layer.window));
    let pair_words = memory.pair.max(1);
    let group = (v.len() / pair_words).max(1);
    while first < total {
        let pairs = first..(first + group).min(total);
        for (_, v) in pairs.clone().zip(v.chunks_exact_mut(pair_words)) {
            walk.transform(&mut place, x, [fill, padded], u, v);
        }
        match kind {
            Weights::Stored => walk.products(pairs.clone(), v, layer.packed, 0, y),
            Weights::OnTheFly | Weights::Int4 => {
                let packed = layer.packed.chunks_exact(method.stored_words(kind, channels).max(1));
                for (output, mut packed) in packed.enumerate() {
                    if kind == Weights::Int4 {
                        super::int4::unpack(packed, channels, unpacked);
                        packed = unpacked;
                    }
                    match method {
                        Method::Winograd4 => {
                            passes::winograd4::weights(packed, channels, transformed);
                        }
                        Method::Polyphase2 => {
                            passes::polyphase2::weights(packed, channels, transformed);
                        }
                    }
                    walk.products(pairs.clone(), v, transformed, 2 * output, y);
                }
            }
        }
        first = pairs.end;
    }
}

struct Walk<'a, 'p> {
    layer: &'a PackedConv2d<'p>,
    method: Method,
    geometry: Geometry,
    channels: usize,
    pairs_a_row: NonZero<usize>,
}

impl Walk<'_, '_> {
    /// Outputs of pairs of tiles from channel `output` on, of which `v` holds the transforms.
    fn products(
        &self,
        pairs: core::ops::Range<usize>,
        v: &[u32],
        weights: &[u32],
        output: usize,
        y: &mut [i8],
    ) {
        let [height, width, outputs] = self.layer.window.output.map(usize::from);
        let [rows, columns] = self.geometry.output;
        let pair_words = (self.geometry.points * self.channels).max(1);
        for (pair, v) in pairs.zip(v.chunks_exact(pair_words)) {
            let (row, column) = (pair / self.pairs_a_row, pair % self.pairs_a_row);
            let (row, column) = (rows * row, columns * column);
            let y = y.get_mut((row * width + column) * outputs + output..).unwrap_or_default();
            let place = Products {
                v,
                weights,
                channels: self.channels,
                pixel: outputs,
                row: width * outputs,
                form: self.layer.form,
            };
            if row + rows <= height && column + columns <= width {
                self.multiply(&place, y);
            } else {
                self.edge(&place, [height.saturating_sub(row), width.saturating_sub(column)], y);
            }
        }
    }

    fn multiply(&self, place: &Products<'_>, y: &mut [i8]) {
        match self.method {
            Method::Winograd4 => passes::winograd4::products(place, y),
            Method::Polyphase2 => passes::polyphase2::products(place, y),
        }
    }

    /// A pair of tiles of which only `size` lies in the output: aside, some channels at a time.
    fn edge(&self, place: &Products<'_>, size: [usize; 2], y: &mut [i8]) {
        let pair = self.method.pair_words(self.channels).max(1);
        let [rows, columns] = [0, 1].map(|axis| size[axis].min(self.geometry.output[axis]));
        let pixels = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        for (index, weights) in place.weights.chunks((EDGE_PAIRS * pair).max(1)).enumerate() {
            let channels = 2 * (weights.len() / pair).clamp(1, EDGE_PAIRS);
            let line = channels * self.geometry.output[1];
            let mut aside = [0; 2 * EDGE_PAIRS * OUTPUTS_MAX];
            let aside = aside.get_mut(..line * self.geometry.output[0]).unwrap_or_default();
            let inside = |row: usize, column: usize| {
                let start = row * place.row + column * place.pixel + 2 * EDGE_PAIRS * index;
                start..start + channels
            };
            if place.form == Form::NativeJoin {
                for (row, column) in pixels.clone() {
                    let pixel = aside.get_mut(row * line + column * channels..).unwrap_or_default();
                    let skip = y.get(inside(row, column)).unwrap_or_default();
                    pixel.iter_mut().zip(skip).for_each(|(slot, &skip)| *slot = skip);
                }
            }
            self.multiply(&Products { weights, pixel: channels, row: line, ..*place }, aside);
            for (row, column) in pixels.clone() {
                let pixel = aside.get(row * line + column * channels..).unwrap_or_default();
                let y = y.get_mut(inside(row, column)).unwrap_or_default();
                y.iter_mut().zip(pixel).for_each(|(y, &computed)| *y = computed);
            }
        }
    }
}
