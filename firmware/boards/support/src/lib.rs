#![no_std]
//! What the firmware of all boards shares, emulated and real ones.
//!
//! Owns the way from reset to the service of the application: which model runs, in which memory,
//! and what becomes of a fault. Knows no board: its serial line, counter, light and flash come in
//! as traits, its memory map by the linker's symbols, its way out as the function `resmcu_end`.

#[cfg(target_arch = "arm")]
pub mod arm;
pub mod camera;
pub mod cycles;
#[cfg(feature = "display")]
pub mod display;
pub mod flash;
pub mod light;
pub mod line;
pub mod memory;
pub mod nrf51_nvmc;
mod register;
#[cfg(target_arch = "riscv32")]
pub mod riscv;
pub mod rom_flash;
pub mod service;
pub mod watchdog;

use portable_atomic::{AtomicBool, Ordering};
pub use register::Register;
pub use resmcu_device_app as device_app;
pub use static_cell;

/// Exit codes, where a board has such: [`fail`] and the panic handlers use them.
pub mod code {
    /// After a panic.
    pub const PANIC: i32 = 101;
    /// After a fault.
    pub const FAULT: i32 = 102;
}

unsafe extern "Rust" {
    /// How a board ends: an emulated one stops, a real one starts again. Each firmware defines it.
    safe fn resmcu_end(code: i32) -> !;
}

/// Ends after a failure; `log` writes one line if the log is still usable.
pub fn fail(code: i32, log: impl FnOnce()) -> ! {
    static FAILED: AtomicBool = AtomicBool::new(false);
    // The logger itself may be what failed: the second time nothing is logged.
    if !FAILED.load(Ordering::Relaxed) {
        FAILED.store(true, Ordering::Relaxed);
        log();
    }
    resmcu_end(code)
}

/// What a panic handler does: says where it was, and ends.
pub fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    fail(code::PANIC, || match info.location() {
        Some(at) => defmt::error!("panic at {=str}:{=u32}", at.file(), at.line()),
        None => defmt::error!("panic"),
    })
}

/// The end of a real board, whose watchdog nothing feeds any more.
pub fn wait_for_watchdog() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// What exists once and was taken by nobody else.
pub fn taken<T>(once: Option<T>) -> T {
    once.unwrap_or_else(|| fail(code::PANIC, || defmt::error!("a part was taken twice")))
}
