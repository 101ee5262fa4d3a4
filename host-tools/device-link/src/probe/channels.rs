//! A board's firmware spoken with through its memory: RTT channels that a probe reads and writes.
//!
//! Owns the names of the channels: [`PROTOCOL_CHANNEL`] up and down carries the frames of
//! `wire-protocol`, [`LOG_CHANNEL`] up the log. A firmware that has only the log's is monitored,
//! and spoken with on its serial port.

use super::error::chain;
use super::{Attached, ProbeError};
use crate::device::Device;
use crate::error::LinkError;
use crate::firmware::Firmware;
use crate::log::{LastWords, LogLine, decode};
use probe_rs::rtt::{Error, Rtt};
use std::io::{PipeWriter, Write, pipe};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Both channels of the protocol.
pub const PROTOCOL_CHANNEL: &str = "resmcu";

/// The log's, as `defmt-rtt` calls it.
pub const LOG_CHANNEL: &str = "defmt";

/// How long a firmware may take to set its channels up.
const SET_UP_MAX: Duration = Duration::from_secs(3);

/// How long the board may take no bytes.
const SEND_MAX: Duration = Duration::from_secs(10);

/// How often empty channels are looked at.
const POLL: Duration = Duration::from_millis(2);

/// The channels of a firmware that runs, and its log on its way to a decoder.
struct Channels {
    board: Attached,
    address: u64,
    rtt: Rtt,
    log: Option<usize>,
    bytes: Option<PipeWriter>,
    decoder: Option<JoinHandle<()>>,
}

impl Channels {
    fn attach(
        mut board: Attached,
        firmware: &Firmware,
        line: impl FnMut(LogLine) + Send + 'static,
    ) -> Result<Self, LinkError> {
        let path = firmware.path().to_owned();
        let symbol = firmware.symbol("_SEGGER_RTT");
        let address = symbol.ok_or(ProbeError::NoRtt { path })?;
        let rtt = set_up(&mut board, address)?;
        let named = |name| rtt.up_channels.iter().position(|c| c.name() == Some(name));
        let log = named(LOG_CHANNEL);
        let piped = |error: std::io::Error| LinkError::Start {
            what: "a pipe for the log",
            reason: error.to_string(),
        };
        let (reader, writer) = pipe().map_err(piped)?;
        let table = firmware.table();
        let decoder = thread::spawn(move || decode(&table, reader, line));
        let (bytes, decoder) = (Some(writer), Some(decoder));
        Ok(Self { board, address, rtt, log, bytes, decoder })
    }

    fn failed(&self, error: &Error) -> ProbeError {
        ProbeError::Rtt { address: self.address, reason: chain(error) }
    }

    /// The number of the channel of that name, up or down.
    fn named(&self, is_up: bool) -> Result<usize, ProbeError> {
        let up = self.rtt.up_channels.iter().map(|channel| channel.name());
        let down = self.rtt.down_channels.iter().map(|channel| channel.name());
        let names: Vec<_> = if is_up { up.collect() } else { down.collect() };
        let position = names.iter().position(|&name| name == Some(PROTOCOL_CHANNEL));
        position.ok_or_else(|| {
            let names = names.into_iter().map(|name| format!("`{}`", name.unwrap_or("?")));
            let found = Vec::from_iter(names).join(", ");
            let found = if found.is_empty() { "none of its kind".to_owned() } else { found };
            ProbeError::NoChannel { wanted: PROTOCOL_CHANNEL, found }
        })
    }

