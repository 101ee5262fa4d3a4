//! `host::winograd` by AVX2: sixteen channels of int16 in a vector through the transform of inputs,
//! eight outputs of int32 from the products (`VPMADDWD`, pairs of channels) on.
//!
//! Four tiles and sixteen outputs are multiplied at once: two loads of weights and four broadcasts
//! for eight products of sixteen. No pair of products leaves int32:
//! `2 * 12800 * 6272 < 2^28`. Transforms are those of `packed::winograd4`, whose header has their
//! matrices.

use super::lanes256::{Place, QUAD, Vectors};
use crate::host::OUTPUTS;
use crate::host::lanes::Lanes;
use crate::host::winograd::{Aside, CHANNELS, GROUP, INPUT_SIDE, POINTS, SIDE, TILES, Work};
use crate::packed::winograd4::{INVERSE_OF_9, SHIFTS};
use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi8_epi16,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_mullo_epi32, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srai_epi32,
    _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
};

/// Sums come out as `2^6 a`.
const SCALE_BITS: i32 = 6;

/// Vectors of sixteen outputs.
const HALVES: usize = 2;

/// Outputs of a vector.
const LANES: usize = OUTPUTS / HALVES;

/// All outputs of a layer.
#[target_feature(enable = "avx2")]
pub(super) fn convolve(work: &Work<'_>, aside: Aside<'_>, y: &mut [i8]) {
    let Aside { v, products } = aside;
    let all = work.tiles[0] * work.tiles[1];
    for first in (0..all).step_by(TILES) {
        let tiles = (all - first).min(TILES);
        for tile in 0..tiles {
            transform(work, first + tile, tile, v);
        }
        for (block, packed) in work.packed.chunks_exact(work.block_words).enumerate() {
            let lanes = Lanes::new(work.layer, block * OUTPUTS, [0; OUTPUTS], 0);
            let vectors = Vectors::new(&lanes);
            for group in (0..tiles).step_by(GROUP) {
                multiply(work, packed, v, group, products);
                for tile in 0..(tiles - group).min(GROUP) {
                    let sums = transform_back(products, tile);
                    store(work, &vectors, block, first + group + tile, &sums, y);
                }
            }
        }
    }
}

/// `B^T u` of F(4,3).
#[target_feature(enable = "avx2")]
#[inline]
fn input([u0, u1, u2, u3, u4, u5]: [__m256i; INPUT_SIDE]) -> [__m256i; INPUT_SIDE] {
    let four = |v| _mm256_slli_epi16::<2>(v);
    let (a, b) = (_mm256_sub_epi16(u4, u2), _mm256_sub_epi16(u4, four(u2)));
    let (c, odd) = (_mm256_sub_epi16(u3, four(u1)), _mm256_sub_epi16(u3, u1));
    let d = _mm256_add_epi16(odd, odd);
    [
        _mm256_add_epi16(b, c),
        _mm256_sub_epi16(b, c),
        _mm256_sub_epi16(_mm256_sub_epi16(u5, u3), four(odd)),
        _mm256_add_epi16(a, d),
        _mm256_sub_epi16(a, d),
        _mm256_add_epi16(a, four(_mm256_sub_epi16(u0, u2))),
    ]
}

/// Transforms a tile of the layer into place `tile` of `v`, `[POINTS][TILES][depth]`.
#[target_feature(enable = "avx2")]
#[inline]
fn transform(work: &Work<'_>, place: usize, tile: usize, v: &mut [i16]) {
    let (row, column) = (place / work.tiles[1], place % work.tiles[1]);
    let start = SIDE * (row * work.pitch + column * work.depth);
    for channel in (0..work.depth).step_by(CHANNELS) {
        let mut u = [[_mm256_setzero_si256(); INPUT_SIDE]; INPUT_SIDE];
        for column in 0..INPUT_SIDE {
            let at = start + column * work.depth + channel;
            let rows = core::array::from_fn(|row| {
                #[expect(unsafe_code, reason = "reads without lengths, proven once a layer")]
                // SAFETY: `Work::is_whole`: the copy has six rows and columns from each tile's
                // first on, of `depth` channels, a multiple of sixteen.
                let bytes =
                    unsafe { _mm_loadu_si128(work.x.as_ptr().add(at + row * work.pitch).cast()) };
                _mm256_cvtepi8_epi16(bytes)
            });
            let transformed = input(rows);
            u.iter_mut().zip(transformed).for_each(|(u, value)| u[column] = value);
        }
        for (row, u) in u.into_iter().enumerate() {
            for (column, value) in input(u).into_iter().enumerate() {
                let at = ((row * INPUT_SIDE + column) * TILES + tile) * work.depth + channel;
                #[expect(unsafe_code, reason = "stores without lengths, proven once a layer")]
                // SAFETY: `Work::is_whole`: `v` has all points of `TILES` tiles, `depth` channels.
                unsafe {
                    _mm256_storeu_si256(v.as_mut_ptr().add(at).cast(), value);
                }
            }
        }
    }
}

