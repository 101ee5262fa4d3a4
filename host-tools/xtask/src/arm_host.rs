//! The kernels of hosts with 64-bit Arm (NEON), on a host of another kind: linted for such a host,
//! and their tests run by QEMU.
//!
//! Owns what that takes besides the boards' set-up: rustup's target with a C library of its own, so
//! that LLD, which rustup brings, is all the linking there is; and QEMU for single programs. A host
//! that has the unit runs the same tests as its own, in the stages that follow.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use resmcu_xtask::toolchain::{Compiler, Program, Way};

use crate::checks::DENY;
use crate::run::{Failure, cargo, run, run_within};
use crate::setup::install;

const TARGET: &str = "aarch64-unknown-linux-musl";
const TARGET_ADD_LIMIT: Duration = Duration::from_secs(60);

/// The crates that have code for NEON, as arguments of cargo.
const CRATES: [&str; 4] = ["-p", "resmcu-int8-kernels", "-p", "resmcu-engine-kernels"];

/// The emulator of a program, and Debian's package for it.
const EMULATOR: &str = "qemu-aarch64";
const PACKAGE: &str = "qemu-user";

/// Lints and tests them.
pub(crate) fn arm_host(root: &Path, compiler: &Compiler) -> Result<(), Failure> {
    if let Some(reason) = not_run(compiler) {
        println!("{TARGET}: {reason}");
        return Ok(());
    }
    if !has_target() {
        let mut add = Command::new("rustup");
        add.args(["target", "add", TARGET]).current_dir(root);
        run_within(&mut add, TARGET_ADD_LIMIT).map_err(|failure| Failure {
            help: Some(format!("rustup target add {TARGET}")),
            ..failure
        })?;
    }
    let emulator = emulator()?;
    let command = |subcommand: &str, what: &str| {
        let mut command = cargo();
        command.args([subcommand, "--locked", "--target", TARGET, what]).args(CRATES);
        command.current_dir(root);
        command
    };
    run(command("clippy", "--all-targets").args(DENY))?;
    let variable =
        |what: &str| format!("CARGO_TARGET_{}_{what}", TARGET.replace('-', "_").to_uppercase());
    let mut tests = command("test", "--tests");
    run(tests.env(variable("LINKER"), "rust-lld").env(variable("RUNNER"), emulator))
}

/// Why nothing is run on this machine, where nothing can be.
fn not_run(compiler: &Compiler) -> Option<&'static str> {
    if cfg!(target_arch = "aarch64") {
        Some("this host's own, whose tests follow")
    } else if !cfg!(target_os = "linux") {
        Some("NOT LINTED OR TESTED: QEMU runs single programs on Linux only")
    } else {
        let is_debian = compiler.way == Way::Debian;
        is_debian.then_some("NOT LINTED OR TESTED: Debian's compiler is for this host only")
    }
}

/// Whether the compiler has the target.
fn has_target() -> bool {
    let asked =
        Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    asked.is_ok_and(|o| Path::new(String::from_utf8_lossy(&o.stdout).trim()).is_dir())
}

/// The emulator of PATH, else that of Debian's package.
fn emulator() -> Result<PathBuf, Failure> {
    let find = || Program::find(EMULATOR).map(|program| program.path);
    find().or_else(|| install(&[PACKAGE]).then(find).flatten()).ok_or_else(|| {
        let message = format!("{EMULATOR} is missing, which runs the tests of NEON's kernels");
        Failure::missing(message, format!("sudo apt-get install {PACKAGE}"))
    })
}
