//! Which of the two models is to run, and what became of the other.

use crate::header::{HEADER_BYTES, Header, Mark, PASSED, RECORD_BYTES, UNIT_BYTES, digest};
use crate::sign::Trust;
use crate::update::Update;
use embedded_storage::nor_flash::NorFlash;

/// How often the trial of a new model may begin before it counts as failed: a power cut ends a
/// trial, and so does a model that brings the device down.
pub const TRIALS: u8 = Mark::LIMIT;

/// Why a model was rejected whose trials began and never ended.
pub const UNFINISHED: u16 = 0xFFFE;

/// Why a model was rejected whose mark was cut short, so that its reason is lost.
const REASON_LOST: u16 = 0xFFFF;

/// Bytes read from flash at once.
const READ_BYTES: usize = 64;

/// One of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Where a slot lies: bytes of flash, at multiples of its erase size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// First byte.
    pub start: u32,
    /// Number of bytes, header and model.
    pub bytes: u32,
}

impl SlotRange {
    /// Bytes that a model may have here.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.bytes.saturating_sub(HEADER_BYTES)
    }

    /// Where the model begins.
    #[must_use]
    pub const fn model(&self) -> u32 {
        self.start.saturating_add(HEADER_BYTES)
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No header.
    Empty,
    /// A header, and a model that is not the one it names.
    Damaged,
    /// A whole model.
    Whole(Header, Standing),
}

/// How a whole model fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It passed its trial.
    Confirmed,
    /// It did not run yet, or its trial was interrupted: `begun` times so far.
    OnTrial {
        /// Trials that began.
        begun: u8,
    },
    /// It failed, and does not run again.
    Rejected {
        /// The reason that the trial gave, or [`UNFINISHED`].
        code: u16,
    },
}

/// A model to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where it is.
    pub slot: Slot,
    /// What it is.
    pub header: Header,
    /// It has yet to pass its trial.
    pub on_trial: bool,
}

/// Two slots in a flash.
#[derive(Debug)]
pub struct Slots<F> {
    pub(crate) flash: F,
    ranges: [SlotRange; 2],
    pub(crate) trust: Trust,
    pub(crate) update: Option<Update>,
}

impl<F: NorFlash> Slots<F> {
    /// The slots at `ranges` of `flash`; the bytes of flash are the board's promise. Ranges that
    /// do not lie at erase blocks make every update fail, and nothing else.
    pub const fn new(flash: F, ranges: [SlotRange; 2], trust: Trust) -> Self {
        const { assert!(UNIT_BYTES.is_multiple_of(F::WRITE_SIZE)) };
        const { assert!(READ_BYTES.is_multiple_of(F::READ_SIZE)) };
        Self { flash, ranges, trust, update: None }
    }

