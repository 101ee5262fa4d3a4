//! Winograd's F(4x4, 3x3) on a host, in the exact integers of `packed::winograd4`, and F(4x4, 2x2)
//! of the four phases of stride 2.
//!
//! For units that multiply int16 as fast as int8: a quarter of the products, or 81 of 144. Tiles
//! of 4x4 outputs are transformed, [`TILES`] at once, `V = B^T x B` (without the 128 and the
//! epsilon of cores whose lanes share a word), multiplied point by point with `U = G w G^T`, and
//! transformed back.
//!
//! **Stride 1.** `|V| <= 100 * 128`. A sum of the direct convolution comes out as `9 * 2^k * a`
//! modulo 2^32, which times `9^-1 * 2^(6 - k)` is `64 a`: shifted down it is `a`, since
//! `|a| < 2^25` for any weights of at most 227 channels.
//!
//! **Stride 2.** Input rows and columns are even or odd, which makes four images of half the size.
//! The even ones meet the kernel's first and last row (or column): two taps, of which the points
//! 0, 1, -1, 2 and infinity make four outputs of five inputs. The odd ones meet the middle one: one
//! tap, which the four finite points do; its product at infinity would be zero. So a point has all
//! phases, or, where a coordinate is infinity, those whose rows (or columns) are even. They lie in
//! the order (even, odd), (even, even), (odd, even), (odd, odd) of (row, column), in which those of
//! a point are always next to each other.
//!
//! ```text
//!       |  2 -1 -2  1  0 |        |  3  0 |
//!       |  0 -2 -1  1  0 |        | -3 -3 |          | 1  1  1  1  0 |
//! B^T = |  0  2 -3  1  0 |    G = | -1  1 |    A^T = | 0  1 -1  2  0 |
//!       |  0 -1  0  1  0 |        |  1  2 |          | 0  1  1  4  0 |
//!       |  0  2 -1 -2  1 |        |  0  6 |          | 0  1 -1  8  1 |
//! ```
//!
//! `|V| <= 36 * 128`, `|U| <= 36 * 128`. A sum comes out as `36 a` modulo 2^32, which times `9^-1`
//! is `4 a`.
//!
//! The input is copied with its padding, its channels filled up to a multiple of sixteen, and
//! enough behind its right and lower end for whole tiles. Weights: for each sixteen outputs and
//! each point `[P][16][2]` int16, `P` the pairs of channels of its phases, outputs in [`ORDER`],
//! missing ones zero.
//!
//! Owns shapes, packing and memory; does not know the instructions (`arch::host`).

use super::{HostConv2d, OUTPUTS, copy_padded, from_line};
use crate::packed::dsp::int16_pair;
use crate::packed::{tiles, winograd4};
use crate::shape::Window;
use core::ops::Range;
use zerocopy::FromBytes;

/// Channels of a vector.
pub(crate) const CHANNELS: usize = 16;

/// Rows and columns of outputs of a tile.
pub(crate) const SIDE: usize = 4;

/// Tiles that are transformed at once, for all of which weights pass through the caches once.
pub(crate) const TILES: usize = 16;

/// Tiles that are multiplied at once.
pub(crate) const GROUP: usize = 4;

/// The order of outputs in weights and sums: that in which units whose instructions narrow each
/// half of a vector for itself leave bytes one after another.
pub(crate) const ORDER: [usize; OUTPUTS] = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15];

/// Where output `output` lies among its sixteen.
pub(super) fn place(output: usize) -> usize {
    ORDER.iter().position(|&at| at == output % OUTPUTS).unwrap_or_default()
}

/// Fewer input channels leave most of a vector empty.
const DEPTH_MIN: u16 = 16;

/// Of stride 1: `9 * 227 * 2^14 < 2^25`. Of stride 2 there would be room for sixteen times as many.
const DEPTH_MAX: u16 = 227;

/// Points of an axis of stride 2; the last one is infinity.
pub(crate) const PHASE_POINTS: usize = 5;

/// The phases of stride 2 in their order: whether rows and columns are odd.
pub(crate) const PHASES: [[bool; 2]; 4] =
    [[false, true], [false, false], [true, false], [true, true]];

/// `G` of the even phases' two taps; the odd ones' only tap has the first column.
const PHASE_WEIGHTS: [[i32; 2]; PHASE_POINTS] = [[3, 0], [-3, -3], [-1, 1], [1, 2], [0, 6]];

/// Which transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// F(4x4, 3x3), stride 1.
    Whole,
    /// F(4x4, 2x2) of the four phases of stride 2.
    Phases,
}

impl Method {
    /// That of a convolution, if its shape has one that pays. It does not depend on the number of
    /// rows: a layer may run some rows at a time, with the weights of the whole.
    pub(super) fn of(window: &Window) -> Option<Self> {
        let (columns, [_, tiles]) = (usize::from(window.output[1]), tiles_of(window));
        let method = match window.stride {
            [1, 1] => Self::Whole,
            // 81 products of a tile, and its transforms, against nine of each output of a square.
            [2, 2] if 12 * tiles * tiles <= columns * columns => Self::Phases,
            _ => return None,
        };
        let is_fit = (DEPTH_MIN..=DEPTH_MAX).contains(&window.input[2]);
        (window.size == [3, 3] && is_fit).then_some(method)
    }

