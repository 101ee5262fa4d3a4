//! The log: defmt's frames to the emulator or the debugger, by semihosting.
//!
//! As the crate `defmt-semihosting` does it, but without a way to panic: an image holds none. Where
//! nobody takes the log it is lost. A line that a fault interrupts is given up for the fault's own,
//! whose frame begins with a delimiter.

use core::cell::UnsafeCell;
use critical_section::RestoreState;
use defmt::{Encoder, Logger, global_logger};
use semihosting::fd::{BorrowedFd, RawFd};
use semihosting::sys;
use semihosting::sys::arm_compat::{OpenMode, sys_open};

/// Neither opened nor refused yet.
const UNKNOWN: RawFd = -2;
/// Nobody takes the log.
const NOBODY: RawFd = -1;

struct Log {
    encoder: Encoder,
    file: RawFd,
    restore: RestoreState,
}

impl Log {
    /// Standard output, opened with the first line.
    fn open(&mut self) {
        if self.file == UNKNOWN {
            self.file = sys_open(c":tt", OpenMode::WRONLY_TRUNC).map_or(NOBODY, |file| {
                let raw = file.as_raw_fd();
                core::mem::forget(file); // it stays open
                raw
            });
        }
    }
}

/// Writes all, or as much as is taken.
fn write(file: RawFd, mut bytes: &[u8]) {
    while file != NOBODY && !bytes.is_empty() {
        // SAFETY: `open` opened it, nobody closes it, and it is not -1.
        let file = unsafe { BorrowedFd::borrow_raw(file) };
        let Ok(written @ 1..) = sys::write(file, bytes) else { return };
        bytes = bytes.get(written..).unwrap_or_default();
    }
}

/// The one log, which belongs to whoever is inside of the critical section.
struct Shared(UnsafeCell<Log>);

// SAFETY: all access is between `acquire` and `release`, inside of a critical section of the only
// core; a fault's handler, which interrupts that, does not return to what it interrupted.
unsafe impl Sync for Shared {}

static LOG: Shared = Shared(UnsafeCell::new(Log {
    encoder: Encoder::new(),
    file: UNKNOWN,
    restore: RestoreState::invalid(),
}));

#[global_logger]
struct Semihosting;

// SAFETY: `acquire` begins a critical section, `release` ends it, and the others come between.
unsafe impl Logger for Semihosting {
    fn acquire() {
        // SAFETY: `release` ends it.
        let restore = unsafe { critical_section::acquire() };
        // SAFETY: inside of the critical section; see `Sync`.
        let log = unsafe { &mut *LOG.0.get() };
        log.restore = restore;
        log.open();
        let file = log.file;
        log.encoder.start_frame(|bytes| write(file, bytes));
    }

    unsafe fn flush() {
        // A semihosting write is with the host when it returns.
    }

    unsafe fn release() {
        // SAFETY: inside of the critical section; see `Sync`.
        let log = unsafe { &mut *LOG.0.get() };
        let file = log.file;
        log.encoder.end_frame(|bytes| write(file, bytes));
        // SAFETY: the state is that of the one `acquire` before.
        unsafe { critical_section::release(log.restore) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: inside of the critical section; see `Sync`.
        let log = unsafe { &mut *LOG.0.get() };
        let file = log.file;
        log.encoder.write(bytes, |bytes| write(file, bytes));
    }
}
