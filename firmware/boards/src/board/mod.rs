//! The board of this build. Each file gives `ARENA_BYTES`, `STEPS`, `FRAME_BYTES`, `take` and
//! `flash`.

/// Makes the board's module by its features.
macro_rules! boards {
    ($($module:ident: $($feature:literal),+;)+) => {$(
        #[cfg(any($(feature = $feature),+))]
        mod $module;
        #[cfg(any($(feature = $feature),+))]
        pub(crate) use $module::{ARENA_BYTES, FRAME_BYTES, STEPS, flash, take};
    )+};
}

boards! {
    mps2_an385: "board-mps2-an385-m0", "board-mps2-an385", "board-mps2-an386";
    mps2_an500: "board-mps2-an500";
    mps2_an505: "board-mps2-an505";
    mps3_an547: "board-mps3-an547-m4", "board-mps3-an547";
    virt_rv32: "board-virt-rv32imc", "board-virt-rv32imac", "board-virt-rv32v";
    microbit: "board-microbit";
    sifive_e: "board-sifive-e";
}

/// The firmware can write its model's slots.
pub(crate) const UPDATES: bool = cfg!(not(feature = "board-sifive-e"));
