//! The FPGA I/O block of the MPS2 and MPS3 boards: a light, and counters of virtual time.
//!
//! QEMU under `-icount shift=8` advances time by 256 ns an instruction, so the free-running
//! counter counts instructions: 6.4 ticks each at 25 MHz, 5.12 at 20 MHz. It wraps after some 670
//! million instructions; the 100 Hz counter beside it says how often.

use resmcu_board_support::Register;
use core::arch::asm;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin};
use resmcu_device_app::wire_protocol::CounterUnit;
use resmcu_device_app::{Calibration, Counter};

/// User LED 0.
#[derive(Debug)]
pub(crate) struct Led(Register<u32>);

impl Led {
    const BIT: u32 = 1 << 0;

    /// The light of the FPGAIO at `base`.
    ///
    /// # Safety
    /// It is there, and nothing else uses its LED register.
    pub(crate) unsafe fn new(base: usize) -> Self {
        // SAFETY: the caller's promise; LED is the block's first register.
        Self(unsafe { Register::new(base) })
    }
}

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.write(self.0.read() & !Self::BIT);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.write(self.0.read() | Self::BIT);
        Ok(())
    }
}

/// Counts executed instructions by counters of `HZ` and 100 Hz.
#[derive(Debug)]
pub(crate) struct InstructionCounter<const HZ: u32> {
    hundredths: Register<u32>,
    ticks: Register<u32>,
}

/// Virtual time of one instruction under `-icount shift=8`.
const INSTRUCTION_NS: u64 = 256;

impl<const HZ: u32> InstructionCounter<HZ> {
    const TICK_NS: u64 = 1_000_000_000 / HZ as u64;
    const TICKS_PER_HUNDREDTH: u64 = HZ as u64 / 100;

    /// The counters of the FPGAIO at `base`.
    ///
    /// # Safety
    /// It is there; nobody sets its counters.
    pub(crate) unsafe fn new(base: usize) -> Self {
        // SAFETY: the caller's promise; the offsets are those of the boards' application notes.
        let [hundredths, ticks] =
            unsafe { [Register::new(base + 0x14), Register::new(base + 0x18)] };
        Self { hundredths, ticks }
    }

    /// Ticks to instructions: a span is off by less than one tick, which rounding takes away.
    const fn instructions(ticks: u64) -> u64 {
        (ticks * Self::TICK_NS + INSTRUCTION_NS / 2) / INSTRUCTION_NS
    }
}

impl<const HZ: u32> Counter for InstructionCounter<HZ> {
    const UNIT: CounterUnit = CounterUnit::Instructions;

    #[inline(never)] // so that every read costs the same
    fn now(&mut self) -> u64 {
        let hundredths = self.hundredths.read();
        u64::from(hundredths) << 32 | u64::from(self.ticks.read())
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        let low = u64::from((end as u32).wrapping_sub(begin as u32));
        let hundredths = ((end >> 32) as u32).wrapping_sub((begin >> 32) as u32);
        // The number of wraps that brings the fine count nearest to the coarse one.
        let coarse = u64::from(hundredths) * Self::TICKS_PER_HUNDREDTH;
        let wraps = (coarse + (1 << 31)).saturating_sub(low) >> 32;
        Self::instructions(wraps << 32 | low)
    }

    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let (ticks, expected) = match rounds {
            0 => (time_nops(self.ticks), u64::from(NOPS)),
            rounds => (time_loop(self.ticks, rounds), 2 * u64::from(rounds)),
        };
        let count = Self::instructions(u64::from(ticks));
        Some(Calibration { count: count.saturating_sub(1), expected }) // 1: one of the two reads
    }
}

/// Length of the code that has no loop.
const NOPS: u32 = 100;

/// Ticks of [`NOPS`] `nop`s and a read. A function of its own: the compiler takes the repetition
/// for one instruction, and would place the constants of a larger function out of reach.
#[inline(never)]
fn time_nops(ticks: Register<u32>) -> u32 {
    let (begin, end): (u32, u32);
    // SAFETY: the address is a register that only has to be read; `nop` does nothing.
    unsafe {
        asm!(
            "ldr {begin}, [{at}]",
            ".rept {nops}", "nop", ".endr",
            "ldr {end}, [{at}]",
            at = in(reg) ticks.address(), nops = const NOPS,
            begin = out(reg) begin, end = out(reg) end,
            options(nostack, readonly),
        );
    }
    end.wrapping_sub(begin)
}

/// Ticks of `rounds` rounds of two instructions, and a read.
#[inline(never)]
fn time_loop(ticks: Register<u32>, rounds: u32) -> u32 {
    let (begin, end): (u32, u32);
    // SAFETY: as above; the loop counts a register down to zero.
    unsafe {
        asm!(
            "ldr {begin}, [{at}]",
            "2: subs {rounds}, #1", "bne 2b",
            "ldr {end}, [{at}]",
            at = in(reg) ticks.address(), rounds = inout(reg) rounds => _,
            begin = out(reg) begin, end = out(reg) end,
            options(nostack, readonly),
        );
    }
    end.wrapping_sub(begin)
}
