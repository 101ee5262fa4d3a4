//! Drivers of the emulated boards' devices, behind the traits of embedded-hal and embedded-io.

/// Makes the modules that this architecture's boards have.
macro_rules! peripherals {
    ($($arch:literal: $($module:ident),+;)+) => {$($(
        #[cfg(target_arch = $arch)]
        pub(crate) mod $module;
    )+)+};
}

peripherals! {
    "arm": cmsdk_uart, fpgaio;
    "riscv32": minstret, no_light, uart16550;
}

pub(crate) mod ram_flash;

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
    #[cfg(target_arch = "arm")]
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
