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
    feature = "board-microbit": nrf51_gpio, nrf51_nvmc, nrf51_timer, nrf51_uart;
    feature = "board-sifive-e": rom_flash, sifive_gpio, sifive_uart;
}

use core::ptr::{read_volatile, write_volatile};

/// A device's register of type `T`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register<T>(*mut T);

impl<T: Copy> Register<T> {
    /// The register at `address`.
    ///
    /// # Safety
    /// A register of this width is there for as long as the value lives, and reading or writing
    /// it touches no memory of the program.
    pub(crate) const unsafe fn new(address: usize) -> Self {
        Self(address as *mut T)
    }

    /// Where it is.
    #[cfg(all(target_arch = "arm", not(feature = "board-microbit")))]
    pub(crate) const fn address(self) -> *const T {
        self.0
    }

    pub(crate) fn read(self) -> T {
        // SAFETY: `new` was promised a register of this width.
        unsafe { read_volatile(self.0) }
    }

    pub(crate) fn write(self, value: T) {
        // SAFETY: `new` was promised a register of this width.
        unsafe { write_volatile(self.0, value) }
    }
}
