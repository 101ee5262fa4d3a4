//! A debug probe for probe-rs whose chip is an emulated micro:bit: the registers by which an
//! ARMv6-M core is debugged, on top of what QEMU's debugger line does. `wires` is the probe.
//!
//! probe-rs attaches, loads its flash algorithm into the board's RAM and runs it there, as it does
//! on a real nRF51: only the wires are missing.

mod wires;

pub(crate) use wires::probes;

use crate::gdb::{Gdb, PC, SP};
use probe_rs::architecture::arm::ArmError;
use std::time::Duration;

/// Registers of an ARMv6-M core (ARMv6-M Architecture Reference Manual, C1.6).
pub(crate) mod register {
    pub(super) const BP_CTRL: u64 = 0xE000_2000;
    pub(super) const BP_END: u64 = 0xE000_3000;
    pub(super) const AIRCR: u64 = 0xE000_ED0C;
    pub(super) const DFSR: u64 = 0xE000_ED30;
    pub(crate) const DHCSR: u64 = 0xE000_EDF0;
    pub(super) const DCRSR: u64 = 0xE000_EDF4;
    pub(super) const DCRDR: u64 = 0xE000_EDF8;
    pub(super) const DEMCR: u64 = 0xE000_EDFC;
}

const LR: usize = 14;
/// The number of xPSR in DCRSR, and on QEMU's debugger line.
const XPSR: [usize; 2] = [16, 25];
const MSP: usize = 17;

pub(crate) const C_HALT: u32 = 1 << 1;
pub(crate) const C_STEP: u32 = 1 << 2;
pub(crate) const S_REGRDY: u32 = 1 << 16;
pub(crate) const S_HALT: u32 = 1 << 17;
const VC_CORERESET: u32 = 1 << 0;
const SYSRESETREQ: u32 = 1 << 2;
const HALTED: u32 = 1 << 0;
const BKPT: u32 = 1 << 1;

/// What is at the other end of a probe's wires.
pub(crate) trait Chip: Send {
    /// Reads a word of memory, or a register of the core.
    fn read_word(&mut self, address: u64) -> Result<u32, ArmError>;
    /// Writes a word of memory, or a register of the core.
    fn write_word(&mut self, address: u64, word: u32) -> Result<(), ArmError>;
    /// Reads memory.
    fn read(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>, ArmError>;
    /// Writes memory.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError>;
}

/// A core with a debugger.
pub(crate) struct Machine {
    gdb: Gdb,
    is_halted: bool,
    /// What DFSR, DHCSR's control bits, DCRDR and DEMCR hold.
    reasons: u32,
    control: u32,
    data: u32,
    demcr: u32,
    /// The `bkpt` that the running routine returns to: QEMU's core would fault on it.
    returns_to: Option<u64>,
    /// Accesses that still come through the wires.
    left: usize,
}

impl Machine {
    /// Of a board that stands still.
    pub(crate) fn new(mut gdb: Gdb) -> Self {
        gdb.describe();
        let (reasons, control, data, demcr) = (0, 0, 0, 0);
        let (is_halted, returns_to, left) = (true, None, usize::MAX);
        Self { gdb, is_halted, reasons, control, data, demcr, returns_to, left }
    }

    /// Pulls the wires out after some more accesses.
    pub(crate) fn pull_after(&mut self, accesses: usize) {
        self.left = accesses;
    }

    /// Plugs the wires in again, and has the board begin anew, as after power on.
    pub(crate) fn mend(&mut self) {
        self.left = usize::MAX;
        self.halt();
        self.demcr = 0;
        self.gdb.begin_anew();
        self.go();
    }

    /// One access through the wires.
    fn access(&mut self) -> Result<(), ArmError> {
        let left = self.left.checked_sub(1);
        self.left = left.ok_or_else(|| ArmError::Other("the wires are loose".to_owned()))?;
        Ok(())
    }

