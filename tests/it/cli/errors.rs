//! What bad input gets: what, where, what to do; exit code 2, or 1 for a check that failed.

use super::Session;
use std::sync::OnceLock;

/// That a command fails with `code`, says all of `words` on standard error, and helps.
#[track_caller]
pub(super) fn check(session: &Session, arguments: &str, code: i32, words: &[&str]) {
    check_command(session.command(arguments), arguments, code, words);
}

#[track_caller]
fn check_command(mut command: std::process::Command, arguments: &str, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "resmcu {arguments}: {errors}");
    for word in words.iter().chain(&["error: "]) {
        assert!(errors.contains(word), "resmcu {arguments} does not say `{word}`: {errors}");
    }
    let helps = errors.lines().filter(|line| line.starts_with("help: ")).count();
    let wanted = usize::from(code == 2 || errors.contains("goes on"));
    assert_eq!(helps, wanted, "resmcu {arguments}: {errors}");
    assert!(!errors.contains("panicked"), "resmcu {arguments}: {errors}");
}

/// Puts a checkpoint `float.safetensors` and its model `int8.rmcu`, of the demo's network, into the
/// folder, and gives the model's bytes. They are made once.
fn model(session: &Session) -> Vec<u8> {
    static MADE: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let names = ["float.safetensors", "int8.rmcu"];
    let made = MADE.get_or_init(|| {
        let session = Session::new();
        session.write_few_images();
        session.text("train resnet8-fashion --data few --epochs 1 -o float.safetensors");
        session.text("quantize float.safetensors -o int8.rmcu -n 10 --calibration-images 32");
        names.map(|name| std::fs::read(session.path(name)).unwrap())
    });
    for (name, bytes) in names.iter().zip(made) {
        std::fs::write(session.path(name), bytes).unwrap();
    }
    made[1].clone()
}

#[test]
fn bad_files() {
    let session = Session::new();
    let bytes = model(&session);
    let write = |name: &str, bytes: &[u8]| std::fs::write(session.path(name), bytes).unwrap();
    write("short.rmcu", &bytes[..bytes.len() / 2]);
    check(&session, "inspect short.rmcu", 2, &["cut short", "short.rmcu", "byte 0x"]);
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    write("flipped.rmcu", &flipped);
    check(&session, "evaluate flipped.rmcu", 2, &["CRC-32", "flipped.rmcu"]);
    write("newer.rmcu", &[&bytes[..4], &[9, 0], &bytes[6..]].concat());
    check(&session, "run newer.rmcu image.png", 2, &["format version 9", "1 to 3"]);
    write("text.rmcu", b"this is no model");
    check(&session, "plan text.rmcu", 2, &["text.rmcu"]);
    write("text.tflite", b"this is no model");
    check(&session, "import text.tflite", 2, &["text.tflite"]);
    check(&session, "import absent.tflite", 2, &["absent.tflite"]);
    check(&session, "import float.safetensors", 2, &["checkpoint of this project already"]);
    let program = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.cos\nsystem\n.";
    write("program.pth", program);
    check(&session, "import program.pth", 2, &["`os.system` is refused", "byte 0x", "program.pth"]);
    check(&session, "quantize int8.rmcu", 2, &["quantized model", "int8.rmcu"]);
    check(&session, "quantize float.safetensors --weights 5", 2, &["8, 4, mixed"]);
    check(&session, "quantize float.safetensors --calibration best", 2, &["entropy, auto"]);
    check(&session, "train --quantize int8", 2, &["--from"]);
    check(&session, "train --from absent.safetensors", 2, &["absent.safetensors"]);
    check(&session, "train --time-budget 5", 2, &["a number with `s`, `m` or `h`"]);
    check(&session, "train --epochs 0", 2, &["`epochs` is 0"]);
    check(&session, "train -o a.rmcu", 2, &["a.rmcu", "a checkpoint"]);
    write("bad.toml", b"epoch = 3\n");
    check(&session, "train --config bad.toml", 2, &["unknown field `epoch`", "bad.toml"]);
    check(&session, "plan float.safetensors", 2, &["float checkpoint", "float.safetensors"]);
    check(&session, "plan resnet9", 2, &["`resnet9`", "resnet8"]);
}

