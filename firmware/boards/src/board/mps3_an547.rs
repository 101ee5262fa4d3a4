//! MPS3 with AN547 (Cortex-M55), secure side. Emulated: no clocks to set up.

use crate::peripheral::cmsdk_uart::CmsdkUart;
use crate::peripheral::fpgaio::{InstructionCounter, Led};
use crate::peripheral::ram_flash::RamFlash;
use resmcu_board_support::memory;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;

/// Of 4 MiB of RAM, 64 KiB of them stack.
pub(crate) const ARENA_BYTES: usize = 3584 << 10;

/// The longest plan that this build decodes.
pub(crate) const STEPS: usize = 256;

/// The longest frame.
pub(crate) const FRAME_BYTES: usize = FRAME_BYTES_MAX;

const UART0: usize = 0x5930_3000;
const FPGAIO: usize = 0x5930_2000;

/// The serial line, the counter and the light, once.
pub(crate) fn take() -> (CmsdkUart, InstructionCounter<20_000_000>, Led) {
    // SAFETY: the addresses are those of the machine's UART 0 and FPGAIO, and `main` calls this
    // once, so that nothing else owns them.
    unsafe { (CmsdkUart::new(UART0), InstructionCounter::new(FPGAIO), Led::new(FPGAIO)) }
}

/// The flash that the slots lie in, once at a time.
pub(crate) fn flash() -> RamFlash {
    let (start, [a, b]) = memory::slots();
    // SAFETY: the memory map gives these bytes to the slots; `memory::model` says why no slice of
    // a slot is alive that is written.
    unsafe { RamFlash::new(start, (a.bytes + b.bytes) as usize) }
}
