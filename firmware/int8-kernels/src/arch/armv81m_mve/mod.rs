//! The passes in assembly for Helium, the vector extension of Armv8.1-M (Cortex-M55, M85).

#[path = "../add.rs"]
pub(crate) mod add;
pub(crate) mod dot8;
#[path = "../fully_connected.rs"]
pub(crate) mod fully_connected;
pub(crate) mod winograd4;

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the procedure call standard.
    core::arch::global_asm!(
        include_str!("dot8.s"),
        include_str!("add.s"),
        include_str!("fully_connected.s"),
        include_str!("winograd4_inputs.s"),
        include_str!("winograd4.s"),
        options(raw)
    );
}
