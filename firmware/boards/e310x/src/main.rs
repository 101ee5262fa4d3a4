#![no_std]
#![no_main]
//! The firmware of the HiFive1 Rev B (FE310-G002) by `e310x-hal`: the application of `device-app`.
//!
//! Pictures come over the serial line: 16 KiB of RAM hold no camera's row beside a ResNet-8. The
//! HAL has no driver of the flash, which the code runs from: the slots are read, and updates
//! refused; a probe writes them. The code is RV32IMC's, since the chip has no `lr` and `sc`.

use ::embedded_io::{Read, Write};
use core::convert::Infallible;
use defmt_rtt as _; // the log
use e310x_hal::DeviceResources;
use e310x_hal::clock::Clocks;
use e310x_hal::prelude::*;
use e310x_hal::serial::Serial;
use e310x_hal::wdog::{Wdog, WdogExt};
use resmcu_board_support as support;
use resmcu_device_app::{Counter, Light, Panel, Watched};
use static_cell::StaticCell;
use support::camera::Line;
use support::line::Polled;
use support::rom_flash::RomFlash;
use support::service::{self, Device, Parts};
use support::watchdog::Shared;
use support::{memory, riscv as cpu, taken};

/// Of 16 KiB of RAM: the rings of a ResNet-8.
const ARENA_BYTES: usize = 10_752;

/// The longest plan that this build decodes: a ResNet-8 whose adds are steps of their own.
const STEPS: usize = 16;

/// The longest frame: a row of 32 RGB pixels fits.
const FRAME_BYTES: usize = 128;

/// The board's oscillator for the clocks that run on while the core sleeps.
const SLOW_HZ: u32 = 32_768;

/// The watchdog counts that clock divided by two to this power, up to [`WATCHDOG_LIMIT`]: 20
/// seconds.
const WATCHDOG_SCALE: u8 = 5;
const WATCHDOG_LIMIT: u16 = 20_480;

support::memories!(ARENA_BYTES, STEPS);

#[riscv_rt::entry]
fn main() -> ! {
    cpu::catch_traps();
    cpu::paint_stack();
    let device = Device {
        board: env!("RESMCU_BOARD"),
        isa: env!("RESMCU_ISA"),
        updates: false,
        built_in: Some(support::built_in_model!()),
    };
    service::run::<FRAME_BYTES, _, _, _, _, _>(device, take(), &mut Line, &mut memories());
    // Stopped or reset: the watchdog starts the chip again.
    resmcu_end(0)
}

/// The board, once.
fn take() -> Parts<impl Read + Write<Error = Infallible>, impl Counter, impl Panel, RomFlash> {
    static DOG: StaticCell<Shared<Wdog>> = StaticCell::new();
    let DeviceResources { peripherals: chip, pins, .. } = taken(DeviceResources::take());
    let core_clock = chip.PRCI.constrain().use_external(16.mhz()).coreclk(320.mhz());
    let slow_clock = chip.AONCLK.constrain().use_external(SLOW_HZ.hz());
    let clocks = Clocks::freeze(core_clock, slow_clock);

    let mut watchdog = chip.WDOG.configure().enable().enable_reset().scale(WATCHDOG_SCALE).freeze();
    watchdog.set_cmp(WATCHDOG_LIMIT);
    watchdog.feed();
    let dog: &'static _ = DOG.init(Shared::new(watchdog, Wdog::feed));

    let lines = (pins.pin17.into_iof0(), pins.pin16.into_iof0());
    let serial = Serial::new(chip.UART0, lines, 115_200.bps(), clocks);
    let light = pins.pin19.into_inverted_output(); // the green one, which shines when low
    let (start, [a, b]) = memory::slots();
    Parts {
        serial: Polled::new(serial, || dog.feed()),
        counter: cpu::cycles(),
        panel: Watched { panel: Light(light), feed: || dog.feed() },
        // SAFETY: the memory map gives these bytes to the slots, and they are flash.
        flash: unsafe { RomFlash::new(start, (a.bytes + b.bytes) as usize) },
    }
}

/// Nothing feeds the watchdog any more.
#[unsafe(no_mangle)]
fn resmcu_end(_: i32) -> ! {
    support::wait_for_watchdog()
}

/// All traps are caught before; the runtime crate wants a handler nevertheless.
#[unsafe(no_mangle)]
extern "C" fn ExceptionHandler() -> ! {
    resmcu_end(support::code::FAULT)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    support::panicked(info)
}
