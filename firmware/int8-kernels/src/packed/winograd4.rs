//! Winograd's F(4x4, 3x3) in exact integers (Lavin and Gray 2015, section 4.1, scaled).
//!
//! A tile of 4x4 outputs costs 36 products a channel instead of 144. The transforms are scaled so
//! that all numbers are integers, and every sum is modulo 2^32, so that the result is the direct
//! convolution's to the bit:
//! - Weights: `U = G w G^T`, rows of `G`: `[3,0,0]`, `[-1,-1,-1]`, `[-1,1,-1]`, `[1,2,4]`,
//!   `[1,-2,4]`, `[0,0,3]`. `|U| <= 49 * 128 = 6272`: int16.
//! - Inputs: `V = B^T (x + 128) B`, `B` as in the paper. `-12750 <= V <= 17340`; [`EPSILON`] is
//!   added to the lower of two lanes in a word, which keeps it positive: `V + EPSILON <= 30652`.
//! - Outputs: `A^T (U * V) A`, rows of `A^T` scaled by 24, 12, 6 and 6, give `9 * 2^k * a` with
//!   `k = 2..6`. Times `9^-1 * 2^(j - k)` modulo 2^32 that is `a << j`, which is below 2^31 by the
//!   profile's own bound. So `j >= 6` is needed, and nothing else.
//! - What 128, [`EPSILON`] and `bias` add is one constant for each of the sixteen places.
//!
//! Two tiles side by side and two output channels are computed at once. Stored transformed, a
//! weight is 8 bytes; or the nine int8 are stored and transformed for as many tiles as the
//! scratch memory holds. Owns packing and the walk; does not know how a pass is computed.

use super::PackedConv2d;
use super::dsp::int16_pair;
use crate::arch::passes::winograd4 as passes;
use crate::requantize::NativeChannel;
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

/// Places in the transformed domain.
pub(crate) const POINTS: usize = 36;

/// Input rows of a tile.
pub(crate) const TILE_ROWS: usize = 6;

/// Input columns of two tiles.
pub(crate) const TILE_COLUMNS: usize = 10;

/// What keeps the lower lane positive.
pub(crate) const EPSILON: u32 = 0x3400;

/// Words of one output channel besides its weights: a constant for each place, the multiplier
/// that undoes the scale 2^6, the output's scale, and the weight of the residual.
pub(crate) const CONSTANTS: usize = 19;

/// `6 - k` is the sum over both dimensions.
pub(crate) const SHIFTS: [u32; 4] = [0, 1, 2, 2];

/// The smallest `j`.
const PRE_SHIFT_MIN: u8 = 6;

/// `9^-1` modulo 2^32.
const INVERSE_OF_9: u32 = 954_437_177;

/// How the weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Transformed, 36 int16 for nine int8.
    Stored,
    /// As they are, transformed on the fly.
    OnTheFly,
}

impl Weights {
    /// Words of two output channels as they are stored.
    fn packed_pair(self, channels: usize) -> usize {
        match self {
            Self::Stored => pair_words(channels),
            Self::OnTheFly => channels / 4 * 18 + 2 * CONSTANTS,
        }
    }
}

/// Words of two output channels as `products` reads them.
pub(crate) fn pair_words(channels: usize) -> usize {
    POINTS * channels + 2 * CONSTANTS
}

/// Whether a convolution has the shape and the constants for this kernel.
pub(crate) fn accepts(window: &Window, channels: &[NativeChannel]) -> bool {
    window.size == [3, 3]
        && window.stride == [1, 1]
        && window.input[2].is_multiple_of(4)
        && window.output[2].is_multiple_of(2)
        && channels.iter().all(|c| (PRE_SHIFT_MIN..=8).contains(&c.pre_shift))
}

/// Words of the packed weights.
pub(crate) fn packed_words(window: &Window, weights: Weights) -> usize {
    usize::from(window.output[2]) / 2 * weights.packed_pair(window.input[2].into())
}

/// Words of scratch memory for the passes over `pairs` pairs of tiles at once.
pub(crate) fn scratch_words(window: &Window, weights: Weights, pairs: usize) -> usize {
    let channels = usize::from(window.input[2]);
    let transformed = if weights == Weights::OnTheFly { pair_words(channels) } else { 0 };
    fixed_words(channels) + transformed + pairs.max(1) * POINTS * channels
}

/// Padding and vertical pass.
fn fixed_words(channels: usize) -> usize {
    channels / 2 * 5 + 3 * TILE_COLUMNS * channels
}

/// Pairs of tiles of a whole layer.
pub(crate) fn tile_pairs(window: &Window) -> usize {
    let [rows, columns, _] = window.output.map(usize::from);
    rows.div_ceil(4) * columns.div_ceil(8)
}

