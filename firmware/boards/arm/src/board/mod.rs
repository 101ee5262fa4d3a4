//! The board of this build. Each file gives `ARENA_BYTES`, `STEPS`, `FRAME_BYTES` and `take`.

/// Makes the board's module by its feature.
macro_rules! boards {
    ($($module:ident: $($feature:literal),+;)+) => {$(
        #[cfg(any($(feature = $feature),+))]
        mod $module;
        #[cfg(any($(feature = $feature),+))]
        pub(crate) use $module::{ARENA_BYTES, FRAME_BYTES, STEPS, take};
    )+};
}

boards! {
    microbit_v1: "board-microbit-v1";
    nrf52: "board-microbit-v2", "board-nrf52840-dk";
    pico: "board-pico", "board-pico2";
    nucleo: "board-nucleo-f446re", "board-nucleo-h743zi";
}
