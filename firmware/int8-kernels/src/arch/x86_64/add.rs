//! The usual add of the profile `tflite` by the processor's vectors: `model`'s arithmetic by
//! [AVX2](add256) or by AVX-512.
//!
//! The upper half of a product of 32 bits is made of two `VPMULDQ`, of the even and of the odd
//! lanes, where a compiler widens and narrows all of them; four vectors of sums are put into the
//! order of bytes by one permutation, after narrowing steps that saturate as the clamp does.

use super::lanes512::{ODD, ODD_TO_EVEN};
use super::{add256, has_avx2, has_avx512_dq as has_avx512};
use crate::arch::model::add::{self as model, HALVED_SHIFT, HEADROOM, OTHER_SHIFT, Rescale, Sum};
use crate::ops::add::Usual;
use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_add_epi32, _mm512_cvtepi8_epi32, _mm512_mask_shuffle_epi32,
    _mm512_mask_sub_epi32, _mm512_movepi32_mask, _mm512_mul_epi32, _mm512_packs_epi16,
    _mm512_packs_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi32, _mm512_setr_epi32,
    _mm512_shuffle_epi32, _mm512_slli_epi32, _mm512_srav_epi32, _mm512_storeu_si512,
};

/// As `model::to_halved`.
pub(crate) fn to_halved(usual: &Usual, other: &[i8], y: &mut [i8]) {
    #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
    // SAFETY: this processor has them.
    unsafe {
        if has_avx512::get() {
            to_halved_avx512(usual, other, y);
        } else if has_avx2::get() {
            add256::to_halved(usual, other, y);
        } else {
            model::to_halved(usual, other, y);
        }
    }
}

/// As `model::to_other`.
pub(crate) fn to_other(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
    // SAFETY: this processor has them.
    unsafe {
        if has_avx512::get() {
            to_other_avx512(usual, halved, y);
        } else if has_avx2::get() {
            add256::to_other(usual, halved, y);
        } else {
            model::to_other(usual, halved, y);
        }
    }
}

