//! The usual add of the profile `tflite` by AVX2, sixteen bytes at once: `model`'s arithmetic with
//! the products and the narrowing of `lanes256`.

use super::lanes256::{multiply_high, saturated, widened};
use crate::arch::model::add::{HALVED_SHIFT, HEADROOM, OTHER_SHIFT, Rescale, Sum};
use crate::host::OUTPUTS as BYTES;
use crate::ops::add::Usual;
use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_set1_epi32, _mm256_slli_epi32, _mm256_srai_epi32, _mm256_srav_epi32, _mm256_sub_epi32,
};

/// As `model::to_halved`.
#[target_feature(enable = "avx2")]
pub(super) fn to_halved(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let (sum, vectors) = (Sum::new(usual), Sums::new(usual));
    let ((chunks, rest), (others, last)) = (y.as_chunks_mut(), other.as_chunks());
    for (y, other) in chunks.iter_mut().zip(others) {
        *y = vectors.of(y, other);
    }
    rest.iter_mut().zip(last).for_each(|(y, &other)| *y = sum.of(*y, other));
}

/// As `model::to_other`.
#[target_feature(enable = "avx2")]
pub(super) fn to_other(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let (sum, vectors) = (Sum::new(usual), Sums::new(usual));
    let ((chunks, rest), (halves, last)) = (y.as_chunks_mut(), halved.as_chunks());
    for (y, halved) in chunks.iter_mut().zip(halves) {
        *y = vectors.of(halved, y);
    }
    rest.iter_mut().zip(last).for_each(|(y, &halved)| *y = sum.of(halved, *y));
}

/// A [`Rescale`] in all lanes.
struct Rescales {
    multiplier: __m256i,
    addend: __m256i,
    shift: __m256i,
}

impl Rescales {
    #[target_feature(enable = "avx2")]
    fn new(rescale: Rescale) -> Self {
        Self {
            multiplier: _mm256_set1_epi32(rescale.multiplier),
            addend: _mm256_set1_epi32(rescale.addend),
            shift: _mm256_set1_epi32(rescale.shift.cast_signed()),
        }
    }

    /// As [`Rescale::apply`].
    #[target_feature(enable = "avx2")]
    #[inline]
    fn apply(&self, shifted: __m256i) -> __m256i {
        let high = multiply_high(shifted, [self.multiplier; 2]);
        let less = _mm256_and_si256(_mm256_srai_epi32::<31>(shifted), _mm256_set1_epi32(2));
        let rounded = _mm256_sub_epi32(_mm256_add_epi32(high, self.addend), less);
        _mm256_srav_epi32(rounded, self.shift)
    }
}

/// A [`Sum`] in all lanes.
struct Sums {
    halved_offset: __m256i,
    other_offset: __m256i,
    other: Rescales,
    output: Rescales,
}

impl Sums {
    #[target_feature(enable = "avx2")]
    fn new(usual: &Usual) -> Self {
        let sum = Sum::new(usual);
        Self {
            halved_offset: _mm256_set1_epi32(sum.halved_offset),
            other_offset: _mm256_set1_epi32(sum.other_offset),
            other: Rescales::new(sum.other),
            output: Rescales::new(sum.output),
        }
    }

    /// As [`Sum::of`], of eight.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn eight(&self, halved: __m256i, other: __m256i) -> __m256i {
        let other = _mm256_slli_epi32::<{ OTHER_SHIFT.cast_signed() }>(other);
        let other = self.other.apply(_mm256_add_epi32(other, self.other_offset));
        let other = _mm256_slli_epi32::<{ HEADROOM.cast_signed() }>(other);
        let halved = _mm256_slli_epi32::<{ HALVED_SHIFT.cast_signed() }>(halved);
        let offset = _mm256_add_epi32(other, self.halved_offset);
        self.output.apply(_mm256_add_epi32(offset, halved))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn of(&self, halved: &[i8; BYTES], other: &[i8; BYTES]) -> [i8; BYTES] {
        let mut y = [0; BYTES];
        #[expect(unsafe_code, reason = "reads and stores through pointers")]
        // SAFETY: all arrays have 16 bytes.
        unsafe {
            let halved = widened(_mm_loadu_si128(halved.as_ptr().cast()));
            let other = widened(_mm_loadu_si128(other.as_ptr().cast()));
            let sums = [self.eight(halved[0], other[0]), self.eight(halved[1], other[1])];
            _mm_storeu_si128(y.as_mut_ptr().cast(), saturated(sums));
        }
        y
    }
}
