//! `resmcu flash`: firmware and model to a real board, by a debug probe.

use super::Pack;
use crate::device::{image, print_log};
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::model::Model;
use crate::output::{ModelName, Opening, Report, size};
use crate::progress::Stages;
use clap::Args;
use resmcu_device_link::probe::{
    AttachOptions, Attached, Flashed, Probes, Stage, Written, monitor,
};
use resmcu_device_link::{Firmware, Hardware, LinkError, ProbeError, find_probed};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Writes firmware and a model to a board by a debug probe, verifies, resets, shows the log
#[derive(Debug, Args)]
pub(crate) struct Flash {
    /// A model file, or a network of the zoo; without one only the firmware is written
    #[arg(required_if_eq("model_only", "true"))]
    model: Option<String>,
    #[command(flatten)]
    at: At,
    /// Write only the model, beside the firmware that is on the board
    #[arg(long)]
    model_only: bool,
    /// End when all is written, without the log
    #[arg(long)]
    no_monitor: bool,
    #[command(flatten)]
    json: super::Json,
    #[command(flatten)]
    pack: Pack,
}

/// Which board, by which probe.
#[derive(Clone, Debug, Args)]
pub(crate) struct At {
    /// The board (`resmcu boards` lists them)
    #[arg(long, value_name = "B")]
    pub(crate) board: String,
    /// The probe, by its serial number or as VID:PID:SERIAL (`resmcu probe` lists them)
    #[arg(long, value_name = "SERIAL")]
    probe: Option<String>,
    /// The firmware's image, instead of the one that `cargo xtask boards` builds
    #[arg(long, value_name = "ELF")]
    firmware: Option<PathBuf>,
    /// Speed of the debug wire in kHz
    #[arg(long, value_name = "KHZ")]
    speed: Option<u32>,
    /// Hold the chip in reset while connecting: its firmware may have shut the debug pins
    #[arg(long)]
    connect_under_reset: bool,
    /// Erase a locked chip whole to unlock it
    #[arg(long)]
    allow_erase_all: bool,
}

impl At {
    /// The board, and its firmware.
    pub(crate) fn firmware(&self) -> Outcome<(&'static Hardware, Firmware)> {
        let board = find_probed(&self.board)?;
        let path = match &self.firmware {
            Some(path) => path.clone(),
            None => built(board)?,
        };
        Ok((board, Firmware::open(path)?))
    }

    /// Reaches its chip.
    pub(crate) fn attach(&self, board: &'static Hardware) -> Outcome<Attached> {
        let options = AttachOptions {
            speed_khz: self.speed,
            under_reset: self.connect_under_reset,
            erase_all: self.allow_erase_all,
        };
        Ok(Attached::open(&Probes::default(), self.probe.as_deref(), board, options)?)
    }
}

/// The image that was built for this board.
pub(crate) fn built(board: &Hardware) -> Outcome<PathBuf> {
    let path = image(board.name);
    if path.is_file() {
        return Ok(path);
    }
    let failure = Failure::input(format!("no firmware of {} was built", board.name));
    Err(failure.in_file(&path).help(
        "`cargo xtask boards` builds what the repository has; `flash` takes others by `--firmware`",
    ))
}

#[derive(Debug, Serialize)]
struct Body {
    board: &'static str,
    chip: &'static str,
    firmware: String,
    firmware_bytes: u64,
    slot: Option<u8>,
    sequence: Option<u32>,
    model_bytes: Option<u64>,
}

impl Flash {
    pub(crate) fn run(&self) -> Outcome {
        let (board, firmware) = self.at.firmware()?;
        let packing = self.pack.packing(Some(board.into()));
        let model = self.model.as_deref().map(|name| Model::load_for(name, &packing));
        let model = model.transpose()?;
        let interrupt = Interrupt::listen_with([
            "the part that is being written is finished first; Ctrl-C again breaks it off",
            "broken off: the board may hold a part of it; repeat the command, it writes all again",
        ])?;
        let mut chip = self.at.attach(board)?;
        let (bytes, model_only) = (model.as_ref().map(Model::bytes), self.model_only);
        let flashed = Flashed { board, image: firmware.image(), model: bytes, model_only };
        let stages = Stages::default();
        let written = flashed.write(&mut chip, &|| interrupt.pressed(), &mut |stage, done, of| {
            let [done, of] = [done, of].map(|n| usize::try_from(n).unwrap_or(usize::MAX));
            stages.at(in_words(stage), done, of);
        });
        stages.finish();
        let opening = model.as_ref().map(Model::name).transpose()?;
        report(board, &firmware, opening, &written?, self.json.json)?;
        if self.no_monitor || self.json.json || interrupt.pressed() {
            return Ok(());
        }
        eprintln!("the log of {}; Ctrl-C ends it", board.name);
        let line = print_log(board.name, true);
        match monitor(chip, &firmware, line, || interrupt.pressed()) {
            // All is written, and this firmware shows no log: that is no failure.
            Err(LinkError::Probe(
                error @ (ProbeError::NoRtt { .. } | ProbeError::NoChannel { .. }),
            )) => {
                eprintln!("no log: {error}");
                Ok(())
            }
            watched => watched.map_err(Failure::from),
        }
    }
}

fn report(
    board: &Hardware,
    firmware: &Firmware,
    model: Option<ModelName>,
    written: &Written,
    json: bool,
) -> Outcome {
    let body = Body {
        board: board.name,
        chip: board.chip,
        firmware: firmware.path().display().to_string(),
        firmware_bytes: written.firmware_bytes,
        slot: written.model.map(|model| model.slot),
        sequence: written.model.map(|model| model.sequence),
        model_bytes: written.model.map(|model| model.bytes),
    };
    let opening = model.map_or_else(Opening::plain, Opening::of);
    Report { opening, body }.print(json)
}

fn in_words(stage: Stage) -> &'static str {
    match stage {
        Stage::Erase => "erasing",
        Stage::Program => "writing",
        Stage::Verify => "reading back",
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "board        {} ({})", self.board, self.chip)?;
        match self.firmware_bytes {
            0 => writeln!(f, "firmware     as it was: that of {}", self.firmware)?,
            bytes => writeln!(f, "firmware     {}, verified: {}", size(bytes), self.firmware)?,
        }
        let model = self.slot.zip(self.sequence).zip(self.model_bytes);
        if let Some(((slot, sequence), bytes)) = model {
            let bytes = size(bytes);
            writeln!(f, "model        {bytes}, verified, in slot {slot} as number {sequence}")?;
        }
        writeln!(f, "reset        the board runs it")
    }
}
