//! The probe itself: what probe-rs asks of a driver, as far as a chip's memory answers it.

use super::Chip;
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
