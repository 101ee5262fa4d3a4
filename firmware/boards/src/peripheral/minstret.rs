//! The RISC-V counter of retired instructions.

use core::arch::asm;
use resmcu_device_app::wire_protocol::CounterUnit;
use resmcu_device_app::{Calibration, Counter};

/// Counts executed instructions.
#[derive(Debug)]
pub(crate) struct InstructionCounter(());

impl InstructionCounter {
    /// The hart's counter, which runs from reset.
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl Counter for InstructionCounter {
    const UNIT: CounterUnit = CounterUnit::Instructions;

    #[inline(never)] // so that every read costs the same
    fn now(&mut self) -> u64 {
        riscv::register::minstret::read64()
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        end.wrapping_sub(begin)
    }

    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let (begin, end): (u32, u32);
        if rounds == 0 {
            // SAFETY: reading the counter and `nop` change nothing.
            unsafe {
                asm!(
                    "csrr {begin}, minstret",
                    ".rept 100", "nop", ".endr",
                    "csrr {end}, minstret",
                    begin = out(reg) begin, end = out(reg) end,
                    options(nostack, nomem),
                );
            }
        } else {
            // SAFETY: as above; the loop counts a register down to zero.
            unsafe {
                asm!(
                    "csrr {begin}, minstret",
                    "2: addi {rounds}, {rounds}, -1", "bnez {rounds}, 2b",
                    "csrr {end}, minstret",
                    begin = out(reg) begin, end = out(reg) end, rounds = inout(reg) rounds => _,
                    options(nostack, nomem),
                );
            }
        }
        let count = u64::from(end.wrapping_sub(begin));
        let expected = if rounds == 0 { 100 } else { 2 * u64::from(rounds) };
        Some(Calibration { count: count.saturating_sub(1), expected }) // 1: one of the two reads
    }
}
