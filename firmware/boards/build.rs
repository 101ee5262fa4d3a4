//! Picks the board: its memory map for the linker, its name and its instruction set.

use std::path::PathBuf;
use std::{env, fs};

/// The board of a feature `board-NAME`: the target it is built for, and its memory map.
struct Board {
    name: &'static str,
    target: &'static str,
    memory: &'static str,
}

const BOARDS: [Board; 8] = [
    Board { name: "mps2-an385-m0", target: "thumbv6m-none-eabi", memory: "mps2-an385.x" },
    Board { name: "mps2-an385", target: "thumbv7m-none-eabi", memory: "mps2-an385.x" },
    Board { name: "mps2-an386", target: "thumbv7em-none-eabihf", memory: "mps2-an385.x" },
    Board { name: "mps2-an500", target: "thumbv7em-none-eabihf", memory: "mps2-an500.x" },
    Board { name: "mps2-an505", target: "thumbv8m.main-none-eabihf", memory: "mps2-an505.x" },
    Board { name: "mps3-an547", target: "thumbv8m.main-none-eabihf", memory: "mps3-an547.x" },
    Board { name: "virt-rv32imc", target: "riscv32imc-unknown-none-elf", memory: "virt-rv32.x" },
    Board { name: "virt-rv32imac", target: "riscv32imac-unknown-none-elf", memory: "virt-rv32.x" },
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
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
