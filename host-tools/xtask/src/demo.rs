//! `cargo xtask demo`: the whole way once, by commands that a user could type.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::boards;
use crate::run::{Failure, cargo, run};
use crate::setup;

/// The folder that the demo works in and leaves behind.
const OUTPUT: &str = "demo-output";

/// The boards that the demo runs on.
const BOARDS: [&str; 2] = ["mps2-an386", "virt-rv32imac"];

/// What is run, in order: what it shows, and the arguments of `resmcu`.
const COMMANDS: [(&str, &str); 11] = [
    ("The images that the repository carries", "dataset fashion-mnist-small"),
    (
        "Train ResNet-8 in float; the best epoch is chosen on held-out training images",
        "train resnet8-fashion --data fashion-mnist-small -o resnet8.safetensors",
    ),
    (
        "Fold batch normalization, quantize to int8, plan the memory, judge on the test images",
        "quantize resnet8.safetensors --data fashion-mnist-small -o resnet8.rmcu",
    ),
    ("Where every tensor lies in the arena, and when", "plan resnet8.rmcu"),
    (
        "An emulated Cortex-M4 against this computer: every tensor of 50 test images",
        "validate resnet8.rmcu --float resnet8.safetensors -n 50 --trace --target qemu-mps2-an386",
    ),
    (
        "An emulated RV32IMAC core: the same",
        "validate resnet8.rmcu --float resnet8.safetensors -n 50 --trace \
         --target qemu-virt-rv32imac",
    ),
    (
        "What each layer costs by the kernels that every core has",
        "bench resnet8.rmcu --target qemu-virt-rv32imac",
    ),
    (
        "The same integers, packed for the Cortex-M4's own kernels",
        "quantize resnet8.safetensors --data fashion-mnist-small --board qemu-mps2-an386 \
         -o resnet8-m4.rmcu",
    ),
    (
        "They give the same bytes",
        "validate resnet8-m4.rmcu --float resnet8.safetensors -n 50 --trace \
         --target qemu-mps2-an386",
    ),
    ("And that is what it costs there", "bench resnet8-m4.rmcu --target qemu-mps2-an386"),
    (
        "Three images, classified by the Cortex-M4",
        "run resnet8-m4.rmcu --data fashion-mnist-small -n 3 --target qemu-mps2-an386",
    ),
];

/// Sets up, builds, and runs the commands one after the other in the output folder, each shown as
/// it would be typed.
pub(crate) fn demo(root: &Path) -> Result<(), Failure> {
    let begun = Instant::now();
    boards::boards(root, &setup::setup()?, &BOARDS)?;
    let folder = root.join(OUTPUT);
    let io = |e: std::io::Error| Failure::check(format!("{}: {e}", folder.display()));
    fs::create_dir_all(&folder).map_err(io)?;
    eprintln!("building the command `resmcu` in release; the first time takes some minutes");
    let build = ["build", "--release", "--quiet", "--locked", "--package", "resmcu"];
    run(cargo().args(build).current_dir(root))?;
    for (title, arguments) in COMMANDS {
        println!("\n== {title}\n$ resmcu {arguments}\n");
        let mut command = cargo();
        command.args(["run", "--release", "--quiet", "--locked", "--package", "resmcu", "--"]);
        let status =
            command.args(arguments.split(' ')).current_dir(&folder).status().map_err(io)?;
        if !status.success() {
            let message = format!("the demo stopped: `resmcu {arguments}`: {status}");
            return Err(Failure::check(message));
        }
    }
    println!("\nThe checkpoint and the models are in {OUTPUT}/; all that took");
    println!(
        "{:.0} s. `resmcu` above is `cargo run --release -p resmcu --`.",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
