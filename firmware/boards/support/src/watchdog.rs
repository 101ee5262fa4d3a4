//! A watchdog that several parts of a board feed: the serial line while it waits, the panel while
//! the model runs, the flash while it is erased.

use core::cell::RefCell;

/// A watchdog of a vendor's HAL.
#[derive(Debug)]
pub struct Shared<W> {
    watchdog: RefCell<W>,
    feed: fn(&mut W),
}

impl<W> Shared<W> {
    /// `feed` is how the HAL does it.
    pub const fn new(watchdog: W, feed: fn(&mut W)) -> Self {
        Self { watchdog: RefCell::new(watchdog), feed }
    }

    /// Postpones the reset.
    pub fn feed(&self) {
        // Never borrowed at the same time: no interrupt feeds it.
        if let Ok(mut watchdog) = self.watchdog.try_borrow_mut() {
            (self.feed)(&mut watchdog);
        }
    }
}
