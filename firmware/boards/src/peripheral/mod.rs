//! Drivers of the emulated boards' devices, behind the traits of embedded-hal and embedded-io.

/// Makes the modules that this build's board has.
macro_rules! peripherals {
    ($($board:meta: $($module:ident),+;)+) => {$($(
        #[cfg($board)]
        pub(crate) mod $module;
    )+)+};
}

peripherals! {
    all(target_arch = "arm", not(feature = "board-microbit")): cmsdk_uart, fpgaio;
    all(target_arch = "riscv32", not(feature = "board-sifive-e")): no_light, uart16550;
    not(any(feature = "board-microbit", feature = "board-sifive-e")): ram_flash;
    target_arch = "riscv32": minstret;
    feature = "board-microbit": nrf51_gpio, nrf51_timer, nrf51_uart;
    feature = "board-sifive-e": sifive_gpio, sifive_uart;
}
