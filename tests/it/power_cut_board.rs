//! Power cuts on the emulated micro:bit: the board is stopped before every change of its real flash
//! while a model is updated and tried out, and started again from what the flash held there.
//!
//! Each change is also cut in its middle: a word of which some bits were programmed, a page of
//! which half was erased. Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, firmware};
use crate::gdb::{Gdb, PC, listen};
use crate::rings_on_boards::resnet8_for;
use crate::slots::model;
use resmcu_device_link::wire_protocol::{Request, Response, tensor_crc};
use resmcu_device_link::{Client, Emulator, Qemu, Target, find_target};
use std::time::Duration;

const SLOT_BYTES: u64 = 84 << 10;
const PAGE_BYTES: u64 = 1024;
/// Before the model in its slot, and the words of it that a commit writes.
const RECORD_BYTES: usize = 320;
const RECORD_WORDS: usize = 96 / 4;
/// Words that a trial which is passed writes.
const MARKS: usize = 2;
/// The firmware's functions that change its flash.
const WRITE: &str = "resmcu_flash_write_word";
const ERASE: &str = "resmcu_flash_erase_page";
const RAM: u64 = 0x2000_0000;
const RAM_BYTES: usize = 16 << 10;

/// What was about to happen to the flash, and what its second slot held.
struct Cut {
    change: Change,
    slot: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Change {
    Erase { page: u64 },
    Write { address: u64, word: u32 },
}

/// A board with a debugger, running.
struct Bench {
    client: Client<Qemu>,
    gdb: Gdb,
    /// First byte of the second slot.
    slot: u64,
    /// Bytes of it that the models use.
    used: usize,
}

impl Bench {
    fn start(old: &[u8], used: usize) -> Self {
        let target = find_target("qemu-microbit").unwrap();
        let (listener, arguments) = listen();
        // The arguments of a target are static: a few hundred bytes stay until the test ends.
        let arguments: Vec<&'static str> =
            arguments.into_iter().map(|word| &*Box::leak(word.into_boxed_str())).collect();
        let emulator = Emulator { arguments: Box::leak(arguments.into()), ..target.emulator };
        let target = Target { emulator, ..*target };
        let accepted = std::thread::spawn(move || Gdb::accept(&listener));
        let device = Qemu::start(&target, &firmware(&target), Some(old), |_| {}).unwrap();
        let mut gdb = accepted.join().unwrap();
        gdb.go();
        let client = Client::connect(device).unwrap();
        Self { client, gdb, slot: target.slot_address + SLOT_BYTES, used }
    }

    /// Starts the board as after power on, from a second slot that holds `slot`.
    fn start_from(&mut self, slot: &[u8]) {
        self.gdb.interrupt();
        self.gdb.write(self.slot, slot);
        self.gdb.write(RAM, &[0xA5; RAM_BYTES]); // of which nothing outlives a power cut
        self.gdb.begin_anew();
        self.gdb.go();
        // What comes before the board listens is lost, and would be waited for.
        std::thread::sleep(Duration::from_millis(30));
        self.client.greet().expect("it comes up");
    }
}

/// Does `work` with the board's client; gives what the flash was before each of the changes that
/// are made by `functions`.
fn cuts_during(
    bench: &mut Bench,
    functions: &[&str],
    work: impl FnOnce(&mut Client<Qemu>) + Send,
) -> Vec<Cut> {
    let elf = firmware(find_target("qemu-microbit").unwrap());
    let code = |name: &&str| elf.symbol(name).unwrap_or_else(|| panic!("no symbol {name}")) & !1;
    let addresses: Vec<u64> = functions.iter().map(code).collect();
    let erase = code(&ERASE);
    let Bench { client, gdb, slot, used } = bench;
    gdb.interrupt();
    addresses.iter().for_each(|&address| gdb.breakpoint(address, true));
    gdb.go();
    let cuts = std::thread::scope(|scope| {
        let work = scope.spawn(|| work(client));
        let mut cuts = Vec::new();
        while !work.is_finished() {
            if !gdb.stopped(Duration::from_millis(20)) {
                continue;
            }
            let registers = gdb.registers();
            let (address, word) = (u64::from(registers[0]), registers[1]);
            let at = u64::from(registers[PC]);
            let change = if at == erase {
                Change::Erase { page: address }
            } else {
                Change::Write { address, word }
            };
            cuts.push(Cut { change, slot: gdb.read(*slot, *used) });
            gdb.breakpoint(at, false);
            gdb.step();
            gdb.breakpoint(at, true);
            gdb.go();
        }
        work.join().unwrap();
        cuts
    });
    gdb.interrupt();
    addresses.iter().for_each(|&address| gdb.breakpoint(address, false));
    gdb.go();
    cuts
}

/// The slot as a cut in the middle of the change leaves it.
fn torn(cut: &Cut, slot: u64) -> Vec<Vec<u8>> {
    let mut states = vec![cut.slot.clone()];
    match cut.change {
        Change::Erase { page } => {
            let at = (page - slot) as usize;
            let half = at..(at + PAGE_BYTES as usize / 2).min(cut.slot.len());
            let mut torn = cut.slot.clone();
            torn[half].fill(0xFF);
            states.push(torn);
        }
        Change::Write { address, word } => {
            let at = (address - slot) as usize;
            for programmed in [0x0000_FFFF, 0x5A5A_5A5A] {
                let mut torn = cut.slot.clone();
                let old = u32::from_le_bytes(torn[at..at + 4].try_into().unwrap());
                torn[at..at + 4].copy_from_slice(&(old & (word | !programmed)).to_le_bytes());
                states.push(torn);
            }
        }
    }
    states
}

/// Pages that a model and its record take, in bytes.
fn used(model: &[u8]) -> usize {
    (RECORD_BYTES + model.len()).next_multiple_of(PAGE_BYTES as usize)
}

/// A model: its file, an image, and what it makes of it.
struct Known<'k> {
    file: &'k [u8],
    image: &'k [u8],
    output: &'k [u8],
}

