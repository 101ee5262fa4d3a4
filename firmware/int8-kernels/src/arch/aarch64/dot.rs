//! `SDOT`: four products of int8 in each of four int32, added to them.
//!
//! Four pixels and sixteen outputs at once: a step is four vectors of weights, four bytes of each
//! pixel in all lanes of a vector, and sixteen instructions of sixteen products. All sums are
//! modulo 2^32 and exact. The instruction is assembly: the compiler has no stable name for it.

use crate::host::{OUTPUTS, STEP, Work};
use core::arch::aarch64::{
    int8x16_t, int32x4_t, vdupq_n_s32, vld1q_s8, vreinterpretq_s8_s32, vst1q_s32,
};
use core::arch::asm;

/// Pixels at once.
const PIXELS: usize = 4;

/// Sums of four outputs.
const FOURS: usize = OUTPUTS / 4;

/// All outputs of a layer.
#[target_feature(enable = "dotprod")]
pub(super) fn convolve(work: &Work<'_>, y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    for block in 0..outputs.div_ceil(OUTPUTS) {
        let lanes = work.lanes(block);
        for row in 0..rows {
            for column in (0..columns).step_by(PIXELS) {
                let pixels = (columns - column).min(PIXELS);
                let windows = core::array::from_fn(|pixel| {
                    row * work.line + (column + pixel.min(pixels - 1)) * work.pixel
                });
                let sums = sums(work, block, windows);
                for (pixel, sums) in sums.iter().take(pixels).enumerate() {
                    work.store(row * columns + column + pixel, block, &to_array(sums), &lanes, y);
                }
            }
        }
    }
}

/// `sums + x · w` of each four bytes.
#[target_feature(enable = "dotprod")]
#[inline]
fn dot(sums: int32x4_t, x: int8x16_t, w: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    #[expect(unsafe_code, reason = "an instruction without a stable name")]
    // SAFETY: the instruction reads and writes these registers only, and the function's callers
    // have it.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {x:v}.16b, {w:v}.16b",
            sums = inlateout(vreg) sums,
            x = in(vreg) x,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The sums of sixteen outputs of four windows.
#[target_feature(enable = "dotprod")]
#[inline]
fn sums(work: &Work<'_>, block: usize, windows: [usize; PIXELS]) -> [[int32x4_t; FOURS]; PIXELS] {
    let mut sums = [[vdupq_n_s32(0); FOURS]; PIXELS];
    for row in 0..work.rows {
        for step in 0..work.steps {
            let at = block * work.block_words() + (row * work.steps + step) * STEP / 4;
            #[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
            // SAFETY: `Work::is_whole`: every window's last step ends inside of the input, and all
            // blocks have `rows * steps` steps of 64 bytes.
            unsafe {
                let x = windows.map(|window| {
                    let x = work.x.as_ptr().add(window + row * work.pitch + 4 * step);
                    vreinterpretq_s8_s32(vdupq_n_s32(x.cast::<i32>().read_unaligned()))
                });
                for four in 0..FOURS {
                    let w = vld1q_s8(work.packed.as_ptr().add(at + 4 * four).cast());
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[four] = dot(sums[four], x, w);
                    }
                }
            }
        }
    }
    sums
}

#[target_feature(enable = "dotprod")]
#[inline]
fn to_array(sums: &[int32x4_t; FOURS]) -> [i32; OUTPUTS] {
    let mut array = [0; OUTPUTS];
    for (four, &sums) in array.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: four int32 are 16 bytes.
        unsafe {
            vst1q_s32(four.as_mut_ptr(), sums);
        }
    }
    array
}
