//! AVX2: bytes are widened to int16, which `VPMADDWD` multiplies and adds in pairs.
//!
//! The weights of sixteen outputs are widened once, into memory aside, then two pixels are computed
//! at once: a step is four bytes of each, widened and put four times into a vector, and four
//! vectors of weights of four outputs each, so that eight sums are under way. Two sums of pairs
//! make an output, added up in the end; all of them are modulo 2^32 and exact. (`VPMADDUBSW` would
//! take bytes as they are, but saturates at 2^15; to keep it from that costs what widening does.)
//!
//! A vector of weights has outputs `o`, `o + 1`, `o + 8` and `o + 9`: the horizontal additions
//! leave sums in the order of `host::winograd`, which `lanes256` takes.

use super::lanes256::Vectors;
use crate::host::{OUTPUTS, STEP, Work};
use core::arch::x86_64::{
    __m256i, _mm_broadcastd_epi32, _mm_cvtsi32_si128, _mm_loadl_epi64, _mm_unpacklo_epi64,
    _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_hadd_epi32, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_setzero_si256, _mm256_storeu_si256,
};

/// Pixels at once.
const PAIR: usize = 2;

/// Vectors of sums of a pixel, four outputs each, and of weights of a step.
const FOURS: usize = OUTPUTS / 4;

/// Bytes of a step of widened weights.
const WIDE_STEP: usize = 2 * STEP;

/// All outputs of a layer. `wide`: room for the widened weights of sixteen outputs.
#[target_feature(enable = "avx2")]
pub(super) fn convolve(work: &Work<'_>, wide: &mut [u8], y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    let Some(wide) = wide.get_mut(..work.rows * work.steps * WIDE_STEP) else { return };
    for block in 0..outputs.div_ceil(OUTPUTS) {
        let packed = work.packed.chunks_exact(work.block_words()).nth(block).unwrap_or_default();
        widen(packed, wide);
        let lanes = work.lanes(block);
        let vectors = Vectors::new(&lanes);
        let outputs = (outputs - block * OUTPUTS).min(OUTPUTS);
        for row in 0..rows {
            for column in (0..columns).step_by(PAIR) {
                let first = row * work.line + column * work.pixel;
                let pixels = (columns - column).min(PAIR);
                let windows = [first, first + (pixels - 1) * work.pixel];
                let at = (row * columns + column) * work.output[2] + block * OUTPUTS;
                let sums = sums(work, wide, windows);
                for (pixel, [a, b, c, d]) in sums.into_iter().take(pixels).enumerate() {
                    let start = at + pixel * work.output[2];
                    let y = y.get_mut(start..start + outputs).unwrap_or_default();
                    vectors.finish([_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)], y);
                }
            }
        }
    }
}

/// Widens the weights of sixteen outputs, each step into its four vectors.
#[target_feature(enable = "avx2")]
fn widen(packed: &[u32], wide: &mut [u8]) {
    let steps = packed.as_chunks::<{ STEP / 4 }>().0;
    for (wide, step) in wide.as_chunks_mut::<WIDE_STEP>().0.iter_mut().zip(steps) {
        for four in 0..FOURS {
            #[expect(unsafe_code, reason = "reads and stores through pointers")]
            // SAFETY: the four pairs of words of either half of a step's 16 words, and the four
            // vectors of 32 bytes of its 128 widened.
            unsafe {
                let words = step.as_ptr().add(2 * four);
                let both = [words, words.add(STEP / 8)].map(|w| _mm_loadl_epi64(w.cast()));
                let vector = _mm256_cvtepi8_epi16(_mm_unpacklo_epi64(both[0], both[1]));
                _mm256_storeu_si256(wide.as_mut_ptr().cast::<__m256i>().add(four), vector);
            }
        }
    }
}

/// The sums of sixteen outputs of two windows, in halves.
#[target_feature(enable = "avx2")]
#[inline]
fn sums(work: &Work<'_>, wide: &[u8], windows: [usize; PAIR]) -> [[__m256i; FOURS]; PAIR] {
    let mut sums = [[_mm256_setzero_si256(); FOURS]; PAIR];
    let mut weights = wide.as_ptr().cast::<__m256i>();
    for row in 0..work.rows {
        for step in 0..work.steps {
            #[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
            // SAFETY: `Work::is_whole`: every window's last step ends inside of the input; and
            // `wide` has `rows * steps` steps of four vectors.
            unsafe {
                let x = windows.map(|window| {
                    let x = work.x.as_ptr().add(window + row * work.pitch + 4 * step);
                    let four = _mm_cvtsi32_si128(x.cast::<i32>().read_unaligned());
                    _mm256_cvtepi8_epi16(_mm_broadcastd_epi32(four))
                });
                for four in 0..FOURS {
                    let w = _mm256_loadu_si256(weights.add(four));
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[four] = _mm256_add_epi32(sums[four], _mm256_madd_epi16(x, w));
                    }
                }
                weights = weights.add(FOURS);
            }
        }
    }
    sums
}
