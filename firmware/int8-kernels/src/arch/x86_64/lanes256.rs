//! `host::lanes` by AVX2: the sums of four pixels' sixteen outputs become their bytes.
//!
//! Sums of a pixel lie in two vectors in the [`ORDER`] in which a narrowing step that saturates
//! (`VPACKSSDW`) makes words one after another; another one (`VPACKSSWB`) makes the bytes of two
//! pixels, whose quarters `VPERMQ` sorts. The clamp lies inside the range of int8, so that
//! saturating before changes nothing. The upper half of a product of 32 bits comes of two
//! `VPMULDQ`, of the even and of the odd lanes. Double rounding that is not one floor is left to
//! `host::lanes`.

use crate::host::OUTPUTS;
use crate::host::lanes::{BELOW_ZERO, Lanes};
use crate::host::winograd::ORDER;
use crate::requantize::Form;
use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_packs_epi16, _mm_storeu_si128, _mm256_add_epi32,
    _mm256_and_si256, _mm256_blend_epi32, _mm256_castsi256_si128, _mm256_cvtepi8_epi16,
    _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_max_epi8, _mm256_min_epi8,
    _mm256_mul_epi32, _mm256_mullo_epi32, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_permute2x128_si256, _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_sllv_epi32, _mm256_srai_epi32,
    _mm256_srav_epi32, _mm256_storeu_si256, _mm256_sub_epi32, _mm256_unpackhi_epi16,
    _mm256_unpacklo_epi16,
};

/// Pixels at once.
pub(super) const QUAD: usize = 4;

/// Of a vector.
const LANES: usize = 8;

/// Forms, as constants that functions are made for.
const NATIVE: u8 = 0;
const JOIN: u8 = 1;
/// The profile `tflite` where one floor does for both roundings.
const ONE_FLOOR: u8 = 2;

/// Puts each odd lane also into the even one before it.
const ODD_TO_EVEN: i32 = 0xf5;

/// Quarters 0, 2, 1, 3.
const EVEN_THEN_ODD: i32 = 0xd8;

/// The odd lanes.
const ODD: i32 = 0xaa;

/// Where the bytes of up to four pixels lie: the first one's, from pixel to pixel; how many pixels,
/// at least one, and outputs of each, up to sixteen.
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) stride: usize,
    pub(super) pixels: usize,
    pub(super) outputs: usize,
}

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
    low: __m256i,
    high: __m256i,
}

/// Sixteen lanes in two registers, in the [`ORDER`] of sums.
#[target_feature(enable = "avx2")]
#[inline]
fn load<T: Copy>(lanes: &[T; OUTPUTS]) -> [__m256i; 2] {
    const { assert!(size_of::<T>() == 4) };
    let lanes = lanes.as_ptr().cast::<__m256i>();
    #[expect(unsafe_code, reason = "reads through a pointer")]
    // SAFETY: the array has twice 32 bytes.
    let halves = unsafe { [_mm256_loadu_si256(lanes), _mm256_loadu_si256(lanes.add(1))] };
    exchange_inner(halves)
}

