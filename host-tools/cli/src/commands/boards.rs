//! `resmcu boards`: the targets that models run on.

use crate::device::image;
use crate::failure::Outcome;
use crate::output::{Opening, Report, size, table};
use clap::Args;
use resmcu_device_link::{Hardware, hardware, targets};
use serde::Serialize;
use std::fmt;

/// Lists the targets: core, instruction set, flash, RAM, how each is reached
#[derive(Debug, Args)]
pub(crate) struct Boards {
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    boards: Vec<Board>,
}

#[derive(Debug, Serialize)]
struct Board {
    name: String,
    core: String,
    isa: String,
    flash: u64,
    ram: u64,
    reached: String,
    /// Of a real board.
    chip: Option<String>,
    /// The image of its firmware was built here.
    has_firmware: bool,
}

impl Boards {
    pub(crate) fn run(&self) -> Outcome {
        let emulated = targets().iter().map(|target| Board {
            name: target.name.to_owned(),
            core: target.core.to_owned(),
            isa: target.isa.to_owned(),
            flash: target.flash_bytes,
            ram: target.ram_bytes,
            reached: target.reached_by(),
            chip: None,
            has_firmware: image(target.board()).is_file(),
        });
        let real = hardware().iter().map(|board| Board {
            name: board.name.to_owned(),
            core: board.core.to_owned(),
            isa: board.isa.to_owned(),
            flash: board.flash_bytes,
            ram: board.ram_bytes,
            reached: reached(board),
            chip: Some(board.chip.to_owned()),
            has_firmware: image(board.name).is_file(),
        });
        let body = Body { boards: emulated.chain(real).collect() };
        Report { opening: Opening::plain(), body }.print(self.json.json)
    }
}

/// What writes a real board, and where its firmware speaks.
fn reached(board: &Hardware) -> String {
    match board.other_tool {
        None => format!("a probe ({}); {}", board.chip, board.line),
        Some(_) => format!("another tool (`resmcu flash` names it); {}", board.line),
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows =
            table(&["target", "core", "isa", ">flash", ">RAM", "firmware", "reached by"]);
        let host = ["host", "this computer", "generic Rust", "-", "-", "-", "in this process"];
        rows.add_row(host);
        for board in &self.boards {
            rows.add_row([
                board.name.clone(),
                board.core.clone(),
                board.isa.clone(),
                size(board.flash),
                size(board.ram),
                if board.has_firmware { "built" } else { "not built" }.to_owned(),
                board.reached.clone(),
            ]);
        }
        writeln!(
            f,
            "{rows}\n\nThose with QEMU are names for `--target`, the others for `--board`. \
             Nothing here was run on hardware."
        )
    }
}
