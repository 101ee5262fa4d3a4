//! `SDOT`: four products of int8 in each of four int32, added to them.
//!
//! Four pixels and sixteen outputs at once: a step is four vectors of weights, four bytes of each
//! pixel in all lanes of a vector, and sixteen instructions of sixteen products. All sums are
//! modulo 2^32 and exact. The instruction is assembly: the compiler has no stable name for it.

use super::{FOURS, load, to_array};
use crate::host::{OUTPUTS, Work};
use core::arch::aarch64::{int8x16_t, int32x4_t, vdupq_n_s32};
use core::arch::asm;

/// Pixels at once.
const PIXELS: usize = 4;

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
                    work.store(row * columns + column + pixel, block, &to_array(*sums), &lanes, y);
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
            #[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
            // SAFETY: `Work::is_whole` was asked, and all of this is the layer's.
            let (x, weights) = unsafe { load(work, block, windows, [row, step]) };
            for (four, w) in weights.into_iter().enumerate() {
                for (sums, x) in sums.iter_mut().zip(x) {
                    sums[four] = dot(sums[four], x, w);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::aarch64::has_dot;
    use crate::cases::Random;
    use core::arch::aarch64::{vld1q_s8, vld1q_s32, vst1q_s32};

    /// `SDOT`, modulo 2^32.
    fn sdot(mut sums: [i32; 4], x: [i8; 16], w: [i8; 16]) -> [i32; 4] {
        for (at, (&x, w)) in x.iter().zip(w).enumerate() {
            sums[at / 4] = sums[at / 4].wrapping_add(i32::from(x) * i32::from(w));
        }
        sums
    }

    #[test]
    fn the_instruction_is_its_model() {
        let random = &mut Random::new(20);
        let ends = [i8::MIN, -1, 0, i8::MAX];
        for turn in 0..if has_dot() { 1000 } else { 0 } {
            let [x, w]: [[i8; 16]; 2] = match turn {
                0..16 => [[ends[turn / 4]; 16], [ends[turn % 4]; 16]],
                _ => [0; 2].map(|_| core::array::from_fn(|_| random.range(-128, 127) as i8)),
            };
            let (begun, mut got) = ([i32::MAX, i32::MIN, 0, -1], [0; 4]);
            #[expect(unsafe_code, reason = "calls the instruction")]
            // SAFETY: this processor has it; all arrays are 16 bytes.
            unsafe {
                let sums = vld1q_s32(begun.as_ptr());
                let sums = dot(sums, vld1q_s8(x.as_ptr()), vld1q_s8(w.as_ptr()));
                vst1q_s32(got.as_mut_ptr(), sums);
            }
            assert_eq!(got, sdot(begun, x, w), "{x:?} times {w:?}");
        }
    }
}
