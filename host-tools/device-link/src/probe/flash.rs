//! What is written to a board, and in which order.
//!
//! Owns the checks against the chip's flash and the firmware's memory map, the choice of the slot,
//! and the reading back. Guarantees that nothing is written before all of it is known to fit, that
//! a model never goes beside another firmware, and that what is reported as written was read back.
//! Knows no probe: [`Writer`] is what it needs of one.

use super::ProbeError;
use crate::firmware::Image;
use crate::hardware::Hardware;
use resmcu_model_slots::{HEADER_BYTES, Header, image};
use std::ops::Range;

/// How much is read back at once.
const CHUNK: usize = 4096;

/// What a part is called.
const FIRMWARE: &str = "the firmware";
const MODEL: &str = "the model";

/// What is being done to flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Blocks are erased.
    Erase,
    /// Bytes are written.
    Program,
    /// Bytes are read back and compared.
    Verify,
}

/// Told of a stage the bytes that are done, and all there are.
pub type Progress<'p> = &'p mut dyn FnMut(Stage, u64, u64);

/// Bytes that are written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub what: &'static str,
    /// Addresses, and the bytes that go there.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

/// A chip's memory.
pub trait Memory {
    /// Reads `bytes` from `address`.
    ///
    /// # Errors
    /// Where the chip does not let it be read.
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ProbeError>;
}

/// A chip whose flash can be written: [`Attached`](super::Attached) is the real one.
pub trait Writer: Memory {
    /// The ranges of flash that there are.
    fn flash(&self) -> Vec<Range<u64>>;

    /// Erases and writes what `part` covers; all else keeps its bytes.
    ///
    /// # Errors
    /// Where the chip refuses; it may hold some of the part then.
    fn write(&mut self, part: &Part, progress: Progress<'_>) -> Result<(), ProbeError>;

    /// Lets the chip begin anew.
    ///
    /// # Errors
    /// Where it does not.
    fn reset(&mut self) -> Result<(), ProbeError>;
}

/// What was asked to be written.
pub struct Flashed<'a> {
    /// The board, for errors.
    pub board: &'static Hardware,
    /// Its firmware, whose memory map counts.
    pub image: &'a Image,
    /// A model file.
    pub model: Option<&'a [u8]>,
    /// The firmware is there already, and is only compared.
    pub model_only: bool,
}

/// What is on the board now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes of firmware that were written.
    pub firmware_bytes: u64,
    /// The model that was written.
    pub model: Option<WrittenModel>,
}

/// A model in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenModel {
    /// The slot: 0 or 1.
    pub slot: u8,
    /// Its sequence number: the larger one is the newer.
    pub sequence: u32,
    /// Bytes of its file.
    pub bytes: u64,
}

