//! Long work, on a terminal: a bar with what is done, the rate and the time that is left.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `count` things on standard error; nothing where that is no terminal.
pub(crate) fn bar(count: usize, what: &'static str) -> ProgressBar {
    const TEMPLATE: &str = "{msg} [{wide_bar}] {pos}/{len} {per_sec} ETA {eta}";
    let bar = ProgressBar::new(count as u64).with_message(what);
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
