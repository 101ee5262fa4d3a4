//! QEMU's riscv32 `virt`, as RV32IMC or RV32IMAC. Emulated: no clocks to set up, and no light.

use crate::peripheral::minstret::InstructionCounter;
use crate::peripheral::no_light::NoLight;
use crate::peripheral::uart16550::Uart16550;
use crate::peripheral::ram_flash::RamFlash;
use resmcu_board_support::memory;
use resmcu_device_app::wire_protocol::FRAME_BYTES_MAX;

/// As on the Arm boards, of 4 MiB.
pub(crate) const ARENA_BYTES: usize = 3584 << 10;

/// The longest plan that this build decodes.
pub(crate) const STEPS: usize = 256;

/// The longest frame.
pub(crate) const FRAME_BYTES: usize = FRAME_BYTES_MAX;

const UART0: usize = 0x1000_0000;

/// The serial line, the counter and the light, once.
pub(crate) fn take() -> (Uart16550, InstructionCounter, NoLight) {
    // SAFETY: the address is that of the machine's only UART, and `main` calls this once, so that
    // nothing else owns it.
    (unsafe { Uart16550::new(UART0) }, InstructionCounter::new(), NoLight)
}

/// The flash that the slots lie in, once at a time.
pub(crate) fn flash() -> RamFlash {
    let (start, [a, b]) = memory::slots();
    // SAFETY: the memory map gives these bytes to the slots; `memory::model` says why no slice of
    // a slot is alive that is written.
    unsafe { RamFlash::new(start, (a.bytes + b.bytes) as usize) }
}
