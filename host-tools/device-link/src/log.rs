//! The device's log: defmt frames on a byte stream, decoded with the table in the firmware's ELF.

use defmt_decoder::{DecodeError, Table};
use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For developers, in detail.
    Trace,
    /// For developers.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    Warn,
    /// What ends something.
    Error,
}

/// One line of the device's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its level; a line without one is [`LogLevel::Info`].
    pub level: LogLevel,
    /// Its text.
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            LogLevel::Trace => "trace",
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        write!(f, "{level}: {}", self.text)
    }
}

/// The last lines that were seen, shared between the threads that read and the error that quotes.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    const LINES: usize = 4;

    pub(crate) fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        while lines.len() > Self::LINES {
            lines.pop_front();
        }
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from_iter(lines.iter().map(String::as_str)).join(" | ")
    }
}

/// Decodes `stream` to its end, line by line.
pub(crate) fn decode(table: &Table, mut stream: impl Read, mut line: impl FnMut(LogLine)) {
    let mut decoder = table.new_stream_decoder();
    let mut chunk = [0; 512];
    while let Ok(bytes) = stream.read(&mut chunk) {
        if bytes == 0 {
            return;
        }
        decoder.received(&chunk[..bytes]);
        loop {
            match decoder.decode() {
                Ok(frame) => line(LogLine {
                    level: frame.level().map_or(LogLevel::Info, |it| level(it.as_str())),
                    text: frame.display_message().to_string(),
                }),
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) if table.encoding().can_recover() => {}
                Err(DecodeError::Malformed) => return,
            }
        }
    }
}

/// By name: the decoder does not export the type that it returns.
fn level(name: &str) -> LogLevel {
    match name {
        "trace" => LogLevel::Trace,
        "debug" => LogLevel::Debug,
        "warn" => LogLevel::Warn,
        "error" => LogLevel::Error,
        _ => LogLevel::Info,
    }
}
