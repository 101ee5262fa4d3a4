//! A child process that ends with this one, however this one ends.
//!
//! Owns the case that destructors do not reach: a process that is killed runs none of them, and an
//! emulator that nobody reads goes on for ever. The versions of QEMU that distributions have do not
//! end with their parent by themselves. So on Unix a shell waits beside the child for the end of
//! its own standard input: only this process has the pipe's other end, and the system closes that
//! with it; then the shell kills the child. Linux's signal at a parent's death was not taken: it
//! needs `unsafe` between fork and exec, and comes when the *thread* ends that started the child.
//! On other systems, and where there is no `sh`, the child is as any other.

use std::io::{Result, Write};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What the shell does: the first line is the child's number, and no second one comes.
const WATCH: &str = "read child && { read _; kill -9 $child; }";

/// A child, and who watches over it.
pub(crate) struct Leashed {
    child: Child,
    watcher: Option<Child>,
}

impl Leashed {
    /// Starts a child.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        // First, so that the child is alone for no longer than it takes to say its number.
        let mut watcher = if cfg!(unix) { watcher().ok() } else { None };
        let child = command.spawn()?;
        if let Some(line) = watcher.as_mut().and_then(|watcher| watcher.stdin.as_mut()) {
            let _ = writeln!(line, "{}", child.id()); // the shell may not have come up
        }
        Ok(Self { child, watcher })
    }

    /// The child, for its pipes.
    pub(crate) fn child_mut(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it did.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.unwatch(); // its number may soon be another's
        }
        Ok(status)
    }

    /// Ends it at once.
    pub(crate) fn end(&mut self) {
        self.unwatch();
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }

    /// Ends the watcher, before its standard input: it shall kill nobody.
    fn unwatch(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            let _ = watcher.kill(); // as above
            let _ = watcher.wait();
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.end();
    }
}

/// The shell that waits.
fn watcher() -> Result<Child> {
    let mut shell = Command::new("sh");
    shell.args(["-c", WATCH]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn()
}
