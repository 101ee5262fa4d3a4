//! Debug probes: which there are, and which one is meant.
//!
//! Owns the choice of a probe and the errors of all that probe-rs does. `attach` reaches the chip,
//! `flash` writes it, `channels` speaks with its firmware through its memory. The probes come from
//! a [`Lister`], so that tests bring their own.

mod attach;
mod channels;
mod error;
mod flash;

pub use attach::{AttachOptions, Attached};
pub use channels::{LOG_CHANNEL, PROTOCOL_CHANNEL, ProbeLine, monitor};
pub use error::ProbeError;
pub use flash::{Flashed, Memory, Part, Progress, Stage, Writer, Written, WrittenModel};
pub use probe_rs::probe::list::Lister;

use error::chain;
use probe_rs::probe::list::{Accessibility, ProbeListItem};
use probe_rs::probe::{DebugProbeError, DebugProbeSelector, Probe, ProbeCreationError};
use std::fmt;

/// The debug probes of this computer.
pub struct Probes {
    lister: Lister,
}

/// A debug probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeInfo {
    /// Its name.
    pub name: String,
    /// How probe-rs drives it.
    pub kind: String,
    /// USB vendor and product.
    pub usb: (u16, u16),
    /// Its serial number.
    pub serial: Option<String>,
    /// This user may open it.
    pub accessible: bool,
}

impl fmt::Display for ProbeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vendor, product) = self.usb;
        write!(f, "{} ({vendor:04x}:{product:04x}", self.name)?;
        match &self.serial {
            Some(serial) => write!(f, ":{serial})"),
            None => write!(f, ")"),
        }
    }
}

impl Default for Probes {
    fn default() -> Self {
        Self::new(Lister::new())
    }
}

impl Probes {
    /// Those that `lister` finds; [`Probes::default`] asks for all that are plugged in.
    #[must_use]
    pub fn new(lister: Lister) -> Self {
        Self { lister }
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> Vec<ProbeInfo> {
        self.lister.list_all_with_access().iter().map(info).collect()
    }

    /// Opens the one that `wanted` names by its serial number, or by `VID:PID` or
    /// `VID:PID:SERIAL`; without a choice the only one.
    ///
    /// # Errors
    /// Where there is none, or more than one, or it cannot be opened.
    pub fn open(&self, wanted: Option<&str>) -> Result<(Probe, ProbeInfo), ProbeError> {
        let all = self.lister.list_all_with_access();
        let fitting: Vec<_> = all.iter().filter(|item| is_meant(item, wanted)).collect();
        let item = match (&fitting[..], wanted) {
            ([], _) if all.is_empty() => return Err(ProbeError::NoProbe),
            ([], wanted) => {
                let wanted = wanted.unwrap_or_default().to_owned();
                return Err(ProbeError::NotFound { wanted, found: in_words(&all) });
            }
            ([item], _) => *item,
            (several, _) => {
                let found = in_words(several.iter().copied());
                return Err(ProbeError::Several { count: several.len(), found });
            }
        };
        let (info, probe) = (info(item), item.info.to_string());
        if !info.accessible {
            return Err(ProbeError::Denied { probe: info.to_string() });
        }
        match self.lister.open(&item.info) {
            Ok(probe) => Ok((probe, info)),
            Err(DebugProbeError::ProbeCouldNotBeCreated(ProbeCreationError::NotFound)) => {
                let reason = format!("{probe} was listed and is not there any more");
                Err(ProbeError::Unusable { probe: info.to_string(), reason })
            }
            Err(error) => {
                Err(ProbeError::Unusable { probe: info.to_string(), reason: chain(&error) })
            }
        }
    }
}

/// Whether the user's words mean this probe.
fn is_meant(item: &ProbeListItem, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    let by_serial = item.info.serial_number.as_deref() == Some(wanted);
    by_serial || wanted.parse::<DebugProbeSelector>().is_ok_and(|s| s.matches_probe(&item.info))
}

fn info(item: &ProbeListItem) -> ProbeInfo {
    ProbeInfo {
        name: item.info.identifier.clone(),
        kind: item.info.probe_type(),
        usb: (item.info.vendor_id, item.info.product_id),
        serial: item.info.serial_number.clone(),
        accessible: item.accessibility == Accessibility::Accessible,
    }
}

fn in_words<'p>(items: impl IntoIterator<Item = &'p ProbeListItem>) -> String {
    let words: Vec<_> = items.into_iter().map(|item| info(item).to_string()).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests;
