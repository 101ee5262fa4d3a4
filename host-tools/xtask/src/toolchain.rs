//! The compiler for the boards, and QEMU: what is there, and which compiler to take.
//!
//! Two compilers can build for the boards: an ordinary one that has the targets (rustup's), or
//! Debian's, which builds `core` from source with flags that only this file knows.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The targets of all boards, as rustc names them.
pub const TARGETS: [&str; 6] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
    "riscv32imac-unknown-none-elf",
];

/// The emulators, and Debian's packages for them.
pub const EMULATORS: [(&str, &str); 2] =
    [("qemu-system-arm", "qemu-system-arm"), ("qemu-system-riscv32", "qemu-system-misc")];

/// The environment variable that forces a [`Way`].
pub const WAY_VARIABLE: &str = "RESMCU_TOOLCHAIN";

/// The oldest compiler that builds this repository, as in its manifests.
const RUST_VERSION_MIN: &str = env!("CARGO_PKG_RUST_VERSION");

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";
const DEBIAN_LINKER: &str = "ld.lld";

/// Where the compiler for the boards comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A compiler that has the targets: rustup's, or another one in PATH.
    Rustup,
    /// Debian's packages: the compiler in `/usr/bin`, the sources of `core`, LLD.
    Debian,
}

impl Way {
    /// The way that the user forces by the environment, if any.
    ///
    /// # Errors
    /// When the variable names neither.
    pub fn forced() -> Result<Option<Self>, String> {
        match std::env::var(WAY_VARIABLE).as_deref() {
            Err(_) | Ok("") => Ok(None),
            Ok("rustup") => Ok(Some(Way::Rustup)),
            Ok("debian") => Ok(Some(Way::Debian)),
            Ok(other) => Err(format!("{WAY_VARIABLE} is `{other}`, expected `rustup` or `debian`")),
        }
    }
}

/// A program, and what it says of its version.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// The first line of its `--version`.
    pub version: String,
}

impl Program {
    /// Looks for a program in PATH and asks its version.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::at(which::which(name).ok()?)
    }

    fn at(path: PathBuf) -> Option<Self> {
        let version = output(&path, &["--version"])?.lines().next()?.to_owned();
        Some(Self { path, version })
    }
}

/// The compiler that is found first: rustup's if there is one, else that of PATH.
#[derive(Clone, Debug)]
pub struct Ordinary {
    /// Its cargo.
    pub cargo: PathBuf,
    /// Its rustc.
    pub rustc: Program,
    /// rustup, which can add targets.
    pub rustup: Option<PathBuf>,
    /// Which of [`TARGETS`] it does not have.
    pub missing: Vec<&'static str>,
}

/// What Debian's packages would have to bring; each is the package that is not there.
#[derive(Clone, Debug)]
pub struct Debian {
    /// The compiler, if it is there and new enough.
    pub rustc: Option<Program>,
    /// Packages to install.
    pub missing: Vec<&'static str>,
}

/// What this machine has for building and emulating boards.
#[derive(Clone, Debug)]
pub struct Survey {
    /// A compiler in PATH.
    pub ordinary: Option<Ordinary>,
    /// Debian's compiler.
    pub debian: Debian,
    /// One for each of [`EMULATORS`].
    pub emulators: Vec<(&'static str, &'static str, Option<Program>)>,
}

impl Survey {
    /// Looks; changes nothing.
    #[must_use]
    pub fn take() -> Self {
        let emulators = EMULATORS.map(|(name, package)| (name, package, Program::find(name)));
        Self {
            ordinary: survey_ordinary(),
            debian: survey_debian(),
            emulators: emulators.into_iter().collect(),
        }
    }

    /// A compiler that is complete, the ordinary one first; `forced` leaves no choice.
    #[must_use]
    pub fn compiler(&self, forced: Option<Way>) -> Option<Compiler> {
        let ordinary = self.ordinary.as_ref().filter(|o| o.missing.is_empty());
        if forced != Some(Way::Debian)
            && let Some(ordinary) = ordinary
        {
            return Some(Compiler { way: Way::Rustup, cargo: ordinary.cargo.clone() });
        }
        let debian_is_whole = self.debian.missing.is_empty();
        (forced != Some(Way::Rustup) && debian_is_whole)
            .then(|| Compiler { way: Way::Debian, cargo: DEBIAN_CARGO.into() })
    }

    /// Debian's packages for the emulators that are not there.
    #[must_use]
    pub fn missing_emulator_packages(&self) -> Vec<&'static str> {
        let missing = self.emulators.iter().filter(|(_, _, found)| found.is_none());
        missing.map(|&(_, package, _)| package).collect()
    }
}

/// A complete compiler for the boards.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// Where it comes from.
    pub way: Way,
    cargo: PathBuf,
}