    /// Lets it run.
    pub(crate) fn go(&mut self) {
        if self.is_halted {
            let lr = u64::from(self.gdb.registers()[LR]) & !1;
            let is_bkpt = self.gdb.try_read(lr, 2).is_some_and(|code| code[1] == 0xBE);
            if is_bkpt && self.returns_to.is_none() {
                self.gdb.breakpoint(lr, true);
                self.returns_to = Some(lr);
            }
            self.gdb.go();
            self.is_halted = false;
        }
    }

    fn halt(&mut self) {
        if !self.is_halted && !self.has_stopped() {
            self.gdb.interrupt();
            self.stopped(HALTED);
        }
    }

    /// Whether it stands still, by itself or because it was halted.
    fn has_stopped(&mut self) -> bool {
        if !self.is_halted && self.gdb.stopped(Duration::from_millis(1)) {
            self.stopped(BKPT);
        }
        self.is_halted
    }

    fn stopped(&mut self, reason: u32) {
        self.is_halted = true;
        self.reasons |= reason;
        if let Some(address) = self.returns_to.take() {
            self.gdb.breakpoint(address, false);
        }
    }

    /// Does something that QEMU's debugger line does only while the core stands still.
    fn standing<T>(&mut self, act: impl FnOnce(&mut Gdb) -> T) -> T {
        let ran = !self.has_stopped();
        if ran {
            self.gdb.interrupt();
        }
        let result = act(&mut self.gdb);
        if ran {
            self.gdb.go();
        }
        result
    }

    /// Puts bytes into its memory, flash too, past everything that guards it.
    pub(crate) fn put(&mut self, address: u64, bytes: &[u8]) {
        self.standing(|gdb| gdb.write(address, bytes));
    }

    /// Moves a register of the halted core from or to DCRDR.
    fn transfer(&mut self, selector: u32) {
        let number = match (selector & 0x7F) as usize {
            MSP => SP,
            number if number == XPSR[0] => XPSR[1],
            number if number <= PC => number,
            _ => {
                self.data = 0;
                return;
            }
        };
        if selector >> 16 & 1 == 1 {
            self.gdb.set_register(number, self.data);
        } else {
            self.data = self.gdb.register(number);
        }
    }
}

impl Chip for Machine {
    fn read_word(&mut self, address: u64) -> Result<u32, ArmError> {
        self.access()?;
        Ok(match address {
            register::DHCSR => {
                let halt = if self.has_stopped() { S_HALT } else { 0 };
                self.control | S_REGRDY | halt
            }
            register::DCRDR => self.data,
            register::DEMCR => self.demcr,
            register::DFSR => self.reasons,
            register::BP_CTRL..register::BP_END => 0, // no comparators
            _ => {
                let bytes = self.read(address, 4)?;
                u32::from_le_bytes(bytes.try_into().expect("four bytes"))
            }
        })
    }

    fn write_word(&mut self, address: u64, word: u32) -> Result<(), ArmError> {
        self.access()?;
        match address {
            register::DHCSR if word >> 16 == 0xA05F => {
                self.control = word & 0xFFFF;
                match (word & C_HALT != 0, word & C_STEP != 0) {
                    (true, _) => self.halt(),
                    (false, true) => {
                        self.gdb.step();
                        self.stopped(HALTED);
                    }
                    (false, false) => self.go(),
                }
            }
            register::DCRSR => self.transfer(word),
            register::DCRDR => self.data = word,
            register::DEMCR => self.demcr = word,
            register::DFSR => self.reasons &= !word,
            register::AIRCR => {
                if word & SYSRESETREQ != 0 {
                    self.halt();
                    self.gdb.begin_anew();
                    if self.demcr & VC_CORERESET == 0 {
                        self.go();
                    }
                }
            }
            register::BP_CTRL..register::BP_END => {}
            _ => self.write(address, &word.to_le_bytes())?,
        }
        Ok(())
    }

    fn read(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>, ArmError> {
        self.access()?;
        let read = self.standing(|gdb| gdb.try_read(address, bytes));
        read.ok_or_else(|| ArmError::Other(format!("nothing is at {address:#x}")))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError> {
        self.access()?;
        let written = self.standing(|gdb| gdb.try_write(address, bytes));
        written.ok_or_else(|| ArmError::Other(format!("nothing can be written at {address:#x}")))
    }
}