/// Starts the board from each state of its second slot: it has to come up with one of the two
/// models, whole, and with the new one from some state on. How many states had the new one.
#[track_caller]
fn check(bench: &mut Bench, states: &[Vec<u8>], old: &Known<'_>, new: &Known<'_>) -> usize {
    let mut renewed = 0;
    for (tried, slot) in states.iter().enumerate() {
        bench.start_from(slot);
        let crc = bench.client.model().expect("a model").crc;
        let is_new = crc == model_crc(new.file);
        assert!(is_new || crc == model_crc(old.file), "cut {tried}: neither model");
        assert!(is_new || renewed == 0, "cut {tried}: the new model is lost again");
        let Known { image, output, .. } = if is_new { new } else { old };
        let answer = bench.client.infer(image).expect("an inference");
        assert_eq!(answer.output, *output, "cut {tried}");
        renewed += usize::from(is_new);
    }
    renewed
}

#[test]
fn no_power_cut_of_an_update_loses_the_micro_bits_model() {
    let (old, new) = (model(0, false), model(2, false));
    let mut bench = Bench::start(&old, used(&new));
    let cuts = cuts_during(&mut bench, &[WRITE, ERASE], |client| {
        assert_eq!(client.update(&new, &[], |_, _| {}).expect("the update").slot, 1);
    });
    // The pages, the words of the model and of the record, and the two marks of its trial.
    let words = new.len().next_multiple_of(32) / 4 + RECORD_WORDS + MARKS;
    let pages = used(&new) / PAGE_BYTES as usize;
    assert_eq!(cuts.len(), pages + words);
    let slot = bench.slot;
    let states: Vec<_> = cuts.iter().flat_map(|cut| torn(cut, slot)).collect();
    // Each erase is cut in two places and each write in three; the new model is there from its
    // whole record on, when the two marks of its trial are written.
    assert_eq!(states.len(), 2 * pages + 3 * words);
    let known = |file| Known { file, image: &IMAGE, output: &OUTPUT };
    assert_eq!(check(&mut bench, &states, &known(&old), &known(&new)), 3 * MARKS);
}

/// The same with a ResNet-8 that fills its slot, at every erase, every end of a page, and every
/// write of the commit and of the trial.
#[test]
fn no_power_cut_at_a_page_or_the_commit_of_a_resnet8_loses_the_model() {
    let old = model(0, false);
    let (new, image, output) = resnet8_for("qemu-microbit");
    let mut bench = Bench::start(&old, used(&new));
    let slot = bench.slot;
    // So that there is something to erase.
    bench.gdb.interrupt();
    bench.gdb.write(slot, &vec![0x5A; used(&new)]);
    bench.gdb.go();
    let begin = Request::UpdateBegin { bytes: new.len() as u32, crc: tensor_crc(&new) };
    let cuts = cuts_during(&mut bench, &[ERASE], |client| {
        let begun = |answer: &Response<'_>| matches!(answer, Response::UpdateBegun { slot: 1 });
        client.request(&begin, |answer| begun(answer).then_some(())).expect("it begins");
    });
    let pages = used(&new) / PAGE_BYTES as usize;
    assert_eq!(cuts.len(), pages);
    let mut states: Vec<_> = cuts.iter().flat_map(|cut| torn(cut, slot)).collect();

    let mut have = 0;
    for page in 1..=pages {
        let end = (page * PAGE_BYTES as usize - RECORD_BYTES).min(new.len());
        for bytes in new[have..end].chunks(64) {
            let write = Request::UpdateWrite { offset: have as u32, bytes };
            have += bytes.len();
            let written = bench.client.request(&write, |answer| match *answer {
                Response::Written { have } => Some(have as usize),
                _ => None,
            });
            assert_eq!(written, Ok(have));
        }
        bench.gdb.interrupt();
        states.push(bench.gdb.read(slot, bench.used));
        bench.gdb.go();
    }
    let commit = cuts_during(&mut bench, &[WRITE, ERASE], |client| {
        let done = |answer: &Response<'_>| matches!(answer, Response::UpdateCommitted { .. });
        let commit = Request::UpdateCommit { signature: &[] };
        client.request(&commit, |answer| done(answer).then_some(())).expect("it commits");
        client.reset().expect("it comes up");
    });
    // What is left of the last 32 bytes is written by the commit, before the record.
    let rest = new.len() % 32;
    assert_eq!(commit.len(), rest.div_ceil(32) * 8 + RECORD_WORDS + MARKS);
    states.extend(commit.iter().flat_map(|cut| torn(cut, slot)));

    let old = Known { file: &old, image: &IMAGE, output: &OUTPUT };
    let new = Known { file: &new, image: &image, output: &output };
    assert_eq!(check(&mut bench, &states, &old, &new), 3 * MARKS);
}

/// The CRC-32 that a model file carries.
fn model_crc(file: &[u8]) -> u32 {
    let mut blocks = vec![resmcu_int8_runtime::Block::ZERO; file.len().div_ceil(16)];
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut blocks[..]);
    bytes[..file.len()].copy_from_slice(file);
    resmcu_model_format::ModelFile::parse(&bytes[..file.len()]).unwrap().crc()
}
