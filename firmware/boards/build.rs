//! Picks the board: its memory map for the linker, its name and its instruction set.

use std::path::PathBuf;
use std::{env, fs};

#[expect(dead_code, reason = "the names of the cores and the profiles are for others")]
mod boards;
use boards::{BOARDS, Board};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=boards.rs");
    println!("cargo:rerun-if-changed=memory");
    let variable = |name: &str| env::var(name).expect("cargo sets it");
    let feature = |board: &Board| {
        let name = board.name.to_uppercase().replace('-', "_");
        env::var_os(format!("CARGO_FEATURE_BOARD_{name}")).is_some()
    };
    let chosen: Vec<&Board> = BOARDS.iter().filter(|board| feature(board)).collect();
    let [board] = chosen[..] else {
        let names: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
        panic!("choose one board: --features board-NAME, NAME of {}", names.join(", "));
    };
    let target = variable("TARGET");
    assert!(
        target == board.target,
        "board-{} is built with --target {}, not {target}",
        board.name,
        board.target
    );
    let out = PathBuf::from(variable("OUT_DIR"));
    let memory = fs::read(PathBuf::from("memory").join(board.memory)).expect("a memory map");
    fs::write(out.join("memory.x"), memory).expect("OUT_DIR can be written");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    let isa = target.split('-').next().unwrap_or(&target);
    println!("cargo:rustc-env=RESMCU_BOARD={}", board.name);
    println!("cargo:rustc-env=RESMCU_ISA={isa}");
}
