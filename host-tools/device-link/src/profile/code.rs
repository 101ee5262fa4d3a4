//! The code of a firmware's image: its bytes by address, and the functions in it.

use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::path::Path;

/// The end of the demangled name of the function that reads a board's counter.
const COUNTER_NAME: &str = "::counter::Counter>::now";

/// What the executable sections hold.
pub(super) struct Code {
    /// Address of the function that reads the counter.
    pub(super) mark: u64,
    /// Sections by address.
    sections: Vec<(u64, Vec<u8>)>,
    /// Functions by address.
    functions: Vec<(u64, String)>,
}

impl Code {
    /// Reads the ELF file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let file = object::File::parse(&*bytes).map_err(|error| error.to_string())?;
        let text = file.sections().filter(|section| section.kind() == SectionKind::Text);
        let sections = text.map(|section| {
            let data = section.data().map_err(|error| error.to_string())?;
            Ok((section.address(), data.to_vec()))
        });
        let sections = sections.collect::<Result<_, String>>()?;
        let is_function = |symbol: &object::Symbol<'_, '_>| symbol.kind() == SymbolKind::Text;
        let name = |symbol: object::Symbol<'_, '_>| {
            let name = symbol.name().unwrap_or_default();
            // The lowest bit of an address says Thumb.
            (symbol.address() & !1, format!("{:#}", rustc_demangle::demangle(name)))
        };
        let mut functions: Vec<_> = file.symbols().filter(is_function).map(name).collect();
        functions.sort();
        let counter = functions.iter().find(|(_, name)| name.ends_with(COUNTER_NAME));
        let mark = counter.ok_or("it has no function that reads a counter")?.0;
        Ok(Self { mark, sections, functions })
    }

    /// Bytes at address 0, without functions.
    #[cfg(test)]
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self { mark: 0, sections: vec![(0, bytes)], functions: vec![] }
    }

    /// The name of the function that holds `address`.
    pub(super) fn function(&self, address: u64) -> &str {
        let after = self.functions.partition_point(|&(start, _)| start <= address);
        after.checked_sub(1).map_or("?", |index| &self.functions[index].1)
    }

    /// The bytes from `start` to `end`; none where they are not code of the image.
    pub(super) fn bytes(&self, start: u64, end: u64) -> &[u8] {
        let bytes = self.sections.iter().find_map(|(address, bytes)| {
            let from = usize::try_from(start.checked_sub(*address)?).ok()?;
            let to = usize::try_from(end.checked_sub(*address)?).ok()?;
            bytes.get(from..to)
        });
        bytes.unwrap_or_default()
    }
}
