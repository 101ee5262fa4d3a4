//! The command `resmcu` as a user has it: its reports, its errors, its exit codes, and the whole
//! way from images to boards.
//!
//! Runs the binary in the profile of the tests. Needs QEMU and the images of `cargo xtask boards`.

mod errors;
mod experiments;
mod folders;
#[cfg(target_os = "linux")]
mod orphans;
mod pipeline;
mod serial;
mod watch;

use resmcu_quantizer::data::{FASHION_MNIST_SMALL, Source, Split, write_idx};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The binary, which `cargo test` does not build by itself for another package's tests.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // .../debug/deps/it-0123
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--package", "resmcu", "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .status();
        assert!(built.unwrap().success(), "resmcu does not build");
        profile.join(format!("resmcu{}", std::env::consts::EXE_SUFFIX))
    })
}

/// A folder to work in.
struct Session {
    folder: TempDir,
}

impl Session {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        command
    }

    fn output(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Writes 600 images, 60 of each class, for training and 100 for testing into the folder `few`:
    /// the checks that a debug build makes in the engine take their time.
    fn write_few_images(&self) {
        std::fs::create_dir(self.path("few")).unwrap();
        let source = Source::find(FASHION_MNIST_SMALL).unwrap();
        for (split, name, per_class) in
            [(Split::Train, "train", 60_usize), (Split::Test, "t10k", 10)]
        {
            let all = source.load(split, None).unwrap();
            let mut left = [per_class; 10];
            let chosen: Vec<usize> = (0..all.len())
                .filter(|&i| {
                    let left = &mut left[usize::from(all.label(i))];
                    std::mem::replace(left, left.saturating_sub(1)) > 0
                })
                .collect();
            let few = all.subset(&chosen);
            let write = |kind: &str, sizes: &[usize], bytes: &[u8]| {
                let path = self.path(&format!("few/{name}-{kind}"));
                write_idx(&mut std::fs::File::create(path).unwrap(), sizes, bytes).unwrap();
            };
            write("images-idx3-ubyte", &[few.len(), 28, 28], &few.to_bytes().unwrap());
            let labels: Vec<u8> = few.labels().iter().map(|&label| label as u8).collect();
            write("labels-idx1-ubyte", &[few.len()], &labels);
        }
    }

    /// The text of a report that has to succeed.
    #[track_caller]
    fn text(&self, arguments: &str) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "resmcu {arguments}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The JSON of a report that has to succeed, with the fields that every report has.
    #[track_caller]
    fn json(&self, arguments: &str) -> Value {
        let text = self.text(&format!("{arguments} --json"));
        let report: Value = serde_json::from_str(&text).unwrap();
        assert!(report["tool"].as_str().unwrap().starts_with("resmcu "), "{arguments}");
        assert_eq!(report["format"], 3, "{arguments}");
        report
    }
}

/// That a report has fields, as `a.b`, with `[]` for the first of a list.
#[track_caller]
fn check_fields(report: &Value, fields: &[&str]) {
    for field in fields {
        let mut value = report;
        for name in field.split('.') {
            let (name, list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
            value = value.get(name).unwrap_or_else(|| panic!("no `{field}` in {report}"));
            if list {
                value = value.get(0).unwrap_or_else(|| panic!("`{field}` is empty in {report}"));
            }
        }
    }
}
