//! The passes in assembly for Armv7E-M, and for Armv8-M with DSP extension and FPU.

// Helium has its own.
#[cfg(not(feature = "helium"))]
pub(crate) mod add;
pub(crate) mod direct16;
#[cfg(not(feature = "helium"))]
#[path = "../fully_connected.rs"]
pub(crate) mod fully_connected;
pub(crate) mod pixel_pairs;
pub(crate) mod polyphase2;
pub(crate) mod winograd4;

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(
        include_str!("dual_step.s"),
        include_str!("add.s"),
        include_str!("direct16.s"),
        include_str!("../armv7m/winograd4_input.s"),
        include_str!("columns.s"),
        include_str!("pixel_pairs.s"),
        include_str!("polyphase2.s"),
        include_str!("../armv7m/winograd4_output.s"),
        include_str!("winograd4.s"),
        options(raw)
    );

    #[cfg(not(feature = "helium"))]
    // SAFETY: as above.
    core::arch::global_asm!(include_str!("fully_connected.s"), options(raw));
}
