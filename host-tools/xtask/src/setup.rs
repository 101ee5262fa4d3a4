//! `cargo xtask setup`: a compiler for the boards and QEMU, got where they are missing.
//!
//! First the ordinary way (rustup's targets), then Debian's packages, else a message with the
//! commands. Everything is said before it is done; when all is there nothing is done.

use std::process::Command;
use std::time::Duration;

use resmcu_xtask::doctor::{qemu_help, targets_help};
use resmcu_xtask::toolchain::{Compiler, Survey, TARGETS, WAY_VARIABLE, Way};

use crate::run::{Failure, run, run_within};

/// rustup without a network waits long; six targets take some 20 s with one.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Sees to it that firmware can be built and emulated, and gives the compiler to build it with.
pub(crate) fn setup() -> Result<Compiler, Failure> {
    let forced = Way::forced().map_err(|e| Failure::missing(e, "unset it, or set one of these"))?;
    let mut survey = Survey::take();
    if forced != Some(Way::Debian) && survey.compiler(forced).is_none() && add_targets(&survey) {
        survey = Survey::take();
    }
    let mut packages = survey.missing_emulator_packages();
    if forced != Some(Way::Rustup) && survey.compiler(forced).is_none() {
        packages.extend(&survey.debian.missing);
    }
    if !packages.is_empty() && install(&packages) {
        survey = Survey::take();
    }
    let no_emulator = no_emulator(&survey);
    let Some(compiler) = survey.compiler(forced) else {
        let mut failure = no_compiler(&survey, forced);
        if let Some(emulator) = no_emulator {
            failure.message = format!("{}; {}", failure.message, emulator.message);
            failure.help = failure.help.map(|help| format!("{help}; and {}", qemu_help()));
        }
        return Err(failure);
    };
    if let Some(failure) = no_emulator {
        return Err(failure);
    }
    report(&survey, &compiler, forced);
    Ok(compiler)
}

/// Lets rustup add the missing targets; whether it could.
fn add_targets(survey: &Survey) -> bool {
    let Some(ordinary) = &survey.ordinary else { return false };
    let Some(rustup) = &ordinary.rustup else { return false };
    eprintln!("setup: rustup's compiler lacks targets of the boards; adding them:");
    let mut command = Command::new(rustup);
    command.args(["target", "add"]).args(&ordinary.missing);
    run_within(&mut command, RUSTUP_LIMIT)
        .inspect_err(|failure| eprintln!("setup: {}", failure.message))
        .is_ok()
}

/// Lets apt-get install packages, as root or by `sudo` without a question; whether it could.
pub(crate) fn install(packages: &[&str]) -> bool {
    if which::which("apt-get").is_err() {
        return false;
    }
    let Some(privilege) = privilege() else {
        eprintln!("setup: apt-get is there, but this is not root and sudo would ask");
        return false;
    };
    let apt = |arguments: &[&str]| {
        let mut words = privilege.to_vec();
        words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        run(&mut command).inspect_err(|failure| eprintln!("setup: {}", failure.message)).is_ok()
    };
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    eprintln!("setup: missing: {}; installing Debian's packages:", packages.join(", "));
    if apt(&install) {
        return true;
    }
    eprintln!("setup: the package lists may be missing or old; fetching them, then once more:");
    apt(&["update"]) && apt(&install)
}

/// What to put before a command so that it runs as root.
fn privilege() -> Option<&'static [&'static str]> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    if is_root {
        return Some(&[]);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).output();
    sudo.is_ok_and(|o| o.status.success()).then_some(&["sudo", "-n"])
}

fn no_emulator(survey: &Survey) -> Option<Failure> {
    let missing: Vec<_> =
        survey.emulators.iter().filter(|e| e.2.is_none()).map(|&(name, ..)| name).collect();
    let message = format!("QEMU is missing: {} not found in PATH", missing.join(", "));
    (!missing.is_empty()).then(|| Failure::missing(message, qemu_help()))
}

fn no_compiler(survey: &Survey, forced: Option<Way>) -> Failure {
    let ordinary = match &survey.ordinary {
        None => "there is no rustc in PATH".to_owned(),
        Some(o) => format!("{} lacks {}", o.rustc.path.display(), o.missing.join(", ")),
    };
    let debian = format!("not installed: {}", survey.debian.missing.join(", "));
    let by_apt = "sudo apt-get install rustc-web cargo-web rust-web-src lld".to_owned();
    match forced {
        Some(Way::Rustup) => Failure::missing(
            format!("no compiler for the boards ({WAY_VARIABLE}=rustup): {ordinary}"),
            targets_help(),
        ),
        Some(Way::Debian) => Failure::missing(
            format!("no compiler for the boards ({WAY_VARIABLE}=debian): {debian}"),
            by_apt,
        ),
        None => Failure::missing(
            format!("no compiler for the boards: {ordinary}; Debian's packages: {debian}"),
            format!("{}, or on Debian 12: {by_apt}", targets_help()),
        ),
    }
}

/// One line when all is there: what was chosen, and why.
fn report(survey: &Survey, compiler: &Compiler, forced: Option<Way>) {
    let version = |path: Option<&resmcu_xtask::toolchain::Program>| {
        path.map_or_else(String::new, |p| format!("{}, {}", p.version, p.path.display()))
    };
    let why = match (forced, compiler.way) {
        (Some(_), _) => format!("{WAY_VARIABLE} asks for it"),
        (None, Way::Rustup) => format!("it has all {} targets", TARGETS.len()),
        (None, Way::Debian) => {
            "no compiler in PATH has the targets; this one builds `core` from source".to_owned()
        }
    };
    let rustc = match compiler.way {
        Way::Rustup => survey.ordinary.as_ref().map(|o| &o.rustc),
        Way::Debian => survey.debian.rustc.as_ref(),
    };
    eprintln!("setup: boards are built by {} ({why})", version(rustc));
    for (name, _, program) in &survey.emulators {
        let program = program.as_ref();
        eprintln!("setup: {name}: {}", program.map_or("", |p| p.version.as_str()));
    }
}
