//! `cargo xtask test`: everything that must hold before a change lands.
//!
//! The tests come last, so that standard output ends in cargo's own closing lines; how long each
//! stage took is on standard error.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use resmcu_xtask::toolchain::Compiler;

use crate::arm_host::arm_host;
use crate::boards::list::PACKAGES;
use crate::boards::{self, for_each_board};
use crate::run::{Failure, cargo, run, run_within};
use crate::setup::setup;

/// The folder with data that is not part of the project.
const DATA_VARIABLE: &str = "RESMCU_TEST_DATA";

/// The version that is installed where there is none.
const DENY_VERSION: &str = "0.20.2";
const DENY_FETCH_LIMIT: Duration = Duration::from_secs(60);

/// What ends clippy's arguments.
pub(crate) const DENY: [&str; 3] = ["--", "-D", "warnings"];

/// Runs all stages; the first one that fails ends it.
pub(crate) fn test(root: &Path) -> Result<(), Failure> {
    let data = test_data()?;
    let mut stages = Vec::new();
    let compiler = timed(&mut stages, "setup", setup)?;
    timed(&mut stages, "boards", || boards::boards(root, &compiler, &[]))?;
    timed(&mut stages, "guards", || boards::guards(root, &compiler))?;
    timed(&mut stages, "format", || format(root))?;
    timed(&mut stages, "clippy", || clippy(root, &compiler))?;
    timed(&mut stages, "Arm host", || arm_host(root, &compiler))?;
    timed(&mut stages, "dependencies", || dependencies(root))?;
    timed(&mut stages, "kernels as released", || released_kernels(root))?;
    // Units and documentation first, so that the run ends in the closing line of the tests that
    // matter most. All of the workspace each time, so that nothing is built twice.
    let of_packages =
        ["packed", "power_cut", "service", "streams"].map(|name| ["--test", name]).concat();
    let tests = [
        ("unit tests", &["--lib", "--bins"][..]),
        ("examples in documentation", &["--doc"]),
        ("tests of packages", &of_packages[..]),
        ("integration tests", &["--test", "it"]),
    ];
    for (name, which) in tests {
        let mut command = cargo();
        command.args(["test", "--workspace", "--locked"]).args(which).current_dir(root);
        if let Some(data) = &data {
            command.env(DATA_VARIABLE, data);
        }
        timed(&mut stages, name, || run(&mut command))?;
    }
    stages.sort_by_key(|&(_, took)| std::cmp::Reverse(took));
    let all = ("all stages", stages.iter().map(|(_, took)| took).sum());
    for (name, took) in stages.into_iter().chain([all]) {
        eprintln!("{:>12}  {name}", in_words(took));
    }
    Ok(())
}

/// Runs a stage, says how long it took, and notes that.
fn timed<T>(
    stages: &mut Vec<(&'static str, Duration)>,
    name: &'static str,
    stage: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    eprintln!("== {name}");
    let start = Instant::now();
    let result = stage();
    let took = start.elapsed();
    eprintln!("   {name}: {}", in_words(took));
    stages.push((name, took));
    result
}

/// Minutes and seconds.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// The folder of test data, absolute, since tests run in the folders of their crates.
fn test_data() -> Result<Option<PathBuf>, Failure> {
    let Some(data) = std::env::var_os(DATA_VARIABLE).filter(|v| !v.is_empty()) else {
        eprintln!("{DATA_VARIABLE} is not set: tests that need its data will say that they skip");
        return Ok(None);
    };
    let found = Path::new(&data).canonicalize().ok().filter(|path| path.is_dir());
    let message = format!("{DATA_VARIABLE} is {}, where no folder is", data.to_string_lossy());
    found.map(Some).ok_or_else(|| Failure::missing(message, "correct it, or unset it"))
}

fn format(root: &Path) -> Result<(), Failure> {
    if !cargo().args(["fmt", "--version"]).output().is_ok_and(|o| o.status.success()) {
        let help = "rustup component add rustfmt clippy";
        return Err(Failure::missing("this cargo has neither `fmt` nor `clippy`", help));
    }
    let boards = PACKAGES.iter().map(|package| root.join("firmware/boards").join(package.folder));
    for folder in [root.to_owned()].into_iter().chain(boards) {
        run(cargo().args(["fmt", "--all", "--check"]).current_dir(folder))?;
    }
    Ok(())
}

fn clippy(root: &Path, compiler: &Compiler) -> Result<(), Failure> {
    let host = ["clippy", "--workspace", "--all-targets", "--locked"];
    run(cargo().args(host).args(DENY).current_dir(root))?;
    if !compiler.has_clippy() {
        println!("clippy: not run on the boards: Debian's compiler comes without it");
        return Ok(());
    }
    for_each_board(root, compiler, "clippy", &DENY)
}

/// The tests of the integer kernels, compiled as they are for a release: for vector units compilers
/// have made code that was right in one profile and wrong in the other.
fn released_kernels(root: &Path) -> Result<(), Failure> {
    let test = ["test", "--release", "--locked", "--lib", "-p", "resmcu-int8-kernels"];
    run(cargo().args(test).current_dir(root))
}

/// cargo-deny over all workspaces. What needs the advisory database is run where that can be had.
fn dependencies(root: &Path) -> Result<(), Failure> {
    let deny = cargo_deny(root)?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(&deny);
        command.args(["--config", "deny.toml"]).args(arguments).current_dir(root);
        command
    };
    let boards = PACKAGES.iter().map(|p| format!("firmware/boards/{}/Cargo.toml", p.folder));
    let workspaces: Vec<String> = ["Cargo.toml".to_owned()].into_iter().chain(boards).collect();
    for manifest in &workspaces {
        let what = ["--manifest-path", manifest, "check", "bans", "licenses", "sources"];
        run(&mut command(&what))?;
    }
    if let Err(failure) = run_within(&mut command(&["fetch", "db"]), DENY_FETCH_LIMIT) {
        println!("dependencies: ADVISORIES NOT CHECKED, their database cannot be fetched here");
        println!("dependencies: {}", failure.message);
        return Ok(());
    }
    for manifest in &workspaces {
        run(&mut command(&["--manifest-path", manifest, "check", "advisories"]))?;
    }
    Ok(())
}

/// cargo-deny of PATH, or one of our own under `target`, built without optimization: that takes a
/// minute, and it runs for seconds.
fn cargo_deny(root: &Path) -> Result<PathBuf, Failure> {
    if let Ok(installed) = which::which("cargo-deny") {
        return Ok(installed);
    }
    let tools = root.join("target/tools");
    if let Ok(own) = which::which(tools.join("bin/cargo-deny")) {
        return Ok(own);
    }
    eprintln!("dependencies: cargo-deny is not in PATH; installing it into target/tools:");
    let mut command = cargo();
    command
        .args(["install", "cargo-deny", "--version", DENY_VERSION, "--locked", "--debug"])
        .args(["--quiet", "--root", "target/tools", "--target-dir", "target/tools/build"])
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .current_dir(root);
    run(&mut command)?;
    which::which(tools.join("bin/cargo-deny")).map_err(|e| Failure::check(e.to_string()))
}
