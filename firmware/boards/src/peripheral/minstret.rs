//! The RISC-V counter of retired instructions.

use core::arch::asm;
use core::num::NonZero;
use resmcu_device_app::wire_protocol::CounterUnit;
use resmcu_device_app::{Calibration, Counter};

/// Counts executed instructions.
#[derive(Debug)]
pub(crate) struct InstructionCounter {
    /// What `minstret` adds an instruction: 1, or as QEMU 7 does under `-icount shift=8`, the 256
    /// ns of its virtual time.
    unit: NonZero<u32>,
}

impl InstructionCounter {
    /// The hart's counter, which runs from reset.
    pub(crate) fn new() -> Self {
        let reads_and_nops = Self::NOPS + 1;
        let unit = NonZero::new(Self::raw_nops() / reads_and_nops);
        Self { unit: unit.unwrap_or(NonZero::<u32>::MIN) }
    }

    /// Length of the code that has no loop.
    const NOPS: u32 = 100;

    fn raw_nops() -> u32 {
        let (begin, end): (u32, u32);
        // SAFETY: reading the counter and `nop` change nothing.
        unsafe {
            asm!(
                "csrr {begin}, minstret",
                ".rept {nops}", "nop", ".endr",
                "csrr {end}, minstret",
                nops = const Self::NOPS, begin = out(reg) begin, end = out(reg) end,
                options(nostack, nomem),
            );
        }
        end.wrapping_sub(begin)
    }

    fn raw_loop(rounds: u32) -> u64 {
        let (begin, begin_high, end, end_high): (u32, u32, u32, u32);
        // SAFETY: reading the counter changes nothing; the loop counts a register down to zero.
        unsafe {
            asm!(
                "csrr {begin_high}, minstreth",
                "csrr {begin}, minstret",
                "2: addi {rounds}, {rounds}, -1", "bnez {rounds}, 2b",
                "csrr {end}, minstret",
                "csrr {end_high}, minstreth",
                begin = out(reg) begin, begin_high = out(reg) begin_high,
                end = out(reg) end, end_high = out(reg) end_high,
                rounds = inout(reg) rounds => _,
                options(nostack, nomem),
            );
        }
        let whole = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        whole(end_high, end).wrapping_sub(whole(begin_high, begin))
    }
}

impl Counter for InstructionCounter {
    const UNIT: CounterUnit = CounterUnit::Instructions;

    #[inline(never)] // so that every read costs the same
    fn now(&mut self) -> u64 {
        riscv::register::minstret::read64()
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        end.wrapping_sub(begin) / NonZero::<u64>::from(self.unit)
    }

    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let (raw, expected) = match rounds {
            0 => (u64::from(Self::raw_nops()), u64::from(Self::NOPS)),
            rounds => (Self::raw_loop(rounds), 2 * u64::from(rounds)),
        };
        let count = self.between(0, raw);
        Some(Calibration { count: count.saturating_sub(1), expected }) // 1: one of the two reads
    }
}
