//! A debug probe for probe-rs whose chip is an emulated micro:bit: the registers by which an ARMv6-M
//! core is debugged, on top of what QEMU's debugger line does.
//!
//! probe-rs attaches, loads its flash algorithm into the board's RAM and runs it there, as it does
//! on a real nRF51: only the wires are missing.

use crate::gdb::{Gdb, PC, SP};
use probe_rs::MemoryInterface;
use probe_rs::architecture::arm::ap::CSW;
use probe_rs::architecture::arm::dp::{DpAddress, DpRegisterAddress};
use probe_rs::architecture::arm::memory::ArmMemoryInterface;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{
    ArmDebugInterface, ArmError, DapAccess, DapProbe, FullyQualifiedApAddress, SwdSequence,
    SwoAccess, SwoConfig,
};
use probe_rs::integration::ProbeLister;
use probe_rs::probe::list::{Lister, ProbeListItem};
use probe_rs::probe::{
    DebugProbe, DebugProbeError, DebugProbeInfo, DebugProbeSelector, Probe, ProbeFactory,
    WireProtocol,
};
use resmcu_device_link::probe::Probes;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
}

impl Machine {
    /// Of a board that stands still.
    pub(crate) fn new(mut gdb: Gdb) -> Self {
        gdb.describe();
        let (reasons, control, data, demcr) = (0, 0, 0, 0);
        Self { gdb, is_halted: true, reasons, control, data, demcr, returns_to: None }
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
        let read = self.standing(|gdb| gdb.try_read(address, bytes));
        read.ok_or_else(|| ArmError::Other(format!("nothing is at {address:#x}")))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError> {
        let written = self.standing(|gdb| gdb.try_write(address, bytes));
        written.ok_or_else(|| ArmError::Other(format!("nothing can be written at {address:#x}")))
    }
}

/// The probe that is plugged into a chip.
#[derive(Clone)]
struct Wires(Arc<Mutex<dyn Chip>>);

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("emulated wires")
    }
}

impl Wires {
    fn chip(&self) -> MutexGuard<'_, dyn Chip + 'static> {
        // A session that ends while a test panics still has its last word with the chip.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The only probe of this computer, in front of `chip`.
pub(crate) fn probes<C: Chip + 'static>(chip: &Arc<Mutex<C>>) -> Probes {
    let chip: Arc<Mutex<dyn Chip>> = Arc::clone(chip) as _;
    Probes::new(Lister::with_lister(Box::new(Wires(chip))))
}

#[derive(Debug)]
struct Driver;

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("emulated")
    }
}

impl ProbeFactory for Driver {
    fn open(&self, _: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
        Err(DebugProbeError::NotImplemented { function_name: "open" })
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        Vec::new()
    }
}

impl ProbeLister for Wires {
    fn open(&self, _: &DebugProbeSelector) -> Result<Probe, DebugProbeError> {
        Ok(Probe::new(self.clone()))
    }

    fn list_with_access(&self, _: Option<&DebugProbeSelector>) -> Vec<ProbeListItem> {
        let serial = Some("1".to_owned());
        let info = DebugProbeInfo::new("Emulated", 0xFFFF, 1, serial, &Driver, None, false);
        vec![ProbeListItem::accessible(info)]
    }
}

impl DebugProbe for Wires {
    fn get_name(&self) -> &str {
        "Emulated"
    }

    fn speed_khz(&self) -> u32 {
        1000
    }

    fn set_speed(&mut self, speed_khz: u32) -> Result<u32, DebugProbeError> {
        Ok(speed_khz)
    }

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), probe_rs::Error> {
        Ok(())
    }

    fn target_reset(&mut self) -> Result<(), DebugProbeError> {
        Err(DebugProbeError::NotImplemented { function_name: "target_reset" })
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        Err(DebugProbeError::NotImplemented { function_name: "target_reset_assert" })
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn select_protocol(&mut self, _: WireProtocol) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Swd)
    }

    fn has_arm_interface(&self) -> bool {
        true
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        _: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        Ok(self)
    }
}

impl ArmDebugInterface for Wires {
    fn reinitialize(&mut self) -> Result<(), ArmError> {
        Ok(())
    }

    fn access_ports(
        &mut self,
        dp: DpAddress,
    ) -> Result<BTreeSet<FullyQualifiedApAddress>, ArmError> {
        Ok(BTreeSet::from([FullyQualifiedApAddress::v1_with_dp(dp, 0)]))
    }

    fn close(self: Box<Self>) -> Probe {
        Probe::new(*self)
    }

    fn select_debug_port(&mut self, _: DpAddress) -> Result<(), ArmError> {
        Ok(())
    }

