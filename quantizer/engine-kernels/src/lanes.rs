//! Sixteen f32 side by side: what every kernel of the engine computes with.
//!
//! One trait, so that each kernel is written once; an implementation a register width. The
//! portable one is an array, which the compiler turns into whatever vectors the target has.

use super::ahead::Prefetch;

/// Values of one vector; channels are padded to multiples of it.
pub const LANES: usize = 16;

/// [`LANES`] values in registers.
///
/// # Safety
/// The methods are called only where the processor has the implementation's instruction set.
/// Pointers are readable, or writable, over [`LANES`] values; they need no alignment.
pub(super) trait Lanes: Copy + Prefetch {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self · factor + addend`, in one rounding where the processor can.
    unsafe fn fma(self, factor: Self, addend: Self) -> Self;
    /// `max(self, 0)`; NaN stays, so that a diverging run is seen.
    unsafe fn relu(self) -> Self;
    /// `self` where `x` is above zero, else 0.
    unsafe fn where_positive(self, x: Self) -> Self;
    /// Adds each lane to a sum.
    unsafe fn add_to(self, sums: *mut f64);
    /// Rows become columns.
    #[inline(always)]
    unsafe fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        let mut values = [[0.0; LANES]; LANES];
        let mut columns = values;
        // SAFETY: the trait's contract.
        unsafe {
            for (values, row) in values.iter_mut().zip(rows) {
                row.store(values.as_mut_ptr());
            }
            for (r, values) in values.iter().enumerate() {
                for (column, value) in columns.iter_mut().zip(values) {
                    column[r] = *value;
                }
            }
            let mut transposed = rows;
            for (transposed, column) in transposed.iter_mut().zip(&columns) {
                *transposed = Self::load(column.as_ptr());
            }
            transposed
        }
    }
}

/// Any processor. `FUSED` where its baseline has fused multiply-adds, as `AArch64`'s.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Portable<const FUSED: bool>([f32; LANES]);

impl<const FUSED: bool> Portable<FUSED> {
    #[inline(always)]
    fn zip(self, other: Self, apply: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| apply(self.0[i], other.0[i])))
    }
}

/// There is no portable way of asking.
impl<const FUSED: bool> Prefetch for Portable<FUSED> {
    #[inline(always)]
    unsafe fn prefetch(_at: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_near(_at: *const f32) {}
}

impl<const FUSED: bool> Lanes for Portable<FUSED> {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; LANES])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract; an array of f32 is aligned as f32 is.
        Self(unsafe { *from.cast() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { *to.cast() = self.0 }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn fma(self, factor: Self, addend: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if FUSED {
                self.0[i].mul_add(factor.0[i], addend.0[i])
            } else {
                self.0[i] * factor.0[i] + addend.0[i]
            }
        }))
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(|x| if x < 0.0 { 0.0 } else { x }))
    }
    #[inline(always)]
    unsafe fn where_positive(self, x: Self) -> Self {
        self.zip(x, |value, x| if x > 0.0 { value } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn add_to(self, sums: *mut f64) {
        for (i, value) in self.0.into_iter().enumerate() {
            // SAFETY: the trait's contract.
            unsafe { *sums.add(i) += f64::from(value) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{LANES, Lanes, Prefetch};
    use std::arch::x86_64::*;

    /// `avx512f`: one register.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    impl Prefetch for Avx512 {
        #[inline(always)]
        unsafe fn prefetch(at: *const f32) {
            // SAFETY: the instruction may have any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn prefetch_near(at: *const f32) {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
    }

    // SAFETY, of every block: the trait's contract gives the instruction set and the pointers.
    impl Lanes for Avx512 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_set1_ps(value) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn fma(self, factor: Self, addend: Self) -> Self {
            // SAFETY: as above.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // Of a NaN and a number the instruction gives its second operand.
            // SAFETY: as above.
            Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
        }
        #[inline(always)]
        unsafe fn where_positive(self, x: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x.0, _mm512_setzero_ps());
                Self(_mm512_maskz_mov_ps(positive, self.0))
            }
        }
        #[inline(always)]
        unsafe fn add_to(self, sums: *mut f64) {
            // SAFETY: as above.
            unsafe {
                let low = _mm512_castps512_ps256(self.0);
                let high = _mm512_castps512_ps256(_mm512_shuffle_f32x4::<0b1110>(self.0, self.0));
                for (half, values) in [low, high].into_iter().enumerate() {
                    let at = sums.add(half * LANES / 2);
                    let sum = _mm512_add_pd(_mm512_loadu_pd(at), _mm512_cvtps_pd(values));
                    _mm512_storeu_pd(at, sum);
                }
            }
        }
        /// Pairs of rows, pairs of those, then quarters of registers, twice.
        #[inline(always)]
        unsafe fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
            let mut pairs = rows;
            let mut fours = rows;
            let mut columns = rows;
            // SAFETY: as above.
            unsafe {
                for i in (0..LANES).step_by(2) {
                    pairs[i].0 = _mm512_unpacklo_ps(rows[i].0, rows[i + 1].0);
                    pairs[i + 1].0 = _mm512_unpackhi_ps(rows[i].0, rows[i + 1].0);
                }
                for i in (0..LANES).step_by(4) {
                    let [a, c] = [_mm512_castps_pd(pairs[i].0), _mm512_castps_pd(pairs[i + 2].0)];
                    let [b, d] =
                        [_mm512_castps_pd(pairs[i + 1].0), _mm512_castps_pd(pairs[i + 3].0)];
                    fours[i].0 = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
                    fours[i + 1].0 = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
                    fours[i + 2].0 = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
                    fours[i + 3].0 = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
                }
                for j in 0..4 {
                    let [a, b, c, d] = [0, 4, 8, 12].map(|i| fours[i + j].0);
                    let low = [
                        _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
                        _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d),
                    ];
                    let high = [
                        _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
                        _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d),
                    ];
                    columns[j].0 = _mm512_shuffle_f32x4::<0b10_00_10_00>(low[0], low[1]);
                    columns[4 + j].0 = _mm512_shuffle_f32x4::<0b11_01_11_01>(low[0], low[1]);
                    columns[8 + j].0 = _mm512_shuffle_f32x4::<0b10_00_10_00>(high[0], high[1]);
                    columns[12 + j].0 = _mm512_shuffle_f32x4::<0b11_01_11_01>(high[0], high[1]);
                }
            }
            columns
        }
    }

    /// `avx2` and `fma`: two registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256, __m256);

    impl Prefetch for Avx2 {
        #[inline(always)]
        unsafe fn prefetch(at: *const f32) {
            // SAFETY: the instruction may have any address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }
        #[inline(always)]
        unsafe fn prefetch_near(at: *const f32) {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
    }

    // SAFETY, of every block: the trait's contract gives the instruction set and the pointers.
    impl Lanes for Avx2 {
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            // SAFETY: as above.
            let value = unsafe { _mm256_set1_ps(value) };
            Self(value, value)
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: as above.
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn fma(self, factor: Self, addend: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                Self(
                    _mm256_fmadd_ps(self.0, factor.0, addend.0),
                    _mm256_fmadd_ps(self.1, factor.1, addend.1),
                )
            }
        }
        #[inline(always)]
        unsafe fn relu(self) -> Self {
            // Of a NaN and a number the instruction gives its second operand.
            // SAFETY: as above.
            unsafe {
                let zero = _mm256_setzero_ps();
                Self(_mm256_max_ps(zero, self.0), _mm256_max_ps(zero, self.1))
            }
        }
        #[inline(always)]
        unsafe fn where_positive(self, x: Self) -> Self {
            // SAFETY: as above.
            unsafe {
                let zero = _mm256_setzero_ps();
                let keep = |value, x| _mm256_and_ps(value, _mm256_cmp_ps::<_CMP_GT_OQ>(x, zero));
                Self(keep(self.0, x.0), keep(self.1, x.1))
            }
        }
        #[inline(always)]
        unsafe fn add_to(self, sums: *mut f64) {
            // SAFETY: as above.
            unsafe {
                let quarters = [
                    _mm256_castps256_ps128(self.0),
                    _mm256_extractf128_ps::<1>(self.0),
                    _mm256_castps256_ps128(self.1),
                    _mm256_extractf128_ps::<1>(self.1),
                ];
                for (quarter, values) in quarters.into_iter().enumerate() {
                    let at = sums.add(quarter * LANES / 4);
                    let sum = _mm256_add_pd(_mm256_loadu_pd(at), _mm256_cvtps_pd(values));
                    _mm256_storeu_pd(at, sum);
                }
            }
        }
    }
}
