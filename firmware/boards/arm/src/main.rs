#![no_std]
#![no_main]
//! The firmware of real boards with Arm's cores: the application of `device-app` on one board,
//! chosen by a feature `board-*`, by the HAL crate of its chip.
//!
//! Owns the way out: a board starts again when the host stops or resets it, and waits for its
//! watchdog after a panic or a fault, its log readable meanwhile. What differs between boards is in
//! `board`.

mod board;

use cortex_m::peripheral::SCB;
use defmt_rtt as _; // the log
use resmcu_board_support as support;
use support::service::{self, Device};

support::memories!(board::ARENA_BYTES, board::STEPS);

/// Cycles in which the last bytes leave the serial port: 10 ms at 100 MHz.
const FAREWELL_CYCLES: u32 = 1_000_000;

#[cortex_m_rt::entry]
fn main() -> ! {
    let device = Device {
        board: env!("RESMCU_BOARD"),
        isa: env!("RESMCU_ISA"),
        updates: true,
        built_in: Some(support::built_in_model!()),
    };
    // ARMv8-M has another kind of MPU, and nothing below its chips' RAM.
    if !env!("RESMCU_ISA").starts_with("thumbv8m") {
        support::arm::guard_stack();
    }
    let (parts, mut eye) = board::take();
    let mut memories = memories();
    service::run::<{ board::FRAME_BYTES }, _, _, _, _, _>(device, parts, &mut eye, &mut memories);
    cortex_m::asm::delay(FAREWELL_CYCLES);
    SCB::sys_reset()
}

/// Nothing feeds the watchdog any more.
#[unsafe(no_mangle)]
fn resmcu_end(_: i32) -> ! {
    support::wait_for_watchdog()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    support::panicked(info)
}
