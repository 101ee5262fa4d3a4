//! What a person reads when something went wrong: what, where, and one line that helps.

use resmcu_quantizer::data::DataError;
use std::fmt;
use std::path::Path;

/// An error on its way to the terminal, and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    place: Option<String>,
    help: Option<String>,
    code: u8,
}

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Bad input or a missing tool: exit code 2.
    pub(crate) fn input(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), place: None, help: None, code: 2 }
    }

    /// A check that failed (not bit-exact, over budget, not accurate enough): exit code 1.
    pub(crate) fn check(message: impl fmt::Display) -> Self {
        Self { code: 1, ..Self::input(message) }
    }

    /// Says where it happened.
    pub(crate) fn at(self, place: impl fmt::Display) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    /// Says in which file it happened.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        self.at(path.display())
    }

    /// Says what to do.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(place) = &self.place {
            write!(f, "\n  in: {place}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let failure = Self::input(&error);
        match error.help() {
            Some(help) => failure.help(help),
            None => failure.help("`resmcu dataset` lists what is there"),
        }
    }
}

/// Errors without advice of their own get the command's.
pub(crate) trait OrFail<T> {
    /// The error as bad input, with a line of help.
    fn or_fail(self, help: &str) -> Outcome<T>;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, help: &str) -> Outcome<T> {
        self.map_err(|error| Failure::input(error).help(help))
    }
}
