//! AVX-512 VNNI: `VPDPBUSD` multiplies 64 unsigned by signed bytes and adds fours of them to
//! sixteen sums.
//!
//! Eight pixels and 32 outputs at once, or sixteen outputs with every other step in sums of its
//! own, so that sixteen sums are under way: the instruction's latency times its rate is ten. A
//! step is two loads of weights and eight broadcasts for sixteen products of 64. Bytes are
//! `x + 128`; a sum of four products is below 4 * 255 * 128 < 2^17 and nothing saturates, and all
//! sums are modulo 2^32, so that taking `128 * sum(w)` off again is exact.

use super::lanes512::Vectors;
use crate::host::{OUTPUTS, PIXELS, STEP, Work};
use core::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
    _mm512_setzero_si512,
};

/// All outputs of a layer.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn convolve(work: &Work<'_>, y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    let blocks = outputs.div_ceil(OUTPUTS);
    let mut block = 0;
    while block < blocks {
        let both = block + 1 < blocks;
        let last = (block + 1).min(blocks - 1);
        let lanes = [vectors(work, block), vectors(work, last)];
        let mut first = 0;
        while first < rows * columns {
            let windows = work.windows(first);
            let sums = if both {
                two_blocks(work, block, windows)
            } else {
                one_block(work, block, windows)
            };
            let pixels = (rows * columns - first).min(PIXELS);
            for (half, lanes) in lanes.iter().enumerate().take(1 + usize::from(both)) {
                let at = first * outputs + (block + half) * OUTPUTS;
                let sums = sums.map(|sums| sums[half]);
                #[expect(unsafe_code, reason = "see `Vectors::finish`")]
                // SAFETY: sums of eight pixels. `Work::is_whole`: `y` holds `rows * columns` pixels
                // of `outputs` bytes, of which `pixels` are left from `first` on.
                unsafe {
                    let y = y.as_mut_ptr().add(at);
                    lanes.finish(sums.as_ptr().cast(), pixels, y, outputs);
                }
            }
            first += PIXELS;
        }
        block += 2;
    }
}

/// The constants of sixteen outputs.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn vectors(work: &Work<'_>, block: usize) -> Vectors {
    Vectors::new(&work.lanes(block), work.output[2] - block * OUTPUTS)
}

/// Four bytes of the input at `at`, sixteen times.
///
/// # Safety
/// `at + 4` is at most the length of the input.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "reads without asking for the length, which is proven once a layer")]
unsafe fn broadcast(work: &Work<'_>, at: usize) -> __m512i {
    // SAFETY: as the function's.
    _mm512_set1_epi32(unsafe { work.x.as_ptr().add(at).cast::<i32>().read_unaligned() })
}

/// The weights of step `step` of a block.
///
/// # Safety
/// The block is one of the layer's, and the step one of its `rows * steps`.
#[target_feature(enable = "avx512f")]
#[inline]
#[expect(unsafe_code, reason = "reads without asking for the length, which is proven once a layer")]
unsafe fn weights(work: &Work<'_>, block: usize, step: usize) -> __m512i {
    let at = block * work.block_words() + step * STEP / 4;
    // SAFETY: as the function's.
    unsafe { _mm512_loadu_si512(work.packed.as_ptr().add(at).cast()) }
}

/// Sums of eight windows and two blocks from `block` on.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn two_blocks(work: &Work<'_>, block: usize, windows: [usize; PIXELS]) -> [[__m512i; 2]; PIXELS] {
    let mut sums = [[_mm512_setzero_si512(); 2]; PIXELS];
    for row in 0..work.rows {
        let offset = row * work.pitch;
        for step in 0..work.steps {
            #[expect(unsafe_code, reason = "see `broadcast` and `weights`")]
            // SAFETY: `Work::is_whole`: every window's last step ends inside of the input, and all
            // blocks have `rows * steps` steps.
            unsafe {
                let at = row * work.steps + step;
                let w = [weights(work, block, at), weights(work, block + 1, at)];
                for (sums, window) in sums.iter_mut().zip(windows) {
                    let x = broadcast(work, window + offset + 4 * step);
                    sums[0] = _mm512_dpbusd_epi32(sums[0], x, w[0]);
                    sums[1] = _mm512_dpbusd_epi32(sums[1], x, w[1]);
                }
            }
        }
    }
    sums
}

/// Sums of eight windows and one block; the second of each is nothing.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn one_block(work: &Work<'_>, block: usize, windows: [usize; PIXELS]) -> [[__m512i; 2]; PIXELS] {
    let mut sums = [[_mm512_setzero_si512(); 2]; PIXELS];
    for row in 0..work.rows {
        let offset = row * work.pitch;
        let mut step = 0;
        while step < work.steps {
            #[expect(unsafe_code, reason = "see `broadcast` and `weights`")]
            // SAFETY: as in `two_blocks`.
            unsafe {
                let at = row * work.steps + step;
                let w = weights(work, block, at);
                for (sums, window) in sums.iter_mut().zip(windows) {
                    let x = broadcast(work, window + offset + 4 * step);
                    sums[0] = _mm512_dpbusd_epi32(sums[0], x, w);
                }
                if step + 1 < work.steps {
                    let w = weights(work, block, at + 1);
                    for (sums, window) in sums.iter_mut().zip(windows) {
                        let x = broadcast(work, window + offset + 4 * step + 4);
                        sums[1] = _mm512_dpbusd_epi32(sums[1], x, w);
                    }
                }
            }
            step += 2;
        }
    }
    sums.map(|[even, odd]| [_mm512_add_epi32(even, odd), odd])
}
