//! Cortex-M.

use cortex_m as _; // its critical section, for the log
use resmcu_board_support::arm::guard_stack;

#[cortex_m_rt::entry]
fn main() -> ! {
    // The ARMv8-M machines fault below their RAM, and their MPU has other registers, whatever code
    // they run. QEMU's older ones ignore what goes nowhere.
    let has_v8m_core = cfg!(feature = "board-mps3-an547-m4");
    if !has_v8m_core && !env!("RESMCU_ISA").starts_with("thumbv8m") {
        guard_stack();
    }
    crate::run()
}
