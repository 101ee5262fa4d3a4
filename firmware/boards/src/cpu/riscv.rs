//! RISC-V in machine mode: `riscv-rt` brings the reset and the cleared RAM.

use resmcu_board_support::riscv::{catch_traps, guard_stack, paint_stack};
use riscv as _; // its critical section, for the log

/// `mstatus.VS`: the vector unit's state is the initial one.
#[cfg(feature = "board-virt-rv32v")]
const VECTORS_ON: usize = 1 << 9;

#[riscv_rt::entry]
fn main() -> ! {
    catch_traps();
    guard_stack();
    #[cfg(feature = "board-virt-rv32v")]
    // SAFETY: sets mstatus.VS to `initial`, without which vector instructions trap.
    unsafe {
        core::arch::asm!("csrs mstatus, {}", in(reg) VECTORS_ON, options(nomem, nostack));
    }
    paint_stack();
    crate::run()
}
