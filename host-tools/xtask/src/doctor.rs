//! What each job needs, whether it is there, and the command that gets it.

use crate::toolchain::{Survey, TARGETS, WAY_VARIABLE, Way};

/// One thing that a job needs.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What one wants to do.
    pub job: &'static str,
    /// What it takes.
    pub need: String,
    /// What is there: a version and a path. `None` is missing.
    pub found: Option<String>,
    /// How to get it, where it is missing.
    pub help: String,
}

/// Looks at this machine; changes nothing, takes a fraction of a second.
#[must_use]
pub fn inspect() -> Vec<Finding> {
    findings(&Survey::take(), Way::forced().unwrap_or_default())
}

/// A command for the reader's system that installs QEMU.
#[must_use]
pub fn qemu_help() -> &'static str {
    match std::env::consts::OS {
        "macos" => "brew install qemu",
        "windows" => "choco install qemu (and add its folder to PATH)",
        _ => "sudo apt-get install qemu-system-arm qemu-system-misc",
    }
}

/// The command that adds the targets to rustup's compiler.
#[must_use]
pub fn targets_help() -> String {
    format!("rustup target add {}", TARGETS.join(" "))
}

fn findings(survey: &Survey, forced: Option<Way>) -> Vec<Finding> {
    let found = survey.compiler(forced).map(|compiler| match (compiler.way, &survey.ordinary) {
        (Way::Rustup, Some(o)) => format!("{}, {}", o.rustc.version, o.rustc.path.display()),
        _ => {
            let version = survey.debian.rustc.as_ref().map_or("", |r| &r.version);
            format!("{version}, Debian's, which builds `core` from source")
        }
    });
    let compiler = Finding {
        job: "build the boards' firmware",
        need: format!("a Rust compiler for {} targets ({WAY_VARIABLE})", TARGETS.len()),
        found,
        help: format!("{}, or in the repository: cargo xtask setup", targets_help()),
    };
    let emulators = survey.emulators.iter().map(|(name, _, program)| Finding {
        job: "run on emulated boards",
        need: (*name).to_owned(),
        found: program.as_ref().map(|p| format!("{}, {}", p.version, p.path.display())),
        help: qemu_help().to_owned(),
    });
    [compiler].into_iter().chain(emulators).collect()
}
