//! RAM that behaves as flash, on machines whose emulator has no flash controller.

use core::ptr::{read_volatile, write_volatile};
use resmcu_device_app::embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

/// A region of RAM, written as flash is: erased by blocks, and bits go from 1 to 0 only.
#[derive(Debug)]
pub(crate) struct RamFlash {
    start: usize,
    bytes: usize,
}

impl RamFlash {
    /// The `bytes` from `start` on.
    ///
    /// # Safety
    /// They are RAM, and while this value writes a byte nothing else refers to it.
    pub(crate) const unsafe fn new(start: usize, bytes: usize) -> Self {
        Self { start, bytes }
    }

    /// The first of `count` bytes from `offset` on, if all are inside.
    fn at(&self, offset: u32, count: usize) -> Result<*mut u8, NorFlashErrorKind> {
        let end = (offset as usize).checked_add(count);
        let is_inside = end.is_some_and(|end| end <= self.bytes);
        let first = self.start.wrapping_add(offset as usize) as *mut u8;
        if is_inside { Ok(first) } else { Err(NorFlashErrorKind::OutOfBounds) }
    }
}

impl ErrorType for RamFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for RamFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let first = self.at(offset, bytes.len())?;
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: inside of the RAM that `new` was promised.
            *byte = unsafe { read_volatile(first.wrapping_add(index)) };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for RamFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let count = to.saturating_sub(from) as usize;
        if !(from as usize | count).is_multiple_of(Self::ERASE_SIZE) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        let first = self.at(from, count)?;
        for index in 0..count {
            // SAFETY: inside of the RAM that `new` was promised.
            unsafe { write_volatile(first.wrapping_add(index), 0xFF) };
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        if !(offset as usize | bytes.len()).is_multiple_of(Self::WRITE_SIZE) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        let first = self.at(offset, bytes.len())?;
        for (index, byte) in bytes.iter().enumerate() {
            let at = first.wrapping_add(index);
            // SAFETY: inside of the RAM that `new` was promised.
            unsafe { write_volatile(at, read_volatile(at) & byte) };
        }
        Ok(())
    }
}
