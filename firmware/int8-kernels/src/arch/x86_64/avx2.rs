//! AVX2: `VPMADDWD` multiplies int16 and adds them in pairs.
//!
//! The copied input and the weights are int16. Four pixels and sixteen outputs are computed at
//! once: a step is two loads of weights and four broadcasts of a pair for eight products of
//! sixteen, and eight sums are under way. All sums are modulo 2^32 and exact. (`VPMADDUBSW` would
//! take bytes as they are, but saturates at 2^15; to keep it from that costs what int16 does.)

use super::lanes256::{Place, QUAD, Vectors};
use crate::host::{OUTPUTS, STEP, Work};
use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256,
};

/// Vectors of sixteen outputs.
const HALVES: usize = 2;

/// All outputs of a layer.
#[target_feature(enable = "avx2")]
pub(super) fn convolve(work: &Work<'_>, y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    for (block, packed) in work.packed.chunks_exact(work.block_words()).enumerate() {
        let lanes = work.lanes(block);
        let vectors = Vectors::new(&lanes);
        let wanted = (outputs - block * OUTPUTS).min(OUTPUTS);
        for row in 0..rows {
            for column in (0..columns).step_by(QUAD) {
                let pixels = (columns - column).min(QUAD);
                let window =
                    |pixel: usize| row * work.line + (column + pixel.min(pixels - 1)) * work.pixel;
                let sums = sums(work, packed, core::array::from_fn(window));
                let start = (row * columns + column) * outputs + block * OUTPUTS;
                let place = Place { start, stride: outputs, pixels, outputs: wanted };
                vectors.finish(&sums, &place, y);
            }
        }
    }
}

/// The sums of sixteen outputs of four windows. `packed`: their weights.
#[target_feature(enable = "avx2")]
#[inline]
fn sums(work: &Work<'_>, packed: &[u32], windows: [usize; QUAD]) -> [[__m256i; HALVES]; QUAD] {
    let mut sums = [[_mm256_setzero_si256(); HALVES]; QUAD];
    let mut weights = packed.as_ptr().cast::<__m256i>();
    for row in 0..work.rows {
        #[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
        // SAFETY: `Work::is_whole`: every window's last step ends inside of the input, and a block
        // of weights has `rows * steps` steps of two vectors.
        unsafe {
            let windows = windows.map(|window| work.x.as_ptr().add(window + row * work.pitch));
            for step in 0..work.steps {
                let w = [0, 1].map(|half| _mm256_loadu_si256(weights.add(half)));
                for (sums, window) in sums.iter_mut().zip(windows) {
                    let pair = window.add(4 * step).cast::<i32>().read_unaligned();
                    let x = _mm256_set1_epi32(pair);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, w));
                    }
                }
                weights = weights.add(HALVES);
            }
        }
    }
    sums
}

const _: () = assert!(STEP == HALVES * size_of::<__m256i>());
