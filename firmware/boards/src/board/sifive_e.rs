//! SiFive HiFive1 (FE310, RV32IMAC) with its real memories.
//!
//! The flash is executed in place, and its controller not emulated: the model comes with the image.

use crate::peripheral::minstret::InstructionCounter;
use resmcu_board_support::memory;
use resmcu_board_support::rom_flash::RomFlash;
use crate::peripheral::sifive_gpio::Led;
use crate::peripheral::sifive_uart::SifiveUart;

/// Of 16 KiB of RAM: the rings of a ResNet-8.
pub(crate) const ARENA_BYTES: usize = 10_752;

/// The longest plan that this build decodes: a ResNet-8 whose adds are steps of their own.
pub(crate) const STEPS: usize = 16;

/// The longest frame: a row of 32 RGB pixels fits.
pub(crate) const FRAME_BYTES: usize = 128;

const UART0: usize = 0x1001_3000;
const GPIO: usize = 0x1001_2000;

/// The green light.
const LED_PIN: u8 = 19;

/// The serial line, the counter and the light, once.
pub(crate) fn take() -> (SifiveUart, InstructionCounter, Led) {
    // SAFETY: the addresses are those of the chip's first UART and of its GPIO, and `main` calls
    // this once, so that nothing else owns them.
    unsafe { (SifiveUart::new(UART0), InstructionCounter::new(), Led::new(GPIO, LED_PIN)) }
}

/// The flash that the slots lie in.
pub(crate) fn flash() -> RomFlash {
    let (start, [a, b]) = memory::slots();
    // SAFETY: the memory map gives these bytes to the slots, and they are flash.
    unsafe { RomFlash::new(start, (a.bytes + b.bytes) as usize) }
}
