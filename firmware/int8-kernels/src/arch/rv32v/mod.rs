//! The passes in assembly for RISC-V's vector extension 1.0, of 128 bits and more.

#[path = "../add.rs"]
pub(crate) mod add;
#[path = "../fully_connected.rs"]
pub(crate) mod fully_connected;
pub(crate) mod lanes8;

#[expect(unsafe_code, reason = "brings in the assembly")]
mod assembly {
    // SAFETY: defines functions, which keep the calling convention.
    core::arch::global_asm!(
        include_str!("lanes8.s"),
        include_str!("add.s"),
        include_str!("fully_connected.s"),
        options(raw)
    );
}
