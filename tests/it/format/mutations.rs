//! Thousands of altered files. The checksum is set right after each alteration, so that the
//! checks behind it are reached.

use super::{annotated, load_and_run, models};
use crate::host::{arena, plan};
use crate::rng::Rng;
use resmcu_int8_runtime::{Block, Executor};
use resmcu_model_format::{PREFIX_BYTES, ParseError, Problem, write::seal};
use zerocopy::IntoBytes;

/// Names the alteration when a test panics in it.
struct Blame<'a>(&'a str, &'a [(usize, u8)]);

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("with these bytes (place, value) in `{}`: {:?}", self.0, self.1);
        }
    }
}

/// Loads a file with some bytes replaced; whether it was refused.
fn refused(name: &str, file: &[u8], bytes: &[(usize, u8)], sealed: bool) -> bool {
    let blame = Blame(name, bytes);
    let mut altered = file.to_vec();
    for &(at, value) in bytes {
        altered[at] = value;
    }
    if sealed {
        seal(&mut altered);
    }
    let result = load_and_run(&altered, 0x7F);
    drop(blame);
    if let Err(error) = result {
        assert!(!error.to_string().is_empty());
    }
    result.is_err()
}

fn records_end(file: &[u8]) -> usize {
    PREFIX_BYTES + usize::try_from(u32::from_le_bytes(*file[16..].first_chunk().unwrap())).unwrap()
}

#[test]
fn every_byte_of_prefix_and_records_altered() {
    let (mut tried, mut accepted) = (0, 0);
    for case in models() {
        let file = annotated(&case);
        for at in 0..records_end(&file) {
            let old = file[at];
            let bits = (0..8).map(|bit| old ^ (1 << bit));
            let ends = [0, 1, 2, 0x7F, 0x80, 0x81, 0xFF, old.wrapping_add(1), old.wrapping_sub(1)];
            let mut values: Vec<u8> = bits.chain(ends).filter(|&value| value != old).collect();
            values.sort_unstable();
            values.dedup();
            for value in values {
                let was_refused = refused(&case.name, &file, &[(at, value)], true);
                let in_checksum = (12..16).contains(&at);
                assert!(
                    was_refused || at >= PREFIX_BYTES || in_checksum,
                    "{}: byte {at} of the prefix is not checked",
                    case.name
                );
                tried += 1;
                accepted += u64::from(!was_refused);
            }
        }
    }
    // Names, scales, clamps and such may change; the rest may not.
    assert!(tried > 50_000 && accepted > 0 && accepted < tried / 2, "{accepted} of {tried}");
}

#[test]
fn several_bytes_altered_at_once() {
    let models = models();
    let files: Vec<Vec<u8>> = models.iter().map(annotated).collect();
    let mut rng = Rng::new(77);
    for _ in 0..30_000 {
        let index = rng.size(0, files.len() - 1);
        let file = &files[index];
        // Mostly records; constants too.
        let end = if rng.one_in(3) { file.len() } else { records_end(file) };
        let bytes: Vec<(usize, u8)> = (0..rng.size(1, 5))
            .map(|_| {
                let value = rng.bytes(1)[0];
                (rng.size(PREFIX_BYTES, end - 1), rng.pick(&[value, 0, 0x7F, 0x80, 0xFF]))
            })
            .collect();
        refused(&models[index].name, file, &bytes, true);
    }
}

#[test]
fn every_byte_of_the_constants_altered() {
    for case in models() {
        let file = annotated(&case);
        for at in records_end(&file)..file.len() {
            for value in [file[at] ^ 0x80, 0x7F, 0xFF] {
                refused(&case.name, &file, &[(at, value)], true);
            }
        }
    }
}

#[test]
fn a_flipped_bit_without_the_checksum_is_found() {
    let case = models().remove(0);
    let file = annotated(&case);
    for at in 0..file.len() {
        assert!(refused(&case.name, &file, &[(at, file[at] ^ 0x10)], false), "byte {at}");
    }
}

#[test]
fn every_truncation_is_refused() {
    for case in models() {
        let file = annotated(&case);
        for length in 0..file.len() {
            let short = &file[..length];
            let error = load_and_run(short, 0).unwrap_err();
            let cut = matches!(
                error,
                resmcu_int8_runtime::LoadError::Parse(ParseError {
                    problem: Problem::Truncated { .. },
                    ..
                })
            );
            assert!(cut, "{length} of {} bytes: {error}", file.len());
            // The same, saying that it is all.
            let mut short = short.to_vec();
            if let Some(declared) = short.get_mut(8..12) {
                declared.copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
                seal(&mut short);
                assert!(load_and_run(&short, 0).is_err(), "{length} of {} bytes", file.len());
            }
        }
    }
}

#[test]
fn over_long_files_are_refused() {
    for case in models() {
        let mut file = case.lower().file;
        file.extend([0; 16]);
        seal(&mut file);
        assert!(load_and_run(&file, 0).is_err());
        let length = u32::try_from(file.len()).unwrap();
        file[8..12].copy_from_slice(&length.to_le_bytes());
        seal(&mut file);
        assert!(load_and_run(&file, 0).is_err());
    }
}

/// A file may lie anywhere; where its constants could not be read in place it is refused.
#[test]
fn files_at_odd_addresses_are_refused_or_run() {
    for case in models() {
        let file = annotated(&case);
        let mut blocks = vec![Block::ZERO; file.len().div_ceil(16) + 1];
        for shift in 1..16 {
            let place = &mut blocks.as_mut_bytes()[shift..shift + file.len()];
            place.copy_from_slice(&file);
            let (mut arena, mut plan) = (arena(super::ARENA_BYTES), plan());
            if let Ok(mut executor) = Executor::new(place, &mut arena, &mut plan) {
                executor.infer(&vec![3; executor.input_bytes()], &mut ());
            }
        }
    }
}

#[test]
fn random_bytes_are_refused() {
    let mut rng = Rng::new(5);
    for _ in 0..3000 {
        let count = rng.size(0, 200);
        let mut bytes = rng.bytes(count);
        if rng.one_in(2) && bytes.len() >= 8 {
            bytes[..8].copy_from_slice(b"RMCU\x01\x00\x20\x00");
        }
        seal(&mut bytes);
        assert!(load_and_run(&bytes, 0).is_err());
    }
}
