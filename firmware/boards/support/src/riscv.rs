//! RISC-V in machine mode: traps, the stack's guard and its paint. The reset and the cleared RAM
//! are the runtime crate's.

use crate::cycles::Cycles;
use crate::{code, memory};
use core::arch::{asm, global_asm};
use resmcu_device_app::Counter;

/// The guard below the stack: more than any one frame, so that none steps over it.
const GUARD_BYTES: usize = 1 << 20;

/// Locked, naturally aligned power of two, no access.
const PMP_LOCKED_NAPOT: usize = 0x98;

/// Bytes below the present stack pointer that the painting leaves alone.
const PAINT_MARGIN_BYTES: usize = 256;

/// Takes all traps for faults: nothing here enables interrupts.
pub fn catch_traps() {
    // SAFETY: the trap vector is aligned, and what is there never returns.
    unsafe {
        asm!(
            "la {scratch}, resmcu_trap",
            "csrw mtvec, {scratch}",
            scratch = out(reg) _,
            options(nostack),
        );
    }
}

/// Makes the addresses below the stack's region inaccessible, by region 0 of the PMP.
pub fn guard_stack() {
    let bottom = memory::stack_bottom() as usize;
    let guard = (bottom - GUARD_BYTES) >> 2 | (GUARD_BYTES / 8 - 1);
    // SAFETY: the guard lies below the stack (memory map), where nothing of the program is.
    unsafe {
        asm!(
            "csrw pmpaddr0, {guard}",
            "csrw pmpcfg0, {locked}",
            guard = in(reg) guard,
            locked = in(reg) PMP_LOCKED_NAPOT,
            options(nostack),
        );
    }
}

/// Paints the stack below what is in use, so that its deepest use can be read later.
pub fn paint_stack() {
    let stack_pointer: usize;
    // SAFETY: reading the stack pointer changes nothing.
    unsafe { asm!("mv {}, sp", out(reg) stack_pointer, options(nomem, nostack)) };
    let mut at = memory::stack_bottom() as usize;
    while at < stack_pointer - PAINT_MARGIN_BYTES {
        // SAFETY: the word lies in the stack's region, below all that is in use.
        unsafe { (at as *mut u32).write_volatile(memory::STACK_PAINT) };
        at += 4;
    }
}

// A trap may come of a stack that is used up, so its handler begins with an empty one: every trap
// is a fault and none returns.
global_asm!(
    ".section .trap.resmcu, \"ax\"",
    ".balign 4",
    ".global resmcu_trap",
    "resmcu_trap:",
    "mv a3, sp",
    "la sp, _stack_start",
    "csrr a0, mcause",
    "csrr a1, mepc",
    "csrr a2, mtval",
    "j resmcu_fault",
);

#[unsafe(no_mangle)]
extern "C" fn resmcu_fault(cause: usize, pc: usize, address: usize, stack_pointer: usize) -> ! {
    let bottom = memory::stack_bottom() as usize;
    crate::fail(code::FAULT, || {
        if (bottom - GUARD_BYTES..bottom).contains(&address) {
            defmt::error!("fault: stack overflow, stack pointer {=usize:#x}", stack_pointer);
        } else {
            defmt::error!("fault {=usize} at {=usize:#x}, address {=usize:#x}", cause, pc, address);
        }
    })
}

/// Lets the counters count, on chips that stop them at reset; others may not have the register.
pub fn start_counters() {
    // SAFETY: `mcountinhibit` has no other effect.
    unsafe { asm!("csrw 0x320, x0", options(nomem, nostack)) };
}

/// The cycle counter of the privileged architecture.
pub fn cycles() -> impl Counter {
    Cycles::new(|| {
        let count: u32;
        // SAFETY: reading the counter changes nothing.
        unsafe { asm!("csrr {}, mcycle", out(reg) count, options(nomem, nostack)) };
        count
    })
}
