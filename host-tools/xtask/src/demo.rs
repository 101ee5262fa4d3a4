//! `cargo xtask demo`: the whole way once, by commands that a user could type.

use std::fs;
use std::path::Path;

use crate::run::{Failure, cargo};

/// The folder that the demo works in and leaves behind.
const OUTPUT: &str = "demo-output";

/// What is run, in order: the arguments of `resmcu`.
const COMMANDS: [&[&str]; 1] = [&["doctor"]];

/// Runs the commands one after the other in the output folder, each shown as it would be typed.
pub(crate) fn demo(root: &Path) -> Result<(), Failure> {
    let folder = root.join(OUTPUT);
    let io = |e: std::io::Error| Failure::check(format!("{}: {e}", folder.display()));
    fs::create_dir_all(&folder).map_err(io)?;
    for arguments in COMMANDS {
        println!("\n$ resmcu {}", arguments.join(" "));
        let mut command = cargo();
        command.args(["run", "--release", "--quiet", "--package", "resmcu", "--"]);
        let status = command.args(arguments).current_dir(&folder).status().map_err(io)?;
        if !status.success() {
            let message = format!("the demo stopped: `resmcu {}`: {status}", arguments.join(" "));
            return Err(Failure::check(message));
        }
    }
    println!("\nThe demo's files are in {OUTPUT}/");
    Ok(())
}