    fn read(&mut self, channel: usize, buffer: &mut [u8]) -> Result<usize, ProbeError> {
        let mut core = self.board.core().map_err(|error| unreadable(self.address, &error))?;
        let Some(channel) = self.rtt.up_channels.get_mut(channel) else { return Ok(0) };
        let read = channel.read(&mut core, buffer);
        drop(core);
        match read {
            Ok(bytes) => Ok(bytes),
            // The firmware began anew and set its channels up again.
            Err(Error::ReadPointerChanged | Error::ControlBlockCorrupted(_)) => {
                self.rtt = set_up(&mut self.board, self.address)?;
                Ok(0)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn write(&mut self, channel: usize, bytes: &[u8]) -> Result<usize, ProbeError> {
        let mut core = self.board.core().map_err(|error| unreadable(self.address, &error))?;
        let Some(channel) = self.rtt.down_channels.get_mut(channel) else { return Ok(0) };
        let written = channel.write(&mut core, bytes);
        drop(core);
        written.map_err(|error| self.failed(&error))
    }

    /// Hands what the log holds to the decoder; whether there was anything.
    fn pass_log_on(&mut self) -> Result<bool, ProbeError> {
        let Some(log) = self.log else { return Ok(false) };
        let mut chunk = [0; 1024];
        let bytes = self.read(log, &mut chunk)?;
        if let Some(pipe) = &mut self.bytes {
            let _ = pipe.write_all(&chunk[..bytes]); // a decoder that ended wants no more
        }
        Ok(bytes > 0)
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.bytes = None; // the end of the stream, after which the decoder ends
        if let Some(decoder) = self.decoder.take() {
            let _ = decoder.join(); // a log that panicked is not the device's
        }
    }
}

fn unreadable(address: u64, error: &probe_rs::Error) -> ProbeError {
    ProbeError::Read { address, reason: chain(error) }
}

/// Waits for the firmware to set its channels up.
fn set_up(board: &mut Attached, address: u64) -> Result<Rtt, ProbeError> {
    let deadline = Instant::now() + SET_UP_MAX;
    loop {
        let mut core = board.core().map_err(|error| unreadable(address, &error))?;
        let attached = Rtt::attach_at(&mut core, address);
        drop(core);
        match attached {
            Ok(rtt) if !rtt.up_channels.is_empty() => return Ok(rtt),
            _ if Instant::now() < deadline => thread::sleep(10 * POLL),
            Ok(_) => {
                return Err(ProbeError::Rtt { address, reason: "no channel is open".into() });
            }
            Err(error) => return Err(ProbeError::Rtt { address, reason: chain(&error) }),
        }
    }
}

/// A board's protocol over RTT.
pub struct ProbeLine {
    channels: Channels,
    up: usize,
    down: usize,
    said: LastWords,
}

impl ProbeLine {
    /// Finds the channels of `firmware`, which runs on `board`. Every line of its log is given to
    /// `log`, on another thread.
    ///
    /// # Errors
    /// Where the firmware has no such channels, or does not run.
    pub fn attach(
        board: Attached,
        firmware: &Firmware,
        mut log: impl FnMut(LogLine) + Send + 'static,
    ) -> Result<Self, LinkError> {
        let said = LastWords::default();
        let heard = said.clone();
        let channels = Channels::attach(board, firmware, move |line| {
            heard.push(line.to_string());
            log(line);
        })?;
        let (up, down) = (channels.named(true)?, channels.named(false)?);
        Ok(Self { channels, up, down, said })
    }
}

impl Device for ProbeLine {
    fn send(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let deadline = Instant::now() + SEND_MAX;
        let mut left = bytes;
        while !left.is_empty() {
            let written = self.channels.write(self.down, left)?;
            left = left.get(written..).unwrap_or_default();
            if written > 0 || self.channels.pass_log_on()? {
                continue;
            }
            if Instant::now() > deadline {
                return Err(LinkError::Line { reason: "the firmware takes no bytes".into() });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, LinkError> {
        loop {
            let bytes = self.channels.read(self.up, buffer)?;
            let logged = self.channels.pass_log_on()?;
            if bytes > 0 || Instant::now() > deadline {
                return Ok(bytes);
            }
            if !logged {
                thread::sleep(POLL);
            }
        }
    }

    fn last_words(&self) -> String {
        self.said.text()
    }

    /// A board begins anew after it was stopped: there is nothing to wait for.
    fn wait(&mut self, _deadline: Instant) -> Result<Option<i32>, LinkError> {
        Ok(None)
    }
}

/// Gives every line of the log of `firmware`, which runs on `board`, to `line`, until `done` says
/// that it is enough.
///
/// # Errors
/// Where the firmware has no log channel, does not run, or the connection breaks.
pub fn monitor(
    board: Attached,
    firmware: &Firmware,
    line: impl FnMut(LogLine) + Send + 'static,
    done: impl Fn() -> bool,
) -> Result<(), LinkError> {
    let mut channels = Channels::attach(board, firmware, line)?;
    if channels.log.is_none() {
        let names =
            channels.rtt.up_channels.iter().map(|c| format!("`{}`", c.name().unwrap_or("?")));
        let found = Vec::from_iter(names).join(", ");
        return Err(ProbeError::NoChannel { wanted: LOG_CHANNEL, found }.into());
    }
    while !done() {
        if !channels.pass_log_on()? {
            thread::sleep(POLL);
        }
    }
    Ok(())
}
