//! A line that carries anything: 100,000 bad frames, to a board in QEMU and to the service on the
//! host.
//!
//! Owns how frames are damaged, and what has to come back: an answer to each bad frame, with what
//! is wrong with it and how many there were (after a reset the count would begin again), and after
//! every thousand of them the known answer to a known image. What a frame is worth, the protocol's
//! own decoder says; the device's is the same code on another core. Most frames are short: a byte
//! takes the emulator's serial line some 30 microseconds.

use crate::devices::{IMAGE, OUTPUT, start, two_pools};
use crate::rng::Rng;
use embedded_io::{ErrorType, Read, Write};
use resmcu_device_app::int8_runtime::{Block, Executor, Step};
use resmcu_device_app::{App, Counter, End, Identity, Panel, Ram};
use resmcu_device_link::{Device, find_target};
use resmcu_wire_protocol::{
    CounterUnit, Decoder, FRAME_BYTES_MAX, FrameFault, PROTOCOL_VERSION, Refusal, Request,
    Response, SEQUENCE_NONE, Watch, cobs, decode, encode, tensor_crc,
};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// Bad frames in all, and between two known inferences.
const BAD: usize = 100_000;
const ROUND: usize = 1000;

/// What a round that hangs may take; one that does not takes a second, or many beside other work.
const ROUND_MAX: Duration = Duration::from_secs(600);

/// Sequence numbers below are those of the known inference.
const KNOWN: u16 = 8;

/// What the line carries in one round, and what is wrong with its frames.
struct Round {
    bytes: Vec<u8>,
    faults: Vec<FrameFault>,
    /// Frames that are requests all the same.
    requests: usize,
}

/// A request of any kind, with the values at which code goes wrong.
fn request<'b>(rng: &mut Rng, bytes: &'b [u8]) -> Request<'b> {
    let number = |rng: &mut Rng| {
        let any = rng.next() as u32;
        rng.pick(&[0, 1, 2, 47, 48, 49, 80, 0x7FFF_FFFF, u32::MAX - 1, u32::MAX, any % 512, any])
    };
    let offset = number(rng);
    match rng.size(0, 14) {
        0 => Request::Hello { version: rng.pick(&[PROTOCOL_VERSION, 0, u16::MAX]) },
        1 => Request::WriteInput { offset, bytes },
        2 => Request::Infer,
        3 => Request::Bench,
        4 => Request::Trace,
        5 => Request::ReadOutput { offset, len: number(rng) },
        6 => Request::Memory,
        7 => Request::Calibrate { rounds: rng.pick(&[0, 1, 9]) },
        8 => Request::InferRows { offset, watch: rng.pick(&[Watch::Costs, Watch::Tensors]), bytes },
        9 => Request::SelfTest,
        10 => Request::Slots,
        11 => Request::UpdateBegin { bytes: rng.pick(&[0, 64, u32::MAX]), crc: number(rng) },
        12 => Request::UpdateWrite { offset, bytes },
        13 => Request::Seen,
        _ => Request::UpdateCommit { signature: bytes },
    }
}

/// A frame around any payload: its checksum holds.
fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2 * payload.len() + 16];
    let mut encoder = cobs::Encoder::new(&mut out);
    for &byte in payload.iter().chain(&tensor_crc(payload).to_le_bytes()) {
        encoder.push(byte).expect("there is room");
    }
    let length = encoder.finish().expect("there is room");
    out.truncate(length);
    out
}

/// Changes, takes out or puts in a few bytes.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.size(1, 4) {
        let at = rng.size(0, bytes.len());
        match (rng.size(0, 3), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << rng.size(0, 7),
            (1, Some(byte)) => *byte = rng.pick(&[0, 1, 0x7F, 0x80, 0xFF]),
            (2, Some(_)) => drop(bytes.remove(at)),
            _ => bytes.insert(at, rng.next() as u8),
        }
    }
}

