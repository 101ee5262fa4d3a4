//! What is left of a command that is killed, and so cleans up nothing itself.
//!
//! Looks for processes in Linux's `/proc`.

use super::Session;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take here, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(300);

/// Waits for what `look` finds.
#[track_caller]
fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        sleep(Duration::from_millis(20));
    }
}

/// The command line of a process; empty where it ended and nobody asked how.
fn command_line(process: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|line| !line.is_empty())
}

/// The emulator that a process started.
fn emulator_of(parent: u32) -> Option<u32> {
    let is_child = |process: u32| {
        // NUMBER (NAME) STATE PARENT ...
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent_of = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2));
        parent_of.is_some_and(|number| number.parse() == Ok(parent))
    };
    let is_emulator = |process: u32| {
        command_line(process).is_some_and(|line| line.split('\0').any(|word| word == "-icount"))
    };
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.into_iter().find(|&process| is_child(process) && is_emulator(process))
}

#[test]
fn an_emulator_ends_with_a_command_that_is_killed() {
    let session = Session::new();
    let mut bench = session.command("bench resnet56 --target qemu-mps2-an385-m0");
    let mut child = bench.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let emulator = wait_for("no emulator starts", || emulator_of(child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the emulator lives on", || command_line(emulator).is_none().then_some(()));
}
