//! Picks the board: its memory map for the linker, its name and its instruction set. The build
//! script of all packages of boards.

use std::path::PathBuf;
use std::{env, fs};

#[expect(dead_code, reason = "the names of the cores and the profiles are for others")]
mod boards;
use boards::{BOARDS, Board};

fn main() {
    let variable = |name: &str| env::var(name).expect("cargo sets it");
    let package = variable("CARGO_PKG_NAME");
    let feature = |board: &Board| {
        let name = board.name.to_uppercase().replace('-', "_");
        env::var_os(format!("CARGO_FEATURE_BOARD_{name}")).is_some()
    };
    let offered: Vec<&Board> =
        BOARDS.iter().filter(|board| board.package.name == package).collect();
    let chosen: Vec<&Board> = offered.iter().copied().filter(|board| feature(board)).collect();
    let [board] = chosen[..] else {
        let names: Vec<_> = offered.iter().map(|board| board.name).collect();
        panic!("choose one board: --features board-NAME, NAME of {}", names.join(", "));
    };
    let target = variable("TARGET");
    assert!(
        target == board.target,
        "board-{} is built with --target {}, not {target}",
        board.name,
        board.target
    );
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let depth = board.package.folder.split('/').filter(|part| *part != ".").count();
    let home = folder.ancestors().nth(depth).expect("the package's folder is below this one");
    for input in ["build.rs", "boards.rs", "memory"] {
        println!("cargo:rerun-if-changed={}", home.join(input).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let memory = fs::read(home.join("memory").join(board.memory)).expect("a memory map");
    // `memory.x` where the runtime crate looks for it; another name where it has its own.
    let own = if board.package.link.contains(&"-Tresmcu.x") { "resmcu.x" } else { "memory.x" };
    fs::write(out.join(own), memory).expect("OUT_DIR can be written");
    println!("cargo:rustc-link-search={}", out.display());
    if board.is_real() {
        println!("cargo:rustc-link-arg-bin=step-alone=--entry=resmcu_step_alone");
    }
    for argument in board.package.link {
        println!("cargo:rustc-link-arg-bin={package}={argument}");
    }
    let isa = target.split('-').next().unwrap_or(&target);
    // The model that comes with the firmware of a real board.
    println!("cargo:rerun-if-env-changed=RESMCU_MODEL");
    let model = env::var_os("RESMCU_MODEL")
        .map_or_else(|| home.join("../int8-runtime/examples/tiny.rmcu"), PathBuf::from);
    let model = model.canonicalize().expect("RESMCU_MODEL names a file");
    println!("cargo:rerun-if-changed={}", model.display());
    println!("cargo:rustc-env=RESMCU_MODEL={}", model.display());
    println!("cargo:rustc-env=RESMCU_BOARD={}", board.name);
    println!("cargo:rustc-env=RESMCU_ISA={isa}");
}