impl Compiler {
    /// Whether it brings clippy: Debian's does not.
    #[must_use]
    pub fn has_clippy(&self) -> bool {
        self.way == Way::Rustup
    }

    /// `cargo SUBCOMMAND` for a target, with what this compiler needs for it.
    #[must_use]
    pub fn cargo(&self, subcommand: &str, target: &str) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args([subcommand, "--target", target]);
        if self.way == Way::Debian {
            let linker = target.replace(['-', '.'], "_").to_uppercase();
            command
                .arg("-Zbuild-std=core")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", DEBIAN_RUSTC)
                .env(format!("CARGO_TARGET_{linker}_LINKER"), DEBIAN_LINKER);
            // What another cargo, which started this program, set for itself.
            for variable in ["CARGO", "RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTDOC"] {
                command.env_remove(variable);
            }
        }
        command
    }
}

/// The first line of standard output, if the program could be run and succeeded.
fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let done = Command::new(program).args(arguments).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

fn survey_ordinary() -> Option<Ordinary> {
    let rustup = which::which("rustup").ok();
    // rustup's own cargo stands beside it; another one in PATH would not see its targets.
    let find = |name: &str| {
        let beside = rustup.as_ref().and_then(|r| which::which(r.with_file_name(name)).ok());
        beside.or_else(|| which::which(name).ok())
    };
    let (cargo, rustc) = (find("cargo")?, Program::at(find("rustc")?)?);
    let sysroot = PathBuf::from(output(&rustc.path, &["--print", "sysroot"])?);
    let has = |target: &&str| sysroot.join("lib/rustlib").join(target).join("lib").is_dir();
    let missing = TARGETS.into_iter().filter(|target| !has(target)).collect();
    Some(Ordinary { cargo, rustc, rustup, missing })
}

fn survey_debian() -> Debian {
    let rustc = Program::at(DEBIAN_RUSTC.into()).filter(|r| is_new_enough(&r.version));
    let needs = [
        ("rustc-web", rustc.is_some()),
        ("cargo-web", Path::new(DEBIAN_CARGO).is_file()),
        ("rust-web-src", Path::new(DEBIAN_CORE).is_file()),
        ("lld", which::which(DEBIAN_LINKER).is_ok()),
    ];
    let missing = needs.into_iter().filter(|(_, there)| !there).map(|(name, _)| name).collect();
    Debian { rustc, missing }
}

/// Whether `rustc 1.96.0 (…)` is at least [`RUST_VERSION_MIN`].
fn is_new_enough(version: &str) -> bool {
    let minor = |version: &str| version.split('.').nth(1)?.parse::<u32>().ok();
    minor(version) >= minor(RUST_VERSION_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(missing: &[&'static str], packages: &[&'static str]) -> Survey {
        let program = || Program { path: "x".into(), version: "1".to_owned() };
        let (cargo, missing) = ("cargo".into(), missing.to_vec());
        Survey {
            ordinary: Some(Ordinary { cargo, rustc: program(), rustup: None, missing }),
            debian: Debian { rustc: Some(program()), missing: packages.to_vec() },
            emulators: vec![("a", "package-a", None), ("b", "package-b", Some(program()))],
        }
    }

    #[test]
    fn the_ordinary_compiler_comes_first_unless_forced() {
        let check = |targets: &[&'static str], packages: &[&'static str], forced, expected| {
            let way = survey(targets, packages).compiler(forced).map(|c| c.way);
            assert_eq!(way, expected, "{targets:?} {packages:?} {forced:?}");
        };
        check(&[], &[], None, Some(Way::Rustup));
        check(&[], &[], Some(Way::Debian), Some(Way::Debian));
        check(&["thumbv6m-none-eabi"], &[], None, Some(Way::Debian));
        check(&["thumbv6m-none-eabi"], &[], Some(Way::Rustup), None);
        check(&[], &["lld"], Some(Way::Debian), None);
        check(&["thumbv6m-none-eabi"], &["lld"], None, None);
        assert_eq!(survey(&[], &[]).missing_emulator_packages(), ["package-a"]);
    }

    #[test]
    fn only_debian_gets_the_flags_for_building_core() {
        let arguments = |way| {
            let command = Compiler { way, cargo: "cargo".into() }.cargo("build", TARGETS[3]);
            format!("{command:?}")
        };
        assert!(!arguments(Way::Rustup).contains("build-std"));
        let debian = arguments(Way::Debian);
        assert!(debian.contains("-Zbuild-std=core"), "{debian}");
        assert!(debian.contains("CARGO_TARGET_THUMBV8M_MAIN_NONE_EABIHF_LINKER"), "{debian}");
    }

    #[test]
    fn compilers_are_compared_by_version() {
        assert!(is_new_enough("rustc 1.99.0 (abc)") && is_new_enough("rustc 1.100.1"));
        assert!(!is_new_enough("rustc 1.63.0 (abc)") && !is_new_enough("nonsense"));
    }
}
