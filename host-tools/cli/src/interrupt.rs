//! Ctrl-C, heard by long work that saves before it ends.

use crate::failure::{OrFail, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether Ctrl-C was pressed: the work is to end after its step and save.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on. A second Ctrl-C ends the program.
    pub(crate) fn listen() -> Outcome<Self> {
        Self::listen_with(["", ""])
    }

    /// The same; the first Ctrl-C says the first of `notices`, the second the other.
    pub(crate) fn listen_with(notices: [&'static str; 2]) -> Outcome<Self> {
        let pressed = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&pressed);
        let handler = move || {
            let is_second = set.swap(true, Ordering::Relaxed);
            let notice = notices[usize::from(is_second)];
            if !notice.is_empty() {
                eprintln!("{notice}");
            }
            if is_second {
                std::process::exit(130);
            }
        };
        ctrlc::set_handler(handler).or_fail("Ctrl-C cannot be caught here")?;
        Ok(Self(pressed))
    }

    /// Whether it was pressed.
    pub(crate) fn pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
