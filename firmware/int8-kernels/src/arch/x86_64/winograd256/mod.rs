//! `host::winograd` by AVX2: sixteen channels of int16 in a vector through the transform of inputs,
//! eight outputs of int32 from the products (`VPMADDWD`, pairs of channels) on.
//!
//! Four tiles and sixteen outputs are multiplied at once: two loads of weights and four broadcasts
//! for eight products of sixteen. No pair of products leaves int32: `2 * 12800 * 6272 < 2^28`, of
//! phases `2 * 4608 * 4608 < 2^26`. Transforms of stride 1 are in [`whole`], of stride 2 in
//! [`phases`].

mod phases;
mod whole;

use super::lanes256::{Place, QUAD, Vectors};
use crate::host::OUTPUTS;
use crate::host::lanes::Lanes;
use crate::host::winograd::{Aside, GROUP, Method, SIDE, TILES, Work};
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

/// Vectors of sixteen outputs.
const HALVES: usize = 2;

/// Outputs of a vector.
const LANES: usize = OUTPUTS / HALVES;

/// The sums of the direct convolution at all places of a tile.
type Sums = [[[__m256i; HALVES]; SIDE]; SIDE];

/// All outputs of a layer.
#[target_feature(enable = "avx2")]
pub(super) fn convolve(work: &Work<'_>, aside: Aside<'_>, y: &mut [i8]) {
    let Aside { v, products } = aside;
    let all = work.tiles[0] * work.tiles[1];
    for first in (0..all).step_by(TILES) {
        let tiles = (all - first).min(TILES);
        for tile in 0..tiles {
            match work.method {
                Method::Whole => whole::transform(work, first + tile, tile, v),
                Method::Phases => phases::transform(work, first + tile, tile, v),
            }
        }
        for (block, packed) in work.packed.chunks_exact(work.block_words).enumerate() {
            let lanes = Lanes::new(work.layer, block * OUTPUTS, [0; OUTPUTS], 0);
            let vectors = Vectors::new(&lanes);
            for group in (0..tiles).step_by(GROUP) {
                multiply(work, packed, v, group, products);
                for tile in 0..(tiles - group).min(GROUP) {
                    let sums = match work.method {
                        Method::Whole => whole::transform_back(products, tile),
                        Method::Phases => phases::transform_back(products, tile),
                    };
                    store(work, &vectors, block, first + group + tile, &sums, y);
                }
            }
        }
    }
}

/// Products of four tiles from `group` on with the weights of sixteen outputs, summed over the
/// channels, into `[points][GROUP][OUTPUTS]`.
#[target_feature(enable = "avx2")]
#[inline]
fn multiply(work: &Work<'_>, packed: &[u32], v: &[i16], group: usize, products: &mut [i32]) {
    let (channels, of_point) = (work.method.phases() * work.depth, work.point_values());
    let mut weights = packed.as_ptr().cast::<__m256i>();
    for point in 0..work.method.points() {
        let pairs = work.method.pairs(point, work.depth);
        let mut sums = [[_mm256_setzero_si256(); HALVES]; GROUP];
        #[expect(unsafe_code, reason = "reads and stores without lengths, proven once a layer")]
        // SAFETY: `Work::is_whole`: a block has two vectors for each pair of each point; `v` has
        // `TILES` tiles of `channels`, of which `group` and the next three are some; products are
        // sixteen for each tile of a point.
        unsafe {
            let x = v.as_ptr().add(point * of_point + group * channels + 2 * pairs.start);
            for pair in 0..pairs.len() {
                let w = [weights, weights.add(1)].map(|w| _mm256_loadu_si256(w));
                weights = weights.add(HALVES);
                for (tile, sums) in sums.iter_mut().enumerate() {
                    let x = x.add(tile * channels + 2 * pair).cast::<i32>();
                    let x = _mm256_set1_epi32(x.read_unaligned());
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                    }
                }
            }
            let slots = products.as_mut_ptr().add(point * GROUP * OUTPUTS).cast::<__m256i>();
            for (at, &sum) in sums.as_flattened().iter().enumerate() {
                _mm256_storeu_si256(slots.add(at), sum);
            }
        }
    }
}

/// The products of column `column` of `SIDE` by `SIDE` points: a tile's, half of the outputs.
#[target_feature(enable = "avx2")]
#[inline]
fn load_products<const SIDE: usize>(
    products: &[i32],
    column: usize,
    tile: usize,
    half: usize,
) -> [__m256i; SIDE] {
    let mut points = [_mm256_setzero_si256(); SIDE];
    for (row, point) in points.iter_mut().enumerate() {
        let at = ((row * SIDE + column) * GROUP + tile) * OUTPUTS + half * LANES;
        #[expect(unsafe_code, reason = "reads without lengths, proven once a layer")]
        // SAFETY: `Work::is_whole`: products are sixteen for each tile of a point.
        unsafe {
            *point = _mm256_loadu_si256(products.as_ptr().add(at).cast());
        }
    }
    points
}

/// Requantizes what of a tile lies in the output.
#[target_feature(enable = "avx2")]
#[inline]
fn store(
    work: &Work<'_>,
    vectors: &Vectors<'_>,
    block: usize,
    place: usize,
    sums: &[[[__m256i; HALVES]; SIDE]; SIDE],
    y: &mut [i8],
) {
    let [height, width, outputs] = work.output;
    let [first_row, column] =
        [place / work.tiles[1], place % work.tiles[1]].map(|tile| SIDE * tile);
    let pixels = (width - column).min(SIDE);
    let wanted = (outputs - block * OUTPUTS).min(OUTPUTS);
    for (row, sums) in (first_row..height).zip(sums) {
        let start = (row * width + column) * outputs + block * OUTPUTS;
        vectors.finish(sums, &Place { start, stride: outputs, pixels, outputs: wanted }, y);
    }
}

const _: () = assert!(SIDE == QUAD);
