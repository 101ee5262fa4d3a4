//! Reports: a table for a person or JSON for a script, and files that are written whole.

use crate::failure::{Failure, Outcome};
use comfy_table::{CellAlignment, Table, presets};
use resmcu_quantizer::write_whole::write_whole;
use serde::Serialize;
use std::fmt;
use std::io::Write;
use std::path::Path;

/// The tool and its version, as every report names it.
const TOOL: &str = concat!("resmcu ", env!("CARGO_PKG_VERSION"));

/// What every report opens with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Opening {
    tool: &'static str,
    format: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<ModelName>,
}

/// A model by name and hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ModelName {
    /// Its own name.
    pub(crate) name: String,
    /// CRC-32 of its file, which a board reports too.
    pub(crate) hash: String,
}

impl Opening {
    /// Of a report that is about no model.
    pub(crate) fn plain() -> Self {
        Self { tool: TOOL, format: resmcu_model_format::VERSION, model: None }
    }

    /// Of a report about a model.
    pub(crate) fn of(model: ModelName) -> Self {
        Self { model: Some(model), ..Self::plain() }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ModelName { name, hash }) = &self.model {
            write!(f, "{name} [{hash}] · ")?;
        }
        writeln!(f, "model format {} · {}", self.format, self.tool)
    }
}

/// A report: its opening and its body, which is text by [`fmt::Display`] and JSON by serde.
#[derive(Debug, Serialize)]
pub(crate) struct Report<B> {
    #[serde(flatten)]
    pub(crate) opening: Opening,
    #[serde(flatten)]
    pub(crate) body: B,
}

impl<B: Serialize + fmt::Display> Report<B> {
    /// Prints the report on standard output.
    pub(crate) fn print(&self, json: bool) -> Outcome {
        let text = if json {
            serde_json::to_string_pretty(self).map_err(Failure::input)?
        } else {
            format!("{}\n{}", self.opening, self.body)
        };
        // A reader that went away (`| head`) is no error.
        match writeln!(std::io::stdout(), "{}", text.trim_end()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::input(e)),
            _ => Ok(()),
        }
    }
}

/// A table of the house style. Columns whose title begins with `>` are aligned to the right.
pub(crate) fn table(titles: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(titles.iter().map(|title| title.trim_start_matches('>')));
    for (column, title) in table.column_iter_mut().zip(titles) {
        if title.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size in bytes and KiB.
pub(crate) fn size(bytes: impl Into<u64>) -> String {
    let bytes = bytes.into();
    format!("{} bytes ({:.1} KiB)", grouped(bytes), bytes as f64 / 1024.0)
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Writes a file whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Outcome {
    write_whole(path, bytes).map_err(|error| {
        Failure::input(format!("the file could not be written: {error}"))
            .in_file(path)
            .help("name another file with `-o`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_501_632, "12,501,632")];
        for (number, expected) in cases {
            assert_eq!(grouped(number as u64), expected);
        }
    }
}