/// Exchanges the inner fours of sixteen lanes: natural order becomes [`ORDER`], and back.
#[target_feature(enable = "avx2")]
#[inline]
fn exchange_inner([first, second]: [__m256i; 2]) -> [__m256i; 2] {
    const {
        assert!(ORDER[4] == 8 && ORDER[8] == 4);
    }
    const LOWER: i32 = 0x20;
    const UPPER: i32 = 0x31;
    [
        _mm256_permute2x128_si256::<LOWER>(first, second),
        _mm256_permute2x128_si256::<UPPER>(first, second),
    ]
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
            low: _mm256_set1_epi8(low),
            high: _mm256_set1_epi8(high),
        }
    }

    /// Requantizes the sums of four pixels into `y`, which holds the residual where one is joined.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn finish(&self, sums: &[[__m256i; 2]; QUAD], place: &Place, y: &mut [i8]) {
        let &Place { start, stride, pixels, outputs } = place;
        let last = start + pixels.saturating_sub(1) * stride + outputs;
        let Some(y) = y.get_mut(start..last) else { return };
        let is_whole = pixels == QUAD && outputs == OUTPUTS;
        let mut aside = [0; QUAD * OUTPUTS];
        let places = || (0..pixels).map(|pixel| pixel * stride..pixel * stride + outputs);
        if !is_whole {
            for (aside, place) in aside.chunks_exact_mut(OUTPUTS).zip(places()) {
                aside[..outputs].copy_from_slice(&y[place]);
            }
        }
        let (bytes, step) =
            if is_whole { (y.as_mut_ptr(), stride) } else { (aside.as_mut_ptr(), OUTPUTS) };
        #[expect(unsafe_code, reason = "reads and stores without lengths")]
        // SAFETY: `y` ends behind the sixteen bytes of the fourth pixel where all of them are
        // there; aside are four times sixteen bytes.
        unsafe {
            self.four(sums, bytes, step);
        }
        if !is_whole {
            for (aside, place) in aside.chunks_exact(OUTPUTS).zip(places()) {
                y[place].copy_from_slice(&aside[..outputs]);
            }
        }
    }

    /// Four pixels whole, `stride` bytes apart.
    ///
    /// # Safety
    /// From `y` on there are the sixteen bytes of each of them, to read and to store.
    #[target_feature(enable = "avx2")]
    #[inline]
    #[expect(unsafe_code, reason = "reads and stores without lengths")]
    unsafe fn four(&self, sums: &[[__m256i; 2]; QUAD], y: *mut i8, stride: usize) {
        let pixels: [*mut i8; QUAD] = core::array::from_fn(|pixel| y.wrapping_add(pixel * stride));
        // SAFETY: as the function's: each of `pixels` has sixteen bytes.
        let words = unsafe {
            match self.lanes.form {
                Form::Native => self.words::<NATIVE>(sums, pixels),
                Form::NativeJoin => self.words::<JOIN>(sums, pixels),
                Form::Tflite if self.lanes.is_one_floor => self.words::<ONE_FLOOR>(sums, pixels),
                Form::Tflite => {
                    for (&sums, pixel) in sums.iter().zip(pixels) {
                        finish_by_lanes(self.lanes, sums, &mut *pixel.cast());
                    }
                    return;
                }
            }
        };
        for (words, pixels) in words.as_chunks::<2>().0.iter().zip(pixels.as_chunks::<2>().0) {
            let bytes = _mm256_packs_epi16(words[0], words[1]);
            let bytes = _mm256_permute4x64_epi64::<EVEN_THEN_ODD>(bytes);
            let bytes = _mm256_min_epi8(_mm256_max_epi8(bytes, self.low), self.high);
            // SAFETY: as the function's.
            unsafe {
                _mm_storeu_si128(pixels[0].cast(), _mm256_castsi256_si128(bytes));
                _mm_storeu_si128(pixels[1].cast(), _mm256_extracti128_si256::<1>(bytes));
            }
        }
    }

    /// Four pixels as words, saturated. `pixels`: their residuals where one is joined.
    ///
    /// # Safety
    /// Each of `pixels` has sixteen bytes to read.
    #[target_feature(enable = "avx2")]
    #[inline]
    #[expect(unsafe_code, reason = "reads without a length")]
    unsafe fn words<const FORM: u8>(
        &self,
        sums: &[[__m256i; 2]; QUAD],
        pixels: [*mut i8; QUAD],
    ) -> [__m256i; QUAD] {
        // SAFETY: as the function's.
        let [mut words, second] =
            unsafe { [self.scaled::<FORM, 0>(sums, pixels), self.scaled::<FORM, 1>(sums, pixels)] };
        for (first, second) in words.iter_mut().zip(second) {
            *first = _mm256_packs_epi32(*first, second);
        }
        words
    }

    /// A half of the outputs of four pixels: its constants stay in registers.
    ///
    /// # Safety
    /// As [`Self::words`].
    #[target_feature(enable = "avx2")]
    #[inline]
    #[expect(unsafe_code, reason = "reads without a length")]
    unsafe fn scaled<const FORM: u8, const HALF: usize>(
        &self,
        sums: &[[__m256i; 2]; QUAD],
        pixels: [*mut i8; QUAD],
    ) -> [__m256i; QUAD] {
        let mut scaled = [_mm256_setzero_si256(); QUAD];
        for ((scaled, sums), pixel) in scaled.iter_mut().zip(sums).zip(pixels) {
            let mut t = self.add_bias::<HALF>(sums[HALF]);
            if FORM == JOIN {
                // SAFETY: as the function's.
                let skip = widened(unsafe { _mm_loadu_si128(pixel.cast()) })[HALF];
                t = _mm256_add_epi32(t, _mm256_mullo_epi32(skip, self.residual[HALF]));
            }
            *scaled = if FORM == ONE_FLOOR {
                self.scale_by_one_floor::<HALF>(t)
            } else {
                self.scale::<HALF>(t)
            };
        }
        scaled
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
        multiply_high(t, [self.multiplier[HALF], self.multiplier_odd[HALF]])
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
}

/// The upper halves of products with a multiplier in the even lanes, and in those of the odd ones.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn multiply_high(t: __m256i, [multiplier, multiplier_odd]: [__m256i; 2]) -> __m256i {
    let odd = _mm256_shuffle_epi32::<ODD_TO_EVEN>(t);
    let even = _mm256_mul_epi32(t, multiplier);
    let odd = _mm256_mul_epi32(odd, multiplier_odd);
    _mm256_blend_epi32::<ODD>(_mm256_shuffle_epi32::<ODD_TO_EVEN>(even), odd)
}

/// Two vectors of int32, in the [`ORDER`] of sums, as bytes one after another.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn saturated([first, second]: [__m256i; 2]) -> __m128i {
    let words = _mm256_packs_epi32(first, second);
    let halves = [_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words)];
    _mm_packs_epi16(halves[0], halves[1])
}

/// Sixteen bytes as lanes, in the [`ORDER`] of sums.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn widened(bytes: __m128i) -> [__m256i; 2] {
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
    let mut ordered = [0; OUTPUTS];
    for (ordered, sums) in ordered.chunks_exact_mut(LANES).zip(exchange_inner(sums)) {
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: the array has twice 32 bytes.
        unsafe {
            _mm256_storeu_si256(ordered.as_mut_ptr().cast(), sums);
        }
    }
    ordered
}