/// Packs `weights`, `[O,3,3,I]`, with the constants of their channels.
pub(crate) fn pack(
    weights: &[i8],
    channels: &[NativeChannel],
    window: &Window,
    kind: Weights,
    packed: &mut [u32],
) {
    let depth = usize::from(window.input[2]);
    let pair = kind.packed_pair(depth);
    let weights = weights.chunks_exact(2 * 9 * depth);
    for ((packed, weights), channels) in
        packed.chunks_exact_mut(pair.max(1)).zip(weights).zip(channels.chunks_exact(2))
    {
        let (slots, constants) = packed.split_at_mut(pair - 2 * CONSTANTS);
        for (index, (row, channel)) in weights.chunks_exact(9 * depth).zip(channels).enumerate() {
            pack_row(row, depth, kind, index, slots);
            let slots = constants.chunks_exact_mut(CONSTANTS).nth(index);
            pack_constants(row, channel, depth, slots.unwrap_or_default());
        }
    }
}

/// Packs the weights `[3,3,depth]` of channel `index` (0 or 1) of a pair.
fn pack_row(row: &[i8], depth: usize, kind: Weights, index: usize, slots: &mut [u32]) {
    let taps = |i: usize| [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|tap| row[tap * depth + i]);
    for quad in 0..depth / 4 {
        let four = [0, 1, 2, 3].map(|i| taps(4 * quad + i));
        match kind {
            Weights::Stored => {
                let [a, b, c, d] = four.map(|taps| transform(&taps.map(i32::from)));
                let points = slots.chunks_exact_mut(depth).zip(a).zip(b).zip(c).zip(d);
                for ((((slots, a), b), c), d) in points {
                    let at = 4 * quad + 2 * index;
                    slots[at] = int16_pair(a, c);
                    slots[at + 1] = int16_pair(b, d);
                }
            }
            Weights::OnTheFly => {
                let slots = slots.iter_mut().skip(18 * quad + 9 * index);
                for (tap, slot) in slots.take(9).enumerate() {
                    *slot = u32::from_le_bytes(four.map(|taps| taps[tap] as u8));
                }
            }
        }
    }
}

fn pack_constants(row: &[i8], channel: &NativeChannel, depth: usize, slots: &mut [u32]) {
    let multiplier = INVERSE_OF_9 << (channel.pre_shift - PRE_SHIFT_MIN);
    let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
    let bias = channel.bias.wrapping_sub((128 * sum) << channel.pre_shift) as u32;
    // What the lower lanes' addend makes: the transform of the sum of their weights.
    let mut low = [0; 9];
    for (tap, pixel) in low.iter_mut().zip(row.chunks_exact(depth)) {
        *tap =
            pixel.iter().enumerate().filter(|(i, _)| i % 4 < 2).map(|(_, &w)| i32::from(w)).sum();
    }
    let low = transform(&low);
    for i in 0..4 {
        for j in 0..4 {
            let terms = low.iter().enumerate().map(|(point, &u)| {
                OUTPUT[i][point / 6].wrapping_mul(OUTPUT[j][point % 6]).wrapping_mul(u)
            });
            let sum = terms.fold(0, i32::wrapping_add) as u32;
            let scaled =
                sum.wrapping_mul(EPSILON).wrapping_mul(multiplier << (SHIFTS[i] + SHIFTS[j]));
            slots[4 * i + j] = bias.wrapping_sub(scaled);
        }
    }
    slots[16] = multiplier;
    slots[17] = channel.scale_32() as u32;
    slots[18] = channel.skip_multiplier as u32;
}

/// `A^T`, scaled.
const OUTPUT: [[i32; 6]; 4] =
    [[2, 4, 4, 1, 1, 0], [0, 2, -2, 1, -1, 0], [0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 2]];

/// `G w G^T`.
pub(crate) fn transform(w: &[i32; 9]) -> [i32; POINTS] {
    let one = |a: i32, b: i32, c: i32| {
        [3 * a, -a - b - c, -a + b - c, a + 2 * b + 4 * c, a - 2 * b + 4 * c, 3 * c]
    };
    let columns = [0, 1, 2].map(|x| one(w[x], w[3 + x], w[6 + x]));
    let mut points = [0; POINTS];
    for (i, row) in points.chunks_exact_mut(6).enumerate() {
        row.copy_from_slice(&one(columns[0][i], columns[1][i], columns[2][i]));
    }
    points
}

/// What the passes over transformed tiles need.
pub(crate) struct Products<'a> {
    /// A pair of tiles: `[POINTS][C/4][2 tiles][2]`.
    pub(crate) v: &'a [u32],
    /// Pairs of output channels, [`pair_words`] each.
    pub(crate) weights: &'a [u32],
    /// Input channels.
    pub(crate) channels: usize,
    /// From pixel to pixel and from row to row of the output, in bytes.
    pub(crate) pixel: usize,
    pub(crate) row: usize,
    /// Whether the output holds a residual.
    pub(crate) join: bool,
}

