//! `resmcu flash`'s way to a board, with probe-rs at work: its own flash algorithm of the nRF51
//! runs on the emulated micro:bit and writes the flash that QEMU emulates.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, images};
use crate::emulated_probe::{Machine, probes};
use crate::gdb::{Gdb, listen};
use crate::slots::model;
use resmcu_device_link::probe::{
    AttachOptions, Attached, Flashed, Memory, ProbeError, Stage, Written, WrittenModel,
};
use resmcu_device_link::wire_protocol::{SlotState, Standing, tensor_crc};
use resmcu_device_link::{
    Client, Emulator, Firmware, Hardware, Qemu, Target, find_hardware, find_target,
};
use std::sync::{Arc, Mutex};

/// An emulated micro:bit behind an emulated probe.
pub(crate) struct Bench {
    pub(crate) client: Client<Qemu>,
    machine: Arc<Mutex<Machine>>,
    pub(crate) firmware: Firmware,
    board: &'static Hardware,
}

impl Bench {
    /// Runs the firmware that is for the emulator, with `model` in the first slot.
    fn start(model: Option<&[u8]>) -> Self {
        Self::of("microbit", model)
    }

    /// Runs the image of that name.
    pub(crate) fn of(image: &str, model: Option<&[u8]>) -> Self {
        let target = find_target("qemu-microbit").unwrap();
        let (listener, arguments) = listen();
        // A real board's firmware resets its chip where the emulated one's begins again.
        let arguments = arguments.into_iter().chain(["-action", "reboot=reset"].map(str::to_owned));
        // The arguments of a target are static: a few hundred bytes stay until the test ends.
        let arguments: Vec<&'static str> =
            arguments.map(|word| &*Box::leak(word.into_boxed_str())).collect();
        let emulator = Emulator { arguments: Box::leak(arguments.into()), ..target.emulator };
        let target = Target { emulator, ..*target };
        let accepted = std::thread::spawn(move || Gdb::accept(&listener));
        let firmware = Firmware::open(images().join(format!("{image}.elf")));
        let firmware = firmware.unwrap_or_else(|error| panic!("{error}; {}", error.help()));
        let device = Qemu::start(&target, &firmware, model, |_| {}).unwrap();
        let mut machine = Machine::new(accepted.join().unwrap());
        machine.go();
        let client = Client::connect(device).unwrap();
        let board = find_hardware("microbit-v1").unwrap();
        Self { client, machine: Arc::new(Mutex::new(machine)), firmware, board }
    }

