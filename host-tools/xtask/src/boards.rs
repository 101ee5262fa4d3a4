//! `cargo xtask boards`: builds the firmware of every board and shows what each takes.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};

use object::SectionKind::{Data, ReadOnlyData, ReadOnlyString, Text};
use object::{Object, ObjectSection, ObjectSymbol};
use resmcu_xtask::toolchain::Compiler;

use crate::run::{Failure, cargo, run};

#[path = "../../../firmware/boards/boards.rs"]
#[expect(dead_code, reason = "the memory maps are for the boards' own build script")]
mod list;
use list::{BOARDS, Board};

/// Bytes that an image takes of the board's memories, the arena apart.
struct Sizes {
    flash: u64,
    ram: u64,
    arena: u64,
}

/// Builds the boards of these names, or all where there are none, in release, and puts their ELF
/// files into `firmware/boards/target/images`.
pub(crate) fn boards(root: &Path, compiler: &Compiler, names: &[&str]) -> Result<(), Failure> {
    if let Some(name) = names.iter().find(|name| BOARDS.iter().all(|board| board.name != **name)) {
        let known: Vec<_> = BOARDS.iter().map(|board| board.name).collect();
        let help = format!("one of: {}", known.join(", "));
        return Err(Failure::missing(format!("no board is called `{name}`"), help));
    }
    let folder = root.join("firmware/boards");
    let images = folder.join("target/images");
    let io = |e: std::io::Error| Failure::check(format!("{}: {e}", images.display()));
    fs::create_dir_all(&images).map_err(io)?;
    let heading = ["board", "core", "target", "flash", "RAM", "arena"];
    let mut table = vec![heading.map(String::from)];
    for board in BOARDS.iter().filter(|b| names.is_empty() || names.contains(&b.name)) {
        run_cargo(root, compiler, board, "build", &[])?;
        let built = folder.join("target").join(board.target);
        let built = built.join(board.profile()).join("resmcu-boards");
        let image = images.join(format!("{}.elf", board.name));
        fs::copy(&built, &image).map_err(io)?;
        table.push(row(board, &sizes(&image)?));
    }
    build_plugin(root, &images)?;
    print_table(&table);
    Ok(())
}

/// Builds the emulator's plugin and puts it beside the images. Its symbols are found when QEMU
/// loads it, which only linkers of ELF files take without a word.
fn build_plugin(root: &Path, images: &Path) -> Result<(), Failure> {
    if !cfg!(target_os = "linux") {
        eprintln!("boards: the plugin for `resmcu bench --profile` is for Linux; not built");
        return Ok(());
    }
    let arguments = ["build", "--release", "--quiet", "--locked", "-p", "resmcu-qemu-plugin"];
    run(cargo().args(arguments).current_dir(root))?;
    let name = format!("{DLL_PREFIX}resmcu_qemu_plugin{DLL_SUFFIX}");
    let built = target_folder(root).join("release").join(&name);
    let io = |e: std::io::Error| Failure::check(format!("{}: {e}", built.display()));
    fs::copy(&built, images.join(&name)).map(drop).map_err(io)
}

/// Where this workspace builds.
fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Runs a subcommand of cargo that checks code for every board.
pub(crate) fn for_each_board(
    root: &Path,
    compiler: &Compiler,
    subcommand: &str,
    arguments: &[&str],
) -> Result<(), Failure> {
    BOARDS.iter().try_for_each(|board| run_cargo(root, compiler, board, subcommand, arguments))
}

fn run_cargo(
    root: &Path,
    compiler: &Compiler,
    board: &Board,
    subcommand: &str,
    arguments: &[&str],
) -> Result<(), Failure> {
    let mut command = compiler.cargo(subcommand, board.target);
    let profile = if subcommand == "build" { board.profile() } else { "release" };
    command
        .args(["--profile", profile, "--quiet", "--locked", "--target-dir", "target"])
        .args(["--features", &format!("board-{}", board.name)])
        .args(arguments)
        // The boards' own `.cargo/config.toml` is found from here.
        .current_dir(root.join("firmware/boards"));
    run(&mut command)
}

fn row(board: &Board, sizes: &Sizes) -> [String; 6] {
    let [flash, ram, arena] = [sizes.flash, sizes.ram, sizes.arena].map(|n| n.to_string());
    let [name, core, target] = [board.name, board.core, board.target].map(str::to_owned);
    [name, core, target, flash, ram, arena]
}

/// Adds up the sections that are loaded: what is in flash, and what is in RAM (initialized data
/// are in both).
fn sizes(image: &Path) -> Result<Sizes, Failure> {
    let bad = |e: String| Failure::check(format!("{}: {e}", image.display()));
    let bytes = fs::read(image).map_err(|e| bad(e.to_string()))?;
    let file = object::File::parse(&*bytes).map_err(|e| bad(e.to_string()))?;
    let mut sizes = Sizes { flash: 0, ram: 0, arena: 0 };
    for section in file.sections() {
        let (kind, bytes) = (section.kind(), section.size());
        // Sections for tools, such as defmt's strings, are of other kinds.
        if matches!(kind, Text | ReadOnlyData | ReadOnlyString | Data) {
            sizes.flash += bytes;
        }
        if matches!(section.name(), Ok(".data" | ".bss" | ".uninit")) {
            sizes.ram += bytes;
        }
    }
    let arena = file.symbols().find(|symbol| symbol.name() == Ok("resmcu_arena"));
    sizes.arena = arena.map_or(0, |symbol| symbol.size());
    sizes.ram -= sizes.arena.min(sizes.ram);
    Ok(sizes)
}

/// Prints rows in columns; numbers (the last three columns) stand to the right.
fn print_table(table: &[[String; 6]]) {
    let width = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [a, b, c, d, e, f] = std::array::from_fn(width);
    for [board, core, target, flash, ram, arena] in table {
        println!("{board:a$}  {core:b$}  {target:c$}  {flash:>d$}  {ram:>e$}  {arena:>f$}");
    }
    println!("in bytes; RAM without the arena and the stack");
}
