//! `cargo xtask boards`: builds the firmware of every board and shows what each takes.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use resmcu_xtask::toolchain::Compiler;

use crate::contents::{self, Sizes};
use crate::run::{Failure, cargo, run, shown};

#[path = "../../../firmware/boards/boards.rs"]
#[expect(dead_code, reason = "the memory maps are for the boards' own build script")]
pub(crate) mod list;
use list::{BOARDS, Board, Seen};

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
    let heading = ["board", "core", "target", "seen", "flash", "RAM", "arena", "built in"];
    let mut table = vec![heading.map(String::from)];
    for board in BOARDS.iter().filter(|b| names.is_empty() || names.contains(&b.name)) {
        let begun = Instant::now();
        let what = ["--bin", board.package.name];
        run(&mut board_command(root, compiler, (board, ""), "build", &what)).map_err(with_help)?;
        let image = keep_image(root, board, board.name)?;
        contents::check(board, &image)?;
        table.push(row(board, &contents::sizes(&image)?, begun.elapsed().as_secs()));
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
    misses_the_panic(&mut board_command(root, compiler, guarded, "build", &[]))?;
    eprintln!("guards: an image that panics does not link, as it should");
    for (name, ending, features) in CAUGHT {
        let board = find(name)?;
        run(&mut board_command(root, compiler, (board, features), "build", &[]))?;
        keep_image(root, board, &format!("{name}-{ending}"))?;
    }
    steps_alone(root, compiler)
}

/// That of the runtime alone, as it is in the image of each real board, no panic can be reached;
/// and that one would be found.
fn steps_alone(root: &Path, compiler: &Compiler) -> Result<(), Failure> {
    let what = ["--bin", "step-alone"];
    let real: Vec<&Board> = BOARDS.iter().filter(|board| board.is_real()).collect();
    for board in &real {
        run(&mut board_command(root, compiler, (board, ""), "build", &what)).map_err(with_help)?;
    }
    if let Some(board) = real.first() {
        let features = (*board, "provoke-panic");
        misses_the_panic(&mut board_command(root, compiler, features, "build", &what))?;
    }
    let names: Vec<_> = real.iter().map(|board| board.name).collect();
    eprintln!("guards: no panic can be reached from the runtime on {}", names.join(", "));
    Ok(())
}

/// Runs a build that must fail at its last step, since it panics.
fn misses_the_panic(command: &mut Command) -> Result<(), Failure> {
    eprintln!("$ {}", shown(command));
    let output = command.output().map_err(|e| Failure::check(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains(PANIC_SYMBOL) {
        let message = format!("an image that panics has to miss `{PANIC_SYMBOL}`, and did not");
        return Err(Failure::check(format!("{message}: {said}")));
    }
    Ok(())
}

/// Copies what was built last for a board to `target/images/NAME.elf`.
fn keep_image(root: &Path, board: &Board, name: &str) -> Result<PathBuf, Failure> {
    let target = root.join("firmware/boards/target");
    let image = target.join("images").join(format!("{name}.elf"));
    let built = target.join(board.target).join(board.profile()).join(board.package.name);
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
    let boards = root.join("firmware/boards");
    command
        .args(["--profile", profile, "--quiet", "--locked", "--target-dir"])
        .arg(boards.join("target"))
        .args(["--features", &format!("board-{},{features}", board.name)])
        .args(arguments)
        // The package's own `.cargo/config.toml` is found from there.
        .current_dir(boards.join(board.package.folder));
    command
}

fn row(board: &Board, sizes: &Sizes, seconds: u64) -> [String; 8] {
    let [flash, ram, arena] = [sizes.flash, sizes.ram, sizes.arena].map(|n| n.to_string());
    let seen = match board.seen {
        Seen::Emulated | Seen::Both => "in QEMU",
        Seen::Built => "built only",
    };
    let [name, core, target, seen] =
        [board.name, board.core, board.target, seen].map(str::to_owned);
    [name, core, target, seen, flash, ram, arena, format!("{seconds} s")]
}

/// Prints rows in columns; numbers (the last four columns) stand to the right.
fn print_table(table: &[[String; 8]]) {
    let width = |column: usize| table.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let [a, b, c, d, e, f, g, h] = std::array::from_fn(width);
    for [board, core, target, seen, flash, ram, arena, time] in table {
        println!(
            "{board:a$}  {core:b$}  {target:c$}  {seen:d$}  {flash:>e$}  {ram:>f$}  {arena:>g$}  \
             {time:>h$}"
        );
    }
    println!("in bytes; RAM without the arena and the stack");
    println!("seen by its symbols: each image holds the application, the runtime, and what brings");
    println!(
        "its pictures (drivers of a camera and a display, or the line's); a real board's also a \
         model and its log"
    );
}
