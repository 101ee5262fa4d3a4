//! The passes in assembly for Armv7-M, and Armv8-M without DSP extension or FPU.

#[path = "../fully_connected.rs"]
pub(crate) mod fully_connected;
#[path = "../inner.rs"]
mod inner;
pub(crate) mod pixel_pairs;

pub(crate) use super::portable::direct16;
pub(crate) use inner::{Sums, direct16_outputs, polyphase2_outputs, sums, winograd4_outputs};

/// Pairs of output channels at once.
pub(crate) const PAIRS: usize = 2;

/// Tiles that a loop over outputs takes at once.
const TILES: usize = 2;

/// Pixels by which the outputs of a row of `columns` have moved on at its end: not
/// behind the last one.
const fn moves(columns: usize) -> usize {
    columns - 1
}

/// Winograd's F(4x4, 3x3).
pub(crate) mod winograd4 {
    pub(crate) use crate::arch::inputs::winograd4::{columns, rows};
    pub(crate) use crate::arch::portable::winograd4::{products, weights};
}

/// Stride 2 by phases.
pub(crate) mod polyphase2 {
    pub(crate) use crate::arch::inputs::polyphase2::{columns, rows};
    pub(crate) use crate::arch::portable::polyphase2::{products, weights};
}

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(
        include_str!("sums.s"),
        include_str!("winograd4_output.s"),
        include_str!("outputs.s"),
        include_str!("winograd4_input.s"),
        include_str!("winograd4_columns.s"),
        include_str!("inputs.s"),
        include_str!("fully_connected.s"),
        include_str!("pixel_pairs.s"),
        options(raw)
    );
}
