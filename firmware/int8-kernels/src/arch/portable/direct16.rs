//! Passes of the direct kernel.

use super::{Scale, accumulate, steps, widen};
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
    if patches.len() != 4 * p.steps() || first.len().min(second.len()) < 2 * p.pairs() {
        return;
    }
    let patches = steps(patches);
    let pairs = p.packed().chunks_exact(CONSTANTS + 4 * p.steps());
    let outputs = first.as_chunks_mut::<2>().0.iter_mut().zip(second.as_chunks_mut::<2>().0);
    for (packed, (first, second)) in pairs.zip(outputs) {
        let Some((&[a, _, b, _], rest)) = packed.split_first_chunk() else { return };
        let Some((weights, &[scale_a, scale_b, skip_a, skip_b])) = rest.split_last_chunk() else {
            return;
        };
        let biases = [[a as i32; 2], [b as i32; 2]];
        let sums = accumulate(patches, steps(weights), biases);
        let scales = [scale_a, scale_b].map(Scale::new);
        for (o, residual) in [skip_a, skip_b].into_iter().enumerate() {
            for (y, mut t) in [&mut first[o], &mut second[o]].into_iter().zip(sums[o]) {
                if p.join {
                    t = t.wrapping_add((residual as i32).wrapping_mul(i32::from(*y)));
                }
                *y = scales[o].apply(t);
            }
        }
    }
}
