//! A new model on its way into the slot that is not in use.
//!
//! The order makes it safe: the erase of the slot begins with its header, so that nothing claims
//! the bytes that follow; the header is written last, when the model has been read back. So at
//! every moment the slot holds nothing or a whole model, and the other slot is not touched.

use crate::header::{HEADER_BYTES, Header, SIGNATURE_BYTES, UNIT_BYTES};
use crate::sign::SignatureFault;
use crate::slots::{Slot, Slots, Standing, State};
use embedded_storage::nor_flash::NorFlash;

/// Why an update does not go on. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateError<E> {
    /// The flash refused.
    Flash(E),
    /// The model is larger than the slot.
    TooLarge {
        /// Size of the model.
        bytes: u32,
        /// Size of the largest that the slot holds.
        capacity: u32,
    },
    /// No update was begun.
    NotBegun,
    /// A piece begins after the bytes that are there.
    Gap {
        /// Where it begins.
        offset: u32,
        /// Bytes that are there.
        have: u32,
    },
    /// A piece passes the end of the model.
    OutOfRange {
        /// Where it would end.
        end: u32,
        /// Size of the model.
        bytes: u32,
    },
    /// Not all of the model is there.
    Incomplete {
        /// Bytes that are there.
        have: u32,
        /// Size of the model.
        need: u32,
    },
    /// What was read back is not what was announced.
    Crc {
        /// The CRC-32 of the bytes in flash.
        found: u32,
        /// The CRC-32 that was announced.
        expected: u32,
    },
    /// The signature was not accepted.
    Signature(SignatureFault),
}

impl<E> From<E> for UpdateError<E> {
    fn from(error: E) -> Self {
        Self::Flash(error)
    }
}

/// An update that was begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    slot: Slot,
    sequence: u32,
    bytes: u32,
    crc: u32,
    /// Bytes that came so far.
    have: u32,
    /// The last of them, which do not make a unit yet.
    unit: [u8; UNIT_BYTES],
}

impl<F: NorFlash> Slots<F> {
    /// The slot that the next update goes to, if the model of `running` runs.
    ///
    /// # Errors
    /// Where the flash cannot be read.
    pub fn target(&mut self, running: Option<Slot>) -> Result<Slot, F::Error> {
        if let Some(running) = running {
            return Ok(running.other());
        }
        // Nothing runs: a slot without a model, or the older one, or one that was rejected.
        let rank = |state| match state {
            State::Empty | State::Damaged => 0,
            State::Whole(_, Standing::Rejected { .. }) => 1,
            State::Whole(header, _) => 2 + u64::from(header.sequence),
        };
        let (a, b) = (self.state(Slot::A)?, self.state(Slot::B)?);
        Ok(if rank(a) <= rank(b) { Slot::A } else { Slot::B })
    }

    /// Begins an update to a model of `bytes` with this CRC-32, and erases the slot for it. The
    /// model of `running` stays as it is. An update that was begun before is forgotten.
    ///
    /// # Errors
    /// Where the model is too large for the slot, or the flash fails.
    pub fn begin(
        &mut self,
        running: Option<Slot>,
        bytes: u32,
        crc: u32,
    ) -> Result<Slot, UpdateError<F::Error>> {
        self.update = None;
        let slot = self.target(running)?;
        let range = self.range(slot);
        let capacity = range.capacity();
        if bytes > capacity {
            return Err(UpdateError::TooLarge { bytes, capacity });
        }
        let mut sequence = 0;
        for slot in Slot::BOTH {
            if let State::Whole(header, _) = self.state(slot)? {
                sequence = sequence.max(header.sequence);
            }
        }
        let block = F::ERASE_SIZE as u32;
        let need = HEADER_BYTES.saturating_add(bytes).checked_next_multiple_of(block);
        let end = range.start.saturating_add(need.unwrap_or(range.bytes).min(range.bytes));
        let mut at = range.start;
        while at < end {
            let next = at.saturating_add(block);
            self.flash.erase(at, next)?;
            at = next;
        }
        let sequence = sequence.saturating_add(1);
        let unit = [0xFF; UNIT_BYTES];
        self.update = Some(Update { slot, sequence, bytes, crc, have: 0, unit });
        Ok(slot)
    }

    /// Takes bytes of the model from `offset` on; those that are there already are passed over, so
    /// that a piece may be sent again. Gives the number of bytes that are there.
    ///
    /// # Errors
    /// Where the piece leaves a gap or passes the model's end, or the flash fails; after a
    /// failure of the flash the update has to be begun again.
    pub fn write(&mut self, offset: u32, piece: &[u8]) -> Result<u32, UpdateError<F::Error>> {
        let Some(mut update) = self.update else { return Err(UpdateError::NotBegun) };
        let (have, bytes) = (update.have, update.bytes);
        let end = offset.saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        if offset > have {
            return Err(UpdateError::Gap { offset, have });
        }
        if end > bytes {
            return Err(UpdateError::OutOfRange { end, bytes });
        }
        self.update = None; // until all of the piece is in flash
        let model = self.range(update.slot).model();
        for &byte in piece.iter().skip(have.saturating_sub(offset) as usize) {
            let at = update.have as usize % UNIT_BYTES;
            if let Some(slot) = update.unit.get_mut(at) {
                *slot = byte;
            }
            update.have = update.have.saturating_add(1);
            if at + 1 == UNIT_BYTES {
                let begin = update.have.saturating_sub(UNIT_BYTES as u32);
                self.flash.write(model.saturating_add(begin), &update.unit)?;
                update.unit = [0xFF; UNIT_BYTES];
            }
        }
        self.update = Some(update);
        Ok(update.have)
    }

    /// Ends the update: reads the model back, verifies its signature where one is asked for, and
    /// writes the header, which makes it the newest model, on trial. Gives its number.
    ///
    /// # Errors
    /// Where bytes are missing (the update goes on), or the model is not what was announced or not
    /// signed as it has to be, or the flash fails (the update has to be begun again).
    pub fn commit(
        &mut self,
        signature: Option<&[u8; SIGNATURE_BYTES]>,
    ) -> Result<u32, UpdateError<F::Error>> {
        let Some(update) = self.update else { return Err(UpdateError::NotBegun) };
        let Update { slot, sequence, bytes, crc, have, unit } = update;
        if have != bytes {
            return Err(UpdateError::Incomplete { have, need: bytes });
        }
        self.update = None;
        let range = self.range(slot);
        let rest = have % UNIT_BYTES as u32;
        if rest != 0 {
            self.flash.write(range.model().saturating_add(have.saturating_sub(rest)), &unit)?;
        }
        let trust = self.trust;
        let mut verification = trust.begin(signature).map_err(UpdateError::Signature)?;
        let found = self.model_crc(slot, bytes, |piece| verification.update(piece))?;
        if found != crc {
            return Err(UpdateError::Crc { found, expected: crc });
        }
        verification.finish().map_err(UpdateError::Signature)?;
        let header = Header { sequence, bytes, crc, signature: signature.copied() };
        self.flash.write(range.start, &header.to_bytes())?;
        Ok(sequence)
    }
}