    /// Places in the transformed domain.
    pub(crate) fn points(self) -> usize {
        match self {
            Self::Whole => winograd4::POINTS,
            Self::Phases => PHASE_POINTS * PHASE_POINTS,
        }
    }

    /// Images of which the input consists.
    pub(crate) fn phases(self) -> usize {
        if self == Self::Phases { PHASES.len() } else { 1 }
    }

    /// Input rows and columns from tile to tile, and those of the last tile besides.
    fn input_step(self) -> [usize; 2] {
        if self == Self::Phases { [2 * SIDE, 1] } else { [SIDE, 2] }
    }

    /// The phases that a point has.
    fn phases_of(self, point: usize) -> Range<usize> {
        if self == Self::Whole {
            return 0..1;
        }
        const INFINITY: usize = PHASE_POINTS - 1;
        match (point / PHASE_POINTS, point % PHASE_POINTS) {
            (INFINITY, INFINITY) => 1..2,
            (INFINITY, _) => 0..2,
            (_, INFINITY) => 1..3,
            _ => 0..4,
        }
    }

    /// The pairs of channels that a point has, of those of all phases. `depth`: channels of one.
    pub(crate) fn pairs(self, point: usize, depth: usize) -> Range<usize> {
        let phases = self.phases_of(point);
        phases.start * depth / 2..phases.end * depth / 2
    }

    /// `U` at a point of a phase, of the nine weights of an output and a channel.
    fn weight(self, taps: &[i32; 9], point: usize, phase: usize) -> i32 {
        if self == Self::Whole {
            return tiles::Method::Winograd4.weight(taps, point);
        }
        let of_axis = |point: usize, odd: bool| {
            let [first, last] = PHASE_WEIGHTS[point];
            if odd { [0, first, 0] } else { [first, 0, last] }
        };
        let [odd_rows, odd_columns] = PHASES[phase];
        let rows = of_axis(point / PHASE_POINTS, odd_rows);
        let columns = of_axis(point % PHASE_POINTS, odd_columns);
        let of_row = |row: &[i32]| -> i32 { row.iter().zip(columns).map(|(w, g)| w * g).sum() };
        taps.chunks(3).zip(rows).map(|(row, g)| g * of_row(row)).sum()
    }
}

/// Words of a line of the cache.
const LINE_WORDS: usize = 16;

/// Rows and columns of tiles.
fn tiles_of(window: &Window) -> [usize; 2] {
    [0, 1].map(|axis| usize::from(window.output[axis]).div_ceil(SIDE))
}

/// Channels of the copy.
fn depth(window: &Window) -> usize {
    usize::from(window.input[2]).next_multiple_of(CHANNELS)
}

/// The copy: rows, columns, bytes of a pixel.
fn copied(method: Method, window: &Window) -> [usize; 3] {
    let [step, besides] = method.input_step();
    let [rows, columns] = tiles_of(window).map(|tiles| step * tiles + besides);
    [rows, columns, depth(window)]
}

/// Values of transformed tiles from point to point: a line of the cache more than there are,
/// because distances of a power of two fall into few of the cache's sets.
fn point_values(method: Method, depth: usize) -> usize {
    TILES * method.phases() * depth + 2 * LINE_WORDS
}

/// Values of a unit's memory: transformed tiles, and their products.
fn aside_values(method: Method, depth: usize) -> [usize; 2] {
    let points = method.points();
    [points * point_values(method, depth), points * GROUP * OUTPUTS]
}

/// Words of the copy, of transformed tiles and of their products, each with room to begin at a line
/// of the cache.
fn memory(method: Method, window: &Window) -> [usize; 3] {
    let copy = copied(method, window).iter().product::<usize>() / 4;
    let [v, products] = aside_values(method, depth(window));
    [copy, v / 2, products].map(|n| n + LINE_WORDS)
}

/// Length in words of the scratch memory.
pub(super) fn scratch_words(method: Method, window: &Window) -> usize {
    memory(method, window).iter().sum()
}

/// Words of the weights of sixteen outputs.
fn block_words(method: Method, depth: usize) -> usize {
    let pairs = (0..method.points()).map(|point| method.pairs(point, depth).len());
    pairs.sum::<usize>() * OUTPUTS
}

/// Length in words of the packed weights.
pub(super) fn packed_words(method: Method, window: &Window) -> usize {
    usize::from(window.output[2]).div_ceil(OUTPUTS) * block_words(method, depth(window))
}

