//! Long work: on a terminal a bar with what is done, the rate and the time that is left.

use indicatif::{ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::io::IsTerminal;

/// A bar over `count` things on standard error; nothing where that is no terminal.
pub(crate) fn bar(count: usize, what: &'static str) -> ProgressBar {
    const TEMPLATE: &str = "{msg} [{wide_bar}] {pos}/{len} {per_sec} ETA {eta}";
    let bar = ProgressBar::new(count as u64).with_message(what);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// Lines about a long stage where there is no terminal.
const LINES: usize = 10;

/// Steps of a stage that is long enough for lines.
const LONG: usize = 1000;

/// Work in stages of known length, one bar after the other; where standard error is no terminal, a
/// line for each tenth of what has more than [`LONG`] steps.
#[derive(Debug, Default)]
pub(crate) struct Stages(RefCell<Option<(&'static str, ProgressBar)>>);

impl Stages {
    /// `done` of `of` steps of the stage `what` are done.
    pub(crate) fn at(&self, what: &'static str, done: usize, of: usize) {
        let mut stage = self.0.borrow_mut();
        if stage.as_ref().is_none_or(|(name, _)| *name != what)
            && let Some((_, bar)) = stage.replace((what, bar(of, what)))
        {
            bar.finish_and_clear();
        }
        if let Some((_, bar)) = &*stage {
            bar.set_position(done as u64);
        }
        let tenth = |done: usize| done * LINES / of.max(1);
        let is_line = of >= LONG && done > 0 && tenth(done) > tenth(done - 1);
        if is_line && !std::io::stderr().is_terminal() {
            eprintln!("{what} {done} of {of}");
        }
    }

    /// Clears the last bar.
    pub(crate) fn finish(&self) {
        if let Some((_, bar)) = self.0.borrow_mut().take() {
            bar.finish_and_clear();
        }
    }
}
