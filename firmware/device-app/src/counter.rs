//! What an inference costs, in the unit that a board can count.

use resmcu_wire_protocol::CounterUnit;

/// A counter that only goes up: executed instructions of an emulator, cycles of a chip.
pub trait Counter {
    /// What it counts.
    const UNIT: CounterUnit;

    /// The present moment, as cheaply as the board can tell it.
    fn now(&mut self) -> u64;

    /// The count between two moments.
    fn between(&self, begin: u64, end: u64) -> u64;

    /// Runs code of known length: 100 `nop`s if `rounds` is 0, otherwise a loop of two
    /// instructions. `None` where the unit has no exact expectation.
    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let _ = rounds;
        None
    }
}

/// What a counter said of code of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// The count, its own cost taken off.
    pub count: u64,
    /// The code's length.
    pub expected: u64,
}

/// Counts the span between two calls, less what the calls cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    /// Count of an empty span.
    overhead: u64,
}

impl Stopwatch {
    pub(crate) fn new(counter: &mut impl Counter) -> Self {
        // The second pair is the one that counts: caches and prefetch are as they will be.
        let [_, overhead] = [(); 2].map(|()| {
            let begin = counter.now();
            let end = counter.now();
            counter.between(begin, end)
        });
        Self { overhead }
    }

    /// The count from `begin` to now.
    pub(crate) fn since(self, begin: u64, counter: &mut impl Counter) -> u64 {
        let end = counter.now();
        counter.between(begin, end).saturating_sub(self.overhead)
    }
}