/// One piece of the line, random or a frame that is damaged, and a delimiter.
fn piece(rng: &mut Rng) -> Vec<u8> {
    let longest = if rng.one_in(50) { 60 } else { 6 };
    let count = rng.size(0, longest);
    let content = rng.bytes(count);
    let sequence = rng.pick(&[KNOWN, 0x7F, 0x80, u16::MAX]);
    let mut buffer = [0; FRAME_BYTES_MAX];
    let good = encode(sequence, &request(rng, &content), &mut buffer).expect("it fits").to_vec();
    let mut bytes = match rng.size(0, 7) {
        0 => content,
        1 => good[..rng.size(1, good.len() - 2)].to_vec(),
        2 if rng.one_in(50) => vec![0x55; rng.size(570, 800)],
        3 => [good.clone(), good].concat().into_iter().filter(|&byte| byte != 0).collect(),
        4 | 5 => {
            let mut damaged = good;
            mutate(rng, &mut damaged);
            damaged
        }
        _ => {
            // The checksum is right, and what it covers is not.
            let mut decoder = Decoder::<FRAME_BYTES_MAX>::new();
            let payload = good.iter().find_map(|&byte| {
                decoder.push(byte).map(|frame| frame.expect("it is whole").to_vec())
            });
            let mut payload = payload.expect("it has an end");
            mutate(rng, &mut payload);
            sealed(&payload)
        }
    };
    bytes.push(0);
    bytes
}

/// Requests that would end the service, take long, or be taken for the known ones.
fn is_kept_out(sequence: u16, request: &Request<'_>) -> bool {
    let ends = matches!(request, Request::Stop | Request::Reset);
    let is_long = match *request {
        Request::Calibrate { rounds } => rounds > 1000,
        Request::UpdateBegin { bytes, .. } => (4096..1 << 28).contains(&bytes),
        _ => false,
    };
    ends || is_long || sequence < KNOWN
}

fn known_inference() -> Vec<u8> {
    let requests = [
        Request::WriteInput { offset: 0, bytes: &IMAGE },
        Request::Infer,
        Request::ReadOutput { offset: 0, len: 3 },
    ];
    let frame = |(sequence, request)| {
        encode(sequence, request, &mut [0; FRAME_BYTES_MAX]).expect("it fits").to_vec()
    };
    (1..).zip(&requests).flat_map(frame).collect()
}

