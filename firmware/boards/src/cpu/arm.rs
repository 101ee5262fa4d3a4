//! Cortex-M: `cortex-m-rt` brings the vectors, the cleared RAM and the painted stack.

use crate::memory;
use core::arch::global_asm;
use cortex_m as _; // its critical section, for the log

#[cortex_m_rt::entry]
fn main() -> ! {
    crate::run()
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
    crate::fail(102, || {
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
    crate::fail(102, || defmt::error!("unexpected exception {=i16}", exception))
}
