//! Clock cycles by a counter of 32 bits that wraps.

use resmcu_device_app::Counter;
use resmcu_device_app::wire_protocol::CounterUnit;

/// Counts cycles; right as long as two readings are less than a wrap of the counter apart.
#[derive(Debug)]
pub struct Cycles<R> {
    read: R,
    wraps: u32,
    last: u32,
}

impl<R: FnMut() -> u32> Cycles<R> {
    /// By a counter that `read` reads.
    pub const fn new(read: R) -> Self {
        Self { read, wraps: 0, last: 0 }
    }
}

impl<R: FnMut() -> u32> Counter for Cycles<R> {
    const UNIT: CounterUnit = CounterUnit::Cycles;

    #[inline(never)] // so that every read costs the same
    fn now(&mut self) -> u64 {
        let low = (self.read)();
        self.wraps = self.wraps.wrapping_add(u32::from(low < self.last));
        self.last = low;
        u64::from(self.wraps) << 32 | u64::from(low)
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        end.wrapping_sub(begin)
    }
}
