//! The nRF51's TIMER0, the only timer of it with 32 bits, as a counter of virtual time: the chip
//! has no `SysTick`.
//!
//! QEMU under `-icount shift=8` advances time by 256 ns an instruction, which are 4.096 ticks at
//! 16 MHz, so that instructions come out exactly. The timer wraps after a billion of them; its
//! compare event says that it did, once between two readings.

use resmcu_board_support::Register;
use core::arch::asm;
use resmcu_device_app::wire_protocol::CounterUnit;
use resmcu_device_app::{Calibration, Counter};

const TIMER0: usize = 0x4000_8000;
const START: usize = 0x000;
const CAPTURE: usize = 0x040;
const EVENT_WRAPPED: usize = 0x14C; // compare 3 with 0
const MODE: usize = 0x504;
const BIT_MODE: usize = 0x508;
const BITS_32: u32 = 3;
const PRESCALER: usize = 0x510;
const CAPTURED: usize = 0x540;
const COMPARE_3: usize = 0x54C;

/// Length of the code that has no loop.
const NOPS: u32 = 100;

/// Counts executed instructions.
#[derive(Debug)]
pub(crate) struct InstructionCounter {
    capture: Register<u32>,
    captured: Register<u32>,
    wrapped: Register<u32>,
    wraps: u32,
}

impl InstructionCounter {
    /// Starts the timer.
    ///
    /// # Safety
    /// Nothing else uses it.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: the caller's promise; the offsets are those of the nRF51's manual.
        let register = |offset| unsafe { Register::<u32>::new(TIMER0 + offset) };
        register(MODE).write(0); // a timer, at 16 MHz
        register(BIT_MODE).write(BITS_32);
        register(PRESCALER).write(0);
        register(COMPARE_3).write(0);
        register(START).write(1);
        let wrapped = register(EVENT_WRAPPED);
        wrapped.write(0);
        let (capture, captured) = (register(CAPTURE), register(CAPTURED));
        Self { capture, captured, wrapped, wraps: 0 }
    }

    /// Ticks to instructions: a span is off by less than one tick, which rounding takes away.
    const fn instructions(ticks: u64) -> u64 {
        (ticks * 125 + 256) / 512 // 62.5 ns of 256
    }
}

impl Counter for InstructionCounter {
    const UNIT: CounterUnit = CounterUnit::Instructions;

    #[inline(never)] // so that every read costs the same
    fn now(&mut self) -> u64 {
        self.capture.write(1);
        let low = self.captured.read();
        let wrapped = self.wrapped.read() & 1;
        self.wrapped.write(0);
        self.wraps = self.wraps.wrapping_add(wrapped);
        // A wrap between the capture and the look at the event is not in `low` yet.
        let wraps = self.wraps.wrapping_sub(wrapped & (low >> 31));
        u64::from(wraps) << 32 | u64::from(low)
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        Self::instructions(end.wrapping_sub(begin))
    }

    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let (ticks, expected) = match rounds {
            0 => (time_nops(), u64::from(NOPS)),
            rounds => (time_loop(rounds), 2 * u64::from(rounds)),
        };
        let count = Self::instructions(u64::from(ticks));
        Some(Calibration { count: count.saturating_sub(1), expected }) // 1: one of the two stores
    }
}

/// What the second capture said after the first.
fn ticks_between() -> u32 {
    // SAFETY: reading what the timer captured changes nothing.
    let captured = |offset| unsafe { Register::<u32>::new(TIMER0 + CAPTURED + offset) }.read();
    captured(8).wrapping_sub(captured(4))
}

/// Ticks of [`NOPS`] `nop`s and a store. A function of its own: the compiler takes the repetition
/// for one instruction, and would place the constants of a larger function out of reach.
#[inline(never)]
fn time_nops() -> u32 {
    // SAFETY: the stores let the timer capture its count into two registers that nothing else
    // uses; `nop` does nothing.
    unsafe {
        asm!(
            "str {one}, [{capture}, #4]",
            ".rept {nops}", "nop", ".endr",
            "str {one}, [{capture}, #8]",
            capture = in(reg) TIMER0 + CAPTURE, one = in(reg) 1, nops = const NOPS,
            options(nostack),
        );
    }
    ticks_between()
}

/// Ticks of `rounds` rounds of two instructions, and a store.
#[inline(never)]
fn time_loop(rounds: u32) -> u32 {
    // SAFETY: as above; the loop counts a register down to zero.
    unsafe {
        asm!(
            "str {one}, [{capture}, #4]",
            "2: subs {rounds}, #1", "bne 2b",
            "str {one}, [{capture}, #8]",
            capture = in(reg) TIMER0 + CAPTURE, one = in(reg) 1,
            rounds = inout(reg) rounds => _,
            options(nostack),
        );
    }
    ticks_between()
}
