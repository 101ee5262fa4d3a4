//! `host::lanes` by AVX-512: the sums of four pixels become the bytes of four pixels.
//!
//! The upper half of a product of 32 bits comes of two `VPMULDQ`, of the even and of the odd
//! lanes. Two narrowing steps that saturate (`VPACKSSDW`, `VPACKSSWB`) put four vectors into one,
//! pixels interleaved by fours, which one permutation sorts; the clamp is of all 64 bytes at once.
//! It lies inside the range of int8, so that saturating before changes nothing. In the profile
//! `tflite` one floor does for both roundings where the sums are small enough, as in the kernels
//! that are packed for cores.

use crate::host::OUTPUTS;
use crate::host::lanes::{BELOW_ZERO, Lanes};
use crate::requantize::Form;
use core::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_mask_storeu_epi8, _mm_maskz_loadu_epi8,
    _mm_setzero_si128, _mm_storeu_si128, _mm512_add_epi32, _mm512_add_epi64, _mm512_adds_epi16,
    _mm512_and_si512, _mm512_castsi512_si128, _mm512_cmpgt_epi32_mask, _mm512_cvtepi8_epi32,
    _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_mask_blend_epi32,
    _mm512_mask_shuffle_epi32, _mm512_mask_sub_epi32, _mm512_max_epi8, _mm512_min_epi8,
    _mm512_mul_epi32, _mm512_mullo_epi32, _mm512_packs_epi16, _mm512_packs_epi32,
    _mm512_permutexvar_epi32, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_epi64, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_shuffle_epi32,
    _mm512_slli_epi64, _mm512_sllv_epi32, _mm512_srai_epi32, _mm512_srav_epi32, _mm512_srli_epi32,
    _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi32,
};

/// Pixels at once.
const QUAD: usize = 4;

/// The odd of sixteen lanes.
pub(super) const ODD: u16 = 0xaaaa;

/// Forms, as constants that functions are made for.
const NATIVE: u8 = Form::Native as u8;
const JOIN: u8 = Form::NativeJoin as u8;
const TFLITE: u8 = Form::Tflite as u8;
/// The same by one floor, where that does.
const ONE_FLOOR: u8 = u8::MAX;
const _: () = assert!(NATIVE < TFLITE && JOIN < TFLITE && TFLITE < ONE_FLOOR);

/// Puts each odd lane also into the even one before it (`VPSHUFD`'s 3, 3, 1, 1).
pub(super) const ODD_TO_EVEN: i32 = 0xf5;

/// The constants of sixteen outputs in registers.
pub(super) struct Vectors {
    form: Form,
    is_one_floor: bool,
    /// Whether there is any shift.
    is_shifted: bool,
    left: __m512i,
    bias: __m512i,
    residual: __m512i,
    multiplier: __m512i,
    multiplier_odd: __m512i,
    right: __m512i,
    /// `2^right - 1`, what a rounding shift looks at.
    mask: __m512i,
    /// What one floor adds before it shifts.
    addend: __m512i,
    zero_point: __m512i,
    low: __m512i,
    high: __m512i,
    order: __m512i,
    /// A bit for each of the sixteen that is an output.
    outputs: u16,
}

/// Sixteen lanes in a register.
#[target_feature(enable = "avx512f")]
#[inline]
fn load<T>(lanes: &[T; OUTPUTS]) -> __m512i {
    const { assert!(size_of::<T>() == 4) };
    #[expect(unsafe_code, reason = "reads through a pointer")]
    // SAFETY: the array has 64 bytes.
    unsafe {
        _mm512_loadu_si512(lanes.as_ptr().cast())
    }
}

