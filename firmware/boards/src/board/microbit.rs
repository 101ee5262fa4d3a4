//! BBC micro:bit v1 (nRF51822, Cortex-M0) with its real memories.
//!
//! The registers are the chip's own; the log and the exit go to an emulator or a debugger, so that
//! without one this image does not run: the board's own package is for that.

use crate::peripheral::nrf51_gpio::Led;
use resmcu_board_support::memory;
use resmcu_board_support::nrf51_nvmc::Nvmc;
use crate::peripheral::nrf51_timer::InstructionCounter;
use crate::peripheral::nrf51_uart::Uart;

/// Of 16 KiB of RAM: the rings of a ResNet-8.
pub(crate) const ARENA_BYTES: usize = 10_752;

/// The longest plan that this build decodes: a ResNet-8 whose adds are steps of their own.
pub(crate) const STEPS: usize = 16;

/// The longest frame: a row of 32 RGB pixels fits.
pub(crate) const FRAME_BYTES: usize = 128;

/// First column and row of the matrix: the row is driven high, the column low.
const LED_COLUMN: u8 = 4;
const LED_ROW: u8 = 13;

/// The serial line, the counter and the light, once.
pub(crate) fn take() -> (Uart, InstructionCounter, Led) {
    // SAFETY: the chip has these peripherals, and `main` calls this once, so that nothing else
    // owns them.
    unsafe { (Uart::new(), InstructionCounter::new(), Led::new(LED_ROW, LED_COLUMN)) }
}

/// The flash that the slots lie in, once at a time.
pub(crate) fn flash() -> Nvmc {
    let (start, [a, b]) = memory::slots();
    // SAFETY: the memory map gives these bytes to the slots; `memory::model` says why no slice of
    // a slot is alive that is written.
    unsafe { Nvmc::new(start, (a.bytes + b.bytes) as usize) }
}
