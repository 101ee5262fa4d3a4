//! `host::lanes` by AVX2: the sums of a pixel's sixteen outputs become its bytes.
//!
//! Sums lie in two vectors in the [`ORDER`] in which two narrowing steps that saturate
//! (`VPACKSSDW`, `VPACKSSWB`) make bytes one after another. The clamp lies inside the range of
//! int8, so that saturating before changes nothing. The upper half of a product of 32 bits comes
//! of two `VPMULDQ`, of the even and of the odd lanes. Double rounding that is not one floor is
//! left to `host::lanes`.

use crate::host::OUTPUTS;
use crate::host::lanes::{BELOW_ZERO, Lanes};
use crate::host::winograd::ORDER;
use crate::requantize::Form;
use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_max_epi8, _mm_min_epi8, _mm_packs_epi16, _mm_set1_epi8,
    _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_blend_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm256_mul_epi32, _mm256_mullo_epi32, _mm256_packs_epi32, _mm256_set1_epi32,
    _mm256_shuffle_epi32, _mm256_sllv_epi32, _mm256_srai_epi32, _mm256_srav_epi32,
    _mm256_storeu_si256, _mm256_sub_epi32, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};

/// Of a vector.
const LANES: usize = 8;

/// Puts each odd lane also into the even one before it.
const ODD_TO_EVEN: i32 = 0xf5;

/// The odd lanes.
const ODD: i32 = 0xaa;

/// The constants of sixteen outputs, in the [`ORDER`] of sums.
pub(super) struct Vectors<'a> {
    lanes: &'a Lanes,
    left: [__m256i; 2],
    bias: [__m256i; 2],
    residual: [__m256i; 2],
    multiplier: [__m256i; 2],
    multiplier_odd: [__m256i; 2],
    right: [__m256i; 2],
    addend: [__m256i; 2],
    low: __m128i,
    high: __m128i,
}

/// Sixteen lanes in two registers.
#[target_feature(enable = "avx2")]
fn load<T: Copy>(lanes: &[T; OUTPUTS]) -> [__m256i; 2] {
    const { assert!(size_of::<T>() == 4) };
    let lanes = ORDER.map(|output| lanes[output]);
    [0, LANES].map(|first| {
        #[expect(unsafe_code, reason = "reads through a pointer")]
        // SAFETY: the array has twice 32 bytes.
        unsafe {
            _mm256_loadu_si256(lanes.as_ptr().add(first).cast())
        }
    })
}

impl<'a> Vectors<'a> {
    #[target_feature(enable = "avx2")]
    pub(super) fn new(lanes: &'a Lanes) -> Self {
        let multiplier = load(&lanes.multiplier);
        let [low, high] = lanes.clamp;
        Self {
            lanes,
            left: load(&lanes.left),
            bias: load(&lanes.bias),
            residual: load(&lanes.residual),
            multiplier,
            multiplier_odd: multiplier.map(|m| _mm256_shuffle_epi32::<ODD_TO_EVEN>(m)),
            right: load(&lanes.right),
            addend: load(&lanes.addend),
            low: _mm_set1_epi8(low),
            high: _mm_set1_epi8(high),
        }
    }

