//! The inner loops in assembly of cores that multiply one pair of numbers at a time, but have
//! assembly for outputs too (Armv7-M, RV32IM): what `portable::inner` has in Rust.
//!
//! Owns the proof that no loop leaves its slices. What a core's loops take at once is in its
//! `mod.rs`, and this file a module of that, so that all is known when it is compiled.

use super::{PAIRS, TILES, moves};
use crate::arch::block::{Block, Counts, Outputs, Pixels};
use crate::packed;
use core::mem::MaybeUninit;

/// One sum for each `[pair][output][tile]` of a block.
pub(crate) type Lanes = [i32; 4 * PAIRS];

/// `N` sums of all lanes: written by `sums`, read by the passes over outputs, and by nothing in
/// Rust, so that it need not be filled before.
pub(crate) struct Sums<const N: usize> {
    lanes: MaybeUninit<[Lanes; N]>,
}

impl<const N: usize> Sums<N> {
    pub(crate) fn new() -> Self {
        Self { lanes: MaybeUninit::uninit() }
    }
}

/// What the loops over sums read.
#[repr(C)]
struct Context {
    v: *const u32,
    weights: *const u32,
    stride_bytes: usize,
    counts: *const u32,
    sums: *mut Lanes,
}

/// What the passes over outputs read.
#[repr(C)]
struct Transform {
    sums: *mut Lanes,
    y: *mut i8,
    constants: *const u32,
    left: usize,
    pixel: usize,
    next_row: usize,
    next_tile: usize,
    skip_bytes: usize,
    form: usize,
}

/// What `resmcu_direct16_outputs` reads.
#[repr(C)]
struct Pair {
    sums: *const Lanes,
    first: *mut i8,
    second: *mut i8,
    packed: *const u32,
    pairs: usize,
    stride_bytes: usize,
    form: usize,
}

#[expect(unsafe_code, reason = "declares the assembly")]
// SAFETY: the signatures are those that the assembly states.
unsafe extern "C" {
    fn resmcu_sums_one(context: *const Context);
    fn resmcu_sums_all(context: *const Context);
    fn resmcu_winograd4_outputs(context: *const Transform);
    fn resmcu_polyphase2_outputs(context: *const Transform);
    fn resmcu_direct16_outputs(context: *const Pair);
}

/// As `portable::inner::sums`.
pub(crate) fn sums<const N: usize>(block: &Block<'_>, counts: &Counts<N>, sums: &mut Sums<N>) {
    let context = Context {
        v: block.v.as_ptr(),
        weights: block.weights.as_ptr(),
        stride_bytes: 4 * block.stride,
        counts: counts.as_ptr(),
        sums: sums.lanes.as_mut_ptr().cast(),
    };
    if !counts.fit(block) {
        return;
    }
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: inputs and the weights of all pairs have the steps that `counts` sums up, which are
    // `N` lengths of at least a step each, and a zero.
    unsafe {
        match block.pairs {
            1 => resmcu_sums_one(&raw const context),
            PAIRS => resmcu_sums_all(&raw const context),
            _ => {}
        }
    }
}

impl Transform {
    /// Outputs of tiles of `columns` columns, with `constants` words a channel.
    fn new<const N: usize>(
        p: &Outputs<'_>,
        constants: usize,
        columns: usize,
        sums: &mut Sums<N>,
        y: &mut [i8],
    ) -> Self {
        Self {
            sums: sums.lanes.as_mut_ptr().cast(),
            y: y.as_mut_ptr(),
            constants: p.constants.as_ptr(),
            left: 4 / TILES * p.pairs,
            pixel: p.pixel,
            next_row: p.row.wrapping_sub(moves(columns) * p.pixel),
            next_tile: columns * p.pixel,
            skip_bytes: (4 * p.stride).wrapping_sub(8 * constants),
            form: p.form as usize,
        }
    }
}

/// As `portable::outputs::winograd4::outputs`; the sums are overwritten.
pub(crate) fn winograd4_outputs(
    p: &Outputs<'_>,
    sums: &mut Sums<{ packed::winograd4::POINTS }>,
    y: &mut [i8],
) {
    if p.pairs > PAIRS || !p.fit(packed::winograd4::CONSTANTS, [4, 4], y) {
        return;
    }
    let context = Transform::new(p, packed::winograd4::CONSTANTS, 4, sums, y);
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: the sums have as many lanes and the constants as many channels as `left` says, and
    // the last output of the last channel lies inside of `y`.
    unsafe {
        resmcu_winograd4_outputs(&raw const context);
    }
}

/// As `portable::outputs::polyphase2`.
pub(crate) fn polyphase2_outputs(
    p: &Outputs<'_>,
    sums: &mut Sums<{ packed::polyphase2::SUMS }>,
    y: &mut [i8],
) {
    if p.pairs > PAIRS || !p.fit(packed::polyphase2::CONSTANTS, [2, 2], y) {
        return;
    }
    let context = Transform::new(p, packed::polyphase2::CONSTANTS, 2, sums, y);
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: the sums have as many lanes and the constants as many channels as `left` says, and
    // the last output of the last channel lies inside of `y`.
    unsafe {
        resmcu_polyphase2_outputs(&raw const context);
    }
}

/// As `portable::outputs::direct16`.
pub(crate) fn direct16_outputs(
    p: &Pixels<'_>,
    sums: &mut Sums<1>,
    first: &mut [i8],
    second: &mut [i8],
) {
    if p.pairs > PAIRS || !p.fit(first, second) {
        return;
    }
    let context = Pair {
        sums: sums.lanes.as_mut_ptr().cast(),
        first: first.as_mut_ptr(),
        second: second.as_mut_ptr(),
        packed: p.packed.as_ptr(),
        pairs: p.pairs,
        stride_bytes: 4 * p.stride,
        form: p.form as usize,
    };
    #[expect(unsafe_code, reason = "calls the assembly")]
    // SAFETY: there are constants, sums and room in both pixels for so many pairs.
    unsafe {
        resmcu_direct16_outputs(&raw const context);
    }
}
