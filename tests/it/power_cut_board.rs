//! Power cuts on the emulated micro:bit: the board is stopped before every change of its real flash
//! while a model is updated and tried out, and started again from what the flash held there.
//!
//! Each change is also cut in its middle: a word of which some bits were programmed, a page of
//! which half was erased. Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, firmware};
use crate::gdb::{Gdb, PC, listen};
use crate::slots::model;
use resmcu_device_link::{Client, Emulator, Qemu, Target, find_target};
use std::time::Duration;

const SLOT_BYTES: u64 = 84 << 10;
const PAGE_BYTES: u64 = 1024;
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

/// Updates to `new` and tries it out; gives what the flash was before each of its changes.
fn record(mut bench: Bench, new: &[u8]) -> (Bench, Vec<Cut>) {
    let elf = firmware(find_target("qemu-microbit").unwrap());
    let code = |name| elf.symbol(name).unwrap_or_else(|| panic!("no symbol {name}")) & !1;
    let (write, erase) = (code("resmcu_flash_write_word"), code("resmcu_flash_erase_page"));
    bench.gdb.interrupt();
    [write, erase].into_iter().for_each(|address| bench.gdb.breakpoint(address, true));
    bench.gdb.go();
    let (mut gdb, slot, used, new) = (bench.gdb, bench.slot, bench.used, new.to_vec());
    let mut client = bench.client;
    let update = std::thread::spawn(move || {
        let updated = client.update(&new, &[], |_, _| {});
        (client, updated)
    });
    let mut cuts = Vec::new();
    while !update.is_finished() {
        if !gdb.stopped(Duration::from_millis(20)) {
            continue;
        }
        let registers = gdb.registers();
        let (address, word, at) = (u64::from(registers[0]), registers[1], u64::from(registers[PC]));
        let change = if at == erase {
            Change::Erase { page: address }
        } else {
            Change::Write { address, word }
        };
        cuts.push(Cut { change, slot: gdb.read(slot, used) });
        gdb.breakpoint(at, false);
        gdb.step();
        gdb.breakpoint(at, true);
        gdb.go();
    }
    let (client, updated) = update.join().unwrap();
    assert_eq!(updated.expect("the update").slot, 1);
    gdb.interrupt();
    [write, erase].into_iter().for_each(|address| gdb.breakpoint(address, false));
    gdb.go();
    (Bench { client, gdb, slot, used }, cuts)
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

#[test]
fn no_power_cut_of_an_update_loses_the_micro_bits_model() {
    let (old, new) = (model(0, false), model(2, false));
    let used = (320 + new.len()).next_multiple_of(PAGE_BYTES as usize);
    let (mut bench, cuts) = record(Bench::start(&old, used), &new);
    // The pages, the words of the model and of the record, and the two marks of its trial.
    let words = new.len().next_multiple_of(32) / 4 + 96 / 4 + 2;
    let pages = used / PAGE_BYTES as usize;
    assert_eq!(cuts.len(), pages + words);
    let (mut tried, mut renewed) = (0, 0);
    for cut in &cuts {
        for slot in torn(cut, bench.slot) {
            bench.start_from(&slot);
            let crc = bench.client.model().expect("a model").crc;
            let answer = bench.client.infer(&IMAGE).expect("an inference");
            assert_eq!(answer.output, OUTPUT, "cut {tried}");
            let is_new = crc == model_crc(&new);
            assert!(is_new || crc == model_crc(&old), "cut {tried}: neither model");
            assert!(is_new || renewed == 0, "cut {tried}: the new model is lost again");
            renewed += usize::from(is_new);
            tried += 1;
        }
    }
    // Each erase was cut in two places and each write in three; the new model is there from its
    // whole record on, when the two marks of its trial are written.
    assert_eq!((tried, renewed), (2 * pages + 3 * words, 3 * 2));
}

/// The CRC-32 that a model file carries.
fn model_crc(file: &[u8]) -> u32 {
    let mut blocks = vec![resmcu_int8_runtime::Block::ZERO; file.len().div_ceil(16)];
    let bytes = zerocopy::IntoBytes::as_mut_bytes(&mut blocks[..]);
    bytes[..file.len()].copy_from_slice(file);
    resmcu_model_format::ModelFile::parse(&bytes[..file.len()]).unwrap().crc()
}
