#![no_std]
#![no_main]
//! The firmware of the emulated boards: the application of `device-app` on one board, chosen by a
//! feature `board-*`.
//!
//! Owns the way out: exit code 0 after a stop, 101 after a panic, 102 after a fault. What differs
//! between boards is in `board`, between architectures in `cpu`; what drives their devices in
//! `peripheral`; what all boards share, real ones too, in the crate `resmcu-board-support`.

mod board;
mod cpu;
mod log;
mod peripheral;

use resmcu_board_support as support;
use resmcu_device_app::{End, Light};
use semihosting::process::exit;
use support::camera::Line;
use support::service::{self, Device, Parts};

support::memories!(board::ARENA_BYTES, board::STEPS);

const DEVICE: Device = Device {
    board: env!("RESMCU_BOARD"),
    isa: env!("RESMCU_ISA"),
    updates: board::UPDATES,
    built_in: None, // the emulator puts one into the slots
};

/// What both architectures' reset code ends in.
fn run() -> ! {
    #[cfg(feature = "provoke-stack-overflow")]
    defmt::info!("overflowing the stack: {=u32}", support::memory::overflow_stack(u32::MAX));
    #[cfg(feature = "provoke-panic")]
    assert!(support::memory::stack_capacity() == 0, "as the feature asks");
    let (serial, counter, light) = board::take();
    let mut parts = Parts { serial, counter, panel: Light(light), flash: board::flash() };
    let mut memories = memories();
    loop {
        let end;
        (end, parts) = service::run::<{ board::FRAME_BYTES }, _, _, _, _, _>(
            DEVICE,
            parts,
            &mut Line,
            &mut memories,
        );
        if end != End::Reset {
            exit(0)
        }
    }
}

/// Ends the emulation.
#[unsafe(no_mangle)]
fn resmcu_end(code: i32) -> ! {
    exit(code)
}

/// There is no such function: an image from which a panic can be reached does not link, and the
/// linker's complaint is this name.
#[cfg(not(any(feature = "allow-panics", debug_assertions)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        safe fn resmcu_a_panic_can_be_reached() -> !;
    }
    resmcu_a_panic_can_be_reached()
}

/// Where panics are allowed, one ends the emulation.
#[cfg(any(feature = "allow-panics", debug_assertions))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    support::panicked(info)
}
