//! What keeps a device in order: self tests, its slots, updates of its model.

use crate::client::{Client, as_u32};
use crate::device::Device;
use crate::error::LinkError;
use resmcu_wire_protocol::{
    Request, Response, SelfTestReport, Sight, SlotState, SlotsInfo, Standing, tensor_crc,
};
use std::time::{Duration, Instant};

/// How long the first greeting may take, before it is sent again: bytes that come while a chip
/// starts are lost.
const FIRST_GREETING: Duration = Duration::from_millis(500);

/// An update that the device took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updated {
    /// The slot that it went to: 0 or 1.
    pub slot: u8,
    /// The number of the model.
    pub sequence: u32,
}

/// What a device's camera saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Pictures that were classified since the start.
    pub looks: u32,
    /// Pictures that the camera did not give.
    pub failures: u32,
    /// The last one that was classified.
    pub last: Option<Sight>,
}

impl<D: Device> Client<D> {
    /// Lets the device test its model.
    ///
    /// # Errors
    /// Where it has no model, or fails.
    pub fn self_test(&mut self) -> Result<SelfTestReport, LinkError> {
        self.ask(&Request::SelfTest, self.timeouts.run, |response| match *response {
            Response::SelfTest(report) => Some(report),
            _ => None,
        })
    }

    /// What the device's camera saw last.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn seen(&mut self) -> Result<Seen, LinkError> {
        self.ask(&Request::Seen, self.timeouts.run, |response| match *response {
            Response::Seen { looks, failures, last } => Some(Seen { looks, failures, last }),
            _ => None,
        })
    }

    /// What the device's slots hold.
    ///
    /// # Errors
    /// Where it has none, or fails.
    pub fn slots(&mut self) -> Result<SlotsInfo, LinkError> {
        self.ask(&Request::Slots, self.timeouts.run, |response| match *response {
            Response::Slots(info) => Some(info),
            _ => None,
        })
    }

    /// Writes `model` into the slot that is not in use, and resets the device, which tries it out.
    /// `progress` is told the bytes that are written and all there are.
    ///
    /// # Errors
    /// Where the device refuses the model, goes back to the old one ([`LinkError::RolledBack`]), or
    /// fails; in all of these cases the old model runs, now or at the next start.
    pub fn update(
        &mut self,
        model: &[u8],
        signature: &[u8],
        progress: impl FnMut(usize, usize),
    ) -> Result<Updated, LinkError> {
        let updated = self.write_update(model, signature, progress)?;
        self.reset()?;
        let info = self.slots()?;
        let state = info.slots.get(usize::from(updated.slot)).map(|slot| slot.state);
        match state {
            Some(SlotState::Whole { standing: Standing::Rejected { code }, .. }) => {
                Err(LinkError::RolledBack { code })
            }
            _ if info.running == Some(updated.slot) => Ok(updated),
            _ => Err(LinkError::Unexpected { request: "an update", answer: format!("{info:?}") }),
        }
    }

    /// As [`Self::update`], without the reset: the new model is tried out at the next start.
    ///
    /// # Errors
    /// Where the device refuses the model, or fails.
    pub fn write_update(
        &mut self,
        model: &[u8],
        signature: &[u8],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Updated, LinkError> {
        let wait = self.timeouts.run; // an erase takes its time
        let request = Request::UpdateBegin { bytes: as_u32(model.len()), crc: tensor_crc(model) };
        let slot = self.ask(&request, wait, |response| match *response {
            Response::UpdateBegun { slot } => Some(slot),
            _ => None,
        })?;
        let mut offset = 0;
        for bytes in model.chunks(self.chunk_bytes()) {
            let request = Request::UpdateWrite { offset: as_u32(offset), bytes };
            offset += bytes.len();
            self.ask(&request, wait, |response| match *response {
                Response::Written { have } if have as usize == offset => Some(()),
                _ => None,
            })?;
            progress(offset, model.len());
        }
        let request = Request::UpdateCommit { signature };
        let sequence = self.ask(&request, wait, |response| match *response {
            Response::UpdateCommitted { sequence } => Some(sequence),
            _ => None,
        })?;
        Ok(Updated { slot, sequence })
    }

    /// Has the device begin anew, and greets it.
    ///
    /// # Errors
    /// Where it does not come back.
    pub fn reset(&mut self) -> Result<(), LinkError> {
        self.ask(&Request::Reset, self.timeouts.answer, |response| {
            matches!(response, Response::Resetting).then_some(())
        })?;
        self.greet()
    }

    /// Greets a device that began anew for another reason.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn greet(&mut self) -> Result<(), LinkError> {
        let deadline = Instant::now() + self.timeouts.boot;
        let mut wait = FIRST_GREETING.min(self.timeouts.boot);
        loop {
            self.line.device.send(&[0])?; // ends whatever the line holds
            match self.hello(wait) {
                Err(LinkError::TimedOut { request, said, .. }) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        let waited = self.timeouts.boot;
                        return Err(LinkError::TimedOut { request, waited, said });
                    }
                    wait = (2 * wait).min(left);
                }
                answer => {
                    self.summary = answer?;
                    return Ok(());
                }
            }
        }
    }
}