    fn current_debug_port(&self) -> Option<DpAddress> {
        Some(DpAddress::Default)
    }

    fn memory_interface(
        &mut self,
        _: &FullyQualifiedApAddress,
    ) -> Result<Box<dyn ArmMemoryInterface + '_>, ArmError> {
        Ok(Box::new(self))
    }
}

impl SwdSequence for Wires {
    fn swj_sequence(&mut self, _: u8, _: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, _: u32, _: u32, _: u32) -> Result<u32, DebugProbeError> {
        Ok(0)
    }
}

impl SwoAccess for Wires {
    fn enable_swo(&mut self, _: &SwoConfig) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("trace"))
    }

    fn disable_swo(&mut self) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("trace"))
    }

    fn read_swo_timeout(&mut self, _: Duration) -> Result<Vec<u8>, ArmError> {
        Err(ArmError::NotImplemented("trace"))
    }
}

/// There are no ports under the memory: what asks for one is not this kind of probe's.
impl DapAccess for Wires {
    fn read_raw_dp_register(
        &mut self,
        _: DpAddress,
        _: DpRegisterAddress,
    ) -> Result<u32, ArmError> {
        Err(ArmError::NotImplemented("debug port"))
    }

    fn write_raw_dp_register(
        &mut self,
        _: DpAddress,
        _: DpRegisterAddress,
        _: u32,
    ) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("debug port"))
    }

    fn read_raw_ap_register(
        &mut self,
        _: &FullyQualifiedApAddress,
        _: u64,
    ) -> Result<u32, ArmError> {
        Err(ArmError::NotImplemented("access port"))
    }

    fn write_raw_ap_register(
        &mut self,
        _: &FullyQualifiedApAddress,
        _: u64,
        _: u32,
    ) -> Result<(), ArmError> {
        Err(ArmError::NotImplemented("access port"))
    }

    fn try_dap_probe(&self) -> Option<&dyn DapProbe> {
        None
    }

    fn try_dap_probe_mut(&mut self) -> Option<&mut dyn DapProbe> {
        None
    }
}

impl ArmMemoryInterface for &mut Wires {
    fn fully_qualified_address(&self) -> FullyQualifiedApAddress {
        FullyQualifiedApAddress::v1_with_default_dp(0)
    }

    fn base_address(&mut self) -> Result<u64, ArmError> {
        Err(ArmError::NotImplemented("base address"))
    }

    fn get_arm_debug_interface(&mut self) -> Result<&mut dyn ArmDebugInterface, DebugProbeError> {
        Ok(*self)
    }

    fn generic_status(&mut self) -> Result<CSW, ArmError> {
        Err(ArmError::NotImplemented("status of the access port"))
    }
}

impl MemoryInterface<ArmError> for &mut Wires {
    fn supports_native_64bit_access(&mut self) -> bool {
        false
    }

    fn supports_8bit_transfers(&self) -> Result<bool, ArmError> {
        Ok(true)
    }

    fn read_64(&mut self, _: u64, _: &mut [u64]) -> Result<(), ArmError> {
        Err(ArmError::UnsupportedTransferWidth(64))
    }

    fn read_32(&mut self, address: u64, words: &mut [u32]) -> Result<(), ArmError> {
        let mut chip = self.chip();
        if let [word] = words {
            *word = chip.read_word(address)?;
            return Ok(());
        }
        let bytes = chip.read(address, 4 * words.len())?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        }
        Ok(())
    }

    fn read_16(&mut self, address: u64, halves: &mut [u16]) -> Result<(), ArmError> {
        let bytes = self.chip().read(address, 2 * halves.len())?;
        for (half, bytes) in halves.iter_mut().zip(bytes.chunks_exact(2)) {
            *half = u16::from_le_bytes(bytes.try_into().expect("two bytes"));
        }
        Ok(())
    }

    fn read_8(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ArmError> {
        bytes.copy_from_slice(&self.chip().read(address, bytes.len())?);
        Ok(())
    }

    fn write_64(&mut self, _: u64, _: &[u64]) -> Result<(), ArmError> {
        Err(ArmError::UnsupportedTransferWidth(64))
    }

    fn write_32(&mut self, address: u64, words: &[u32]) -> Result<(), ArmError> {
        if let [word] = words {
            return self.chip().write_word(address, *word);
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.chip().write(address, &bytes)
    }

    fn write_16(&mut self, address: u64, halves: &[u16]) -> Result<(), ArmError> {
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        self.chip().write(address, &bytes)
    }

    fn write_8(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError> {
        self.chip().write(address, bytes)
    }

    fn flush(&mut self) -> Result<(), ArmError> {
        Ok(())
    }
}
