//! The real micro:bit's image, with its vendor's HAL, on the emulated chip: what a user flashes.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT};
use crate::probe_board::Bench;
use crate::rings_on_boards::{SMALL_RAM_BYTES, resnet8_for};
use crate::slots::model;
use resmcu_device_link::probe::{WrittenModel, monitor};
use resmcu_device_link::wire_protocol::CounterUnit;
use resmcu_device_link::{LogLevel, LogLine, Updated};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Images that are asked after each change of the model.
const IMAGES: usize = 50;

/// Answers to other images than the suite's own: the largest of each channel, as two pools give it.
#[track_caller]
fn check_answers(bench: &mut Bench) {
    for seed in 0..IMAGES {
        let image: Vec<u8> = (0..48).map(|i| (i * 37 + seed * 11) as u8).collect();
        let largest = |channel: usize| (0..16).map(|p| image[3 * p + channel] as i8).max();
        let expected = [0, 1, 2].map(|channel| largest(channel).expect("sixteen") as u8);
        let output = bench.client.infer(&image).expect("an inference").output;
        assert_eq!(output, expected, "image {seed}");
    }
}

/// As it comes out of the box: no slot is written, and the model that came with the firmware runs.
#[test]
fn the_real_image_answers_by_the_model_that_came_with_it() {
    let mut bench = Bench::of("microbit-v1", None);
    assert_eq!(bench.client.summary().board, "microbit-v1");
    assert_eq!(bench.client.summary().unit, CounterUnit::Cycles);
    assert_eq!(bench.client.model().expect("its own").name, "two pools");
    assert_eq!(bench.client.infer(&IMAGE).expect("an inference").output, OUTPUT);
    check_answers(&mut bench);
    let memory = bench.client.memory().expect("its memory");
    assert!(memory.stack > 256 && memory.stack < memory.stack_capacity, "{memory:?}");
}

#[test]
fn the_real_image_takes_updates_over_its_serial_line() {
    let (old, new) = (model(0, false), model(2, false));
    let mut bench = Bench::of("microbit-v1", Some(&old));
    bench.check_runs(&old);
    assert_eq!(bench.client.update(&new, &[], |_, _| {}), Ok(Updated { slot: 1, sequence: 2 }));
    bench.check_runs(&new);
    check_answers(&mut bench);
}

/// With its vendor's HAL and the buffer of its log, too, the chip's 16 KiB hold a ResNet-8.
#[test]
fn a_resnet8_runs_in_the_ram_of_the_real_image() {
    let (file, image, output) = resnet8_for("qemu-microbit");
    let mut bench = Bench::of("microbit-v1", None);
    assert_eq!(bench.client.update(&file, &[], |_, _| {}), Ok(Updated { slot: 0, sequence: 1 }));
    for _ in 0..2 {
        let answer = bench.client.infer_rows(image.chunks(96)).expect("an inference");
        assert_eq!(answer.output, output);
    }
    let memory = bench.client.memory().expect("its memory");
    let ram = memory.arena + memory.scratch + memory.plan + memory.statics + memory.stack;
    assert!(memory.stack < memory.stack_capacity, "{memory:?}");
    assert!(ram <= SMALL_RAM_BYTES, "{ram} bytes of RAM: {memory:?}");
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
    check_answers(&mut bench);
}