impl Flashed<'_> {
    /// Writes it, reads it back and resets the chip. `interrupted` is asked between the parts.
    ///
    /// # Errors
    /// Where something does not fit, the chip refuses, or Ctrl-C was pressed.
    pub fn write(
        &self,
        chip: &mut impl Writer,
        interrupted: &dyn Fn() -> bool,
        progress: Progress<'_>,
    ) -> Result<Written, ProbeError> {
        let code = Part { what: FIRMWARE, pieces: self.image.segments.clone() };
        self.check(&code, chip)?;
        let model = self.model.map(|model| self.placed(model, chip)).transpose()?;
        let mut written = Written { firmware_bytes: 0, model: None };
        if self.model_only {
            self.compare(&code, chip)?;
        } else {
            stop_if(interrupted(), "nothing was written")?;
            written.firmware_bytes = self.part(&code, chip, progress)?;
        }
        if let Some((part, slot, sequence)) = model {
            let done = match self.model_only {
                true => "nothing was written",
                false => "the firmware is written, the model is not, and the chip was not reset",
            };
            stop_if(interrupted(), done)?;
            let bytes = self.part(&part, chip, progress)? - u64::from(HEADER_BYTES);
            written.model = Some(WrittenModel { slot, sequence, bytes });
        }
        chip.reset()?;
        Ok(written)
    }

    /// That the code fits the chip, and leaves the slots alone.
    fn check(&self, code: &Part, chip: &impl Writer) -> Result<(), ProbeError> {
        let [first, second] = &self.image.slots;
        for (address, bytes) in &code.pieces {
            let end = address + bytes.len() as u64;
            self.check_range(FIRMWARE, *address..end, chip)?;
            if *address < second.end && end > first.start {
                return Err(ProbeError::InSlots { end, slots: first.start });
            }
        }
        match self.model {
            Some(_) => self.check_range("the model's slot", first.clone(), chip),
            None => Ok(()),
        }
    }

    fn check_range(
        &self,
        what: &'static str,
        range: Range<u64>,
        chip: &impl Writer,
    ) -> Result<(), ProbeError> {
        let flash = chip.flash();
        if flash.iter().any(|flash| flash.start <= range.start && range.end <= flash.end) {
            return Ok(());
        }
        let words = flash.iter().map(|range| format!("{:#x} to {:#x}", range.start, range.end));
        let flash = Vec::from_iter(words).join(", ");
        let board = self.board.name;
        Err(ProbeError::OutOfFlash { what, start: range.start, end: range.end, board, flash })
    }

    /// The slot for `model`: the one whose model is older, so that the newer one outlives a cable
    /// that comes loose; the other where the model fits only there.
    fn placed(&self, model: &[u8], chip: &mut impl Writer) -> Result<(Part, u8, u32), ProbeError> {
        let slots = &self.image.slots;
        let room = |slot: &Range<u64>| {
            slot.end.saturating_sub(slot.start).saturating_sub(u64::from(HEADER_BYTES))
        };
        let mut sequences = [None; 2];
        for (slot, sequence) in slots.iter().zip(&mut sequences) {
            let mut header = [0; HEADER_BYTES as usize];
            if room(slot) > 0 {
                chip.read(slot.start, &mut header)?;
                *sequence = Header::read(&header).map(|header| header.sequence);
            }
        }
        let [a, b] = sequences;
        let bytes = model.len() as u64;
        let wanted = if a.is_some() && a >= b { [1, 0] } else { [0, 1] };
        let slot = wanted.into_iter().find(|&slot| bytes <= room(&slots[slot]));
        let slot = slot.ok_or_else(|| ProbeError::ModelTooLarge {
            bytes,
            slot: slots.iter().map(room).max().unwrap_or(0),
            board: self.board.name,
        })?;
        let sequence = a.max(b).unwrap_or(0).saturating_add(1);
        let bytes = [&image(model, sequence)[..], model].concat();
        let part = Part { what: MODEL, pieces: vec![(slots[slot].start, bytes)] };
        Ok((part, slot as u8, sequence))
    }

    /// That the chip runs this firmware: its slots are where the image says.
    fn compare(&self, code: &Part, chip: &mut impl Writer) -> Result<(), ProbeError> {
        let differs = first_difference(code, chip, &mut |_| {})?;
        let path = self.image.path.clone();
        match differs {
            Some((address, found, expected)) => {
                Err(ProbeError::OtherFirmware { path, address, found, expected })
            }
            None => Ok(()),
        }
    }

    /// Writes a part and reads it back.
    fn part(
        &self,
        part: &Part,
        chip: &mut impl Writer,
        progress: Progress<'_>,
    ) -> Result<u64, ProbeError> {
        chip.write(part, progress)?;
        let all = part.pieces.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let mut told = |done| progress(Stage::Verify, done, all);
        match first_difference(part, chip, &mut told)? {
            Some((address, found, expected)) => {
                Err(ProbeError::Verify { what: part.what, address, found, expected })
            }
            None => Ok(all),
        }
    }
}

fn stop_if(interrupted: bool, done: &'static str) -> Result<(), ProbeError> {
    if interrupted { Err(ProbeError::Interrupted { done }) } else { Ok(()) }
}

/// Address, what is there and what should be, of the first byte that is another.
fn first_difference(
    part: &Part,
    chip: &mut impl Memory,
    told: &mut dyn FnMut(u64),
) -> Result<Option<(u64, u8, u8)>, ProbeError> {
    let (mut buffer, mut done) = ([0; CHUNK], 0);
    for (address, bytes) in &part.pieces {
        for (at, expected) in (*address..).step_by(CHUNK).zip(bytes.chunks(CHUNK)) {
            let found = &mut buffer[..expected.len()];
            chip.read(at, found)?;
            let pairs = found.iter().zip(expected).zip(at..);
            if let Some(((&found, &expected), address)) =
                pairs.into_iter().find(|((f, e), _)| f != e)
            {
                return Ok(Some((address, found, expected)));
            }
            done += expected.len() as u64;
            told(done);
        }
    }
    Ok(None)
}
