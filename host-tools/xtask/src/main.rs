//! `cargo xtask …`: set-up, firmware images, demo and tests of this repository.

mod arm_host;
mod boards;
mod checks;
mod contents;
mod demo;
mod run;
mod setup;

use std::path::Path;
use std::process::{Command, ExitCode};

use run::{Failure, cargo, root, run};

const HELP: &str = "\
usage: cargo xtask COMMAND

  setup               look for a compiler for the boards and QEMU; get what is missing
  boards [BOARD...]   build the firmware of boards (of all) into firmware/boards/target/images
  guards              check that firmware which can panic does not link; build what tests provoke
  arm-host            lint and test the kernels of hosts with 64-bit Arm in QEMU
  demo                train, quantize, plan and run a network on emulated boards
  test                setup, boards, guards, format, lints, arm-host, dependencies, then all tests
                      (those of the integer kernels also as they are released)
  golden              make the golden vectors again (needs Python with tflite-micro)
  make-small-dataset  make the embedded data set again from the full Fashion-MNIST

environment:
  RESMCU_TOOLCHAIN    rustup or debian: which compiler builds the boards (else the first found)
  RESMCU_TEST_DATA    a folder of data for the tests that is not part of the repository
  RESMCU_DATASETS     a folder of data sets that are found by name
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message, help }) => {
            eprintln!("error: {message}");
            if let Some(help) = help {
                eprintln!("help: {help}");
            }
            ExitCode::from(code)
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        ["setup"] => setup::setup().map(drop),
        ["boards", ref names @ ..] => boards::boards(&root()?, &setup::setup()?, names),
        ["guards"] => boards::guards(&root()?, &setup::setup()?),
        ["arm-host"] => arm_host::arm_host(&root()?, &setup::setup()?),
        ["demo"] => demo::demo(&root()?),
        ["test"] => checks::test(&root()?),
        ["golden"] => golden(&root()?),
        ["make-small-dataset"] => make_small_dataset(&root()?),
        _ => Err(Failure::missing(
            format!("no command `{}`", words.join(" ")),
            "`cargo xtask help` lists them",
        )),
    }
}

/// The golden vectors come from tflite-micro, which is a Python package; the tests need neither.
fn golden(root: &Path) -> Result<(), Failure> {
    let python = if cfg!(windows) { "python" } else { "python3" };
    let there = Command::new(python).args(["-c", "import tflite_micro"]).output();
    if !there.is_ok_and(|o| o.status.success()) {
        let message = format!("`{python}` has no module tflite_micro");
        return Err(Failure::missing(message, format!("{python} -m pip install tflite-micro")));
    }
    run(Command::new(python).arg("tests/golden/generate.py").current_dir(root))
}

/// An example of the quantizer, since its readers know the formats.
fn make_small_dataset(root: &Path) -> Result<(), Failure> {
    let example = ["run", "--package", "resmcu-quantizer", "--example", "make_small_dataset"];
    let folder = "quantizer/data/fashion-mnist-small";
    run(cargo().args(example).args(["--quiet", "--", folder]).current_dir(root))
}
