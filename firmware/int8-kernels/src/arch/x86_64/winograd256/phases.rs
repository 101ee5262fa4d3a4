//! The transforms of stride 2, whose matrices are in the header of `host::winograd`.

use super::{HALVES, Sums, load_products};
use crate::host::winograd::{CHANNELS, PHASE_POINTS, PHASES, SIDE, Work};
use crate::packed::winograd4::INVERSE_OF_9;
use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepi8_epi16,
    _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_slli_epi32,
    _mm256_srai_epi32, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32,
};

/// Inputs of an axis of the even phases; the odd ones have all but the last, as they have points.
const EVEN: usize = PHASE_POINTS;
const ODD: usize = PHASE_POINTS - 1;

/// Sums come out as `2^2 a`, once they are divided by nine.
const SCALE_BITS: i32 = 2;

/// `B^T d`, of which the first `N` points are asked for, and as many inputs looked at.
#[target_feature(enable = "avx2")]
#[inline]
fn input<const N: usize>([d0, d1, d2, d3, d4]: [__m256i; EVEN]) -> [__m256i; EVEN] {
    let twice = |v| _mm256_add_epi16(v, v);
    let (odd, even) = (_mm256_sub_epi16(d3, d1), _mm256_sub_epi16(d3, d2));
    let mut points = [
        _mm256_add_epi16(odd, twice(_mm256_sub_epi16(d0, d2))),
        _mm256_sub_epi16(even, twice(d1)),
        _mm256_add_epi16(even, twice(_mm256_sub_epi16(d1, d2))),
        odd,
        d4,
    ];
    if N == EVEN {
        points[ODD] = _mm256_sub_epi16(_mm256_sub_epi16(d4, d2), twice(odd));
    }
    points
}

/// Transforms tile `place` of the layer into place `tile` of `v`, `[points][TILES][phases][depth]`.
#[target_feature(enable = "avx2")]
pub(super) fn transform(work: &Work<'_>, place: usize, tile: usize, v: &mut [i16]) {
    let start = work.start(place);
    for (phase, odd) in PHASES.into_iter().enumerate() {
        let [down, right] = odd.map(usize::from);
        let x = start + down * work.pitch + right * work.depth;
        let to = (tile * PHASES.len() + phase) * work.depth;
        match odd {
            [false, false] => transform_phase::<EVEN, EVEN>(work, x, to, v),
            [false, true] => transform_phase::<EVEN, ODD>(work, x, to, v),
            [true, false] => transform_phase::<ODD, EVEN>(work, x, to, v),
            [true, true] => transform_phase::<ODD, ODD>(work, x, to, v),
        }
    }
}

/// Transforms a tile of a phase with so many rows and columns of inputs, from `start` on in the
/// copy, to `to` on in each point.
#[target_feature(enable = "avx2")]
#[inline]
fn transform_phase<const ROWS: usize, const COLUMNS: usize>(
    work: &Work<'_>,
    start: usize,
    to: usize,
    v: &mut [i16],
) {
    for channel in (0..work.depth).step_by(CHANNELS) {
        let mut u = [[_mm256_setzero_si256(); EVEN]; EVEN];
        for column in 0..COLUMNS {
            let mut inputs = [_mm256_setzero_si256(); EVEN];
            for (row, input) in inputs.iter_mut().enumerate().take(ROWS) {
                let at = start + 2 * (row * work.pitch + column * work.depth) + channel;
                #[expect(unsafe_code, reason = "reads without lengths, proven once a layer")]
                // SAFETY: `Work::is_whole`: the copy has nine rows and columns from each tile's
                // first on, of `depth` channels, a multiple of sixteen.
                let bytes = unsafe { _mm_loadu_si128(work.x.as_ptr().add(at).cast()) };
                *input = _mm256_cvtepi8_epi16(bytes);
            }
            let transformed = input::<ROWS>(inputs);
            for (u, value) in u.iter_mut().zip(transformed) {
                u[column] = value;
            }
        }
        for (row, u) in u.into_iter().enumerate().take(ROWS) {
            for (column, value) in input::<COLUMNS>(u).into_iter().enumerate().take(COLUMNS) {
                let at = (row * EVEN + column) * work.point_values() + to + channel;
                #[expect(unsafe_code, reason = "stores without lengths, proven once a layer")]
                // SAFETY: `Work::is_whole`: `v` has all points of `TILES` tiles of four phases.
                unsafe {
                    _mm256_storeu_si256(v.as_mut_ptr().add(at).cast(), value);
                }
            }
        }
    }
}

/// `A^T m`.
#[target_feature(enable = "avx2")]
#[inline]
fn output([m0, m1, m2, m3, m4]: [__m256i; EVEN]) -> [__m256i; SIDE] {
    let (sum, difference) = (_mm256_add_epi32(m1, m2), _mm256_sub_epi32(m1, m2));
    let last = _mm256_add_epi32(_mm256_slli_epi32::<3>(m3), m4);
    [
        _mm256_add_epi32(_mm256_add_epi32(m0, m3), sum),
        _mm256_add_epi32(difference, _mm256_slli_epi32::<1>(m3)),
        _mm256_add_epi32(sum, _mm256_slli_epi32::<2>(m3)),
        _mm256_add_epi32(difference, last),
    ]
}

/// The sums of the direct convolution at all places of a tile.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn transform_back(products: &[i32], tile: usize) -> Sums {
    let scale = _mm256_set1_epi32(INVERSE_OF_9.cast_signed());
    let mut sums = [[[_mm256_setzero_si256(); HALVES]; SIDE]; SIDE];
    for half in 0..HALVES {
        let mut rows = [[_mm256_setzero_si256(); EVEN]; SIDE];
        for column in 0..EVEN {
            let points = load_products::<EVEN>(products, column, tile, half);
            rows.iter_mut().zip(output(points)).for_each(|(row, value)| row[column] = value);
        }
        for (points, sums) in rows.into_iter().zip(&mut sums) {
            for (value, sums) in output(points).into_iter().zip(sums) {
                sums[half] = _mm256_srai_epi32::<SCALE_BITS>(_mm256_mullo_epi32(value, scale));
            }
        }
    }
    sums
}
