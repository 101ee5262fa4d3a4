//! From images to boards, by the commands of the README.

use super::{Session, check_fields};
use serde_json::Value;

/// Two epochs suffice to be far above chance.
const TRAIN: &str = "train resnet8-fashion --epochs 2 --seed 7 -o float.safetensors";

#[track_caller]
fn share(value: &Value) -> f64 {
    let share = value.as_f64().unwrap();
    assert!((0.0..=1.0).contains(&share), "{share} is no share");
    share
}

/// Four-bit weights, rounded adaptively: the file says what it is, and its answers are near.
fn four_bits(session: &Session) {
    let few = "--calibration-images 64 --iterations 100 -n 500 --equalize --seed 3";
    let made = session.json(&format!("quantize float.safetensors -o w4.rmcu --weights 4 {few}"));
    let fields =
        ["ranges[].method", "blocks[].kept_db", "layers[].cosine", "layers[].clipped", "agreement"];
    check_fields(&made, &fields);
    // All but the first and the last layer: 76,192 weights and some bytes of constants.
    let [narrow, wide] = ["w4.rmcu", "int8.rmcu"].map(|file| bytes(session, file));
    assert!(wide - narrow > 37_000, "{wide} bytes become {narrow}");
    let inspected = session.json("inspect w4.rmcu");
    let is_int4 = |layer: &&Value| layer["kernel"] == "generic, int4";
    let layers = inspected["layers"].as_array().unwrap().iter().filter(is_int4);
    assert_eq!((layers.count(), &made["four_bit_layers"]), (8, &8.into()));
    let blocks = made["blocks"].as_array().unwrap();
    let decibel = |block: &Value, field: &str| block[field].as_f64().unwrap();
    let is_kept = |block: &Value| decibel(block, "kept_db") >= decibel(block, "nearest_db");
    assert!(blocks.iter().all(is_kept), "{blocks:?}");
    assert!(share(&made["agreement"]) > 0.9, "{}", made["agreement"]);
    assert_eq!(session.json("evaluate w4.rmcu -n 500")["top1"], made["int8"]["top1"]);
}

/// Four bits where the budget needs them: as few layers as do, the least sensitive ones.
fn mixed_bits(session: &Session) {
    const BUDGET: u64 = 66_000;
    let mixed =
        "quantize float.safetensors -o mixed.rmcu -n 500 --weights mixed --rounding nearest";
    let made = session.json(&format!("{mixed} --flash-budget {BUDGET}"));
    let four = made["four_bit_layers"].as_u64().unwrap();
    assert!((1..8).contains(&four), "{four} layers");
    assert!(made["bytes"].as_u64().unwrap() <= BUDGET);
    assert_eq!(made["sensitivities"].as_array().unwrap().len(), 8);
    let eight = made["settings"]["eight_bit_layers"].as_array().unwrap();
    assert_eq!(eight.len() as u64 + four, 8);
    for (budget, message) in [("", "--flash-budget BYTES"), (" --flash-budget 9000", "its budget")]
    {
        let refused = session.output(&format!("{mixed}{budget}"));
        assert_eq!(refused.status.code(), Some(2));
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(errors.contains(message), "{errors}");
    }
}

fn bytes(session: &Session, file: &str) -> u64 {
    std::fs::metadata(session.path(file)).unwrap().len()
}

