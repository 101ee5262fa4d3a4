//! A chip behind a probe: attached, known to be the right one, read, written, reset.

use super::error::chain;
use super::flash::{Memory, Part, Progress, Stage, Writer};
use super::{ProbeError, Probes};
use crate::hardware::Hardware;
use probe_rs::architecture::arm::ArmError;
use probe_rs::config::MemoryRegion;
use probe_rs::flashing::{
    DownloadOptions, FlashError, FlashProgress, ProgressEvent, ProgressOperation,
};
use probe_rs::probe::Probe;
use probe_rs::{Core, Error, MemoryInterface, Permissions, Session};
use std::ops::Range;

/// How a chip is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Of the wire, in kHz; the probe's own choice where it is not set.
    pub speed_khz: Option<u32>,
    /// Hold the chip in reset while attaching: its firmware may have shut the debug pins.
    pub under_reset: bool,
    /// A locked chip may be erased whole to unlock it.
    pub erase_all: bool,
}

/// A chip that a probe is attached to.
pub struct Attached {
    session: Session,
    board: &'static Hardware,
}

impl Attached {
    /// Attaches the probe that `wanted` names to the chip of `board`, and asks the chip what it is.
    ///
    /// # Errors
    /// Where no probe can be chosen, or the chip does not answer, is locked, or is another.
    pub fn open(
        probes: &Probes,
        wanted: Option<&str>,
        board: &'static Hardware,
        options: AttachOptions,
    ) -> Result<Self, ProbeError> {
        let (probe, _) = probes.open(wanted)?;
        let session = attach(probe, board, options).map_err(|error| refused(board, &error))?;
        let mut attached = Self { session, board };
        attached.check_chip()?;
        Ok(attached)
    }

    /// The board that it was attached as.
    #[must_use]
    pub fn board(&self) -> &'static Hardware {
        self.board
    }

    /// The core that the firmware runs on.
    pub(super) fn core(&mut self) -> Result<Core<'_>, Error> {
        self.session.core(0)
    }

    fn check_chip(&mut self) -> Result<(), ProbeError> {
        let Some(identity) = self.board.identity else { return Ok(()) };
        let mut word = [0; 4];
        self.read(identity.address, &mut word)?;
        let found = u32::from_le_bytes(word);
        if identity.is(found) {
            return Ok(());
        }
        Err(ProbeError::WrongChip {
            board: self.board.name,
            chip: self.board.chip,
            address: identity.address,
            found,
            expected: identity.value,
            mask: identity.mask,
        })
    }

    /// Stages `part`, and commits it.
    fn commit(&mut self, part: &Part, progress: Progress<'_>) -> Result<(), FlashError> {
        let mut loader = self.session.target().flash_loader();
        for (address, bytes) in &part.pieces {
            loader.add_data(*address, bytes)?;
        }
        let mut options = DownloadOptions::default();
        // What shares an erase block with the part stays as it is: code beside a slot.
        options.keep_unwritten_bytes = true;
        options.progress = FlashProgress::new(told(progress));
        loader.commit(&mut self.session, options)
    }
}

fn attach(mut probe: Probe, board: &Hardware, options: AttachOptions) -> Result<Session, Error> {
    if let Some(khz) = options.speed_khz {
        probe.set_speed(khz)?;
    }
    let permissions = Permissions::new();
    let permissions = if options.erase_all { permissions.allow_erase_all() } else { permissions };
    match options.under_reset {
        true => probe.attach_under_reset(board.chip, permissions),
        false => probe.attach(board.chip, permissions),
    }
}

fn refused(board: &Hardware, error: &Error) -> ProbeError {
    let (name, chip, reason) = (board.name, board.chip, chain(error));
    match error {
        Error::MissingPermissions(_) | Error::Arm(ArmError::MissingPermissions(_)) => {
            ProbeError::Locked { board: name, chip, reason }
        }
        _ => ProbeError::Unreachable { board: name, chip, reason },
    }
}

/// probe-rs's many events as three stages that grow.
fn told(progress: Progress<'_>) -> impl FnMut(ProgressEvent) {
    let stage = |operation| match operation {
        ProgressOperation::Fill => None,
        ProgressOperation::Erase => Some(Stage::Erase),
        ProgressOperation::Program => Some(Stage::Program),
        ProgressOperation::Verify => Some(Stage::Verify),
    };
    let mut bytes = [(0, 0); 3];
    move |event| match event {
        ProgressEvent::AddProgressBar { operation, total } => {
            if let Some(stage) = stage(operation) {
                bytes[stage as usize].1 += total.unwrap_or(0);
            }
        }
        ProgressEvent::Progress { operation, size, .. } => {
            if let Some(stage) = stage(operation) {
                let (done, total) = &mut bytes[stage as usize];
                *done += size;
                progress(stage, *done, *total);
            }
        }
        _ => {}
    }
}

impl Memory for Attached {
    fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), ProbeError> {
        let read = self.core().and_then(|mut core| core.read(address, bytes));
        read.map_err(|error| ProbeError::Read { address, reason: chain(&error) })
    }
}

impl Writer for Attached {
    fn flash(&self) -> Vec<Range<u64>> {
        let regions = self.session.target().memory_map.iter();
        let regions = regions.filter_map(MemoryRegion::as_nvm_region).filter(|r| !r.is_alias);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in regions.map(|region| region.range.clone()) {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        // Of a window onto external flash, as much as the board has behind it.
        let size = self.board.flash_bytes;
        ranges.into_iter().map(|r| r.start..r.end.min(r.start.saturating_add(size))).collect()
    }

    fn write(&mut self, part: &Part, progress: Progress<'_>) -> Result<(), ProbeError> {
        self.commit(part, progress)
            .map_err(|error| ProbeError::Write { what: part.what, reason: chain(&error) })
    }

    fn reset(&mut self) -> Result<(), ProbeError> {
        let reset = self.core().and_then(|mut core| core.reset());
        reset.map_err(|error| ProbeError::Reset { reason: chain(&error) })
    }
}
