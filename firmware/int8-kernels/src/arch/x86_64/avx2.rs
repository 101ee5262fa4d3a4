//! AVX2: bytes are widened to int16, which `VPMADDWD` multiplies and adds in pairs.
//!
//! Two pixels and sixteen outputs at once. (`VPMADDUBSW` would take bytes as they are, but
//! saturates at 2^15.) Two sums of pairs make an output, added up at the end; all of them are
//! modulo 2^32 and exact.

use crate::host::{OUTPUTS, PIXELS, STEP, Work};
use core::arch::x86_64::{
    __m256i, _mm_cvtepi8_epi16, _mm_cvtsi32_si128, _mm_loadu_si128, _mm256_add_epi32,
    _mm256_broadcastq_epi64, _mm256_cvtepi8_epi16, _mm256_madd_epi16, _mm256_setzero_si256,
    _mm256_storeu_si256,
};

/// Pixels at once.
const PAIR: usize = 2;

/// Sums of four outputs, two each.
const FOURS: usize = OUTPUTS / 4;

/// All outputs of a layer.
#[target_feature(enable = "avx2")]
pub(super) fn convolve(work: &Work<'_>, y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    for block in 0..outputs.div_ceil(OUTPUTS) {
        let lanes = work.lanes(block);
        for first in (0..rows * columns).step_by(PIXELS) {
            let windows = work.windows(first);
            for (pair, windows) in windows.as_chunks::<PAIR>().0.iter().enumerate() {
                let sums = sums(work, block, *windows);
                for (pixel, sums) in sums.into_iter().enumerate() {
                    let position = first + PAIR * pair + pixel;
                    if position < rows * columns {
                        work.store(position, block, &to_array(sums), &lanes, y);
                    }
                }
            }
        }
    }
}

/// The two halves of each sum, added up.
#[target_feature(enable = "avx2")]
#[inline]
fn to_array(sums: [__m256i; FOURS]) -> [i32; OUTPUTS] {
    let mut halves = [[0_i32; 2]; OUTPUTS];
    for (halves, sums) in halves.chunks_exact_mut(4).zip(sums) {
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: four pairs of int32 are 32 bytes.
        unsafe {
            _mm256_storeu_si256(halves.as_mut_ptr().cast(), sums);
        }
    }
    halves.map(|[a, b]| a.wrapping_add(b))
}

#[target_feature(enable = "avx2")]
#[inline]
fn sums(work: &Work<'_>, block: usize, windows: [usize; PAIR]) -> [[__m256i; FOURS]; PAIR] {
    let mut sums = [[_mm256_setzero_si256(); FOURS]; PAIR];
    for row in 0..work.rows {
        for step in 0..work.steps {
            let at = block * work.block_words() + (row * work.steps + step) * STEP / 4;
            #[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
            // SAFETY: `Work::is_whole`: every window's last step ends inside of the input, and all
            // blocks have `rows * steps` steps of 64 bytes.
            unsafe {
                let x = windows.map(|window| {
                    let x = work.x.as_ptr().add(window + row * work.pitch + 4 * step);
                    let four = _mm_cvtsi32_si128(x.cast::<i32>().read_unaligned());
                    _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(four))
                });
                for four in 0..FOURS {
                    let w = work.packed.as_ptr().add(at + 4 * four);
                    let w = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.cast()));
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[four] = _mm256_add_epi32(sums[four], _mm256_madd_epi16(x, w));
                    }
                }
            }
        }
    }
    sums
}
