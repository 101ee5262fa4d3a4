//! The transforms of stride 1: those of `packed::winograd4`, whose header has their matrices.

use super::{HALVES, Sums, load_products};
use crate::host::winograd::{CHANNELS, SIDE, Work};
use crate::packed::winograd4::{INVERSE_OF_9, SHIFTS};
use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi8_epi16,
    _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi16,
    _mm256_slli_epi32, _mm256_srai_epi32, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
};

/// Rows and columns of inputs of a tile.
const INPUT_SIDE: usize = 6;

/// Sums come out as `2^6 a`.
const SCALE_BITS: i32 = 6;

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

/// Transforms a tile of the layer into place `tile` of `v`, `[points][TILES][depth]`.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn transform(work: &Work<'_>, place: usize, tile: usize, v: &mut [i16]) {
    let (start, point) = (work.start(place), work.point_values());
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
                let at = (row * INPUT_SIDE + column) * point + tile * work.depth + channel;
                #[expect(unsafe_code, reason = "stores without lengths, proven once a layer")]
                // SAFETY: `Work::is_whole`: `v` has all points of `TILES` tiles, `depth` channels.
                unsafe {
                    _mm256_storeu_si256(v.as_mut_ptr().add(at).cast(), value);
                }
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
pub(super) fn transform_back(products: &[i32], tile: usize) -> Sums {
    let mut sums = [[[_mm256_setzero_si256(); HALVES]; SIDE]; SIDE];
    for half in 0..HALVES {
        let mut rows = [[_mm256_setzero_si256(); INPUT_SIDE]; SIDE];
        for column in 0..INPUT_SIDE {
            let points = load_products::<INPUT_SIDE>(products, column, tile, half);
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
