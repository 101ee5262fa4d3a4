//! The passes in assembly for RV32IM.

#[path = "../inner.rs"]
mod inner;
pub(crate) mod pixel_pairs;

pub(crate) use super::portable::direct16;
pub(crate) use inner::{Sums, direct16_outputs, polyphase2_outputs, sums, winograd4_outputs};

/// Pairs of output channels at once.
pub(crate) const PAIRS: usize = 4;

/// Tiles that a loop over outputs takes at once.
const TILES: usize = 1;

/// Pixels by which the outputs of a row of `columns` have moved on at its end: behind
/// the last one.
const fn moves(columns: usize) -> usize {
    columns
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
    /// The assembler knows nothing of the target's extensions.
    macro_rules! assemble {
        ($extensions:literal) => {
            // SAFETY: defines functions, which keep the procedure call standard.
            core::arch::global_asm!(
                ".option push",
                concat!(".option arch, ", $extensions),
                include_str!("sums.s"),
                include_str!("outputs.s"),
                include_str!("inputs.s"),
                include_str!("pixel_pairs.s"),
                ".option pop",
                options(raw)
            );
        };
    }

    #[cfg(target_feature = "c")]
    assemble!("+m, +c");
    #[cfg(not(target_feature = "c"))]
    assemble!("+m");
}
