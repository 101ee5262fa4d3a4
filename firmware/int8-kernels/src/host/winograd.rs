//! Winograd's F(4x4, 3x3) on a host, in the exact integers of `packed::winograd4`.
//!
//! For units that multiply int16 as fast as int8: a quarter of the products. Tiles of 4x4 outputs
//! are transformed, [`TILES`] at once, `V = B^T x B` (without the 128 and the epsilon of cores
//! whose lanes share a word: `|V| <= 100 * 128`), multiplied point by point with `U = G w G^T`, and
//! transformed back. A sum of the direct convolution comes out as `9 * 2^k * a` modulo 2^32, which
//! times `9^-1 * 2^(6 - k)` is `64 a`: shifted down it is `a`, since `|a| < 2^25` for any weights
//! of at most [`DEPTH_MAX`] channels.
//!
//! The input is copied with its padding, its channels filled up to a multiple of sixteen, and
//! enough behind its right and lower end for whole tiles. Weights: for each sixteen outputs
//! `[36][I/2][16][2]` int16, outputs in [`ORDER`], missing ones zero.
//!
//! Owns shapes, packing and memory; does not know the instructions (`arch::host`).

use super::{HostConv2d, OUTPUTS, copy_padded, from_line};
use crate::packed::dsp::int16_pair;
use crate::packed::tiles::Method;
pub(crate) use crate::packed::winograd4::POINTS;
use crate::shape::Window;
use zerocopy::FromBytes;

/// Channels of a vector.
pub(crate) const CHANNELS: usize = 16;

/// Rows and columns of outputs of a tile, and of its inputs.
pub(crate) const SIDE: usize = 4;
pub(crate) const INPUT_SIDE: usize = 6;

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

/// `9 * 227 * 2^14 < 2^25`.
const DEPTH_MAX: u16 = 227;

/// Words of a line of the cache.
const LINE_WORDS: usize = 16;

/// Whether a convolution has the shape for it.
pub(super) fn accepts(window: &Window) -> bool {
    window.size == [3, 3]
        && window.stride == [1, 1]
        && (DEPTH_MIN..=DEPTH_MAX).contains(&window.input[2])
}

/// Rows and columns of tiles.
fn tiles(window: &Window) -> [usize; 2] {
    [0, 1].map(|axis| usize::from(window.output[axis]).div_ceil(SIDE))
}

/// Channels of the copy.
fn depth(window: &Window) -> usize {
    usize::from(window.input[2]).next_multiple_of(CHANNELS)
}

/// The copy: rows, columns, bytes of a pixel.
fn copied(window: &Window) -> [usize; 3] {
    let [rows, columns] = tiles(window).map(|tiles| SIDE * tiles + INPUT_SIDE - SIDE);
    [rows, columns, depth(window)]
}

/// Words of the copy, of transformed tiles and of their products, each with room to begin at a line
/// of the cache.
fn memory(window: &Window) -> [usize; 3] {
    let copy = copied(window).iter().product::<usize>() / 4;
    [copy, POINTS * TILES * depth(window) / 2, POINTS * GROUP * OUTPUTS].map(|n| n + LINE_WORDS)
}

/// Length in words of the scratch memory.
pub(super) fn scratch_words(window: &Window) -> usize {
    memory(window).iter().sum()
}

/// Words of the weights of sixteen outputs.
fn block_words(window: &Window) -> usize {
    POINTS * depth(window) / 2 * OUTPUTS
}

/// Length in words of the packed weights.
pub(super) fn packed_words(window: &Window) -> usize {
    usize::from(window.output[2]).div_ceil(OUTPUTS) * block_words(window)
}

/// Packs `weights`, `[O,3,3,I]`, into [`packed_words`] words.
pub(super) fn pack(window: &Window, weights: &[i8], packed: &mut [u32]) {
    let channels = usize::from(window.input[2]).max(1);
    let pairs = depth(window) / 2;
    packed.fill(0);
    for (o, weights) in weights.chunks_exact(9 * channels).enumerate() {
        let block = packed.chunks_exact_mut(block_words(window)).nth(o / OUTPUTS);
        let taps = |channel: usize| {
            core::array::from_fn(|tap| {
                let weight = weights.get(tap * channels + channel);
                weight.filter(|_| channel < channels).map_or(0, |&w| i32::from(w))
            })
        };
        let slots = block.unwrap_or_default().chunks_exact_mut(OUTPUTS);
        for (index, slots) in slots.enumerate() {
            let (point, pair) = (index / pairs, index % pairs);
            let [low, high] = [0, 1].map(|i| Method::Winograd4.weight(&taps(2 * pair + i), point));
            slots[place(o)] = int16_pair(low, high);
        }
    }
}

/// What a unit computes: all tiles of a layer.
pub(crate) struct Work<'a> {
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

/// Memory of a unit: `[POINTS][TILES][depth]` and `[POINTS][GROUP][OUTPUTS]`.
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
        let last = SIDE * self.tiles[0] + INPUT_SIDE - SIDE;
        y.len() == rows * columns * outputs
            && self.x.len() >= last * self.pitch
            && self.packed.len() == outputs.div_ceil(OUTPUTS) * self.block_words
            && self.block_words == POINTS * self.depth / 2 * OUTPUTS
            && aside.v.len() == POINTS * TILES * self.depth
            && aside.products.len() == POINTS * GROUP * OUTPUTS
    }
}

/// Computes a layer that is [accepted](accepts) by `convolve` of a unit, as `host_conv2d_s8` does.
pub(super) fn run(
    convolve: Convolve,
    layer: &HostConv2d<'_>,
    x: &[i8],
    y: &mut [i8],
    scratch: &mut [u32],
) {
    let window = &layer.window;
    let [copy, v, products] = memory(window);
    let Some((copy, rest)) = scratch.split_at_mut_checked(copy) else { return };
    let Some((v, rest)) = rest.split_at_mut_checked(v) else { return };
    let Some(products) = rest.get_mut(..products) else { return };
    let (copy, v, products) = (from_line(copy), from_line(v), from_line(products));
    let dimensions = copied(window);
    copy_padded(window, dimensions, layer.pad, |x| x as u8, x, copy);
    let [_, columns, depth] = dimensions;
    let (v_bytes, products_bytes) = (2 * POINTS * TILES * depth, 4 * POINTS * GROUP * OUTPUTS);
    let v = <[i16]>::mut_from_bytes(v.get_mut(..v_bytes).unwrap_or_default());
    let products = <[i32]>::mut_from_bytes(products.get_mut(..products_bytes).unwrap_or_default());
    let (Ok(v), Ok(products)) = (v, products) else { return };
    let work = Work {
        x: copy,
        packed: layer.packed,
        block_words: block_words(window),
        depth,
        pitch: columns * depth,
        tiles: tiles(window),
        output: window.output.map(usize::from),
        layer,
    };
    let aside = Aside { v, products };
    if work.is_whole(&aside, y) {
        convolve(&work, aside, y);
    }
}
