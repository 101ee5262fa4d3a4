//! Real boards' images, with their vendors' HALs, on the chips that QEMU has: what a user flashes.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, images};
use crate::probe_board::Bench;
use crate::rings_on_boards::{SMALL_RAM_BYTES, resnet8_for};
use crate::slots::model;
use resmcu_device_app::model_slots::HEADER_BYTES;
use resmcu_device_link::probe::{WrittenModel, monitor};
use resmcu_device_link::wire_protocol::CounterUnit;
use resmcu_device_link::{
    Client, Emulator, Firmware, LogLevel, LogLine, Qemu, Target, Updated, find_target, hardware,
};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Images that are asked after each change of the model.
const IMAGES: usize = 50;

/// Answers to other images than the suite's own: the largest of each channel, as two pools give it.
#[track_caller]
fn check_answers(client: &mut Client<Qemu>) {
    for seed in 0..IMAGES {
        let image: Vec<u8> = (0..48).map(|i| (i * 37 + seed * 11) as u8).collect();
        let largest = |channel: usize| (0..16).map(|p| image[3 * p + channel] as i8).max();
        let expected = [0, 1, 2].map(|channel| largest(channel).expect("sixteen") as u8);
        let output = client.infer(&image).expect("an inference").output;
        assert_eq!(output, expected, "image {seed}");
    }
}

/// As it comes out of the box: no slot is written, and the model that came with the firmware runs.
#[track_caller]
fn check_its_own_model(client: &mut Client<Qemu>, board: &str) {
    assert_eq!(client.summary().board, board);
    assert_eq!(client.summary().unit, CounterUnit::Cycles);
    assert_eq!(client.model().expect("its own").name, "two pools");
    assert_eq!(client.infer(&IMAGE).expect("an inference").output, OUTPUT);
    check_answers(client);
    let memory = client.memory().expect("its memory");
    assert!(memory.stack > 256 && memory.stack < memory.stack_capacity, "{memory:?}");
}

/// With its vendor's HAL and the buffer of its log, too, the chip's 16 KiB hold a ResNet-8.
#[track_caller]
fn check_resnet8(client: &mut Client<Qemu>, image: &[u8], output: &[u8]) {
    for _ in 0..2 {
        let answer = client.infer_rows(image.chunks(96)).expect("an inference");
        assert_eq!(answer.output, output);
    }
    let memory = client.memory().expect("its memory");
    let ram = memory.arena + memory.scratch + memory.plan + memory.statics + memory.stack;
    assert!(memory.stack < memory.stack_capacity, "{memory:?}");
    assert!(ram <= SMALL_RAM_BYTES, "{ram} bytes of RAM: {memory:?}");
}

/// The HiFive1 Rev B, whose image begins where the boot loader of that revision ends.
fn hifive1(model: Option<&[u8]>) -> Client<Qemu> {
    let target = find_target("qemu-sifive-e").unwrap();
    let emulator = Emulator { machine: "sifive_e,revb=true", ..target.emulator };
    let slot_bytes = (1536 << 10) - HEADER_BYTES as u64;
    let target = Target { slot_address: 0x2010_0000, slot_bytes, emulator, ..*target };
    let firmware = Firmware::open(images().join("hifive1.elf"));
    let firmware = firmware.unwrap_or_else(|error| panic!("{error}; {}", error.help()));
    let device = Qemu::start(&target, &firmware, model, |_| {});
    device.and_then(Client::connect).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn real_images_answer_by_the_model_that_came_with_them() {
    check_its_own_model(&mut Bench::of("microbit-v1", None).client, "microbit-v1");
    check_its_own_model(&mut hifive1(None), "hifive1");
}

#[test]
fn resnet8_runs_in_the_ram_of_real_images() {
    let (file, image, output) = resnet8_for("qemu-microbit");
    let mut bench = Bench::of("microbit-v1", None);
    let client = &mut bench.client;
    assert_eq!(client.update(&file, &[], |_, _| {}), Ok(Updated { slot: 0, sequence: 1 }));
    check_resnet8(client, &image, &output);

    let (file, image, output) = resnet8_for("qemu-sifive-e");
    check_resnet8(&mut hifive1(Some(&file)), &image, &output);
}

#[test]
fn the_real_image_takes_updates_over_its_serial_line() {
    let (old, new) = (model(0, false), model(2, false));
    let mut bench = Bench::of("microbit-v1", Some(&old));
    bench.check_runs(&old);
    assert_eq!(bench.client.update(&new, &[], |_, _| {}), Ok(Updated { slot: 1, sequence: 2 }));
    bench.check_runs(&new);
    check_answers(&mut bench.client);
}

/// `resmcu flash` and `resmcu monitor`, as on a real board.
#[test]
fn the_real_image_is_flashed_by_a_probe_and_its_log_decoded() {
    let model = model(0, false);
    let mut bench = Bench::of("microbit-v1", None);
    let written = bench.flash(Some(&model), false).expect("it is written");
    assert_eq!(
        written.model,
        Some(WrittenModel { slot: 0, sequence: 1, bytes: model.len() as u64 })
    );
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (heard, late) = (Arc::clone(&lines), Instant::now() + Duration::from_secs(60));
    let is_done = || lines.lock().unwrap().len() == 2 || Instant::now() > late;
    let watched = monitor(
        bench.attach(),
        &bench.firmware,
        move |line| heard.lock().unwrap().push(line),
        is_done,
    );
    assert_eq!(watched, Ok(()));
    let info = |text: String| LogLine { level: LogLevel::Info, text };
    let version = bench.client.summary().firmware.clone();
    let first = format!("resmcu {version} on microbit-v1, thumbv6m");
    assert_eq!(*lines.lock().unwrap(), [info(first), info("model ready".into())]);
    bench.check_runs(&model);
    check_answers(&mut bench.client);
}

/// Planning without an image goes by the table of boards, an image by its memory map.
#[test]
fn slots_are_as_large_as_the_memory_maps_say() {
    // The other one's model is in its image.
    for board in hardware().iter().filter(|board| board.name != "esp32-c3") {
        let path = format!("../firmware/boards/memory/{}.x", board.name);
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let map = std::fs::read_to_string(path).unwrap();
        let middle = map.split_once("_model_middle = ORIGIN(MODEL) + ").unwrap().1;
        let kib: u64 = middle.split_once("K;").unwrap().0.parse().unwrap();
        assert_eq!(board.slot_bytes + HEADER_BYTES as u64, kib << 10, "{}", board.name);
    }
}
