//! Dot products of the host's kernel on Arm with 64 bits, all of which have NEON, and most `SDOT`
//! ([`dot`]).
//!
//! Without it, `SMULL` makes eight int16 products, at most 2^14 each, and `SADALP` adds pairs of
//! them to int32 sums. Two pixels and sixteen outputs at once: two sums of pairs make an output,
//! added up at the end. All sums are modulo 2^32 and exact.

mod dot;

use crate::arch::model;
use crate::host::{OUTPUTS, PIXELS, STEP, Values, Work, winograd};
use core::arch::aarch64::{
    int8x16_t, int32x4_t, vdupq_n_s32, vget_low_s8, vld1q_s8, vmull_high_s8, vmull_s8, vpadalq_s16,
    vpaddq_s32, vreinterpretq_s8_s32, vst1q_s32,
};

/// Pixels at once.
const PAIR: usize = 2;

/// Sums of four outputs, two each.
const FOURS: usize = OUTPUTS / 4;

/// Whether this processor has `SDOT`; the standard library remembers the answer.
fn has_dot() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

/// A vector unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// 128 bits with `SDOT`.
    Dot,
    /// 128 bits.
    Neon,
    /// None.
    Plain,
}

impl Unit {
    /// Those that there are, the fastest first.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare them"))]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let has = |unit: &Self| *unit != Self::Dot || has_dot();
        [Self::Dot, Self::Neon, Self::Plain].into_iter().filter(has)
    }

    /// The fastest.
    pub(crate) fn best() -> Self {
        if has_dot() { Self::Dot } else { Self::Neon }
    }

    /// What it multiplies.
    pub(crate) fn values(self) -> Values {
        Values::Int8 { flip: 0 }
    }

    /// Winograd's method is not made for it.
    pub(crate) fn winograd(self) -> Option<winograd::Convolve> {
        None
    }

    /// Computes a layer, of which [`Work::is_whole`] was asked.
    pub(crate) fn convolve(self, work: &Work<'_>, _spare: &mut [u8], y: &mut [i8]) {
        match self {
            Self::Dot if has_dot() => {
                #[expect(unsafe_code, reason = "the unit's instructions are not every processor's")]
                // SAFETY: this processor has them.
                unsafe {
                    dot::convolve(work, y);
                }
            }
            Self::Dot | Self::Neon => convolve(work, y),
            Self::Plain => model::host::convolve(work, y),
        }
    }
}

fn convolve(work: &Work<'_>, y: &mut [i8]) {
    let [rows, columns, outputs] = work.output;
    for block in 0..outputs.div_ceil(OUTPUTS) {
        let lanes = work.lanes(block);
        for first in (0..rows * columns).step_by(PIXELS) {
            let windows = work.windows(first);
            for (pair, windows) in windows.as_chunks::<PAIR>().0.iter().enumerate() {
                let sums = sums(work, block, *windows);
                for (pixel, sums) in sums.iter().enumerate() {
                    let position = first + PAIR * pair + pixel;
                    if position < rows * columns {
                        work.store(position, block, &to_array(add_halves(sums)), &lanes, y);
                    }
                }
            }
        }
    }
}

/// Sums of sixteen outputs, by fours.
#[inline]
fn to_array(sums: [int32x4_t; FOURS]) -> [i32; OUTPUTS] {
    let mut array = [0; OUTPUTS];
    for (four, sums) in array.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
        #[expect(unsafe_code, reason = "stores through a pointer")]
        // SAFETY: NEON is part of every aarch64 target with floats; four int32 are 16 bytes.
        unsafe {
            vst1q_s32(four.as_mut_ptr(), sums);
        }
    }
    array
}

/// The two halves of each sum, added up.
#[inline]
fn add_halves(sums: &[[int32x4_t; 2]; FOURS]) -> [int32x4_t; FOURS] {
    sums.map(|[low, high]| {
        #[expect(unsafe_code, reason = "an intrinsic")]
        // SAFETY: NEON is part of every aarch64 target with floats.
        unsafe {
            vpaddq_s32(low, high)
        }
    })
}

/// What a step reads: four bytes of each window, in all lanes of a vector, and a block's weights.
///
/// # Safety
/// `Work::is_whole` was asked, by which every window's last step ends inside of the input and all
/// blocks have `rows * steps` steps of 64 bytes; block, windows, row and step are the layer's.
#[inline]
#[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
unsafe fn load<const PIXELS: usize>(
    work: &Work<'_>,
    block: usize,
    windows: [usize; PIXELS],
    [row, step]: [usize; 2],
) -> ([int8x16_t; PIXELS], [int8x16_t; FOURS]) {
    let at = block * work.block_words() + (row * work.steps + step) * STEP / 4;
    // SAFETY: as the function's. NEON is part of every aarch64 target with floats.
    unsafe {
        let x = windows.map(|window| {
            let x = work.x.as_ptr().add(window + row * work.pitch + 4 * step);
            vreinterpretq_s8_s32(vdupq_n_s32(x.cast::<i32>().read_unaligned()))
        });
        let w = |four| vld1q_s8(work.packed.as_ptr().add(at + 4 * four).cast());
        (x, core::array::from_fn(w))
    }
}

#[inline]
fn sums(work: &Work<'_>, block: usize, windows: [usize; PAIR]) -> [[[int32x4_t; 2]; FOURS]; PAIR] {
    #[expect(unsafe_code, reason = "reads without lengths, which are proven once a layer")]
    // SAFETY: `Work::is_whole` was asked, and all of this is the layer's. NEON is part of every
    // aarch64 target with floats.
    unsafe {
        let mut sums = [[[vdupq_n_s32(0); 2]; FOURS]; PAIR];
        for row in 0..work.rows {
            for step in 0..work.steps {
                let (x, weights) = load(work, block, windows, [row, step]);
                for (four, w) in weights.into_iter().enumerate() {
                    for (sums, x) in sums.iter_mut().zip(x) {
                        let [low, high] = &mut sums[four];
                        let products = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                        *low = vpadalq_s16(*low, products);
                        *high = vpadalq_s16(*high, vmull_high_s8(x, w));
                    }
                }
            }
        }
        sums
    }
}