/// Products of four tiles from `group` on with the weights of sixteen outputs, summed over the
/// channels, into `[POINTS][GROUP][OUTPUTS]`.
#[target_feature(enable = "avx2")]
#[inline]
fn multiply(work: &Work<'_>, packed: &[u32], v: &[i16], group: usize, products: &mut [i32]) {
    for point in 0..POINTS {
        let mut sums = [[_mm256_setzero_si256(); HALVES]; GROUP];
        #[expect(unsafe_code, reason = "reads and stores without lengths, proven once a layer")]
        // SAFETY: `Work::is_whole`: a block has `depth / 2` steps of sixteen words for each point;
        // `v` has `TILES` tiles of `depth` channels, of which `group` and the next three are some;
        // products are sixteen for each tile of a point.
        unsafe {
            let weights = packed.as_ptr().add(point * work.depth / 2 * OUTPUTS);
            let x = v.as_ptr().add((point * TILES + group) * work.depth);
            for pair in 0..work.depth / 2 {
                let weights = weights.add(pair * OUTPUTS);
                let w = [weights, weights.add(LANES)].map(|w| _mm256_loadu_si256(w.cast()));
                for (tile, sums) in sums.iter_mut().enumerate() {
                    let x = x.add(tile * work.depth + 2 * pair).cast::<i32>();
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

/// `A^T m`, scaled.
#[target_feature(enable = "avx2")]
#[inline]
fn output([m0, m1, m2, m3, m4, m5]: [__m256i; INPUT_SIDE]) -> [__m256i; SIDE] {
    let (near, near_odd) = (_mm256_sub_epi32(m0, m1), _mm256_add_epi32(m0, m1));
    let (far, far_odd) = (_mm256_add_epi32(m3, m4), _mm256_sub_epi32(m3, m4));
    [
        _mm256_add_epi32(_mm256_add_epi32(m5, far), _mm256_slli_epi32::<2>(near)),
        _mm256_add_epi32(far_odd, _mm256_slli_epi32::<1>(near_odd)),
        _mm256_add_epi32(far, near),
        _mm256_add_epi32(_mm256_add_epi32(m2, near_odd), _mm256_slli_epi32::<1>(far_odd)),
    ]
}

/// The sums of the direct convolution at all places of a tile.
#[target_feature(enable = "avx2")]
#[inline]
fn transform_back(products: &[i32], tile: usize) -> [[[__m256i; HALVES]; SIDE]; SIDE] {
    let mut sums = [[[_mm256_setzero_si256(); HALVES]; SIDE]; SIDE];
    for half in 0..HALVES {
        let mut rows = [[_mm256_setzero_si256(); INPUT_SIDE]; SIDE];
        for column in 0..INPUT_SIDE {
            let points = core::array::from_fn(|row| {
                let at = ((row * INPUT_SIDE + column) * GROUP + tile) * OUTPUTS + half * LANES;
                #[expect(unsafe_code, reason = "reads without lengths, proven once a layer")]
                // SAFETY: `Work::is_whole`: products are sixteen for each tile of a point.
                unsafe {
                    _mm256_loadu_si256(products.as_ptr().add(at).cast())
                }
            });
            rows.iter_mut().zip(output(points)).for_each(|(row, value)| row[column] = value);
        }
        for (row, (points, sums)) in rows.into_iter().zip(&mut sums).enumerate() {
            for (column, (value, sums)) in output(points).into_iter().zip(sums).enumerate() {
                let scale = INVERSE_OF_9 << (SHIFTS[row] + SHIFTS[column]);
                let scale = _mm256_set1_epi32(scale.cast_signed());
                sums[half] = _mm256_srai_epi32::<SCALE_BITS>(_mm256_mullo_epi32(value, scale));
            }
        }
    }
    sums
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
