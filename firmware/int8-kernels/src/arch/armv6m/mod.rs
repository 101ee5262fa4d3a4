//! The inner loops in assembly for Armv6-M and Armv8-M's baseline.

pub(crate) use super::portable::{direct16, polyphase2, winograd4};
use crate::arch::block::{Block, Counts};

/// Pairs of output channels at once.
pub(crate) const PAIRS: usize = 1;

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

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(include_str!("sums.s"), options(raw));
}

/// What `resmcu_armv6m_sums_1` and its like for fewer pairs read.
#[repr(C)]
struct Context {
    v: *const u32,
    weights: *const u32,
    stride_bytes: usize,
    counts: *const u32,
    sums: *mut Lanes,
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_armv6m_sums_1(context: *const Context);
}

/// As `portable::inner::sums`.
pub(crate) fn sums<const N: usize>(block: &Block<'_>, counts: &Counts<N>, sums: &mut Sums<N>) {
    let context = Context {
        v: block.v.as_ptr(),
        weights: block.weights.as_ptr(),
        stride_bytes: 4 * block.stride,
        counts: counts.as_ptr(),
        sums: sums.lanes.as_mut_ptr(),
    };
    if !counts.fit(block) {
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs and the weights of all pairs have the steps that `counts` sums up, which are
    // `N` lengths of at least a step each, and a zero.
    unsafe {
        resmcu_armv6m_sums_1(&raw const context);
    }
}

pub(crate) use super::portable::outputs::direct16 as direct16_outputs;
pub(crate) use super::portable::outputs::polyphase2 as polyphase2_outputs;
pub(crate) use super::portable::outputs::winograd4 as winograd4_outputs;
