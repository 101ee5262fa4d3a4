//! A device's register.

use core::ptr::{read_volatile, write_volatile};

/// A device's register of type `T`.
#[derive(Clone, Copy, Debug)]
pub struct Register<T>(*mut T);

impl<T: Copy> Register<T> {
    /// The register at `address`.
    ///
    /// # Safety
    /// A register of this width is there for as long as the value lives, and reading or writing
    /// it touches no memory of the program.
    pub const unsafe fn new(address: usize) -> Self {
        Self(address as *mut T)
    }

    /// Where it is.
    pub const fn address(self) -> *const T {
        self.0
    }

    /// What it holds.
    pub fn read(self) -> T {
        // SAFETY: `new` was promised a register of this width.
        unsafe { read_volatile(self.0) }
    }

    /// Writes it.
    pub fn write(self, value: T) {
        // SAFETY: `new` was promised a register of this width.
        unsafe { write_volatile(self.0, value) }
    }
}
