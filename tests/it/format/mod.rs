//! Any bytes at all as a model file: an error that names the place, or a model that runs.

mod mutations;
mod refusals;

use crate::host::{Flash, arena, plan};
use crate::suite::{self, Case};
use resmcu_int8_runtime::{Executor, LoadError};
use resmcu_model_format::write::{DataSection, annotate, encode, seal};
use resmcu_model_format::{DataRef, Header, KnownAnswer, ModelFile, Notes, Step, Tensor};

/// RAM that a model may ask for here.
const ARENA_BYTES: usize = 64 * 1024;

/// A model's records, to be altered.
struct Records<'a> {
    header: Header<'a>,
    tensors: Vec<Tensor<'a>>,
    steps: Vec<Step<'a>>,
    data: Vec<u8>,
}

impl<'a> Records<'a> {
    fn read(file: &'a [u8]) -> Self {
        let model = ModelFile::parse(file).unwrap();
        let data = model.data(DataRef { offset: 0, bytes: model.data_bytes() }).to_vec();
        let (tensors, steps) = (model.tensors().collect(), model.steps().collect());
        Self { header: *model.header(), tensors, steps, data }
    }

    fn write(&self) -> Vec<u8> {
        let mut data = DataSection::default();
        data.push(&self.data);
        encode(&self.header, &self.tensors, &self.steps, &data).unwrap()
    }
}

/// Loads a file, and runs it where it is accepted.
fn load_and_run(file: &[u8], input: u8) -> Result<(), LoadError> {
    let flash = Flash::new(file);
    let (mut arena, mut plan) = (arena(ARENA_BYTES), plan());
    let mut executor = Executor::new(flash.bytes(), &mut arena, &mut plan)?;
    executor.infer(&vec![input; executor.input_bytes()], &mut ());
    Ok(())
}

/// Small models that have every operator of both profiles.
fn models() -> Vec<Case> {
    let mut cases: Vec<Case> = (1..=3).flat_map(suite::random).collect();
    cases.extend(suite::int4());
    cases.retain(|case| case.lower().file.len() < 12_000);
    cases
}

/// The notes of [`annotated`].
const NOTES: Notes = Notes { margin_min: 300, known_answers: 2 };
const KNOWN: [KnownAnswer; 2] =
    [KnownAnswer { seed: 1, output_crc: u32::MAX }, KnownAnswer { seed: 0, output_crc: 0 }];

/// The file of a case, with notes.
fn annotated(case: &Case) -> Vec<u8> {
    annotate(&case.lower().file, &NOTES, &KNOWN).unwrap()
}

#[test]
fn notes_come_back_replace_each_other_and_are_optional() {
    for case in models() {
        let noted = annotated(&case);
        let model = ModelFile::parse(&noted).unwrap();
        assert_eq!(
            (model.notes(), model.known_answers().collect::<Vec<_>>()),
            (NOTES, KNOWN.into())
        );
        assert!(model.is_intact());
        let none = Notes::default();
        let again = annotate(&noted, &Notes { margin_min: 9, ..none }, &[]).unwrap();
        let model = ModelFile::parse(&again).unwrap();
        assert_eq!((model.notes().margin_min, model.known_answers().count()), (9, 0));
        assert_eq!(load_and_run(&noted, 3), Ok(()));
    }
}

/// A file of version 2, written by hand after its specification: twice the largest of 2x2.
const VERSION_2: &str = "\
    524d43550200200080000000c90776475c000000800000000000000000000000036f6c64027632000000\
    50003c0003020178040403000000003f00000000016d020203000000003f003000010179010103000000\
    003f00400101016100010001000202020200000000807f016200020001010202020200000000807f0000\
    0000";

#[test]
fn files_of_older_versions_run_and_take_notes() {
    let bytes = VERSION_2.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap());
    let second: Vec<u8> = bytes.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
    let mut first = second.clone();
    first[4] = 1; // the same without notes
    seal(&mut first);
    let noted = annotate(&first, &NOTES, &KNOWN).unwrap();
    let notes = [Notes::default(), Notes::default(), NOTES];
    for ((file, version), notes) in [(first, 1), (second, 2), (noted, 2)].into_iter().zip(notes) {
        let model = ModelFile::parse(&file).unwrap();
        assert_eq!((model.version(), model.notes()), (version, notes));
        let flash = Flash::new(&file);
        let (mut arena, mut plan) = (arena(ARENA_BYTES), plan());
        let mut executor = Executor::new(flash.bytes(), &mut arena, &mut plan).unwrap();
        let image: Vec<u8> = (0..48).collect();
        assert_eq!(executor.infer(&image, &mut ()), [45, 46, 47]);
    }
}

#[test]
fn records_survive_reading_and_writing() {
    for case in models() {
        let file = case.lower().file;
        assert_eq!(Records::read(&file).write(), file, "{}", case.name);
        assert_eq!(load_and_run(&file, 1), Ok(()), "{}", case.name);
    }
}