#[test]
fn bad_data() {
    let session = Session::new();
    model(&session);
    check(&session, "evaluate int8.rmcu --data absent", 2, &["absent"]);
    check(&session, "train --data absent", 2, &["absent"]);
    check(&session, "evaluate resnet8", 2, &["28x28x1", "32x32x3"]);
    check(&session, "train --epochs 0", 2, &["`epochs` is 0"]);
    check(&session, "train --resume", 2, &["no interrupted run"]);
    check(&session, "run int8.rmcu", 2, &["no image"]);
    check(&session, "run int8.rmcu absent.png", 2, &["absent.png"]);
    image::GrayImage::new(30, 28).save(session.path("wide.png")).unwrap();
    check(&session, "run int8.rmcu wide.png", 2, &["28x30", "28x28", "wide.png"]);
    for class in 0..11 {
        let folder = session.path(&format!("eleven/test/class{class:02}"));
        std::fs::create_dir_all(&folder).unwrap();
        image::GrayImage::new(28, 28).save(folder.join("image.png")).unwrap();
    }
    check(&session, "evaluate int8.rmcu --data eleven", 2, &["11 classes", "10"]);
    check(&session, "evaluate int8.rmcu --min-accuracy 1.0 -n 100", 1, &["below"]);
}

#[test]
fn bad_experiments() {
    let session = Session::new();
    session.write_few_images();
    let few = |which: &str, rest: &str| format!("experiment {which} --data few --width 4 {rest}");
    let refused = |which: &str, rest: &str, words: &[&str]| {
        check(&session, &few(which, rest), 2, words);
    };
    for which in ["degradation", "gradient-flow"] {
        refused(which, "--depths 20,21", &["`depth` is 21", "6n + 2"]);
        refused(which, "--epochs 0", &["`epochs` is 0"]);
        check(&session, &format!("experiment {which} --data absent"), 2, &["absent"]);
    }
    refused("gradient-flow", "--batches 0", &["`batches` is 0"]);
    refused("degradation", "--seeds 0", &["`seeds` is 0"]);
    assert!(!session.path("degradation").exists(), "a refused experiment leaves no folder");
    // An interrupted experiment says so, and its folder is kept for what it began.
    let stopped = few("degradation", "--depths 8 --time-budget 0.001s");
    check(&session, &stopped, 1, &["0 of 6 runs are finished", "the same command goes on"]);
    refused("degradation", "--depths 8 --batch 16", &["another recipe", "batch = 32", "16"]);
    refused("degradation", "--depths 8 -n 300", &["another data set", "600 images", "300"]);
    std::fs::write(session.path("degradation/plain-8-seed0.json"), "{}").unwrap();
    refused("degradation", "--depths 8", &["plain-8-seed0.json", "not a file of this experiment"]);
    std::fs::write(session.path("file"), "").unwrap();
    refused("degradation", "--depths 8 -o file", &["file"]);
}

#[test]
fn bad_targets() {
    let session = Session::new();
    model(&session);
    let absent = "validate int8.rmcu -n 1 --target qemu-mps2-an386";
    check(&session, "bench int8.rmcu --target qemu-pdp11", 2, &["qemu-pdp11", "qemu-mps2-an386"]);
    check(&session, "analyze int8.rmcu --board pdp11", 2, &["pdp11"]);
    // A budget that nobody gave is the slot's: 84 KiB without its header.
    let slot = ["model file takes 27", "model slot of qemu-microbit holds 85,696"];
    check(&session, "bench resnet20 --target qemu-microbit", 2, &slot);
    check(
        &session,
        "analyze resnet20 --board microbit-v1",
        2,
        &["slot of microbit-v1 holds 85,696"],
    );
    check(&session, "plan resnet20 --target qemu-microbit --ram-budget least", 2, &slot);
    let mut command = session.command(absent);
    command.env("RESMCU_FIRMWARE", session.path("nowhere"));
    check_command(command, absent, 2, &["nowhere", "cargo xtask boards"]);
    let mut command = session.command(absent);
    command.env("PATH", session.path("nowhere"));
    check_command(command, absent, 2, &["qemu-system-arm", "cargo xtask setup"]);
}
