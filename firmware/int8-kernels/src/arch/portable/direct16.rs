//! Passes of the direct kernel.

use super::{dual_multiply_accumulate, scale_and_saturate, widen};
use crate::packed::direct16::{CONSTANTS, Patch, Stream};

/// Widens a patch into the first two of every four words of `patches`: the whole words of its
/// rows, then what remains of them, filled up with zeros.
pub(crate) fn widen_patch(patch: &Patch, bytes: &[i8], patches: &mut [u32]) {
    let [words, rest] = patch.row();
    if bytes.len() < patch.bytes() || patches.len() + 2 < 4 * patch.steps() {
        return;
    }
    let rows = || {
        let row = |row| bytes.get(row * patch.pitch()..).unwrap_or_default();
        (0..patch.rows()).map(row)
    };
    let mut slots = patches.chunks_mut(4);
    let mut push = |bytes: [i8; 4]| {
        let slot = slots.next().and_then(|slot| slot.first_chunk_mut::<2>());
        let word = u32::from_le_bytes(bytes.map(|q| q as u8));
        slot.into_iter().for_each(|slot| *slot = widen(word));
    };
    for row in rows() {
        row.as_chunks().0.iter().take(words).for_each(|&four| push(four));
    }
    let mut rests = rows().flat_map(|row| row.iter().skip(4 * words).take(rest));
    while let Some(&first) = rests.next() {
        let mut four = [first, 0, 0, 0];
        four[1..].iter_mut().zip(rests.by_ref()).for_each(|(slot, &q)| *slot = q);
        push(four);
    }
}

/// All output channels of two pixels.
pub(crate) fn products(p: &Stream<'_>, patches: &[u32], first: &mut [i8], second: &mut [i8]) {
    let (steps, _) = patches.as_chunks::<4>();
    if steps.len() != p.steps() || first.len().min(second.len()) < 2 * p.pairs() {
        return;
    }
    let pairs = p.packed().chunks_exact(CONSTANTS + 4 * steps.len());
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
