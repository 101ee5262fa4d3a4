//! `resmcu probe`: the debug probes and serial ports of this computer.

use crate::failure::Outcome;
use crate::output::{Opening, Report, table};
use clap::Args;
use resmcu_device_link::ports;
use resmcu_device_link::probe::Probes;
use serde::Serialize;
use std::fmt;

/// Lists the debug probes and serial ports that boards may be behind
#[derive(Debug, Args)]
pub(crate) struct Probe {
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    probes: Vec<Found>,
    ports: Vec<Found>,
}

/// A probe, or a port.
#[derive(Debug, Serialize)]
struct Found {
    name: String,
    /// What a probe is driven as, or what a port belongs to.
    kind: String,
    usb: Option<String>,
    serial: Option<String>,
    /// This user may open it; of ports it is not known before they are opened.
    accessible: Option<bool>,
    /// What `--target` takes.
    target: String,
}

impl Probe {
    pub(crate) fn run(&self) -> Outcome {
        let usb = |(vendor, product): (u16, u16)| format!("{vendor:04x}:{product:04x}");
        let probes = Probes::default().list().into_iter().map(|probe| Found {
            target: probe.serial.as_ref().map_or_else(
                || format!("probe:{}", usb(probe.usb)),
                |serial| format!("probe:{serial}"),
            ),
            usb: Some(usb(probe.usb)),
            name: probe.name,
            kind: probe.kind,
            serial: probe.serial,
            accessible: Some(probe.accessible),
        });
        let ports = ports().into_iter().map(|port| Found {
            target: format!("serial:{}", port.name),
            usb: port.usb.map(usb),
            name: port.name,
            kind: port.product,
            serial: port.serial,
            accessible: None,
        });
        let body = Body { probes: probes.collect(), ports: ports.collect() };
        Report { opening: Opening::plain(), body }.print(self.json.json)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "debug probe", "driven as", &self.probes)?;
        if self.probes.is_empty() {
            writeln!(
                f,
                "no debug probe is connected; `resmcu doctor` says what one needs on this system"
            )?;
        }
        writeln!(f)?;
        list(f, "serial port", "device", &self.ports)?;
        if self.ports.is_empty() {
            writeln!(f, "this computer has no serial port")?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, name: &str, kind: &str, found: &[Found]) -> fmt::Result {
    if found.is_empty() {
        return Ok(());
    }
    let mut rows = table(&[name, kind, "USB", "serial number", "--target"]);
    for found in found {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let target = match found.accessible {
            Some(false) => format!("{} (not allowed: udev rules)", found.target),
            _ => found.target.clone(),
        };
        let (usb, serial) = (or_dash(&found.usb), or_dash(&found.serial));
        rows.add_row([found.name.clone(), found.kind.clone(), usb, serial, target]);
    }
    writeln!(f, "{rows}")
}
