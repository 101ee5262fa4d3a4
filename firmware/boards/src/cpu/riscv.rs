//! RISC-V in machine mode: `riscv-rt` brings the reset and the cleared RAM; traps, the stack's
//! guard and its paint are here.

use crate::memory;
use core::arch::{asm, global_asm};
use riscv as _; // its critical section, for the log

/// The guard below the stack: more than any one frame, so that none steps over it.
const GUARD_BYTES: usize = 1 << 20;

/// Locked, naturally aligned power of two, no access.
const PMP_LOCKED_NAPOT: usize = 0x98;

/// Bytes below the present stack pointer that the painting leaves alone.
const PAINT_MARGIN_BYTES: usize = 256;

/// `mstatus.VS`: the vector unit's state is the initial one.
#[cfg(feature = "board-virt-rv32v")]
const VECTORS_ON: usize = 1 << 9;

#[riscv_rt::entry]
fn main() -> ! {
    let bottom = memory::stack_bottom() as usize;
    let guard = (bottom - GUARD_BYTES) >> 2 | (GUARD_BYTES / 8 - 1);
    let stack_pointer: usize;
    // SAFETY: the trap vector is aligned and never returns; the guard lies between flash and
    // stack (memory map), where nothing is; reading the stack pointer changes nothing.
    unsafe {
        asm!(
            "la {scratch}, resmcu_trap",
            "csrw mtvec, {scratch}",
            "csrw pmpaddr0, {guard}",
            "csrw pmpcfg0, {locked}",
            "mv {scratch}, sp",
            scratch = out(reg) stack_pointer,
            guard = in(reg) guard,
            locked = in(reg) PMP_LOCKED_NAPOT,
            options(nostack),
        );
    }
    #[cfg(feature = "board-virt-rv32v")]
    // SAFETY: sets mstatus.VS to `initial`, without which vector instructions trap.
    unsafe {
        asm!("csrs mstatus, {}", in(reg) VECTORS_ON, options(nomem, nostack));
    }
    let mut at = bottom;
    while at < stack_pointer - PAINT_MARGIN_BYTES {
        // SAFETY: the word lies in the stack's region, below all that is in use.
        unsafe { (at as *mut u32).write_volatile(memory::STACK_PAINT) };
        at += 4;
    }
    crate::run()
}

// A trap may come of a stack that is used up, so its handler begins with an empty one: nothing
// here enables interrupts, so every trap is a fault and none returns.
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
    crate::fail(102, || {
        if (bottom - GUARD_BYTES..bottom).contains(&address) {
            defmt::error!("fault: stack overflow, stack pointer {=usize:#x}", stack_pointer);
        } else {
            defmt::error!("fault {=usize} at {=usize:#x}, address {=usize:#x}", cause, pc, address);
        }
    })
}
