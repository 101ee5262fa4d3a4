//! What is in a board's image: its sizes, and whether all that belongs into it is there.

use std::fs;
use std::path::Path;

use object::SectionKind::{Data, ReadOnlyData, ReadOnlyString, Text};
use object::{Object, ObjectSection, ObjectSymbol};

use crate::boards::list::Board;
use crate::run::Failure;

/// Bytes that an image takes of the board's memories, the arena apart.
pub(crate) struct Sizes {
    pub(crate) flash: u64,
    pub(crate) ram: u64,
    pub(crate) arena: u64,
}

/// What every image holds, by a part of a symbol's name.
const EVERY: [(&str, &str); 5] = [
    ("the application", "resmcu_board_support::service::serve"),
    ("the runtime", "resmcu_int8_runtime::executor::Executor::step"),
    ("the arena", "resmcu_arena"),
    ("the first slot for a model", "_model_start"),
    ("the second slot for a model", "_model_middle"),
];

/// What the image of a real board holds too.
const REAL: [(&str, &str); 2] = [("a model", "resmcu_built_in_model"), ("the log", "_SEGGER_RTT")];

/// What brings pictures and shows answers: drivers of a camera and a display, or that of the serial
/// line.
const CAMERA: (&str, &str) = ("the camera's driver", "SpiCamera");
const DISPLAY: (&str, &str) = ("the display's driver", "ssd1306::mode::terminal");
const LINE: (&str, &str) = ("what takes pictures from the line", ">::take_input");

/// Adds up the sections that are loaded: what is in flash, and what is in RAM (initialized data
/// are in both).
pub(crate) fn sizes(image: &Path) -> Result<Sizes, Failure> {
    let bad = |e: String| Failure::check(format!("{}: {e}", image.display()));
    let bytes = fs::read(image).map_err(|e| bad(e.to_string()))?;
    let file = object::File::parse(&*bytes).map_err(|e| bad(e.to_string()))?;
    let mut sizes = Sizes { flash: 0, ram: 0, arena: 0 };
    for section in file.sections() {
        let (kind, bytes) = (section.kind(), section.size());
        // Sections for tools, such as defmt's strings, are of other kinds.
        if matches!(kind, Text | ReadOnlyData | ReadOnlyString | Data) {
            sizes.flash += bytes;
        }
        if matches!(section.name(), Ok(".data" | ".bss" | ".uninit" | ".noinit")) {
            sizes.ram += bytes;
        }
    }
    let arena = file.symbols().find(|symbol| symbol.name() == Ok("resmcu_arena"));
    sizes.arena = arena.map_or(0, |symbol| symbol.size());
    sizes.ram -= sizes.arena.min(sizes.ram);
    Ok(sizes)
}

/// That an image holds what belongs into it, by its symbols.
pub(crate) fn check(board: &Board, image: &Path) -> Result<(), Failure> {
    let bad = |e: String| Failure::check(format!("{}: {e}", image.display()));
    let bytes = fs::read(image).map_err(|e| bad(e.to_string()))?;
    let file = object::File::parse(&*bytes).map_err(|e| bad(e.to_string()))?;
    let names: Vec<String> = file
        .symbols()
        .filter_map(|symbol| Some(format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?))))
        .collect();
    let real = if board.is_real() { &REAL[..] } else { &[] };
    let drivers = if board.has_camera() { &[CAMERA, DISPLAY][..] } else { &[LINE] };
    for (what, symbol) in EVERY.iter().chain(real).chain(drivers) {
        if !names.iter().any(|name| name.contains(symbol)) {
            return Err(bad(format!("{what} is not in it: no symbol is named `{symbol}`")));
        }
    }
    Ok(())
}
