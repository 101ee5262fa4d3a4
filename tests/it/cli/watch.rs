//! What a camera sees, on a serial port: the application itself, with pictures that are made up.

use super::Session;
use super::errors::check;
use crate::devices::two_pools;
use crate::serial_line::Port;
use embedded_hal::delay::DelayNs;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use resmcu_device_app::frame::{FrameFormat, FrameSource, PixelFormat, Scaler};
use resmcu_device_app::int8_runtime::{Block, Executor, Step};
use resmcu_device_app::wire_protocol::CounterUnit;
use resmcu_device_app::{App, Calibration, Counter, End, Eye, Identity, Panel, Ram};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;
use zerocopy::IntoBytes;

/// A line of two channels.
struct Line {
    from_host: Receiver<u8>,
    /// The byte that was there when it was asked for.
    next: Option<u8>,
    to_host: Sender<u8>,
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        if self.next.is_none() {
            match self.from_host.try_recv() {
                Ok(byte) => self.next = Some(byte),
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => {} // `read` says so
            }
        }
        Ok(true)
    }
}

impl Read for Line {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let byte = self.next.take().or_else(|| self.from_host.recv().ok());
        Ok(byte.map_or(0, |byte| {
            chunk[0] = byte;
            1
        }))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            let _ = self.to_host.send(byte); // the host may be gone
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Pictures of 4x4 pixels, of which one channel is brighter than the others: 0, 1, 2, 0, ...
struct Camera(u8);

impl FrameSource for Camera {
    type Error = Infallible;

    fn format(&self) -> FrameFormat {
        FrameFormat { width: 4, height: 4, pixels: PixelFormat::Rgb888 }
    }

    fn capture(&mut self) -> Result<(), Infallible> {
        thread::sleep(Duration::from_millis(300)); // longer than from one question to the next
        self.0 = (self.0 + 1) % 3;
        Ok(())
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Infallible> {
        for (at, value) in row.iter_mut().enumerate() {
            *value = if at % 3 == usize::from(self.0) { 200 } else { 100 };
        }
        Ok(())
    }
}

struct Nothing;

impl Panel for Nothing {
    fn busy(&mut self, _: bool) {}
}

impl Counter for Nothing {
    const UNIT: CounterUnit = CounterUnit::Cycles;

    fn now(&mut self) -> u64 {
        0
    }

    fn between(&self, _: u64, _: u64) -> u64 {
        0
    }

    fn calibrate(&mut self, _: u32) -> Option<Calibration> {
        None
    }
}

impl DelayNs for Nothing {
    fn delay_ns(&mut self, _: u32) {}
}

/// The application with this camera, until nobody listens any more.
fn serve(line: Line) {
    let file = two_pools();
    let mut blocks = vec![Block::ZERO; file.len().div_ceil(Block::BYTES)];
    blocks.as_mut_bytes()[..file.len()].copy_from_slice(&file);
    let (mut arena, mut plan) = ([Block::ZERO; 8], [Step::VACANT; 4]);
    let mut model = Executor::new(&blocks.as_bytes()[..file.len()], &mut arena, &mut plan);
    let identity = Identity { firmware: "1", board: "made-up", isa: "none", slot_capacity: 0 };
    let ram = Ram { arena_capacity: 128, statics: 0, stack_capacity: 0, stack_high_water: || 0 };
    let parts = (line, Nothing, Nothing);
    let mut app = App::<_, _, _, 128>::new(parts, identity, ram, &mut model);
    let (mut sums, mut row, source) = ([0; 12], [0; 12], Camera(2));
    let scaler = Scaler::new(source.format(), [4, 4, 3], &mut sums).expect("it can be scaled");
    let mut eye = Eye { source, scaler, row: &mut row };
    assert_eq!(app.serve_and_look(&mut eye, &mut Nothing), Ok(End::Closed));
}

/// A serial port with such a device behind it.
fn port() -> Port {
    let ((to_device, from_host), (to_host, from_device)) = (channel(), channel());
    thread::spawn(move || serve(Line { from_host, next: None, to_host }));
    Port::open(move |sent| {
        sent.iter().for_each(|&byte| to_device.send(byte).expect("it lives"));
        from_device.try_iter().collect()
    })
}

#[test]
fn what_a_camera_sees_is_shown_picture_by_picture() {
    let session = Session::new();
    let port = port();
    let lines = session.text(&format!("watch --target serial:{} -n 4 --json", port.name));
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        // The first picture is of class 0. Its logit is 50 before the others', which is certainty.
        let look = line["look"].as_u64().unwrap();
        assert_eq!(line["class"], ((look - 1) % 3).to_string(), "{lines:?}");
        assert!(line["score"].as_f64().unwrap() > 0.99 && line["unknown"] == false, "{lines:?}");
    }
    let text = session.text(&format!("watch --target serial:{} -n 1", port.name));
    assert!(text.contains("(100.00 %)"), "{text}");

    check(&session, "watch --target host", 2, &["no real board", "serial:PORT"]);
    check(&session, "watch --target serial:/dev/ttyNobody9", 2, &["/dev/ttyNobody9"]);
    let other = format!("watch --target serial:{} --board pico", port.name);
    check(&session, &other, 2, &["the board is a made-up, not a pico"]);
}