/// As many pieces as make [`ROUND`] bad frames, then the known inference.
fn round(rng: &mut Rng) -> Round {
    let mut round = Round { bytes: Vec::new(), faults: Vec::new(), requests: 0 };
    while round.faults.len() < ROUND {
        let (piece, mut decoder) = (piece(rng), Decoder::<FRAME_BYTES_MAX>::new());
        let (mut faults, mut requests, mut keep) = (Vec::new(), 0, true);
        for &byte in &piece {
            match decoder.push(byte).map(|frame| frame.and_then(decode::<Request<'_>>)) {
                None => {}
                Some(Err(fault)) => faults.push(fault),
                Some(Ok((sequence, request))) => {
                    requests += 1;
                    keep &= !is_kept_out(sequence, &request);
                }
            }
        }
        if keep && round.faults.len() + faults.len() <= ROUND {
            round.bytes.extend(piece);
            round.faults.extend(faults);
            round.requests += requests;
        }
    }
    round.bytes.extend(known_inference());
    round
}

fn rounds() -> impl Iterator<Item = Round> {
    let mut rng = Rng::new(0x5EED);
    (0..BAD / ROUND).map(move |_| round(&mut rng))
}

/// Looks at all that comes back.
struct Judge {
    decoder: Decoder<FRAME_BYTES_MAX>,
    /// Faults whose refusals have yet to come.
    expected: VecDeque<FrameFault>,
    refused: u32,
    answered: usize,
    known: usize,
}

impl Judge {
    fn new() -> Self {
        let (decoder, expected) = (Decoder::new(), VecDeque::new());
        Self { decoder, expected, refused: 0, answered: 0, known: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let Some(frame) = self.decoder.push(byte) else { continue };
            let frame = frame.and_then(decode::<Response<'_>>).expect("answers are whole");
            match frame {
                (SEQUENCE_NONE, Response::Error(Refusal::BadFrame { fault, count })) => {
                    self.refused += 1;
                    assert_eq!(count, self.refused, "bad frames are counted from the start");
                    assert_eq!(Some(fault), self.expected.pop_front(), "bad frame {count}");
                }
                (3, Response::Output { offset: 0, bytes }) => {
                    self.known += 1;
                    assert_eq!(self.refused as usize, ROUND * self.known, "all were refused");
                    assert_eq!(bytes, OUTPUT.as_slice(), "after {} bad frames", self.refused);
                }
                (1, answer) => assert_eq!(answer, Response::Written { have: 48 }),
                (2, answer) => assert!(matches!(answer, Response::Inferred { .. }), "{answer:?}"),
                (sequence, answer) => {
                    assert!(sequence >= KNOWN, "{sequence}: {answer:?}");
                    self.answered += 1;
                }
            }
        }
    }

    fn end(&self, requests: usize) {
        assert_eq!((self.refused as usize, self.known), (BAD, BAD / ROUND));
        assert!(self.answered >= requests, "{} answers, {requests} requests", self.answered);
    }
}

#[test]
fn the_frames_are_bad_in_every_way() {
    let (mut faults, mut requests) = (Vec::new(), 0);
    for round in rounds() {
        faults.extend(round.faults);
        requests += round.requests;
    }
    assert_eq!(faults.len(), BAD);
    let kinds = [FrameFault::Truncated, FrameFault::Crc, FrameFault::Malformed];
    for (kind, least) in kinds.into_iter().zip([BAD / 10; 3]).chain([(FrameFault::TooLong, 100)]) {
        let count = faults.iter().filter(|&&fault| fault == kind).count();
        assert!(count >= least, "{kind:?}: {count}");
    }
    assert!(requests >= BAD / 20, "{requests} requests between them");
}

#[test]
fn a_board_answers_rightly_after_every_thousand_bad_frames() {
    let mut client = start(find_target("qemu-mps2-an385-m0").unwrap(), Some(&two_pools()));
    let board = client.device_mut();
    let (mut judge, mut requests, mut buffer) = (Judge::new(), 0, [0; 4096]);
    for (number, round) in rounds().enumerate() {
        judge.expected.extend(round.faults);
        requests += round.requests;
        board.send(&round.bytes).unwrap();
        let deadline = Instant::now() + ROUND_MAX;
        while judge.known == number {
            let received = board.receive(&mut buffer, deadline).unwrap();
            assert!(received > 0, "no answer in round {number}");
            judge.take(&buffer[..received]);
        }
    }
    judge.end(requests);
}

/// The service's line on the host: all that comes, and the judge of what goes.
struct Line {
    received: VecDeque<u8>,
    judge: Judge,
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let bytes = chunk.len().min(self.received.len());
        chunk.iter_mut().zip(self.received.drain(..bytes)).for_each(|(to, from)| *to = from);
        Ok(bytes)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.judge.take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// No counter and no light.
struct Nothing;

impl Counter for Nothing {
    const UNIT: CounterUnit = CounterUnit::Cycles;

    fn now(&mut self) -> u64 {
        0
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        end - begin
    }
}

impl Panel for Nothing {
    fn busy(&mut self, _: bool) {}
}

#[test]
fn the_service_on_the_host_answers_rightly_after_every_thousand_bad_frames() {
    let mut line = Line { received: VecDeque::new(), judge: Judge::new() };
    let mut requests = 0;
    for round in rounds() {
        line.judge.expected.extend(round.faults);
        line.received.extend(round.bytes);
        requests += round.requests;
    }
    let identity = Identity { firmware: "test", board: "host", isa: "host", slot_capacity: 0 };
    let ram = Ram { arena_capacity: 80, statics: 0, stack_capacity: 0, stack_high_water: || 0 };
    let (file, mut arena, mut plan) = (two_pools(), [Block::ZERO; 8], [Step::VACANT; 3]);
    let mut model = Executor::new(&file, &mut arena, &mut plan);
    let parts = (line, Nothing, Nothing);
    let mut app = App::<_, _, _, FRAME_BYTES_MAX>::new(parts, identity, ram, &mut model);
    assert_eq!(app.serve(), Ok(End::Closed));
    let ((line, ..), _) = app.into_parts();
    line.judge.end(requests);
}
