//! Looks on while a model runs, and streams what was asked for.
//!
//! One type for all three kinds of run, so that the walk over the plan exists once in flash and
//! a bench measures the code that an inference runs.

use crate::counter::{Counter, Stopwatch};
use crate::link::Link;
use crate::panel::Panel;
use embedded_io::Write;
use resmcu_int8_runtime::Observer;
use resmcu_wire_protocol::{Response, Watch, tensor_crc};

/// The observer.
pub(crate) struct Tap<'t, S: Write, C, L, const FRAME: usize> {
    pub(crate) link: &'t mut Link<S, FRAME>,
    pub(crate) counter: &'t mut C,
    pub(crate) panel: &'t mut L,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) watch: Watch,
    pub(crate) sequence: u16,
    /// Count at the begin of the present step.
    pub(crate) begin: u64,
    /// Sum of the steps.
    pub(crate) total: u64,
    /// The first failure of the line; nothing is sent after it.
    pub(crate) sent: Result<(), S::Error>,
}

impl<S: Write, C: Counter, L: Panel, const FRAME: usize> Tap<'_, S, C, L, FRAME> {
    pub(crate) fn send(&mut self, response: &Response<'_>) {
        if self.sent.is_ok() {
            self.sent = self.link.send(self.sequence, response);
        }
    }

    /// Streams the CRC of bytes of tensor number `tensor` from byte `at` on.
    pub(crate) fn tensor(&mut self, tensor: usize, at: usize, content: &[u8]) {
        let [at, bytes] = [at, content.len()].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let (tensor, crc) = (as_u16(tensor), tensor_crc(content));
        self.send(&Response::TensorCrc { tensor, at, crc, bytes });
    }
}

impl<S: Write, C: Counter, L: Panel, const FRAME: usize> Observer for Tap<'_, S, C, L, FRAME> {
    fn step_begin(&mut self, _: usize) {
        if self.watch == Watch::Costs {
            self.begin = self.counter.now();
        }
    }

    fn step_end(&mut self, step: usize, at: usize, output: &[u8]) {
        match self.watch {
            Watch::Nothing => {}
            Watch::Costs => {
                let count = self.stopwatch.since(self.begin, self.counter);
                self.total = self.total.wrapping_add(count);
                self.send(&Response::StepCost { step: as_u16(step), count });
            }
            Watch::Tensors if output.is_empty() => {} // a sum that goes on
            Watch::Tensors => self.tensor(step.wrapping_add(1), at, output),
        }
        self.panel.alive();
    }
}

fn as_u16(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}