/// Answers of too small a margin are «unknown», on the host and on a board.
fn trust(session: &Session) {
    let trusted = session.json("quantize float.safetensors -o trusted.rmcu -n 500 --trust 0.8");
    check_fields(&trusted["trust"], &["precision", "confidence", "margin_min", "test.ci95[]"]);
    let of = |images: &str, field: &str| share(&trusted["trust"][images][field]);
    assert_eq!(trusted["trust"]["chosen_on"]["images"], 500); // a tenth of the training images
    let (chosen, test) = (of("chosen_on", "precision"), of("test", "precision"));
    assert!(chosen > 0.8 && test > 0.75, "{chosen} {test}");
    let coverage = of("test", "coverage");
    assert!(coverage > 0.3 && coverage < 1.0, "{coverage}");
    // The rest of the file is as without a share, and so are the answers.
    assert_eq!(trusted["int8"], session.json("quantize float.safetensors -n 500")["int8"]);

    const RUN: &str = "run trusted.rmcu --data fashion-mnist-small -n 30 --target";
    let unknown = |target: &str| -> Vec<bool> {
        let run = session.json(&format!("{RUN} {target}"));
        run["images"].as_array().unwrap().iter().map(|i| i["unknown"] == true).collect()
    };
    let on_host = unknown("host");
    assert!(on_host.contains(&true) && on_host.contains(&false), "{on_host:?}");
    assert_eq!(unknown("qemu-mps2-an386"), on_host);

    let refused = session.output("quantize float.safetensors -n 500 --trust 0.9999");
    assert_eq!(refused.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        errors.contains("no margin promises that 99.99 % of the answers are right"),
        "{errors}"
    );
    std::fs::rename(session.path("float.config.toml"), session.path("other.toml")).unwrap();
    let refused = session.output("quantize float.safetensors -n 500 --trust 0.8");
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.contains("its settings are not beside float.safetensors"), "{errors}");
    assert!(errors.contains("--trust-data"), "{errors}");
}

/// Fine-tuned with the rounding of four-bit weights: the integers are what was trained.
fn trained_on_grids(session: &Session) {
    session.write_few_images();
    const TRAIN: &str = "train --data few --epochs 1 --quantize";
    let w4a8 = format!("{TRAIN} w4a8 --from float.safetensors -o grids.safetensors");
    let trained = session.json(&w4a8);
    assert_eq!(trained["config"]["epochs"], 1);
    let made = session.json("quantize grids.safetensors -o grids.rmcu -n 500");
    assert_eq!(made["settings"], Value::Null);
    assert_eq!(made["four_bit_layers"], 8);
    assert!(share(&made["agreement"]) > 0.97, "{}", made["agreement"]);
    assert!(made["logits_sqnr_db"].as_f64().unwrap() > 30.0, "{}", made["logits_sqnr_db"]);
    let refused = session.output(&format!("{TRAIN} int8 --from grids.safetensors"));
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(errors.contains("on the grids of its integers already"), "{errors}");
}

#[test]
fn the_whole_way() {
    let session = Session::new();
    let trained = session.json(TRAIN);
    check_fields(&trained, &["network", "best.validation_accuracy", "epochs[].train_loss"]);
    assert_eq!(trained["training_images"], 4500);
    assert!(!session.path("float.resume.safetensors").exists(), "the finished run leaves no state");

    let quantized = session.json("quantize float.safetensors -o int8.rmcu -n 500");
    check_fields(&quantized, &["model.name", "model.hash", "layers[].sqnr_db", "arena"]);
    let (float, int8) = (share(&quantized["float"]["top1"]), share(&quantized["int8"]["top1"]));
    assert!(float > 0.5, "float {float}");
    assert!((float - int8).abs() < 0.03, "float {float}, int8 {int8}");

    let evaluated = session.json("evaluate int8.rmcu -n 500");
    check_fields(&evaluated, &["images", "top1", "top5", "ci95[]", "images_per_s"]);
    assert_eq!(evaluated["top1"], quantized["int8"]["top1"]);
    assert_eq!(evaluated["model"], quantized["model"]);
    let evaluated = session.json("evaluate float.safetensors -n 500");
    assert_eq!(evaluated["top1"], quantized["float"]["top1"]);

    trust(&session);
    four_bits(&session);
    mixed_bits(&session);
    trained_on_grids(&session);
    for target in ["qemu-mps2-an386", "qemu-virt-rv32imac"] {
        on_a_board(&session, target);
    }
}

