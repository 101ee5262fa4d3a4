//! Hostile files of float networks: an error that names the place, never a panic.

use crate::golden::float_graphs;
use crate::golden::imports::{options, state_dict_files};
use crate::rng::Rng;
use resmcu_quantizer::import::{FloatImport, Format, Options, state_dict};

/// Imports altered bytes; whether they were refused, which has to be with words.
#[track_caller]
fn refused(what: &str, bytes: &[u8]) -> bool {
    let read = || {
        let _ = Format::of(bytes);
        state_dict::read(bytes, &options()).map_err(|error| error.to_string())
    };
    match std::panic::catch_unwind(read) {
        Ok(Ok(_)) => false,
        Ok(Err(words)) => !words.is_empty(),
        Err(_) => panic!("{what} panics"),
    }
}

#[test]
fn no_prefix_of_a_state_dict_panics() {
    for (name, file) in state_dict_files() {
        for length in (0..file.len()).step_by(7).chain([file.len() - 1]) {
            let what = format!("{name}: {length} bytes");
            assert!(refused(&what, &file[..length]), "{what} are imported");
        }
    }
}

/// The bytes that say what the others are: all of a pickle and of the archive's directory.
#[test]
fn no_altered_byte_of_a_state_dict_panics() {
    let mut refusals = 0;
    for (name, file) in state_dict_files() {
        let mut altered = file.clone();
        // A pickle, JSON or the first record lies at the beginning, a directory at the end.
        let places = (0..file.len().min(2500)).chain(file.len().saturating_sub(2500)..file.len());
        for at in places {
            for value in [0, 0xFF, file[at] ^ 1] {
                altered[at] = value;
                refusals += u32::from(refused(&format!("{name}: byte {at} as {value}"), &altered));
            }
            altered[at] = file[at];
        }
    }
    assert!(refusals > 50_000, "{refusals} refusals");
}

/// Archives are protected by checksums, so their pickles are reached only through whole files.
#[test]
fn no_random_pickle_panics() {
    let head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let system: &[u8] = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.";
    let tensor: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n\
        FloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08tQK\x00K\x02\x85K\x01\x85tR";
    let words: [&[u8]; 14] = [
        b"}", b"]", b"(", b"s", b"u", b"a", b"e", b"R", b"b", b"Q", b"t", b"q\x01", b"h\x01",
        tensor,
    ];
    let mut rng = Rng::new(5);
    for round in 0..20_000 {
        let mut file = [&head[..], system, b"\x80\x02}"].concat();
        for _ in 0..rng.size(1, 40) {
            if rng.one_in(6) {
                file.extend(rng.bytes(1));
            } else {
                file.extend(rng.pick(&words));
            }
        }
        file.push(b'.');
        assert!(refused(&format!("round {round}"), &file));
    }
}

/// Files with their graph: every byte of the smaller ones, and a sample of prefixes.
#[track_caller]
fn check_graphs(
    files: Vec<(String, Vec<u8>)>,
    read: fn(&[u8], &Options) -> Result<FloatImport, String>,
    least: u32,
) {
    let options = float_graphs::options();
    let mut refusals = 0;
    let mut refused = |what: &str, bytes: &[u8]| {
        let _ = Format::of(bytes);
        match std::panic::catch_unwind(|| read(bytes, &options)) {
            Ok(Ok(_)) => {}
            Ok(Err(words)) => refusals += u32::from(!words.is_empty()),
            Err(_) => panic!("{what} panics"),
        }
    };
    for (name, file) in files {
        for length in (0..file.len()).step_by(3) {
            refused(&format!("{name}: {length} bytes"), &file[..length]);
        }
        let mut altered = file.clone();
        for at in 0..file.len() {
            for value in [0, 0x7F, 0xFF, file[at] ^ 1] {
                altered[at] = value;
                refused(&format!("{name}: byte {at} as {value}"), &altered);
            }
            altered[at] = file[at];
        }
        let mut rng = Rng::new(17);
        for round in 0..500 {
            let mut altered = file.clone();
            for _ in 0..rng.size(2, 6) {
                let at = rng.size(0, file.len() - 1);
                altered[at] = rng.bytes(1)[0];
            }
            refused(&format!("{name}: round {round}"), &altered);
        }
    }
    assert!(refusals > least, "{refusals} refusals");
}

#[test]
fn no_altered_float_tflite_file_panics() {
    let files = float_graphs::files("LiteRT ", "imports/tflite.json");
    check_graphs(files, float_graphs::read_tflite, 20_000);
}

#[test]
fn no_altered_onnx_file_panics() {
    let files = float_graphs::files("onnxruntime ", "imports/onnx.json").into_iter();
    let files = files.filter(|(name, _)| !name.contains("normalizations")).step_by(2);
    check_graphs(files.collect(), float_graphs::read_onnx, 20_000);
}

#[test]
fn no_altered_quantized_onnx_file_panics() {
    let files = float_graphs::files("onnxruntime ", "imports/onnx_qdq.json").into_iter();
    check_graphs(files.step_by(3).collect(), float_graphs::read_onnx, 20_000);
}
