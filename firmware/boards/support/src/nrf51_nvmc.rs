//! The nRF51's flash and its controller: words are programmed, pages of 1 KiB erased.
//!
//! Of the project's own, since `nrf51-hal` erases by the nRF52's pages of 4 KiB. The processor
//! stands still while the controller works, so that code in the same flash may ask for it. Every
//! change of the flash goes through two functions with names in the symbol table: there a debugger
//! may stop the chip between two changes, as a power cut would.

use crate::Register;
use core::ptr::read_volatile;
use resmcu_device_app::embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

const NVMC: usize = 0x4001_E000;
const PAGE_BYTES: usize = 1024;
const WORD_BYTES: usize = 4;

/// What the controller allows.
#[derive(Clone, Copy)]
enum Mode {
    Read = 0,
    Write = 1,
    Erase = 2,
}

/// A region of the flash, of whole pages.
#[derive(Debug)]
pub struct Nvmc {
    start: usize,
    bytes: usize,
}

impl Nvmc {
    /// The `bytes` from `start` on.
    ///
    /// # Safety
    /// They are pages of the flash without code, and while this value writes a byte nothing else
    /// refers to it.
    pub const unsafe fn new(start: usize, bytes: usize) -> Self {
        Self { start, bytes }
    }

    /// The address of `count` bytes from `offset` on, if all are inside.
    fn at(&self, offset: u32, count: usize) -> Result<usize, NorFlashErrorKind> {
        let end = (offset as usize).checked_add(count);
        let is_inside = end.is_some_and(|end| end <= self.bytes);
        if is_inside {
            Ok(self.start.wrapping_add(offset as usize))
        } else {
            Err(NorFlashErrorKind::OutOfBounds)
        }
    }
}

/// Lets the controller do `work` in `mode`, and waits until it is done.
fn in_mode(mode: Mode, work: impl FnOnce()) {
    // SAFETY: the offsets are those of the nRF51's manual, and nothing else uses the controller.
    let [ready, config] =
        [0x400, 0x504].map(|offset| unsafe { Register::<u32>::new(NVMC + offset) });
    let wait = || while ready.read() & 1 == 0 {};
    config.write(mode as u32);
    wait();
    work();
    wait();
    config.write(Mode::Read as u32);
    wait();
}

#[inline(never)]
#[unsafe(export_name = "resmcu_flash_write_word")]
fn write_word(address: usize, word: u32) {
    // SAFETY: `Nvmc::new` was promised that this is flash without code, which nothing refers to.
    let target = unsafe { Register::<u32>::new(address) };
    in_mode(Mode::Write, || target.write(word));
}

#[inline(never)]
#[unsafe(export_name = "resmcu_flash_erase_page")]
fn erase_page(address: usize) {
    // SAFETY: the register takes the address of a page; `Nvmc::new` was promised what it is.
    let erase = unsafe { Register::<u32>::new(NVMC + 0x508) };
    in_mode(Mode::Erase, || erase.write(address as u32));
}

impl ErrorType for Nvmc {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nvmc {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let first = self.at(offset, bytes.len())? as *const u8;
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: inside of the flash that `new` was promised.
            *byte = unsafe { read_volatile(first.wrapping_add(index)) };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for Nvmc {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = PAGE_BYTES;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let count = to.saturating_sub(from) as usize;
        if !(from as usize | count).is_multiple_of(PAGE_BYTES) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        let first = self.at(from, count)?;
        for offset in (0..count).step_by(PAGE_BYTES) {
            erase_page(first.wrapping_add(offset));
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        if !(offset as usize | bytes.len()).is_multiple_of(WORD_BYTES) {
            return Err(NorFlashErrorKind::NotAligned);
        }
        let first = self.at(offset, bytes.len())?;
        let words = bytes.chunks_exact(WORD_BYTES).filter_map(|word| word.first_chunk());
        for (index, &word) in words.enumerate() {
            write_word(first.wrapping_add(index * WORD_BYTES), u32::from_le_bytes(word));
        }
        Ok(())
    }
}
