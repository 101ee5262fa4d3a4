//! Against outside judges: the answers of TensorFlow Lite Micro's interpreter, and those of
//! PyTorch for float networks, in files that the scripts in `tests/golden` made and that the tests
//! read without Python.

pub(crate) mod float_graphs;
pub(crate) mod imports;
pub(crate) mod mlperf_resnet8;
pub(crate) mod operators;
mod quantized_graphs;

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the golden files.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// A golden file of TensorFlow Lite Micro.
#[track_caller]
pub(crate) fn read(name: &str) -> Value {
    read_of("tflite-micro ", name)
}

/// A golden file, whose header says who made it.
#[track_caller]
pub(crate) fn read_of(expected: &str, name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let judge = golden["judge"].as_str().unwrap();
    assert!(judge.starts_with(expected), "{name} was made by {judge}");
    golden
}

/// A list of int8.
#[track_caller]
pub(crate) fn i8s(value: &Value) -> Vec<i8> {
    let numbers = value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap());
    numbers.map(|number| i8::try_from(number).unwrap()).collect()
}

/// The folder of data that is not in the repository. Where it is not set, says what is left out.
pub(crate) fn test_data(skipped: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("RESMCU_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        // Past the test runner, which shows nothing of a test that passes.
        let line = format!("skipped, as RESMCU_TEST_DATA is not set: {skipped}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    folder
}