fn on_a_board(session: &Session, target: &str) {
    let validate = "validate int8.rmcu --float float.safetensors -n 10 --trace --target";
    let validated = session.json(&format!("{validate} {target}"));
    assert_eq!(validated["differing_bytes"], 0);
    assert_eq!(validated["differing_tensors"], 0);
    assert_eq!(validated["compared_tensors"], 120);
    assert_eq!(validated["first_difference"], Value::Null);
    assert_eq!(validated["top1"]["host"], validated["top1"]["device"]);
    share(&validated["top1"]["float"]);

    let bench = session.json(&format!("bench int8.rmcu --target {target}"));
    check_fields(&bench, &["layers[].name", "layers[].op", "layers[].kernel", "layers[].macs"]);
    check_fields(&bench, &["ram.arena", "ram.scratch", "ram.plan", "ram.statics", "ram.stack"]);
    check_fields(&bench, &["ram.total", "flash.code", "flash.model", "flash.total"]);
    assert_eq!(bench["unit"], "instructions");
    // No cycle is shorter than an instruction; of the other core no timing is published.
    let (cycles, total) = (bench["modelled_cycles"].as_u64(), bench["total"].as_u64());
    assert_eq!(cycles.is_some(), target == "qemu-mps2-an386");
    assert!(cycles.is_none() || cycles >= total, "{cycles:?} cycles of {total:?} instructions");
    let layers = bench["layers"].as_array().unwrap();
    let sum = |field: &str| layers.iter().map(|layer| layer[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("macs"), bench["macs"].as_u64().unwrap());
    // Between two layers the counter is read, which belongs to none.
    assert!(sum("count") <= bench["total"].as_u64().unwrap());
    // Counts are of executed instructions: the same again.
    let again = session.json(&format!("bench int8.rmcu --target {target}"));
    assert_eq!(again["layers"], bench["layers"]);

    let run = session.json(&format!("run int8.rmcu --data fashion-mnist-small --target {target}"));
    check_fields(&run, &["target", "top[].class", "top[].score", "instructions"]);
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_bits() {
    const FEW: &str = "train resnet8-fashion --data few --epochs 3 --seed 7 -o float.safetensors";
    let (whole, parts) = (Session::new(), Session::new());
    whole.write_few_images();
    parts.write_few_images();
    whole.text(FEW);
    let mut child = parts.command(FEW).stderr(std::process::Stdio::null()).spawn().unwrap();
    let state = parts.path("float.resume.safetensors");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(300);
    while !state.exists() {
        assert!(std::time::Instant::now() < patience, "no state was saved");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    parts.text(&format!("{FEW} --resume"));
    let read = |session: &Session| std::fs::read(session.path("float.safetensors")).unwrap();
    assert!(read(&whole) == read(&parts), "the resumed run ends in other bits");
    // The configuration that is written beside a checkpoint repeats it.
    whole.text("train resnet8-fashion --data few --config float.config.toml -o again.safetensors");
    let again = std::fs::read(whole.path("again.safetensors")).unwrap();
    assert!(read(&whole) == again, "the written configuration is another run's");
}

#[test]
fn reports_without_training() {
    let session = Session::new();
    let analyzed = session.json("analyze resnet8 --board qemu-mps2-an386");
    check_fields(&analyzed, &["macs", "params", "layers[].live", "arena", "lower_bound", "flash"]);
    check_fields(&analyzed, &["board.ram_share", "board.flash_share"]);
    assert_eq!(analyzed["macs"], 12_501_632);
    // The goal of the first issue: at most 36 KiB, with the add in place.
    assert!(analyzed["arena"].as_u64().unwrap() <= 36 * 1024);
    assert_eq!(analyzed["arena"], analyzed["lower_bound"]);

    let planned = session.json("plan resnet8");
    check_fields(&planned, &["arena", "lower_bound"]);
    let curve = session.json("plan resnet8 --curve --target qemu-mps2-an386");
    check_fields(&curve, &["curve[].ram", "curve[].arena", "curve[].modelled_instructions"]);
    check_fields(&planned, &["buffers[].name", "buffers[].offset", "buffers[].bytes"]);
    check_fields(&planned, &["buffers[].first", "buffers[].last"]);

    check_fields(&session.json("inspect resnet20"), &["tensors[].scale", "layers[].weight_bytes"]);
    check_fields(&session.json("boards"), &["boards[].name", "boards[].flash", "boards[].ram"]);
    check_fields(&session.json("doctor"), &["findings[].job", "findings[].found"]);
    check_fields(&session.json("dataset"), &["sets[].licence", "sets[].there"]);
    let checked = session.json("dataset fashion-mnist-small");
    check_fields(&checked, &["splits[].per_class[]", "splits[].shape[]"]);
    assert_eq!(checked["splits"][0]["images"], 5000);
    for command in ["analyze resnet8", "plan resnet8", "inspect resnet8", "boards", "dataset"] {
        assert!(session.text(command).contains("resmcu "), "{command} names the tool");
    }
}
