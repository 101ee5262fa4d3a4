//! What a board shows to people, and the watchdog that looks after it.
//!
//! Owns the traits between the application and a board's light, display and watchdog. Nothing here
//! can fail for the application: a dark light or a display that is not connected stops no
//! inference.

use embedded_hal::digital::OutputPin;

/// An answer, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The class's name, or nothing where the model has no names.
    pub name: &'a str,
    /// Its index.
    pub class: u16,
    /// Its score, 0 to 100.
    pub percent: u8,
    /// The model does not trust it: the answer is «unknown».
    pub unknown: bool,
}

/// A board's light, display and watchdog.
pub trait Panel {
    /// An inference begins or has ended.
    fn busy(&mut self, is_busy: bool);

    /// A picture was classified.
    fn show(&mut self, answer: &Answer<'_>) {
        let _ = answer;
    }

    /// The application lives: called at least once a step of the model and once a request.
    fn alive(&mut self) {}
}

/// A light that shines while the model runs.
#[derive(Clone, Copy, Debug)]
pub struct Light<P>(pub P);

impl<P: OutputPin> Panel for Light<P> {
    fn busy(&mut self, is_busy: bool) {
        let _ = self.0.set_state(is_busy.into());
    }
}

/// A panel whose board has a watchdog: `feed` postpones the reset.
#[derive(Clone, Copy, Debug)]
pub struct Watched<P, W> {
    /// Light and display.
    pub panel: P,
    /// Feeds the watchdog.
    pub feed: W,
}

impl<P: Panel, W: FnMut()> Panel for Watched<P, W> {
    fn busy(&mut self, is_busy: bool) {
        self.panel.busy(is_busy);
    }

    fn show(&mut self, answer: &Answer<'_>) {
        self.panel.show(answer);
    }

    fn alive(&mut self) {
        (self.feed)();
    }
}
