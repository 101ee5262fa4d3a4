//! `cargo xtask boards`: builds the firmware of every board and shows what each takes.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::SectionKind::{Data, ReadOnlyData, ReadOnlyString, Text};
use object::{Object, ObjectSection, ObjectSymbol};
use resmcu_xtask::toolchain::Compiler;

use crate::run::{Failure, cargo, run, shown};

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
    let images = root.join("firmware/boards/target/images");
    let io = |e: std::io::Error| Failure::check(format!("{}: {e}", images.display()));
    fs::create_dir_all(&images).map_err(io)?;
    let heading = ["board", "core", "target", "flash", "RAM", "arena"];
    let mut table = vec![heading.map(String::from)];
    for board in BOARDS.iter().filter(|b| names.is_empty() || names.contains(&b.name)) {
        run(&mut board_command(root, compiler, (board, ""), "build", &[])).map_err(with_help)?;
        table.push(row(board, &sizes(&keep_image(root, board, board.name)?)?));
    }
    build_plugin(root, &images)?;
    print_table(&table);
    Ok(())
}

/// What the linker misses in an image from which a panic can be reached: see the firmware's `main`.
const PANIC_SYMBOL: &str = "resmcu_a_panic_can_be_reached";

/// The board on which a panic must not link.
const GUARDED: &str = "mps2-an386";
/// What the guards catch when it runs: the board, the image's ending, the features that provoke it.
const CAUGHT: [(&str, &str, &str); 4] = [
    ("mps2-an386", "panic", "provoke-panic,allow-panics"),
    ("mps2-an386", "stack-overflow", "provoke-stack-overflow,allow-panics"),
    ("microbit", "stack-overflow", "provoke-stack-overflow,allow-panics"),
    ("sifive-e", "stack-overflow", "provoke-stack-overflow,allow-panics"),
];

/// That a panic would be found: an image that holds one must not link. Then builds images of what
/// the guards catch when it runs, which the tests run.
pub(crate) fn guards(root: &Path, compiler: &Compiler) -> Result<(), Failure> {
    let find = |name| {
        let board = BOARDS.iter().find(|board| board.name == name);
        board.ok_or_else(|| Failure::check(format!("no board is called `{name}`")))
    };
    let guarded = (find(GUARDED)?, "provoke-panic");
    let mut command = board_command(root, compiler, guarded, "build", &[]);
    eprintln!("$ {}", shown(&command));
    let output = command.output().map_err(|e| Failure::check(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains(PANIC_SYMBOL) {
        let message = format!("an image that panics has to miss `{PANIC_SYMBOL}`, and did not");
        return Err(Failure::check(format!("{message}: {said}")));
    }
    eprintln!("guards: an image that panics does not link, as it should");
    for (name, ending, features) in CAUGHT {
        let board = find(name)?;
        run(&mut board_command(root, compiler, (board, features), "build", &[]))?;
        keep_image(root, board, &format!("{name}-{ending}"))?;
    }
    Ok(())
}

/// Copies what was built last for a board to `target/images/NAME.elf`.
fn keep_image(root: &Path, board: &Board, name: &str) -> Result<PathBuf, Failure> {
    let target = root.join("firmware/boards/target");
    let image = target.join("images").join(format!("{name}.elf"));
    let built = target.join(board.target).join(board.profile()).join("resmcu-boards");
    let io = |e: std::io::Error| Failure::check(format!("{}: {e}", built.display()));
    fs::copy(&built, &image).map_err(io)?;
    Ok(image)
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
    BOARDS.iter().try_for_each(|board| {
        run(&mut board_command(root, compiler, (board, ""), subcommand, arguments))
    })
}

/// What a build that failed may mean.
fn with_help(failure: Failure) -> Failure {
    let help = format!(
        "where the linker misses `{PANIC_SYMBOL}`, the code can panic: firmware/boards/README.md \
         says how to find where"
    );
    Failure { help: failure.help.or(Some(help)), ..failure }
}

/// cargo for a board, with features besides the board's.
fn board_command(
    root: &Path,
    compiler: &Compiler,
    (board, features): (&Board, &str),
    subcommand: &str,
    arguments: &[&str],
) -> Command {
    let mut command = compiler.cargo(subcommand, board.target);
    let profile = if subcommand == "build" { board.profile() } else { "release" };
    command
        .args(["--profile", profile, "--quiet", "--locked", "--target-dir", "target"])
        .args(["--features", &format!("board-{},{features}", board.name)])
        .args(arguments)
        // The boards' own `.cargo/config.toml` is found from here.
        .current_dir(root.join("firmware/boards"));
    command
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
