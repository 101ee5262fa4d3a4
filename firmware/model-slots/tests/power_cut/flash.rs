//! A flash whose power goes at any write or erase, and tears the word or the block that it was at.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// What becomes of the write or erase at which the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tear {
    /// Nothing of it happened.
    Before,
    /// Some bits changed, by this seed.
    Some(u32),
    /// All of it happened, and the power went then.
    After,
}

/// The power is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PowerCut;

impl NorFlashError for PowerCut {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

/// Flash that is written by `WRITE` bytes and erased by `ERASE`. Each of them is one moment at
/// which the power may go, however many are asked for at once.
#[derive(Clone, Debug)]
pub(crate) struct Flash<const WRITE: usize, const ERASE: usize> {
    pub(crate) bytes: Vec<u8>,
    /// Which units were written since their erase: flash with ECC takes one write.
    written: Vec<bool>,
    /// Writes and erases so far.
    pub(crate) moments: u32,
    /// The moment at which the power goes, and how.
    cut: Option<(u32, Tear)>,
    is_dead: bool,
}

impl<const WRITE: usize, const ERASE: usize> Flash<WRITE, ERASE> {
    /// Erased flash of `blocks` blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        let bytes = vec![0xFF; blocks * ERASE];
        let written = vec![false; bytes.len() / WRITE];
        Self { bytes, written, moments: 0, cut: None, is_dead: false }
    }

    /// The same flash after a start, whose power will go at moment `cut`, from 0.
    pub(crate) fn started(&self, cut: Option<(u32, Tear)>) -> Self {
        Self { moments: 0, cut, is_dead: false, ..self.clone() }
    }

    /// Whether its power went.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Goes from the old bytes to the new ones at `range`, as far as the power lets it.
    fn change(&mut self, at: usize, new: &[u8]) -> Result<(), PowerCut> {
        if self.is_dead {
            return Err(PowerCut);
        }
        let now = self.moments;
        self.moments += 1;
        let tear = self.cut.filter(|&(moment, _)| moment == now).map(|(_, tear)| tear);
        let mut state = match tear {
            Some(Tear::Some(seed)) => seed ^ 0x9E37_79B9,
            _ => 1,
        };
        for (old, &new) in self.bytes[at..].iter_mut().zip(new) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            *old = match tear {
                Some(Tear::Before) => *old,
                Some(Tear::Some(_)) => *old ^ ((*old ^ new) & (state >> 24) as u8),
                Some(Tear::After) | None => new,
            };
        }
        self.is_dead = tear.is_some();
        if self.is_dead { Err(PowerCut) } else { Ok(()) }
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for Flash<WRITE, ERASE> {
    type Error = PowerCut;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for Flash<WRITE, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerCut> {
        if self.is_dead {
            return Err(PowerCut);
        }
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for Flash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerCut> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(ERASE) && to.is_multiple_of(ERASE), "{from}..{to}");
        for block in (from..to).step_by(ERASE) {
            self.change(block, &[0xFF; ERASE])?;
            self.written[block / WRITE..(block + ERASE) / WRITE].fill(false);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerCut> {
        let offset = offset as usize;
        assert!(offset.is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE), "{offset}");
        for (unit, bytes) in (offset / WRITE..).zip(bytes.chunks(WRITE)) {
            // A unit that a torn write left erased in all bits may be written again.
            let old = self.bytes[unit * WRITE..][..WRITE].to_vec();
            let is_erased = old.iter().all(|&byte| byte == 0xFF);
            assert!(!self.written[unit] || is_erased, "unit {unit} is written twice");
            let new: Vec<u8> = old.iter().zip(bytes).map(|(old, new)| old & new).collect();
            self.written[unit] = true;
            self.change(unit * WRITE, &new)?;
        }
        Ok(())
    }
}
