//! Hostile `.tflite` files: an error that names the place, never a panic.

use crate::golden::operators::{tflite_files, unpacked};
use crate::golden::{read, test_data};
use crate::rng::Rng;
use resmcu_quantizer::import::tflite;
use resmcu_quantizer::lower::lower;

/// Imports altered bytes, and lowers what is accepted; whether it was refused.
fn refused(bytes: &[u8]) -> bool {
    match tflite::read(bytes, "altered") {
        Ok(graph) => {
            drop(lower(&graph));
            false
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            true
        }
    }
}

/// Replaces a few bytes, most of them outside of long constants, `count` times.
fn mutate(name: &str, file: &[u8], count: usize, seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut refusals = 0;
    for round in 0..count {
        let mut altered = file.to_vec();
        for _ in 0..rng.size(1, 4) {
            let at = rng.size(0, file.len() - 1);
            let value = rng.bytes(1)[0];
            altered[at] = rng.pick(&[value, 0, 1, 0x7F, 0x80, 0xFF]);
        }
        let caught = std::panic::catch_unwind(|| refused(&altered));
        assert!(caught.is_ok(), "{name}: round {round} of seed {seed} panics");
        refusals += usize::from(caught.unwrap_or(false));
    }
    refusals
}

#[test]
fn each_kind_of_refusal_says_what_and_where() {
    let golden = read("refused/models.json");
    let models = golden["models"].as_array().unwrap();
    let mut wrong = vec![];
    for model in models {
        let message = model["message"].as_str().unwrap();
        let bytes = unpacked(model["model"].as_str().unwrap());
        match tflite::read(&bytes, "refused") {
            Ok(_) => wrong.push(format!("`{message}`: imported")),
            Err(error) if error.to_string().contains(message) => {}
            Err(error) => wrong.push(format!("`{message}`: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(models.len() >= 40, "{} models", models.len());
}

#[test]
fn mutated_files_of_operators_never_panic() {
    let mut refusals = 0;
    for (index, (name, file)) in tflite_files().iter().enumerate() {
        refusals += mutate(name, file, 200, index as u64);
    }
    assert!(refusals > 5000, "{refusals} refusals");
}

/// Every byte of a small file, to every value that offsets and lengths are sensitive to.
#[test]
fn every_byte_of_a_small_file_altered() {
    let files = tflite_files();
    let (name, file) = files.iter().min_by_key(|(_, file)| file.len()).unwrap();
    for at in 0..file.len() {
        for value in [0, 1, 2, 4, 0x10, 0x7F, 0x80, 0xFE, 0xFF, file[at] ^ 0x20] {
            let mut altered = file.clone();
            altered[at] = value;
            let caught = std::panic::catch_unwind(|| refused(&altered));
            assert!(caught.is_ok(), "{name}: byte {at} set to {value} panics");
        }
    }
}

#[test]
fn truncated_and_random_files_never_panic() {
    for (_, file) in tflite_files().iter().step_by(5) {
        for length in 0..file.len() {
            refused(&file[..length]);
        }
    }
    let mut rng = Rng::new(3);
    for _ in 0..2000 {
        let count = rng.size(0, 300);
        let mut bytes = rng.bytes(count);
        if let Some(magic) = bytes.get_mut(4..8) {
            magic.copy_from_slice(b"TFL3");
        }
        assert!(refused(&bytes));
    }
}

#[test]
fn the_mlperf_file_mutated_and_truncated_never_panics() {
    let Some(data) = test_data("4000 mutations of MLPerf's ResNet-8") else { return };
    let file = std::fs::read(data.join("mlperf-tiny/pretrainedResnet_int8.tflite")).unwrap();
    // Tables, names and shapes lie at both ends; weights, between them.
    let mut rng = Rng::new(9);
    let mut refusals = 0;
    for round in 0..4000 {
        let mut altered = file.clone();
        for _ in 0..rng.size(1, 3) {
            let at = match rng.size(0, 3) {
                0 => rng.size(0, 600),
                1 => rng.size(0, file.len() - 1),
                _ => rng.size(file.len() - 20_000, file.len() - 1),
            };
            altered[at] = rng.bytes(1)[0];
        }
        let caught = std::panic::catch_unwind(|| tflite::read(&altered, "altered").is_err());
        assert!(caught.is_ok(), "round {round} panics");
        refusals += u64::from(caught.unwrap_or(false));
    }
    assert!(refusals > 400, "{refusals} refusals");
    for length in (0..file.len()).step_by(499) {
        assert!(tflite::read(&file[..length], "short").is_err(), "{length} bytes");
    }
}