    pub(crate) fn attach(&self) -> Attached {
        let attached =
            Attached::open(&probes(&self.machine), Some("1"), self.board, AttachOptions::default());
        attached.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn flash(
        &self,
        model: Option<&[u8]>,
        model_only: bool,
    ) -> Result<Written, ProbeError> {
        let image = self.firmware.image();
        let flashed = Flashed { board: self.board, image, model, model_only };
        let mut stages = Vec::new();
        let written = flashed.write(&mut self.attach(), &|| false, &mut |stage, done, all| {
            assert!(done <= all, "{stage:?}: {done} of {all}");
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
        });
        if written.is_ok() {
            let part = [Stage::Erase, Stage::Program, Stage::Verify];
            let parts = usize::from(!model_only) + usize::from(model.is_some());
            assert_eq!(stages, part.repeat(parts));
        }
        written
    }

    /// The CRC-32 of the model by which the board answers, and answers right.
    #[track_caller]
    fn running(&mut self) -> u32 {
        self.client.greet().expect("it comes up");
        assert_eq!(self.client.infer(&IMAGE).expect("an inference").output, OUTPUT);
        let info = self.client.slots().expect("it has slots");
        let running = usize::from(info.running.expect("one of them runs"));
        match info.slots[running].state {
            SlotState::Whole { crc, .. } => crc,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn check_runs(&mut self, model: &[u8]) {
        assert_eq!(self.running(), tensor_crc(model));
    }
}

#[test]
fn probe_rs_writes_a_model_beside_the_firmware_that_runs() {
    let (first, second) = (model(0, false), model(2, false));
    let mut bench = Bench::start(None);
    assert!(bench.client.model().is_err(), "no model yet");
    let written = bench.flash(Some(&first), true).expect("it is written");
    let bytes = first.len() as u64;
    let expected = WrittenModel { slot: 0, sequence: 1, bytes };
    assert_eq!(written, Written { firmware_bytes: 0, model: Some(expected) });
    bench.check_runs(&first);

    // The next goes to the other slot, and needs no trial: a probe wrote it.
    let written = bench.flash(Some(&second), true).expect("it is written");
    assert_eq!(written.model.map(|model| (model.slot, model.sequence)), Some((1, 2)));
    bench.check_runs(&second);
    let info = bench.client.slots().expect("it has slots");
    assert_eq!(info.running, Some(1));
    for (slot, model) in info.slots.iter().zip([&first, &second]) {
        match slot.state {
            SlotState::Whole { crc, standing: Standing::Confirmed, .. } => {
                assert_eq!(crc, tensor_crc(model));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn probe_rs_writes_firmware_and_model_over_whatever_was_there() {
    let model = model(0, false);
    let mut bench = Bench::start(None);
    let (address, code) = bench.firmware.image().segments[0].clone();
    let code_bytes: usize = bench.firmware.image().segments.iter().map(|(_, s)| s.len()).sum();
    bench.attach(); // and leaves it as it is
    bench.check_firmware_differs_after_damage();
    let written = bench.flash(Some(&model), false).expect("it is written");
    assert_eq!(written.firmware_bytes, code_bytes as u64);
    assert_eq!(written.model.map(|model| (model.slot, model.sequence)), Some((0, 1)));
    let mut found = vec![0; code.len()];
    bench.attach().read(address, &mut found).expect("it can be read");
    assert!(found == code, "the code in flash is the image's");
    bench.check_runs(&model);
}

impl Bench {
    /// Destroys a word in the middle of the code: a model alone is then refused.
    fn check_firmware_differs_after_damage(&self) {
        let (address, code) = &self.firmware.image().segments[0];
        let at = (code.len() / 2) & !3;
        let damage = (code[at] ^ 1).to_le_bytes();
        let mut machine = self.machine.lock().unwrap();
        machine.put(address + at as u64, &damage);
        drop(machine);
        let error = self.flash(Some(&[1; 100]), true).expect_err("another firmware");
        let expected = ProbeError::OtherFirmware {
            path: self.firmware.path().to_owned(),
            address: address + at as u64,
            found: code[at] ^ 1,
            expected: code[at],
        };
        assert_eq!(error, expected);
    }
}

/// Wherever the wires come loose, a whole model runs after it, and the same command then writes all
/// of it.
#[test]
fn loose_wires_leave_a_whole_model_and_a_second_try_writes_all() {
    let (old, new) = (model(0, false), model(2, false));
    let mut bench = Bench::start(Some(&old));
    let (mut failures, mut is_old) = (Vec::new(), false);
    for accesses in (2..).step_by(37) {
        bench.machine.lock().unwrap().pull_after(accesses);
        let image = bench.firmware.image();
        let flashed = Flashed { board: bench.board, image, model: Some(&new), model_only: true };
        let probes = probes(&bench.machine);
        let attached = Attached::open(&probes, None, bench.board, AttachOptions::default());
        let written =
            attached.and_then(|mut chip| flashed.write(&mut chip, &|| false, &mut |_, _, _| {}));
        bench.machine.lock().unwrap().mend();
        match written {
            Ok(_) => break,
            Err(error) => {
                assert!(error.to_string().contains("the wires are loose"), "{error}");
                let running = bench.running();
                // Old, unless all was written and only the reading back or the reset failed.
                assert!([tensor_crc(&old), tensor_crc(&new)].contains(&running), "{error}");
                is_old |= running == tensor_crc(&old);
                failures.push(std::mem::discriminant(&error));
            }
        }
    }
    bench.check_runs(&new);
    assert!(is_old, "no try failed before the model was written");
    assert!(failures.len() > 5, "{} tries failed", failures.len());
    failures.dedup();
    assert!(failures.len() >= 3, "attaching, reading and writing failed: {failures:?}");
}

#[test]
fn another_boards_name_is_refused_by_the_chip_itself() {
    let bench = Bench::start(None);
    // The same wires and core, and an identity that this chip does not have.
    let identity = find_hardware("nucleo-f446re").unwrap().identity;
    let other: &'static Hardware = Box::leak(Box::new(Hardware { identity, ..*bench.board }));
    let options = AttachOptions::default();
    let error = Attached::open(&probes(&bench.machine), None, other, options).err();
    // The nRF51 has nothing at that address, which is an answer too.
    match error {
        Some(ProbeError::WrongChip { found, expected: 0x421, .. }) => assert_ne!(found, 0x421),
        Some(ProbeError::Read { address: 0xE004_2000, .. }) => {}
        other => panic!("{other:?}"),
    }
}
