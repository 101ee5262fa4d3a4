//! Boards on a serial port: a pseudo-terminal whose other end is an emulated board's line.
//!
//! Needs QEMU and the images that `cargo xtask boards` builds.

use crate::devices::{IMAGE, OUTPUT, firmware, two_pools};
use resmcu_device_link::wire_protocol::{
    Decoder, FRAME_BYTES_MAX, Refusal, Request, Response, decode, encode,
};
use resmcu_device_link::{
    BAUD, Client, Device, LinkError, Qemu, Serial, Timeouts, find_target, ports,
};
use serialport::{SerialPort, TTYPort};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A serial port of this computer with something behind it, until it is dropped.
pub(crate) struct Port {
    pub(crate) name: String,
    /// Bytes that may still come through to the host before the plug is pulled.
    left: Arc<AtomicUsize>,
    is_ended: Arc<AtomicBool>,
    behind: Option<JoinHandle<()>>,
    /// While nobody else has it open.
    _held: TTYPort,
}

impl Port {
    /// Moves bytes between the port and what `answer` makes of them: it is given what the host sent
    /// and gives what comes back.
    pub(crate) fn open(mut answer: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let (mut master, held) = TTYPort::pair().expect("a pseudo-terminal");
        master.set_timeout(Duration::from_millis(1)).unwrap();
        let name = held.name().expect("it has a name");
        let (left, is_ended) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::default());
        let (budget, end) = (Arc::clone(&left), Arc::clone(&is_ended));
        let behind = thread::spawn(move || {
            let mut chunk = [0; 1024];
            while !AtomicBool::load(&end, Ordering::Relaxed) {
                let sent = match master.read(&mut chunk) {
                    Ok(bytes) => &chunk[..bytes],
                    Err(error) if error.kind() == ErrorKind::TimedOut => &[],
                    Err(error) => panic!("{error}"),
                };
                let mut back = answer(sent);
                let left = budget.load(Ordering::Relaxed);
                back.truncate(left);
                budget.store(left - back.len(), Ordering::Relaxed);
                master.write_all(&back).expect("it takes them");
                if left == back.len() {
                    return; // and the master is closed: the plug is pulled
                }
            }
        });
        Self { name, left, is_ended, behind: Some(behind), _held: held }
    }

    /// With nothing behind it that answers.
    pub(crate) fn silent() -> Self {
        Self::open(|_| vec![])
    }

    /// With an emulated board behind it.
    pub(crate) fn of_board(target: &str, model: Option<&[u8]>) -> Self {
        let target = find_target(target).unwrap();
        let mut board = Qemu::start(target, &firmware(target), model, |_| {}).unwrap();
        let mut chunk = [0; 1024];
        Self::open(move |sent| {
            let mut soon = Duration::from_millis(1);
            if !sent.is_empty() {
                board.send(sent).expect("it takes them");
                soon *= 20; // what it answers comes back at once
            }
            let bytes = board.receive(&mut chunk, Instant::now() + soon).expect("it lives");
            chunk[..bytes].to_vec()
        })
    }

    /// Pulls the plug after `bytes` more.
    fn pull_after(&self, bytes: usize) {
        self.left.store(bytes, Ordering::Relaxed);
    }

    fn connect(&self) -> Result<Client<Serial>, LinkError> {
        let boot = Duration::from_secs(2);
        Client::connect_with(Serial::open(&self.name, BAUD)?, Timeouts { boot, ..patient() })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.is_ended.store(true, Ordering::Relaxed);
        if let Some(behind) = self.behind.take() {
            let ended = behind.join();
            assert!(ended.is_ok() || thread::panicking(), "what is behind the port panicked");
        }
    }
}

fn patient() -> Timeouts {
    Timeouts::default()
}

#[test]
fn a_board_on_a_serial_port_answers_as_one_on_a_socket() {
    let target = find_target("qemu-mps2-an386").unwrap();
    let direct = crate::devices::start(target, Some(&two_pools())).infer(&IMAGE).unwrap();
    let port = Port::of_board(target.name, Some(&two_pools()));
    for _ in 0..2 {
        let mut client = port.connect().expect("it answers");
        assert_eq!(client.summary().board, target.board());
        let inference = client.infer(&IMAGE).expect("an inference");
        assert_eq!((&inference.output[..], &inference), (&OUTPUT[..], &direct));
        // The next who opens the port finds the board as it is: nobody stopped it.
    }
}

#[test]
fn a_port_that_is_open_or_missing_or_no_port_is_said_in_words() {
    let port = Port::silent();
    let _first = Serial::open(&port.name, BAUD).expect("it is there");
    match Serial::open(&port.name, BAUD).err() {
        Some(LinkError::PortUnusable { port: name, .. }) => assert_eq!(name, port.name),
        other => panic!("{other:?}"),
    }
    match Serial::open("/dev/ttyNobody9", BAUD).err() {
        Some(error @ LinkError::PortMissing { .. }) => {
            assert!(error.help().contains("resmcu probe"), "{}", error.help());
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(Serial::open("/dev/null", BAUD), Err(LinkError::PortUnusable { .. })));
    let _ = ports(); // whatever this computer has, listing does not fail
}

#[test]
fn a_port_whose_plug_is_pulled_ends_what_was_asked() {
    // In the answer to an image, after a part of a frame; and between two requests.
    for bytes in [3, 30] {
        let port = Port::of_board("qemu-mps2-an386", Some(&two_pools()));
        let mut client = port.connect().expect("it answers");
        port.pull_after(bytes);
        let error = (0..100).find_map(|_| client.infer(&IMAGE).err());
        match error {
            Some(LinkError::PortGone { port: name, .. }) => assert_eq!(name, port.name),
            other => panic!("after {bytes} bytes: {other:?}"),
        }
    }
}

#[test]
fn a_silent_line_and_one_of_another_version_are_told_apart() {
    let (mut client, boot) = (None, Duration::from_millis(300));
    let timeouts = Timeouts { boot, ..patient() };
    let silent = Port::silent();
    let serial = Serial::open(&silent.name, BAUD).unwrap();
    match Client::connect_with(serial, timeouts).map(|found| client = Some(found)) {
        Err(LinkError::TimedOut { waited, .. }) => assert_eq!(waited, boot),
        other => panic!("{other:?}"),
    }
    // Noise, as of a wrong baud rate, is not an answer either.
    let noisy = Port::open(|sent| sent.iter().map(|byte| byte ^ 0x5A).collect());
    let serial = Serial::open(&noisy.name, BAUD).unwrap();
    let answer = Client::connect_with(serial, timeouts).map(|found| client = Some(found));
    assert!(matches!(answer, Err(LinkError::TimedOut { .. })), "{answer:?}");

    let mut decoder = Decoder::<FRAME_BYTES_MAX>::new();
    let old = Port::open(move |sent| {
        let mut back = Vec::new();
        for &byte in sent {
            let Some(Ok(frame)) = decoder.push(byte) else { continue };
            let (sequence, request) = decode::<Request<'_>>(frame).expect("a request");
            let Request::Hello { version } = request else { panic!("{request:?}") };
            let refusal = Refusal::UnsupportedVersion { device: version - 1, host: version };
            let mut buffer = [0; FRAME_BYTES_MAX];
            back.extend(encode(sequence, &Response::Error(refusal), &mut buffer).unwrap().iter());
        }
        back
    });
    let error = old.connect().err().expect("another version");
    assert!(matches!(error, LinkError::Version { .. }), "{error:?}");
    assert!(error.help().contains("resmcu flash"), "{}", error.help());
    assert!(client.is_none());
}
