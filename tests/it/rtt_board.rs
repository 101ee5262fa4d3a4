//! A board spoken with through its memory: RTT channels that probe-rs reads and writes, in the RAM
//! of a chip of the test's own, whose firmware is an emulated board's behind them.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, firmware, images, two_pools};
use crate::emulated_probe::register::DHCSR;
use crate::emulated_probe::{C_HALT, C_STEP, Chip, S_HALT, S_REGRDY, probes};
use probe_rs::architecture::arm::ArmError;
use resmcu_device_link::probe::{AttachOptions, Attached, ProbeError, ProbeLine, monitor};
use resmcu_device_link::{
    Client, Device, Firmware, LinkError, LogLevel, LogLine, Qemu, find_hardware, find_target,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const RAM: u64 = 0x2000_0000;
const RAM_BYTES: usize = 16 << 10;

/// Where the channels lie in RAM.
const NAMES: u64 = RAM;
const UP: Ring = Ring { number: 1, buffer: RAM + 0x100, bytes: 200 };
const DOWN: Ring = Ring { number: 2, buffer: RAM + 0x200, bytes: 33 };
const LOG: Ring = Ring { number: 0, buffer: RAM + 0x300, bytes: 64 };

/// A symbol of the image that this test renames to that of the control block, and so gives it an
/// address.
const SYMBOL: &[u8] = b"__EXCEPTIONS\0";
const CONTROL_BLOCK: &[u8] = b"_SEGGER_RTT\0";

/// A channel: its place in the control block, and its buffer.
#[derive(Clone, Copy)]
struct Ring {
    number: u64,
    buffer: u64,
    bytes: u32,
}

/// RAM, a control block, and a core that answers to its debugger and does nothing.
struct Memory {
    ram: Vec<u8>,
    block: u64,
    control: Vec<u8>,
    registers: HashMap<u64, u32>,
}

impl Memory {
    fn new(block: u64, names: [&str; 3]) -> Self {
        let mut ram = vec![0; RAM_BYTES];
        let mut control = b"SEGGER RTT\0\0\0\0\0\0".to_vec();
        let mut words = vec![2, 1]; // channels up, and down
        for (ring, name) in [LOG, UP, DOWN].iter().zip(names) {
            let at = 0x20 * ring.number as usize;
            ram[at..][..name.len()].copy_from_slice(name.as_bytes());
            words.extend([NAMES as u32 + at as u32, ring.buffer as u32, ring.bytes, 0, 0, 0]);
        }
        control.extend(words.into_iter().flat_map(u32::to_le_bytes));
        // CPUID says a Cortex-M0, as the board's chip has it.
        let registers = HashMap::from([(0xE000_ED00, 0x410C_C200)]);
        Self { ram, block, control, registers }
    }

    fn bytes(&mut self, address: u64, bytes: usize) -> Result<&mut [u8], ArmError> {
        let (from, memory) = match address >= RAM {
            true => (RAM, &mut self.ram),
            false => (self.block, &mut self.control),
        };
        let at = address.checked_sub(from).map(|at| at as usize);
        let found = at.and_then(|at| memory.get_mut(at..at + bytes));
        found.ok_or_else(|| ArmError::Other(format!("nothing is at {address:#x}")))
    }

    /// The offset that is the field of a channel: 3 is of the next byte to write, 4 to read.
    fn offset(&mut self, ring: Ring, field: u64) -> &mut [u8] {
        let at = self.block + 24 + 24 * ring.number + 4 * field;
        self.bytes(at, 4).expect("it is in the block")
    }

    fn offsets(&mut self, ring: Ring) -> [u32; 2] {
        [3, 4].map(|field| u32::from_le_bytes((*self.offset(ring, field)).try_into().unwrap()))
    }

    /// The firmware's side of a channel to it.
    fn take(&mut self, ring: Ring) -> Vec<u8> {
        let [write, mut read] = self.offsets(ring);
        let mut taken = Vec::new();
        while read != write {
            taken.push(self.bytes(ring.buffer + u64::from(read), 1).unwrap()[0]);
            read = (read + 1) % ring.bytes;
        }
        self.offset(ring, 4).copy_from_slice(&read.to_le_bytes());
        taken
    }

    /// The firmware's side of a channel from it: what did not fit is left in `bytes`.
    fn put(&mut self, ring: Ring, bytes: &mut Vec<u8>) {
        let [mut write, read] = self.offsets(ring);
        while let Some(&byte) = bytes.first()
            && (write + 1) % ring.bytes != read
        {
            self.bytes(ring.buffer + u64::from(write), 1).unwrap()[0] = byte;
            write = (write + 1) % ring.bytes;
            bytes.remove(0);
        }
        self.offset(ring, 3).copy_from_slice(&write.to_le_bytes());
    }
}

impl Chip for Memory {
    fn read_word(&mut self, address: u64) -> Result<u32, ArmError> {
        if address >= 0xE000_0000 {
            let word = self.registers.get(&address).copied().unwrap_or(0);
            // DHCSR: what its lower half asks for is so, and registers are ready.
            let state = if word & (C_HALT | C_STEP) != 0 { S_HALT } else { 0 } | S_REGRDY;
            return Ok(if address == DHCSR { word & 0xFFFF | state } else { word });
        }
        Ok(u32::from_le_bytes(self.read(address, 4)?.try_into().expect("four bytes")))
    }

    fn write_word(&mut self, address: u64, word: u32) -> Result<(), ArmError> {
        if address >= 0xE000_0000 {
            self.registers.insert(address, word);
            return Ok(());
        }
        self.write(address, &word.to_le_bytes())
    }

    fn read(&mut self, address: u64, bytes: usize) -> Result<Vec<u8>, ArmError> {
        if address >= 0xE000_0000 {
            return self.read_word(address).map(|word| word.to_le_bytes()[..bytes].to_vec());
        }
        // The rest is erased code, which nobody runs.
        Ok(self.bytes(address, bytes).map_or(vec![0xFF; bytes], |bytes| bytes.to_vec()))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), ArmError> {
        self.bytes(address, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }
}

/// The micro:bit's image with a symbol for a control block.
struct Renamed {
    _folder: tempfile::TempDir,
    firmware: Firmware,
    block: u64,
}

fn renamed() -> Renamed {
    let mut elf = std::fs::read(images().join("microbit.elf")).unwrap();
    let places = (0..elf.len()).filter(|&at| elf[at..].starts_with(SYMBOL)).collect::<Vec<_>>();
    for at in places {
        elf[at..][..CONTROL_BLOCK.len()].copy_from_slice(CONTROL_BLOCK);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("renamed.elf");
    std::fs::write(&path, elf).unwrap();
    let firmware = Firmware::open(path).unwrap();
    let block = firmware.symbol("_SEGGER_RTT").expect("it was renamed");
    Renamed { _folder: folder, firmware, block }
}

/// A chip whose channels an emulated board serves, until it is dropped.
struct Served {
    memory: Arc<Mutex<Memory>>,
    is_ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Served {
    fn start(block: u64) -> Self {
        let names = ["defmt", "resmcu", "resmcu"];
        let memory = Arc::new(Mutex::new(Memory::new(block, names)));
        let (shared, is_ended) = (Arc::clone(&memory), Arc::new(AtomicBool::new(false)));
        let end = Arc::clone(&is_ended);
        let server = thread::spawn(move || {
            let target = find_target("qemu-mps2-an386").unwrap();
            let model = two_pools();
            let mut board = Qemu::start(target, &firmware(target), Some(&model), |_| {}).unwrap();
            let (mut chunk, mut back) = ([0; 256], Vec::new());
            while !end.load(Ordering::Relaxed) {
                let sent = shared.lock().unwrap().take(DOWN);
                if !sent.is_empty() {
                    board.send(&sent).unwrap();
                }
                let soon = Instant::now() + Duration::from_millis(1);
                let bytes = board.receive(&mut chunk, soon).unwrap();
                back.extend(&chunk[..bytes]);
                shared.lock().unwrap().put(UP, &mut back);
            }
        });
        Self { memory, is_ended, server: Some(server) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            assert!(server.join().is_ok() || thread::panicking(), "the board's thread panicked");
        }
    }
}

fn attach(memory: &Arc<Mutex<Memory>>) -> Attached {
    let board = find_hardware("microbit-v1").unwrap();
    let attached = Attached::open(&probes(memory), None, board, AttachOptions::default());
    attached.unwrap_or_else(|error| panic!("{error}"))
}

/// Frames and images are longer than the rings, so that both wrap and fill.
#[test]
fn a_board_behind_a_probe_answers_through_its_memory() {
    let Renamed { firmware, block, _folder } = renamed();
    let served = Served::start(block);
    for _ in 0..2 {
        let line = ProbeLine::attach(attach(&served.memory), &firmware, |_| {}).unwrap();
        let mut client = Client::connect(line).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(client.summary().board, "mps2-an386");
        let first = client.infer(&IMAGE).expect("an inference");
        assert_eq!(first.output, OUTPUT);
        assert_eq!(client.bench(&IMAGE).expect("a bench").steps.len(), 2);
        // The next who attaches finds the channels as they are.
    }
}

/// The address of a log line without values in the image's table, which is its number on the wire.
fn a_log_line(firmware: &Firmware) -> (u16, String) {
    let elf = std::fs::read(firmware.path()).unwrap();
    let text = String::from_utf8_lossy(&elf);
    let names = text.split('\0').filter(|name| name.contains("\"tag\":\"defmt_info\""));
    for name in names {
        let entry: serde_json::Value = serde_json::from_str(name).expect("a JSON name");
        let data = entry["data"].as_str().expect("its text");
        if let Some(number) = firmware.symbol(name)
            && !data.contains('{')
        {
            return (u16::try_from(number).expect("a small number"), data.to_owned());
        }
    }
    panic!("no log line without values");
}

#[test]
fn the_log_of_a_board_behind_a_probe_is_decoded() {
    let Renamed { firmware, block, _folder } = renamed();
    let memory = Arc::new(Mutex::new(Memory::new(block, ["defmt", "resmcu", "resmcu"])));
    let (number, text) = a_log_line(&firmware);
    // A frame of defmt: the number, in rzCOBS (zeros as bits of a mask), and its end.
    let [low, high] = number.to_le_bytes();
    let frame = match (low, high) {
        (0, _) => panic!("another encoding"),
        (low, 0) => vec![low, 0x7E, 0],
        (low, high) => vec![low, high, 0x7C, 0],
    };
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&lines);
    let mut left = frame.repeat(40); // more than the ring holds
    let expected = LogLine { level: LogLevel::Info, text };
    let done = || {
        memory.lock().unwrap().put(LOG, &mut left);
        lines.lock().unwrap().len() == 40
    };
    let done = std::cell::RefCell::new(done);
    let watched = monitor(
        attach(&memory),
        &firmware,
        move |line| heard.lock().unwrap().push(line),
        || (done.borrow_mut())(),
    );
    assert_eq!(watched, Ok(()));
    assert_eq!(*lines.lock().unwrap(), vec![expected; 40]);
}

#[test]
fn firmware_without_these_channels_is_said_in_words() {
    // This image logs by semihosting.
    let plain = firmware(find_target("qemu-microbit").unwrap());
    let Renamed { firmware, block, _folder } = renamed();
    let memory = Arc::new(Mutex::new(Memory::new(block, ["log", "spare", "resmcu"])));
    let error = ProbeLine::attach(attach(&memory), &plain, |_| {}).err();
    let path: PathBuf = plain.path().to_owned();
    assert_eq!(error, Some(LinkError::Probe(ProbeError::NoRtt { path })));

    let error = ProbeLine::attach(attach(&memory), &firmware, |_| {}).err();
    let found = "`log`, `spare`".to_owned();
    let expected = ProbeError::NoChannel { wanted: "resmcu", found: found.clone() };
    assert_eq!(error, Some(expected.into()));
    let error = monitor(attach(&memory), &firmware, |_| {}, || true).err();
    assert_eq!(error, Some(ProbeError::NoChannel { wanted: "defmt", found }.into()));

    // And where nothing of the kind runs there.
    memory.lock().unwrap().control.fill(0);
    match ProbeLine::attach(attach(&memory), &firmware, |_| {}).err() {
        Some(error @ LinkError::Probe(ProbeError::Rtt { .. })) => {
            assert!(error.help().contains("resmcu flash"), "{}", error.help());
        }
        other => panic!("{other:?}"),
    }
}
