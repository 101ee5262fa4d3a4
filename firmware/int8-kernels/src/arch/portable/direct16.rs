//! Passes of the direct kernel.

use super::{dual_multiply_accumulate, scale_and_saturate};
use crate::packed::direct16::{CONSTANTS, Products};
use crate::packed::dsp::widen;

/// Widens whole words of int8 into the first two of every four words of `patches`.
pub(crate) fn widen_row(row: &[i8], patches: &mut [u32]) {
    let (words, _) = row.as_chunks::<4>();
    for (slot, &word) in patches.chunks_mut(4).zip(words) {
        let Some(slot) = slot.first_chunk_mut::<2>() else { return };
        *slot = widen(u32::from_le_bytes(word.map(|q| q as u8)));
    }
}

/// All output channels of two pixels.
pub(crate) fn products(p: &Products<'_>, first: &mut [i8], second: &mut [i8]) {
    let (steps, _) = p.patches.as_chunks::<4>();
    let pairs = p.packed.chunks_exact(CONSTANTS + 4 * steps.len());
    let outputs = first.chunks_exact_mut(2).zip(second.chunks_exact_mut(2));
    for (packed, (first, second)) in pairs.zip(outputs) {
        let (biases, rest) = packed.split_at(4);
        let (weights, constants) = rest.split_at(4 * steps.len());
        let (weights, _) = weights.as_chunks::<4>();
        for (o, (first, second)) in first.iter_mut().zip(second).enumerate() {
            for (tile, y) in [first, second].into_iter().enumerate() {
                let mut t = biases[2 * o + tile] as i32;
                for (x, w) in steps.iter().zip(weights) {
                    for half in 0..2 {
                        t = dual_multiply_accumulate(x[2 * tile + half], w[2 * o + half], t);
                    }
                }
                if p.join {
                    let residual = (constants[2 + o] as i32).wrapping_mul(i32::from(*y));
                    t = t.wrapping_add(residual);
                }
                *y = scale_and_saturate(t, constants[o] as i32);
            }
        }
    }
}