    /// Requantizes the sums of a pixel into `y`, which holds the residual where one is joined:
    /// sixteen outputs, or the last ones.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn finish(&self, sums: [__m256i; 2], y: &mut [i8]) {
        if let Ok(y) = <&mut [i8; OUTPUTS]>::try_from(&mut *y) {
            self.sixteen(sums, y);
        } else {
            let mut aside = [0; OUTPUTS];
            aside.iter_mut().zip(&*y).for_each(|(aside, &skip)| *aside = skip);
            self.sixteen(sums, &mut aside);
            y.iter_mut().zip(aside).for_each(|(y, q)| *y = q);
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn sixteen(&self, sums: [__m256i; 2], y: &mut [i8; OUTPUTS]) {
        let [mut first, mut second] = [self.add_bias::<0>(sums[0]), self.add_bias::<1>(sums[1])];
        let scaled = match self.lanes.form {
            Form::Tflite if self.lanes.is_one_floor => {
                [self.scale_by_one_floor::<0>(first), self.scale_by_one_floor::<1>(second)]
            }
            Form::Tflite => return finish_by_lanes(self.lanes, sums, y),
            Form::Native => [self.scale::<0>(first), self.scale::<1>(second)],
            Form::NativeJoin => {
                let [low, high] = widened(y);
                first = _mm256_add_epi32(first, _mm256_mullo_epi32(low, self.residual[0]));
                second = _mm256_add_epi32(second, _mm256_mullo_epi32(high, self.residual[1]));
                [self.scale::<0>(first), self.scale::<1>(second)]
            }
        };
        let bytes = self.narrow(scaled);
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: the array has 16 bytes.
        unsafe {
            _mm_storeu_si128(y.as_mut_ptr().cast(), bytes);
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn add_bias<const HALF: usize>(&self, sums: __m256i) -> __m256i {
        _mm256_add_epi32(_mm256_sllv_epi32(sums, self.left[HALF]), self.bias[HALF])
    }

    /// The upper halves of products with the multipliers.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn high<const HALF: usize>(&self, t: __m256i) -> __m256i {
        let odd = _mm256_shuffle_epi32::<ODD_TO_EVEN>(t);
        let even = _mm256_mul_epi32(t, self.multiplier[HALF]);
        let odd = _mm256_mul_epi32(odd, self.multiplier_odd[HALF]);
        _mm256_blend_epi32::<ODD>(_mm256_shuffle_epi32::<ODD_TO_EVEN>(even), odd)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn scale<const HALF: usize>(&self, t: __m256i) -> __m256i {
        _mm256_srav_epi32(self.high::<HALF>(t), self.right[HALF])
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn scale_by_one_floor<const HALF: usize>(&self, t: __m256i) -> __m256i {
        let rounded = _mm256_add_epi32(self.high::<HALF>(t), self.addend[HALF]);
        let less = _mm256_and_si256(_mm256_srai_epi32::<31>(t), _mm256_set1_epi32(BELOW_ZERO));
        _mm256_srav_epi32(_mm256_sub_epi32(rounded, less), self.right[HALF])
    }

    /// Both vectors of int32 as bytes, clamped.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn narrow(&self, [first, second]: [__m256i; 2]) -> __m128i {
        let words = _mm256_packs_epi32(first, second);
        let halves = [_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words)];
        let bytes = _mm_packs_epi16(halves[0], halves[1]);
        _mm_min_epi8(_mm_max_epi8(bytes, self.low), self.high)
    }
}

/// Sixteen bytes as lanes, in the [`ORDER`] of sums.
#[target_feature(enable = "avx2")]
#[inline]
fn widened(bytes: &[i8; OUTPUTS]) -> [__m256i; 2] {
    #[expect(unsafe_code, reason = "reads through a pointer")]
    // SAFETY: the array has 16 bytes.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    let words = _mm256_cvtepi8_epi16(bytes);
    // Each of them twice in a lane, of which the upper half is shifted down.
    let twice = [_mm256_unpacklo_epi16(words, words), _mm256_unpackhi_epi16(words, words)];
    twice.map(|twice| _mm256_srai_epi32::<16>(twice))
}

#[target_feature(enable = "avx2")]
#[inline(never)]
fn finish_by_lanes(lanes: &Lanes, sums: [__m256i; 2], y: &mut [i8; OUTPUTS]) {
    lanes.finish(&in_order(sums), y);
}

/// Sums one output after another.
#[target_feature(enable = "avx2")]
fn in_order(sums: [__m256i; 2]) -> [i32; OUTPUTS] {
    let mut lanes = [0; OUTPUTS];
    for (lanes, sums) in lanes.chunks_exact_mut(LANES).zip(sums) {
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: the array has twice 32 bytes.
        unsafe {
            _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums);
        }
    }
    let mut ordered = [0; OUTPUTS];
    ORDER.iter().zip(lanes).for_each(|(&output, sum)| ordered[output] = sum);
    ordered
}
