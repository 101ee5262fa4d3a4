//! Running other programs: said before, checked after, within a time where that is wise.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Why a command ends: 1 is a check that failed, 2 something missing or wrong to begin with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Failure {
    /// A check that failed.
    pub(crate) fn check(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into(), help: None }
    }

    /// Something missing, and how to get it.
    pub(crate) fn missing(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), help: Some(help.into()) }
    }
}

/// The folder of the workspace: cargo tells where this package is.
pub(crate) fn root() -> Result<PathBuf, Failure> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let root = package.as_ref().and_then(|p| p.parent()?.parent());
    root.map(PathBuf::from)
        .ok_or_else(|| Failure::missing("the repository is not known", "run it as `cargo xtask …`"))
}

/// The cargo that started this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The command as one would type it, without the paths of programs.
pub(crate) fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(OsStr::to_string_lossy);
    [name.into()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Shows a command, runs it without input, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    eprintln!("$ {}", shown(command));
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::check(format!("`{}`: {status}", shown(command)))),
        Err(e) => Err(Failure::check(format!("`{}` could not be started: {e}", shown(command)))),
    }
}

/// Runs a command as [`run`] does, and ends it after `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), Failure> {
    eprintln!("$ {}", shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| Failure::check(format!("`{}` could not be started: {e}", shown(command))))?;
    let start = Instant::now();
    let status: Option<ExitStatus> = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if start.elapsed() < limit => sleep(Duration::from_millis(50)),
            _ => break None,
        }
    };
    let failure = |reason: String| Failure::check(format!("`{}` {reason}", shown(command)));
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failure(format!("ended with {status}"))),
        None => {
            // It may have ended by itself in the meantime: then there is nothing to kill.
            let _ = child.kill();
            let _ = child.wait();
            Err(failure(format!("took more than {} s and was stopped", limit.as_secs())))
        }
    }
}
