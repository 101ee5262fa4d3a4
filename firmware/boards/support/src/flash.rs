//! The part of a chip's flash that the slots lie in.

use crate::memory;
use resmcu_device_app::embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

/// The slots' part of a flash of a vendor's HAL, and what is done before each change of it.
#[derive(Debug)]
pub struct Region<F, I> {
    flash: F,
    start: u32,
    busy: I,
}

impl<F, I: FnMut()> Region<F, I> {
    /// The slots in `flash`, whose first byte the processor sees at `base`. `busy` is called before
    /// each erase and write: it feeds the watchdog.
    pub fn slots(flash: F, base: usize, busy: I) -> Self {
        let (start, _) = memory::slots();
        Self { flash, start: start.wrapping_sub(base) as u32, busy }
    }

    /// Where in the flash a byte of the slots is.
    fn at(&self, offset: u32) -> u32 {
        self.start.saturating_add(offset)
    }
}

impl<F: ErrorType, I> ErrorType for Region<F, I> {
    type Error = F::Error;
}

impl<F: ReadNorFlash, I: FnMut()> ReadNorFlash for Region<F, I> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.flash.read(self.at(offset), bytes)
    }

    fn capacity(&self) -> usize {
        let (_, [a, b]) = memory::slots();
        (a.bytes + b.bytes) as usize
    }
}

impl<F: NorFlash, I: FnMut()> NorFlash for Region<F, I> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        (self.busy)();
        self.flash.erase(self.at(from), self.at(to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
        (self.busy)();
        self.flash.write(self.at(offset), bytes)
    }
}
