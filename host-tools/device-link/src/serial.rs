//! A board on a serial port: a UART behind a USB bridge, a USB serial port, a pseudo-terminal.
//!
//! Owns opening the port, and what to say where it is not there, not allowed, in use or gone. Any
//! number of bytes may be lost on it: the conversation above copes.

use crate::device::Device;
use crate::error::LinkError;
use serialport::{ErrorKind as Kind, SerialPort, SerialPortType};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Baud of the boards' firmware.
pub const BAUD: u32 = 115_200;

/// How long the port may take no bytes.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// The shortest wait that the system's timers are asked for.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// An open serial port.
pub struct Serial {
    name: String,
    port: Box<dyn SerialPort>,
}

/// A serial port of this computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// What it is opened by.
    pub name: String,
    /// What is known of the device behind it.
    pub product: String,
    /// USB vendor and product of it.
    pub usb: Option<(u16, u16)>,
    /// The USB device's serial number.
    pub serial: Option<String>,
}

impl Serial {
    /// Opens the port `name` with eight bits, no parity, one stop bit.
    ///
    /// # Errors
    /// Where there is none, or it may not be opened.
    pub fn open(name: &str, baud: u32) -> Result<Self, LinkError> {
        let opened = serialport::new(name, baud).timeout(WAIT_MIN).open();
        let port = opened.map_err(|error| refused(name, &error))?;
        Ok(Self { name: name.to_owned(), port })
    }

    fn gone(&self, error: &std::io::Error) -> LinkError {
        LinkError::PortGone { port: self.name.clone(), reason: error.to_string() }
    }
}

fn refused(port: &str, error: &serialport::Error) -> LinkError {
    let (port, reason) = (port.to_owned(), error.to_string());
    match error.kind {
        Kind::Io(ErrorKind::PermissionDenied) => LinkError::PortDenied { port },
        Kind::Io(ErrorKind::NotFound) => {
            let known = ports().into_iter().map(|port| port.name);
            LinkError::PortMissing { port, known: Vec::from_iter(known).join(", ") }
        }
        // What is there and cannot be opened: in use by another program, or no serial port.
        _ => LinkError::PortUnusable { port, reason },
    }
}

impl Device for Serial {
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let deadline = Instant::now() + WRITE_MAX;
        let mut left = bytes;
        while !left.is_empty() {
            self.port.set_timeout(WRITE_MAX).map_err(|error| self.gone(&error.into()))?;
            match self.port.write(left) {
                Ok(0) => return Err(self.gone(&ErrorKind::WriteZero.into())),
                Ok(bytes) => left = left.get(bytes..).unwrap_or_default(),
                Err(error) if is_passing(&error) && Instant::now() < deadline => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Err(LinkError::Line { reason: "the port takes no bytes".into() });
                }
                Err(error) => return Err(self.gone(&error)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, LinkError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(0);
            }
            let set = self.port.set_timeout(left.max(WAIT_MIN));
            set.map_err(|error| self.gone(&error.into()))?;
            match self.port.read(buffer) {
                Ok(0) => return Err(self.gone(&ErrorKind::UnexpectedEof.into())),
                Ok(bytes) => return Ok(bytes),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(self.gone(&error)),
            }
        }
    }

    /// A board on a port begins anew after it was stopped: there is nothing to wait for.
    fn wait(&mut self, _deadline: Instant) -> Result<Option<i32>, LinkError> {
        Ok(None)
    }
}

fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The serial ports of this computer, those of USB devices first; none where they cannot be listed.
#[must_use]
pub fn ports() -> Vec<PortInfo> {
    // Where Linux has no such folder (some containers), serialport panics.
    if cfg!(target_os = "linux") && !Path::new("/sys/class/tty").is_dir() {
        return Vec::new();
    }
    let mut ports: Vec<PortInfo> = serialport::available_ports()
        .unwrap_or_default()
        .into_iter()
        .map(|port| match port.port_type {
            SerialPortType::UsbPort(usb) => PortInfo {
                name: port.port_name,
                product: usb.product.or(usb.manufacturer).unwrap_or_default(),
                usb: Some((usb.vid, usb.pid)),
                serial: usb.serial_number,
            },
            kind => PortInfo {
                name: port.port_name,
                product: match kind {
                    SerialPortType::BluetoothPort => "Bluetooth".to_owned(),
                    SerialPortType::PciPort => "PCI".to_owned(),
                    _ => String::new(),
                },
                usb: None,
                serial: None,
            },
        })
        .collect();
    ports.sort_by(|a, b| (a.usb.is_none(), &a.name).cmp(&(b.usb.is_none(), &b.name)));
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, message: &str, help: &str) {
        let error = refused("/dev/ttyACM7", &serialport::Error::new(kind, "as it says"));
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.help().contains(help), "{}", error.help());
    }

    #[test]
    fn why_a_port_cannot_be_opened_is_said_with_what_to_do() {
        let io = Kind::Io;
        check(io(ErrorKind::PermissionDenied), "/dev/ttyACM7 may not be opened", "dialout");
        check(io(ErrorKind::NotFound), "no serial port /dev/ttyACM7", "cable");
        check(Kind::NoDevice, "/dev/ttyACM7 cannot be opened: as it says", "close the program");
        check(Kind::Unknown, "cannot be opened: as it says", "name a serial port");
    }
}