/// Computes a layer. `scratch`: at least [`scratch_words`] for one pair of tiles; what is more
/// lets transformed weights serve for more tiles.
pub(crate) fn run(
    layer: &PackedConv2d<'_>,
    pad: i8,
    kind: Weights,
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let channels = usize::from(layer.window.input[2]);
    let walk = Walk {
        layer,
        channels,
        pairs_a_row: usize::from(layer.window.output[1]).div_ceil(8).max(1),
    };
    let Some((fill, rest)) = scratch.split_at_mut_checked(channels / 2 * 5) else { return };
    let Some((u, rest)) = rest.split_at_mut_checked(3 * TILE_COLUMNS * channels) else { return };
    let transformed = if kind == Weights::OnTheFly { pair_words(channels) } else { 0 };
    let Some((transformed, v)) = rest.split_at_mut_checked(transformed) else { return };
    let fill = <[i8]>::mut_from_bytes(fill.as_mut_bytes()).unwrap_or_default();
    fill.fill(pad);
    let (mut first, total) = (0, tile_pairs(&layer.window));
    let group = (v.len() / (POINTS * channels).max(1)).max(1);
    while first < total {
        let pairs = first..(first + group).min(total);
        for (pair, v) in pairs.clone().zip(v.chunks_exact_mut(POINTS * channels)) {
            walk.transform(pair, x, fill, u, v);
        }
        match kind {
            Weights::Stored => walk.products(pairs.clone(), v, layer.packed, 0, y),
            Weights::OnTheFly => {
                let packed = layer.packed.chunks_exact(kind.packed_pair(channels));
                for (output, packed) in packed.enumerate() {
                    passes::weights(packed, channels, transformed);
                    walk.products(pairs.clone(), v, transformed, 2 * output, y);
                }
            }
        }
        first = pairs.end;
    }
}

struct Walk<'a, 'p> {
    layer: &'a PackedConv2d<'p>,
    channels: usize,
    pairs_a_row: usize,
}

impl Walk<'_, '_> {
    /// Transforms a pair of tiles into `v`. `u` holds the vertical pass of the pair before, of
    /// which the last two columns are this one's first.
    fn transform(&self, pair: usize, x: &[i8], fill: &[i8], u: &mut [u32], v: &mut [u32]) {
        let (row, column) = (pair / self.pairs_a_row, pair % self.pairs_a_row);
        let mut done = 0;
        if column != 0 {
            for line in u.chunks_exact_mut(TILE_COLUMNS) {
                line.copy_within(TILE_COLUMNS - 2.., 0);
            }
            done = 2;
        }
        let [top, left] = self.layer.window.padding.map(usize::from);
        let [height, width, _] = self.layer.window.input.map(usize::from);
        while done < TILE_COLUMNS {
            // The next columns that lie wholly before, in or behind the image.
            let at = 8 * column + done;
            let (count, inside) = if at < left {
                (left - at, None)
            } else if at - left < width {
                (width - (at - left), Some(at - left))
            } else {
                (TILE_COLUMNS, None)
            };
            let bytes = count.min(TILE_COLUMNS - done) * self.channels;
            let rows = [0, 1, 2, 3, 4, 5].map(|i| {
                let line = (4 * row + i).checked_sub(top).filter(|&line| line < height);
                let start = line.zip(inside).map(|(line, c)| (line * width + c) * self.channels);
                let pixels = start.and_then(|start| x.get(start..start + bytes));
                pixels.or_else(|| fill.get(..bytes)).unwrap_or_default()
            });
            passes::rows(rows, self.channels, done, u);
            done += count.min(TILE_COLUMNS - done);
        }
        for tile in 0..2 {
            let (Some(u), Some(v)) = (u.get(4 * tile..), v.get_mut(2 * tile..)) else { continue };
            passes::columns(u, self.channels, v);
        }
    }

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
        for (pair, v) in pairs.zip(v.chunks_exact(POINTS * self.channels)) {
            let (row, column) = (4 * (pair / self.pairs_a_row), 8 * (pair % self.pairs_a_row));
            let y = y.get_mut((row * width + column) * outputs + output..).unwrap_or_default();
            let place = Products {
                v,
                weights,
                channels: self.channels,
                pixel: outputs,
                row: width * outputs,
                join: self.layer.join,
            };
            if row + 4 <= height && column + 8 <= width {
                passes::products(&place, y);
            } else {
                self.edge(&place, [(height - row).min(4), (width - column).min(8)], y);
            }
        }
    }

    /// A pair of tiles of which only `size` lies in the output: aside, two channels at a time.
    fn edge(&self, place: &Products<'_>, size: [usize; 2], y: &mut [i8]) {
        let pair = pair_words(self.channels);
        for (index, weights) in place.weights.chunks_exact(pair).enumerate() {
            let mut aside = [0; 4 * 8 * 2];
            let inside = |row: usize, column: usize| {
                let start = row * place.row + column * place.pixel + 2 * index;
                start..start + 2
            };
            if place.join {
                for (row, line) in aside.chunks_exact_mut(16).enumerate().take(size[0]) {
                    for (column, two) in line.chunks_exact_mut(2).enumerate().take(size[1]) {
                        two.copy_from_slice(y.get(inside(row, column)).unwrap_or(&[0, 0]));
                    }
                }
            }
            passes::products(&Products { weights, pixel: 2, row: 16, ..*place }, &mut aside);
            for (row, line) in aside.chunks_exact(16).enumerate().take(size[0]) {
                for (column, two) in line.chunks_exact(2).enumerate().take(size[1]) {
                    if let Some(y) = y.get_mut(inside(row, column)) {
                        y.copy_from_slice(two);
                    }
                }
            }
        }
    }
}
