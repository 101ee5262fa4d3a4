//! The model's slots as the protocol sees them, and the start that chooses between them.
//!
//! Owns the words of `wire-protocol` for what `model-slots` does. Knows neither where the flash
//! lies nor how the bytes of a slot become a slice: the board says both.

use crate::self_test::judge;
use embedded_storage::nor_flash::NorFlash;
use resmcu_int8_runtime::{Block, Step};
use resmcu_model_slots::{self as model_slots, Choice, Slot, Slots, State, UpdateError};
use resmcu_wire_protocol::{
    Refusal, SignatureFault, SlotInfo, SlotState, SlotsInfo, Standing, rejection,
};

/// Where updates go.
pub trait Store {
    /// What the slots hold.
    ///
    /// # Errors
    /// Where there are none, or the flash fails.
    fn info(&mut self) -> Result<SlotsInfo, Refusal>;

    /// Begins an update to a model of `bytes` with the CRC-32 `crc`; gives the slot it goes to.
    ///
    /// # Errors
    /// Where the model is too large, or the flash fails.
    fn begin(&mut self, bytes: u32, crc: u32) -> Result<u8, Refusal>;

    /// Takes bytes of the new model; gives how many are there.
    ///
    /// # Errors
    /// Where they do not follow what is there, or the flash fails.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<u32, Refusal>;

    /// Ends the update; gives the number of the new model.
    ///
    /// # Errors
    /// Where the model is not whole, not signed as it has to be, or the flash fails.
    fn commit(&mut self, signature: &[u8]) -> Result<u32, Refusal>;
}

/// A board whose model comes with its firmware.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSlots;

impl Store for NoSlots {
    fn info(&mut self) -> Result<SlotsInfo, Refusal> {
        Err(Refusal::NoSlots)
    }

    fn begin(&mut self, _: u32, _: u32) -> Result<u8, Refusal> {
        Err(Refusal::NoSlots)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<u32, Refusal> {
        Err(Refusal::NoSlots)
    }

    fn commit(&mut self, _: &[u8]) -> Result<u32, Refusal> {
        Err(Refusal::NoSlots)
    }
}

/// Two slots in flash `F`, and which of them runs.
#[derive(Debug)]
pub struct SlotStore<F> {
    slots: Slots<F>,
    running: Option<Slot>,
    is_read_only: bool,
}

impl<F: NorFlash> SlotStore<F> {
    /// Starts the device: the newest model that loads into `arena` and `plan` and knows its
    /// answers. `model` gives the bytes of a slot's model; a model on trial that fails
    /// is rejected for good.
    pub fn start<'m>(
        mut slots: Slots<F>,
        arena: &mut [Block],
        plan: &mut [Step],
        model: impl Fn(&Choice) -> &'m [u8],
    ) -> (Self, Option<Choice>) {
        let chosen = slots.select(|choice| judge(model(choice), arena, plan));
        // Without a word from the flash nothing runs; the host reads why by `Slots`.
        let chosen = chosen.unwrap_or_default();
        let running = chosen.map(|choice| choice.slot);
        (Self { slots, running, is_read_only: false }, chosen)
    }

    /// The same on a board that cannot write its flash: updates are refused.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { is_read_only: true, ..self }
    }

    /// The flash, back.
    pub fn into_flash(self) -> F {
        self.slots.into_flash()
    }

    fn slot_info(&mut self, slot: Slot) -> Result<SlotInfo, Refusal> {
        let capacity = self.slots.range(slot).capacity();
        let state = match self.slots.state(slot).map_err(|_| Refusal::Flash)? {
            State::Empty => SlotState::Empty,
            State::Damaged => SlotState::Damaged,
            State::Whole(header, standing) => SlotState::Whole {
                sequence: header.sequence,
                bytes: header.bytes,
                crc: header.crc,
                signed: header.signature.is_some(),
                standing: match standing {
                    model_slots::Standing::Confirmed => Standing::Confirmed,
                    model_slots::Standing::OnTrial { begun } => Standing::OnTrial { begun },
                    model_slots::Standing::Rejected { code } => Standing::Rejected { code },
                },
            },
        };
        Ok(SlotInfo { capacity, state })
    }
}

impl<F: NorFlash> Store for SlotStore<F> {
    fn info(&mut self) -> Result<SlotsInfo, Refusal> {
        let slots = [self.slot_info(Slot::A)?, self.slot_info(Slot::B)?];
        let running = self.running.map(number);
        Ok(SlotsInfo { running, verified: self.slots.trust().is_verified(), slots })
    }

    fn begin(&mut self, bytes: u32, crc: u32) -> Result<u8, Refusal> {
        if self.is_read_only {
            return Err(Refusal::NoSlots);
        }
        self.slots.begin(self.running, bytes, crc).map(number).map_err(|error| refusal(&error))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<u32, Refusal> {
        self.slots.write(offset, bytes).map_err(|error| refusal(&error))
    }

    fn commit(&mut self, signature: &[u8]) -> Result<u32, Refusal> {
        let whole = match signature {
            [] => None,
            bytes => {
                Some(bytes.try_into().map_err(|_| Refusal::Signature(SignatureFault::Length))?)
            }
        };
        self.slots.commit(whole).map_err(|error| refusal(&error))
    }
}

fn number(slot: Slot) -> u8 {
    match slot {
        Slot::A => 0,
        Slot::B => 1,
    }
}

fn refusal<E>(error: &UpdateError<E>) -> Refusal {
    match *error {
        UpdateError::Flash(_) => Refusal::Flash,
        UpdateError::TooLarge { bytes, capacity } => Refusal::UpdateTooLarge { bytes, capacity },
        UpdateError::NotBegun => Refusal::UpdateNotBegun,
        UpdateError::Gap { offset, have } => Refusal::UpdateGap { offset, have },
        UpdateError::OutOfRange { end, bytes } => Refusal::UpdateOutOfRange { end, bytes },
        UpdateError::Incomplete { have, need } => Refusal::UpdateIncomplete { have, need },
        UpdateError::Crc { found, expected } => Refusal::UpdateCrc { found, expected },
        UpdateError::Signature(fault) => Refusal::Signature(match fault {
            model_slots::SignatureFault::Missing => SignatureFault::Missing,
            model_slots::SignatureFault::Wrong => SignatureFault::Wrong,
        }),
    }
}

// One number, two crates that do not know each other.
const _: () = assert!(model_slots::UNFINISHED == rejection::UNFINISHED);
