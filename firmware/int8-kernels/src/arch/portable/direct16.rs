//! Passes of the direct kernel.

use super::widen;
use crate::arch::block::{Block, Counts, Pixels};
use crate::arch::inner::{self, PAIRS, Sums};
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
    let Some(counts) = Counts::new([1], p.steps()) else { return };
    let mut sums = Sums::new();
    let stride = CONSTANTS + 4 * p.steps();
    let mut done = 0;
    while done < p.pairs() {
        let pairs = if p.pairs() - done < PAIRS { 1 } else { PAIRS };
        let packed = p.packed().get(done * stride..).unwrap_or_default();
        let weights = packed.get(4..).unwrap_or_default();
        let (Some(first), Some(second)) = (first.get_mut(2 * done..), second.get_mut(2 * done..))
        else {
            return;
        };
        inner::sums(&Block { v: patches, weights, stride, pairs }, &counts, &mut sums);
        let pixels = Pixels { packed, stride, pairs, form: p.form };
        inner::direct16_outputs(&pixels, &mut sums, first, second);
        done += pairs;
    }
}
