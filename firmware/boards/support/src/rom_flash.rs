//! Flash that this firmware only reads.

use core::ptr::read_volatile;
use resmcu_device_app::embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

/// A region of memory.
#[derive(Debug)]
pub struct RomFlash {
    start: usize,
    bytes: usize,
}

impl RomFlash {
    /// The `bytes` from `start` on.
    ///
    /// # Safety
    /// They can be read, and nothing writes them.
    pub const unsafe fn new(start: usize, bytes: usize) -> Self {
        Self { start, bytes }
    }
}

impl ErrorType for RomFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for RomFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let end = (offset as usize).checked_add(bytes.len());
        if end.is_none_or(|end| end > self.bytes) {
            return Err(NorFlashErrorKind::OutOfBounds);
        }
        let first = self.start.wrapping_add(offset as usize) as *const u8;
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: inside of the memory that `new` was promised.
            *byte = unsafe { read_volatile(first.wrapping_add(index)) };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for RomFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }
}