    /// The flash, back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// Whose models are taken.
    #[must_use]
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Where a slot lies.
    #[must_use]
    pub const fn range(&self, slot: Slot) -> SlotRange {
        let [a, b] = self.ranges;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    /// What a slot holds; reads all of its model.
    ///
    /// # Errors
    /// Where the flash cannot be read.
    pub fn state(&mut self, slot: Slot) -> Result<State, F::Error> {
        let range = self.range(slot);
        let mut record = [0; RECORD_BYTES];
        self.flash.read(range.start, &mut record)?;
        let Some(header) = Header::from_bytes(&record) else { return Ok(State::Empty) };
        if header.bytes > range.capacity() {
            return Ok(State::Damaged);
        }
        if self.model_crc(slot, header.bytes, |_| {})? != header.crc {
            return Ok(State::Damaged);
        }
        Ok(State::Whole(header, self.standing(slot)?))
    }

    /// The newest model that is whole and was not rejected, but for `without`.
    fn choose(&mut self, without: Option<Slot>) -> Result<Option<Choice>, F::Error> {
        let mut best: Option<Choice> = None;
        for slot in Slot::BOTH {
            let State::Whole(header, standing) = self.state(slot)? else { continue };
            let on_trial = match standing {
                Standing::Rejected { .. } => continue,
                Standing::Confirmed => false,
                Standing::OnTrial { .. } => true,
            };
            let is_newer = best.is_none_or(|best| header.sequence > best.header.sequence);
            if is_newer && without != Some(slot) {
                best = Some(Choice { slot, header, on_trial });
            }
        }
        Ok(best)
    }

    /// Finds the model to run when the device starts: the newest that `judge` accepts, which tries
    /// it out and gives a reason where it fails. A model on trial that is accepted is confirmed;
    /// one that fails is rejected for good, and the other slot's is taken. A confirmed one that
    /// fails (the firmware may be another since) is passed over and keeps its standing.
    ///
    /// # Errors
    /// Where the flash cannot be read or written.
    pub fn select(
        &mut self,
        mut judge: impl FnMut(&Choice) -> Result<(), u16>,
    ) -> Result<Option<Choice>, F::Error> {
        let mut without = None;
        while let Some(choice) = self.choose(without)? {
            if choice.on_trial {
                self.begin_trial(choice.slot)?;
            }
            let judged = judge(&choice);
            if choice.on_trial {
                match judged {
                    Ok(()) => self.confirm(choice.slot)?,
                    Err(code) => self.reject(choice.slot, code)?,
                }
            }
            if judged.is_ok() {
                return Ok(Some(choice));
            }
            if without.is_some() {
                break; // neither
            }
            without = Some(choice.slot);
        }
        Ok(None)
    }

    /// Notes that the trial of the model in `slot` begins. If it is neither confirmed nor rejected
    /// before the device starts again, it is tried again, at most [`TRIALS`] times.
    fn begin_trial(&mut self, slot: Slot) -> Result<(), F::Error> {
        let begun = self.trials_begun(slot)?;
        self.mark(slot, Mark::Begun(begun.min(TRIALS.saturating_sub(1))), *b"TRY.")
    }

    /// Notes that the model in `slot` passed the trial that began last.
    fn confirm(&mut self, slot: Slot) -> Result<(), F::Error> {
        let begun = self.trials_begun(slot)?;
        self.mark(slot, Mark::Passed(begun.saturating_sub(1)), PASSED)
    }

    /// Notes that the model in `slot` failed, and why. It does not run again.
    fn reject(&mut self, slot: Slot, code: u16) -> Result<(), F::Error> {
        let [a, b] = code.to_le_bytes();
        self.mark(slot, Mark::Rejected, [a, b, !a, !b])
    }

    /// The CRC-32 of the model's first `bytes`, which `each` sees too.
    pub(crate) fn model_crc(
        &mut self,
        slot: Slot,
        bytes: u32,
        mut each: impl FnMut(&[u8]),
    ) -> Result<u32, F::Error> {
        let (mut crc, mut at, mut left) = (digest(), self.range(slot).model(), bytes);
        let mut buffer = [0; READ_BYTES];
        while left > 0 {
            self.flash.read(at, &mut buffer)?;
            let taken = left.min(READ_BYTES as u32);
            let piece = buffer.get(..taken as usize).unwrap_or_default();
            crc.update(piece);
            each(piece);
            at = at.saturating_add(taken);
            left = left.saturating_sub(taken);
        }
        Ok(crc.finalize())
    }

    fn standing(&mut self, slot: Slot) -> Result<Standing, F::Error> {
        let rejected = self.read_mark(slot, Mark::Rejected)?;
        if !is_erased(&rejected) {
            let [a, b, not_a, not_b] = rejected;
            let is_whole = (a, b) == (!not_a, !not_b);
            let code = if is_whole { u16::from_le_bytes([a, b]) } else { REASON_LOST };
            return Ok(Standing::Rejected { code });
        }
        for trial in 0..TRIALS {
            if self.read_mark(slot, Mark::Passed(trial))? == PASSED {
                return Ok(Standing::Confirmed);
            }
        }
        match self.trials_begun(slot)? {
            TRIALS => Ok(Standing::Rejected { code: UNFINISHED }),
            begun => Ok(Standing::OnTrial { begun }),
        }
    }

    /// Trials that began, those among them whose mark was cut short.
    fn trials_begun(&mut self, slot: Slot) -> Result<u8, F::Error> {
        for trial in 0..TRIALS {
            if is_erased(&self.read_mark(slot, Mark::Begun(trial))?) {
                return Ok(trial);
            }
        }
        Ok(TRIALS)
    }

    fn read_mark(&mut self, slot: Slot, mark: Mark) -> Result<[u8; 4], F::Error> {
        // A whole unit, which every flash can read.
        let mut unit = [0; UNIT_BYTES];
        self.flash.read(self.range(slot).start.saturating_add(mark.offset()), &mut unit)?;
        Ok(unit.first_chunk().copied().unwrap_or_default())
    }

    fn mark(&mut self, slot: Slot, mark: Mark, word: [u8; 4]) -> Result<(), F::Error> {
        let at = self.range(slot).start.saturating_add(mark.offset());
        let mut unit = [0xFF; UNIT_BYTES];
        unit.iter_mut().zip(word).for_each(|(target, byte)| *target = byte);
        // No more than the flash writes at once, so that the mark is as short as can be.
        let bytes = word.len().max(F::WRITE_SIZE);
        self.flash.write(at, unit.get(..bytes).unwrap_or(&unit))
    }
}

fn is_erased(word: &[u8; 4]) -> bool {
    *word == [0xFF; 4]
}
