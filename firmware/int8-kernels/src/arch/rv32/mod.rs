//! The passes in assembly for RV32IM.

#[path = "../inner.rs"]
mod inner;
// Vectors have their own.
#[cfg(not(feature = "rvv"))]
#[path = "../fully_connected.rs"]
pub(crate) mod fully_connected;
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
        ($extensions:literal, $($file:literal),+) => {
            // SAFETY: defines functions, which keep the procedure call standard.
            core::arch::global_asm!(
                ".option push",
                concat!(".option arch, ", $extensions),
                $(include_str!($file),)+
                ".option pop",
                options(raw)
            );
        };
    }

    macro_rules! assemble_all {
        ($extensions:literal) => {
            assemble!($extensions, "sums.s", "outputs.s", "inputs.s", "pixel_pairs.s");
            #[cfg(not(feature = "rvv"))]
            assemble!($extensions, "fully_connected.s");
        };
    }

    #[cfg(target_feature = "c")]
    assemble_all!("+m, +c");
    #[cfg(not(target_feature = "c"))]
    assemble_all!("+m");
}
