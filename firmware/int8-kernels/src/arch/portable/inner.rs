//! The inner loops in plain Rust: what the assembly of a core computes, word for word.

use crate::arch::block::{Block, Counts};
use zerocopy::{FromBytes, IntoBytes};

pub(crate) use super::outputs::direct16 as direct16_outputs;
pub(crate) use super::outputs::polyphase2 as polyphase2_outputs;
pub(crate) use super::outputs::winograd4::outputs as winograd4_outputs;

/// Pairs of output channels at once.
pub(crate) const PAIRS: usize = 4;

/// One sum for each `[pair][output][tile]` of a block.
pub(crate) type Lanes = [i32; 4 * PAIRS];

/// `N` sums of all lanes.
pub(crate) struct Sums<const N: usize> {
    pub(crate) lanes: [Lanes; N],
}

impl<const N: usize> Sums<N> {
    pub(crate) fn new() -> Self {
        Self { lanes: [[0; 4 * PAIRS]; N] }
    }
}

/// A step: four channels of two tiles (or pixels), or of two outputs, int16 each.
type Step = [i16; 8];

/// Words of two int16 as steps.
fn steps(words: &[u32]) -> &[Step] {
    <[i16]>::ref_from_bytes(words.as_bytes()).unwrap_or_default().as_chunks().0
}

/// The sums of a block, modulo 2^32. Lanes of pairs that it has not stay as they are.
pub(crate) fn sums<const N: usize>(block: &Block<'_>, counts: &Counts<N>, sums: &mut Sums<N>) {
    if !counts.fit(block) {
        return;
    }
    for pair in 0..block.pairs.min(PAIRS) {
        let weights = block.weights.get(pair * block.stride..).unwrap_or_default();
        let (mut v, mut w) = (steps(block.v), steps(weights));
        for (count, lanes) in counts.each().into_iter().zip(&mut sums.lanes) {
            let (v_now, v_rest) = v.split_at_checked(count).unwrap_or_default();
            let (w_now, w_rest) = w.split_at_checked(count).unwrap_or_default();
            (v, w) = (v_rest, w_rest);
            if let Some(four) = lanes.as_chunks_mut().0.get_mut(pair) {
                *four = accumulate(v_now, w_now);
            }
        }
    }
}

/// The products of some steps, `[output][tile]`.
fn accumulate(v: &[Step], w: &[Step]) -> [i32; 4] {
    let mut sums = [0_i32; 4];
    for (v, w) in v.iter().zip(w) {
        for k in 0..4 {
            let [v0, v1, w0, w1] = [v[k], v[k + 4], w[k], w[k + 4]].map(i32::from);
            sums[0] = sums[0].wrapping_add(v0.wrapping_mul(w0));
            sums[1] = sums[1].wrapping_add(v1.wrapping_mul(w0));
            sums[2] = sums[2].wrapping_add(v0.wrapping_mul(w1));
            sums[3] = sums[3].wrapping_add(v1.wrapping_mul(w1));
        }
    }
    sums
}
