//! Cortex-M: `cortex-m-rt` brings the vectors, the cleared RAM and the painted stack; what guards
//! the stack and what becomes of a fault is here.

#[cfg(target_has_atomic = "32")]
use crate::cycles::Cycles;
use crate::{Register, code, memory};
use core::arch::global_asm;
use cortex_m as _;
use cortex_m::peripheral::syst::SystClkSource;
#[cfg(target_has_atomic = "32")]
use cortex_m::peripheral::{DCB, DWT};
use cortex_m::peripheral::{SCB, SYST};
use embedded_hal::delay::DelayNs;
#[cfg(target_has_atomic = "32")]
use resmcu_device_app::Counter; // its critical section, for the log

/// The guard below the stack: more than any one frame, so that none steps over it.
const GUARD_BYTES: usize = 1 << 20;

/// Makes the addresses below the stack's region inaccessible, by region 0 of the MPU of ARMv6-M and
/// ARMv7-M. A core without one (the micro:bit's) has nothing mapped there.
pub fn guard_stack() {
    const BASE_VALID: u32 = 1 << 4;
    const NEVER_EXECUTE: u32 = 1 << 28;
    const ENABLE: u32 = 1 << 0;
    const DEFAULT_MAP_ELSEWHERE: u32 = 1 << 2;
    let base = memory::stack_bottom() as usize - GUARD_BYTES;
    // SAFETY: the MPU's registers are at these addresses on every ARMv7-M core, and nothing else
    // uses them; the region holds no memory of the program.
    let [kind, control, region_base, region] = [0xE000_ED90, 0xE000_ED94, 0xE000_ED9C, 0xE000_EDA0]
        .map(|address| unsafe { Register::<u32>::new(address) });
    if kind.read() == 0 {
        return;
    }
    region_base.write(base as u32 | BASE_VALID);
    region.write(NEVER_EXECUTE | (GUARD_BYTES.ilog2() - 1) << 1 | ENABLE); // access: none
    control.write(ENABLE | DEFAULT_MAP_ELSEWHERE);
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Waits by counting cycles of a processor of `mhz`.
#[derive(Clone, Copy, Debug)]
pub struct BusyWait {
    /// Its clock.
    pub mhz: u32,
}

impl DelayNs for BusyWait {
    fn delay_ns(&mut self, ns: u32) {
        self.delay_us(ns.div_ceil(1000));
    }

    fn delay_us(&mut self, us: u32) {
        cortex_m::asm::delay(us.saturating_mul(self.mhz));
    }

    fn delay_ms(&mut self, ms: u32) {
        (0..ms).for_each(|_| self.delay_us(1000));
    }
}

/// Sleeps until an event; an interrupt is one.
pub fn sleep() {
    cortex_m::asm::wfe();
}

/// Has an interrupt end a [`sleep`] that begins with interrupts masked, too, and is taken after it.
pub fn wake_if_masked(control: &mut SCB) {
    const SEVONPEND: u32 = 1 << 4;
    // SAFETY: this bit has no other effect.
    unsafe { control.scr.modify(|word| word | SEVONPEND) };
}

/// Has the processor wake several times a second from [`sleep`], so that it feeds its watchdog.
pub fn wake_regularly(mut timer: SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(0x00FF_FFFF); // its longest: a quarter of a second at 64 MHz
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

#[cortex_m_rt::exception]
fn SysTick() {}

/// The cycle counter of ARMv7-M and ARMv8-M, which ARMv6-M has not.
#[cfg(target_has_atomic = "32")]
pub fn cycles(mut debug: DCB, mut unit: DWT) -> impl Counter {
    debug.enable_trace();
    unit.enable_cycle_counter();
    Cycles::new(DWT::cycle_count)
}

// A fault may come of a stack that is used up, so its handler begins with an empty one: it does
// not return. r0 is where the processor wrote the frame, or tried to.
global_asm!(
    ".section .HardFault.resmcu, \"ax\"",
    ".global HardFault",
    ".type HardFault, %function",
    ".thumb_func",
    "HardFault:",
    "mrs r0, MSP",
    "ldr r1, =_stack_start",
    "msr MSP, r1",
    "ldr r1, =resmcu_hard_fault",
    "bx r1",
    ".ltorg",
);

#[unsafe(no_mangle)]
extern "C" fn resmcu_hard_fault(frame: usize) -> ! {
    let (bottom, top) = (memory::stack_bottom() as usize, memory::stack_top() as usize);
    crate::fail(code::FAULT, || {
        // Eight words: r0 to r3, r12, lr, pc, xpsr.
        if frame < bottom || frame > top - 32 || !frame.is_multiple_of(4) {
            defmt::error!("fault: stack overflow, stack pointer {=usize:#x}", frame);
        } else {
            // SAFETY: the frame lies in the stack's region, aligned, and the processor wrote it.
            let pc = unsafe { *(frame as *const u32).add(6) };
            defmt::error!("fault at {=u32:#x}", pc);
        }
    })
}

#[cortex_m_rt::exception]
unsafe fn DefaultHandler(exception: i16) -> ! {
    crate::fail(code::FAULT, || defmt::error!("unexpected exception {=i16}", exception))
}