impl Vectors {
    /// Of `lanes`, the first `outputs` of which are wanted, all if there are more.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    pub(super) fn new(lanes: &Lanes, outputs: usize) -> Self {
        let multiplier = load(&lanes.multiplier);
        let [low, high] = lanes.clamp;
        Self {
            form: lanes.form,
            is_one_floor: lanes.is_one_floor,
            is_shifted: lanes.left.iter().chain(&lanes.right).any(|&shift| shift != 0),
            left: load(&lanes.left),
            bias: load(&lanes.bias),
            residual: load(&lanes.residual),
            multiplier,
            multiplier_odd: _mm512_shuffle_epi32::<ODD_TO_EVEN>(multiplier),
            right: load(&lanes.right),
            mask: load(&lanes.right.map(|right| (1_u32 << right).wrapping_sub(1))),
            addend: load(&lanes.addend),
            zero_point: _mm512_set1_epi16(lanes.zero_point),
            low: _mm512_set1_epi8(low),
            high: _mm512_set1_epi8(high),
            order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            outputs: ((1_u32 << outputs.min(OUTPUTS)) - 1) as u16,
        }
    }

    /// Requantizes the sums of `pixels` pixels, which lie one after another, into `y`, which holds
    /// the residual where one is joined. `pitch`: bytes from pixel to pixel, of which the first is
    /// at `y`.
    ///
    /// # Safety
    /// `sums` are those of a multiple of four pixels. For each of the `pixels` the wanted outputs
    /// at `y + pixel * pitch` are memory that this may change.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    #[expect(unsafe_code, reason = "stores without lengths, which are proven once a layer")]
    pub(super) unsafe fn finish(&self, sums: *const i32, pixels: usize, y: *mut i8, pitch: usize) {
        // SAFETY: as the function's.
        unsafe {
            match (self.form, self.is_shifted) {
                (Form::Native, false) => self.pixels::<NATIVE, false>(sums, pixels, y, pitch),
                (Form::Native, true) => self.pixels::<NATIVE, true>(sums, pixels, y, pitch),
                (Form::NativeJoin, _) => self.pixels::<JOIN, true>(sums, pixels, y, pitch),
                (Form::Tflite, _) if self.is_one_floor => {
                    self.pixels::<ONE_FLOOR, true>(sums, pixels, y, pitch);
                }
                (Form::Tflite, _) => self.pixels::<TFLITE, true>(sums, pixels, y, pitch),
            }
        }
    }

    /// As [`finish`](Self::finish), of one form. `SHIFTED`: whether any shift is not 0.
    ///
    /// # Safety
    /// As of `finish`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline(never)]
    #[expect(unsafe_code, reason = "stores without lengths, which are proven once a layer")]
    unsafe fn pixels<const FORM: u8, const SHIFTED: bool>(
        &self,
        sums: *const i32,
        pixels: usize,
        y: *mut i8,
        pitch: usize,
    ) {
        let mut done = 0;
        while done < pixels {
            let (sums, y) = (sums.wrapping_add(done * OUTPUTS), y.wrapping_add(done * pitch));
            let places: [*mut i8; QUAD] = core::array::from_fn(|i| y.wrapping_add(i * pitch));
            // SAFETY: as the function's.
            unsafe {
                if done + QUAD <= pixels && self.outputs == u16::MAX {
                    let skips = || places.map(|y| _mm_loadu_si128(y.cast()));
                    let bytes = self.quad::<FORM, SHIFTED>(load_quad(sums), skips);
                    if pitch == OUTPUTS {
                        _mm512_storeu_si512(y.cast(), bytes);
                    } else {
                        let stored = places.into_iter().zip(parts(bytes));
                        stored.for_each(|(y, part)| _mm_storeu_si128(y.cast(), part));
                    }
                } else {
                    // No output is wanted of a pixel that is not.
                    let outputs: [u16; QUAD] =
                        core::array::from_fn(
                            |pixel| {
                                if done + pixel < pixels { self.outputs } else { 0 }
                            },
                        );
                    let wanted = || places.into_iter().zip(outputs);
                    let skips = || {
                        let mut skips = [_mm_setzero_si128(); QUAD];
                        skips.iter_mut().zip(wanted()).for_each(|(skip, (y, outputs))| {
                            *skip = _mm_maskz_loadu_epi8(outputs, y);
                        });
                        skips
                    };
                    let bytes = self.quad::<FORM, SHIFTED>(load_quad(sums), skips);
                    wanted().zip(parts(bytes)).for_each(|((y, outputs), part)| {
                        _mm_mask_storeu_epi8(y, outputs, part);
                    });
                }
            }
            done += QUAD;
        }
    }

    /// The bytes of four pixels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    #[inline]
    fn quad<const FORM: u8, const SHIFTED: bool>(
        &self,
        sums: [__m512i; QUAD],
        skips: impl FnOnce() -> [__m128i; QUAD],
    ) -> __m512i {
        let mut t = sums.map(|sums| self.add_bias::<SHIFTED>(sums));
        if FORM == JOIN {
            for (t, skip) in t.iter_mut().zip(skips()) {
                let skip = _mm512_mullo_epi32(_mm512_cvtepi8_epi32(skip), self.residual);
                *t = _mm512_add_epi32(*t, skip);
            }
        }
        if FORM == ONE_FLOOR {
            self.narrow::<FORM>(t.map(|t| self.scale_by_one_floor(t)))
        } else if FORM == TFLITE {
            self.narrow::<FORM>(t.map(|t| self.scale_tflite(t)))
        } else {
            self.narrow::<FORM>(t.map(|t| self.scale_native::<SHIFTED>(t)))
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn add_bias<const SHIFTED: bool>(&self, sums: __m512i) -> __m512i {
        if !SHIFTED {
            return _mm512_add_epi32(sums, self.bias);
        }
        // Below 32, which tells the compiler that the instruction does as it is.
        let left = _mm512_and_si512(self.left, _mm512_set1_epi32(31));
        _mm512_add_epi32(_mm512_sllv_epi32(sums, left), self.bias)
    }

    /// Products with the multipliers, of the even and of the odd lanes.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn products(&self, t: __m512i) -> [__m512i; 2] {
        let odd = _mm512_shuffle_epi32::<ODD_TO_EVEN>(t);
        [_mm512_mul_epi32(t, self.multiplier), _mm512_mul_epi32(odd, self.multiplier_odd)]
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn scale_native<const SHIFTED: bool>(&self, t: __m512i) -> __m512i {
        let [even, odd] = self.products(t);
        let high = _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(odd, !ODD, even);
        if SHIFTED { _mm512_srav_epi32(high, self.right) } else { high }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn scale_by_one_floor(&self, t: __m512i) -> __m512i {
        let [even, odd] = self.products(t);
        let high = _mm512_mask_shuffle_epi32::<ODD_TO_EVEN>(odd, !ODD, even);
        let rounded = _mm512_add_epi32(high, self.addend);
        let is_below = _mm512_cmpgt_epi32_mask(_mm512_setzero_si512(), t);
        let less = _mm512_set1_epi32(BELOW_ZERO);
        let rounded = _mm512_mask_sub_epi32(rounded, is_below, rounded, less);
        _mm512_srav_epi32(rounded, self.right)
    }

    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn scale_tflite(&self, t: __m512i) -> __m512i {
        let half = _mm512_set1_epi64(1 << 30);
        let [even, odd] = self.products(t).map(|product| _mm512_add_epi64(product, half));
        let (even, odd) = (_mm512_srli_epi64::<31>(even), _mm512_slli_epi64::<1>(odd));
        let high = _mm512_mask_blend_epi32(ODD, even, odd);
        let rest = _mm512_and_si512(high, self.mask);
        let sign = _mm512_srai_epi32::<31>(high);
        let threshold = _mm512_sub_epi32(_mm512_srli_epi32::<1>(self.mask), sign);
        let up = _mm512_cmpgt_epi32_mask(rest, threshold);
        let q = _mm512_srav_epi32(high, self.right);
        _mm512_mask_sub_epi32(q, up, q, _mm512_set1_epi32(-1))
    }

    /// Four vectors of int32 as the bytes of pixel after pixel, clamped.
    #[target_feature(enable = "avx512f,avx512bw")]
    #[inline]
    fn narrow<const FORM: u8>(&self, [a, b, c, d]: [__m512i; QUAD]) -> __m512i {
        let mut words = [_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)];
        if FORM == TFLITE {
            words = words.map(|words| _mm512_adds_epi16(words, self.zero_point));
        }
        let bytes = _mm512_packs_epi16(words[0], words[1]);
        let clamped = _mm512_min_epi8(_mm512_max_epi8(bytes, self.low), self.high);
        _mm512_permutexvar_epi32(self.order, clamped)
    }
}

/// The bytes of each of four pixels.
#[target_feature(enable = "avx512f")]
#[inline]
fn parts(bytes: __m512i) -> [__m128i; QUAD] {
    [
        _mm512_castsi512_si128(bytes),
        _mm512_extracti32x4_epi32::<1>(bytes),
        _mm512_extracti32x4_epi32::<2>(bytes),
        _mm512_extracti32x4_epi32::<3>(bytes),
    ]
}

/// Four times sixteen sums that lie one after another.
///
/// # Safety
/// `sums` are 256 bytes.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "reads through a pointer")]
unsafe fn load_quad(sums: *const i32) -> [__m512i; QUAD] {
    let mut quad = [_mm512_setzero_si512(); QUAD];
    for (pixel, quad) in quad.iter_mut().enumerate() {
        // SAFETY: as the function's.
        *quad = unsafe { _mm512_loadu_si512(sums.add(pixel * OUTPUTS).cast()) };
    }
    quad
}