/// Packs `weights`, `[O,3,3,I]`, into [`packed_words`] words.
pub(super) fn pack(method: Method, window: &Window, weights: &[i8], packed: &mut [u32]) {
    let (channels, depth) = (usize::from(window.input[2]).max(1), depth(window));
    packed.fill(0);
    for (o, weights) in weights.chunks_exact(9 * channels).enumerate() {
        let block = packed.chunks_exact_mut(block_words(method, depth)).nth(o / OUTPUTS);
        let taps = |channel: usize| {
            core::array::from_fn(|tap| {
                let weight = weights.get(tap * channels + channel);
                weight.filter(|_| channel < channels).map_or(0, |&w| i32::from(w))
            })
        };
        let mut slots = block.unwrap_or_default().chunks_exact_mut(OUTPUTS);
        for point in 0..method.points() {
            for (pair, slots) in method.pairs(point, depth).zip(&mut slots) {
                let (phase, channel) = (2 * pair / depth, 2 * pair % depth);
                let [low, high] = [0, 1].map(|i| method.weight(&taps(channel + i), point, phase));
                slots[place(o)] = int16_pair(low, high);
            }
        }
    }
}

/// What a unit computes: all tiles of a layer.
pub(crate) struct Work<'a> {
    pub(crate) method: Method,
    /// The copied input.
    pub(crate) x: &'a [u8],
    /// The weights.
    pub(crate) packed: &'a [u32],
    /// Words of those of sixteen outputs.
    pub(crate) block_words: usize,
    /// Channels of the copy, a multiple of [`CHANNELS`].
    pub(crate) depth: usize,
    /// Bytes from a row of the copy to its next.
    pub(crate) pitch: usize,
    /// Rows and columns of tiles.
    pub(crate) tiles: [usize; 2],
    /// `[OH,OW,O]`.
    pub(crate) output: [usize; 3],
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no unit computes so"))]
    pub(crate) layer: &'a HostConv2d<'a>,
}

/// Memory of a unit: `[points]`, [`Work::point_values`] apart, of `[TILES][phases][depth]`, and
/// `[points][GROUP][OUTPUTS]`.
pub(crate) struct Aside<'a> {
    pub(crate) v: &'a mut [i16],
    pub(crate) products: &'a mut [i32],
}

/// Computes all tiles of a layer that is whole.
pub(crate) type Convolve = fn(&Work<'_>, Aside<'_>, &mut [i8]);

impl Work<'_> {
    /// Whether all that tiles read, weights and memory are there.
    fn is_whole(&self, aside: &Aside<'_>, y: &[i8]) -> bool {
        let [rows, columns, outputs] = self.output;
        let [step, besides] = self.method.input_step();
        let [v, products] = aside_values(self.method, self.depth);
        y.len() == rows * columns * outputs
            && self.x.len() >= (step * self.tiles[0] + besides) * self.pitch
            && self.pitch >= (step * self.tiles[1] + besides) * self.depth
            && self.packed.len() == outputs.div_ceil(OUTPUTS) * self.block_words
            && self.block_words == block_words(self.method, self.depth)
            && (aside.v.len(), aside.products.len()) == (v, products)
    }

    /// Values of transformed tiles from point to point.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no unit computes so"))]
    pub(crate) fn point_values(&self) -> usize {
        point_values(self.method, self.depth)
    }

    /// Where tile `tile` begins in the copy.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no unit computes so"))]
    pub(crate) fn start(&self, tile: usize) -> usize {
        let [step, _] = self.method.input_step();
        step * (tile / self.tiles[1] * self.pitch + tile % self.tiles[1] * self.depth)
    }
}

/// Computes a layer of the shape of `method` by `convolve` of a unit, as `host_conv2d_s8` does.
pub(super) fn run(
    (method, convolve): (Method, Convolve),
    layer: &HostConv2d<'_>,
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let window = &layer.window;
    let [copy, v, products] = memory(method, window);
    let Some((copy, rest)) = scratch.split_at_mut_checked(copy) else { return };
    let Some((v, rest)) = rest.split_at_mut_checked(v) else { return };
    let Some(products) = rest.get_mut(..products) else { return };
    let (copy, v, products) = (from_line(copy), from_line(v), from_line(products));
    let dimensions = copied(method, window);
    copy_padded(window, dimensions, layer.pad, |x| x as u8, x, copy);
    let [_, columns, depth] = dimensions;
    let values = aside_values(method, depth);
    let v = <[i16]>::mut_from_bytes(v.get_mut(..2 * values[0]).unwrap_or_default());
    let products = products.get_mut(..4 * values[1]).unwrap_or_default();
    let products = <[i32]>::mut_from_bytes(products);
    let (Ok(v), Ok(products)) = (v, products) else { return };
    let work = Work {
        method,
        x: copy,
        packed: layer.packed,
        block_words: block_words(method, depth),
        depth,
        pitch: columns * depth,
        tiles: tiles_of(window),
        output: window.output.map(usize::from),
        layer,
    };
    let aside = Aside { v, products };
    if work.is_whole(&aside, y) {
        convolve(&work, aside, y);
    }
}