/// Bytes of a vector, and of what one vector of sums is of.
const BYTES: usize = 64;
const SUMS: usize = 16;

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn to_halved_avx512(usual: &Usual, other: &[i8], y: &mut [i8]) {
    let (sum, vectors) = (Sum::new(usual), Sums::new(usual));
    let ((chunks, rest), (others, last)) = (y.as_chunks_mut(), other.as_chunks());
    for (y, other) in chunks.iter_mut().zip(others) {
        *y = vectors.of(y, other);
    }
    rest.iter_mut().zip(last).for_each(|(y, &other)| *y = sum.of(*y, other));
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn to_other_avx512(usual: &Usual, halved: &[i8], y: &mut [i8]) {
    let (sum, vectors) = (Sum::new(usual), Sums::new(usual));
    let ((chunks, rest), (halves, last)) = (y.as_chunks_mut(), halved.as_chunks());
    for (y, halved) in chunks.iter_mut().zip(halves) {
        *y = vectors.of(halved, y);
    }
    rest.iter_mut().zip(last).for_each(|(y, &halved)| *y = sum.of(halved, *y));
}

/// A [`Rescale`] in all lanes.
struct Rescales {
    multiplier: __m512i,
    addend: __m512i,
    shift: __m512i,
}

impl Rescales {
    #[target_feature(enable = "avx512f")]
    fn new(rescale: Rescale) -> Self {
        Self {
            multiplier: _mm512_set1_epi32(rescale.multiplier),
            addend: _mm512_set1_epi32(rescale.addend),
            shift: _mm512_set1_epi32(rescale.shift.cast_signed()),
        }
    }

    /// As [`Rescale::apply`].
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn apply(&self, shifted: __m512i) -> __m512i {
        let even = _mm512_mul_epi32(shifted, self.multiplier);
        let odd = _mm512_shuffle_epi32::<ODD_TO_EVEN>(shifted);
        let odd = _mm512_mul_epi32(odd, self.multiplier);
        let high = _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(odd, !ODD, even);
        let rounded = _mm512_add_epi32(high, self.addend);
        let is_below = _mm512_movepi32_mask(shifted);
        let rounded = _mm512_mask_sub_epi32(rounded, is_below, rounded, _mm512_set1_epi32(2));
        _mm512_srav_epi32(rounded, self.shift)
    }
}

/// A [`Sum`] in all lanes.
struct Sums {
    halved_offset: __m512i,
    other_offset: __m512i,
    other: Rescales,
    output: Rescales,
    order: __m512i,
}

impl Sums {
    #[target_feature(enable = "avx512f")]
    fn new(usual: &Usual) -> Self {
        let sum = Sum::new(usual);
        Self {
            halved_offset: _mm512_set1_epi32(sum.halved_offset),
            other_offset: _mm512_set1_epi32(sum.other_offset),
            other: Rescales::new(sum.other),
            output: Rescales::new(sum.output),
            order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
        }
    }

    /// As [`Sum::of`], of sixteen from `at` on.
    #[target_feature(enable = "avx512f,avx512dq")]
    #[inline]
    fn sixteen(&self, halved: &[i8; BYTES], other: &[i8; BYTES], at: usize) -> __m512i {
        let other = _mm512_slli_epi32::<OTHER_SHIFT>(widened(other, at));
        let other = self.other.apply(_mm512_add_epi32(other, self.other_offset));
        let sum = _mm512_add_epi32(_mm512_slli_epi32::<HEADROOM>(other), self.halved_offset);
        let halved = _mm512_slli_epi32::<HALVED_SHIFT>(widened(halved, at));
        self.output.apply(_mm512_add_epi32(sum, halved))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq")]
    #[inline]
    fn of(&self, halved: &[i8; BYTES], other: &[i8; BYTES]) -> [i8; BYTES] {
        let [a, b, c, d] = [0, 1, 2, 3].map(|part| self.sixteen(halved, other, part * SUMS));
        let bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
        let mut y = [0; BYTES];
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: the array has 64 bytes.
        unsafe {
            _mm512_storeu_si512(y.as_mut_ptr().cast(), _mm512_permutexvar_epi32(self.order, bytes));
        }
        y
    }
}

/// Sixteen bytes from `at` on, as lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn widened(bytes: &[i8; BYTES], at: usize) -> __m512i {
    let at = at.min(BYTES - SUMS);
    #[expect(unsafe_code, reason = "reads through a pointer")]
    // SAFETY: sixteen bytes from there on are inside of the array.
    let sixteen = unsafe { _mm_loadu_si128(bytes.as_ptr().add(at).cast()) };
    _mm512_cvtepi8_epi32(sixteen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pairs of bytes, and a last one behind whole vectors, by each unit that is there.
    #[track_caller]
    fn check(usual: Usual) {
        let others: [i8; 257] = core::array::from_fn(|other| other as u8 as i8);
        for own in i8::MIN..=i8::MAX {
            let (mut halved, mut other) = ([own; 257], [own; 257]);
            model::to_halved(&usual, &others, &mut halved);
            model::to_other(&usual, &others, &mut other);
            let check = |unit, by: &dyn Fn(&mut [i8], &mut [i8])| {
                let (mut first, mut second) = ([own; 257], [own; 257]);
                by(&mut first, &mut second);
                assert_eq!((first, second), (halved, other), "{unit}, {own}");
            };
            check("any", &|first, second| {
                to_halved(&usual, &others, first);
                to_other(&usual, &others, second);
            });
            #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
            // SAFETY: asked before.
            unsafe {
                if has_avx2::get() {
                    check("AVX2", &|first, second| {
                        add256::to_halved(&usual, &others, first);
                        add256::to_other(&usual, &others, second);
                    });
                }
            }
        }
    }

    #[test]
    fn each_unit_adds_as_the_model_does() {
        let usual = Usual {
            halved_offset: 128,
            other_offset: -127,
            other_multiplier: 0x5a5a_5a5a,
            other_shift: -2,
            output_multiplier: 0x6789_abcd,
            output_shift: -19,
            output_offset: -128,
        };
        check(usual);
        // The ends of what the operator takes for usual.
        let (other_multiplier, output_multiplier) = (i32::MAX, i32::MAX);
        let ends = [-127, 128].map(|offset| Usual {
            halved_offset: offset,
            other_offset: offset,
            other_multiplier,
            output_multiplier,
            ..usual
        });
        for (other_shift, output_shift) in [(-1, -1), (-1, -21), (-30, -1), (-30, -21)] {
            for output_offset in [-128, 127] {
                for end in ends {
                    check(Usual { other_shift, output_shift, output_offset, ..end });
                }
            }
        }
        check(Usual { other_multiplier: 0, output_multiplier: 0, ..usual });
    }
}
