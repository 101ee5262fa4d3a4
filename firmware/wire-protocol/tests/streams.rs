//! The decoder under whole, damaged and random streams: cases as data and thousands of seeds.
//!
//! What must hold of any bytes at all: no panic, nothing handed out that was not sent, and the
//! first good frame after a delimiter is read.

use proptest::prelude::*;
use resmcu_wire_protocol::{
    CounterUnit, Decoder, DeviceInfo, FRAME_BYTES_MAX, FRAME_BYTES_MIN, FRAME_OVERHEAD_BYTES,
    FrameFault, LoadFailure, MemoryUse, ModelInfo, ModelState, Refusal, Request, Response,
    SelfTestReport, Sight, SlotInfo, SlotState, SlotsInfo, Standing, TopClass, WRITE_BYTES_MAX,
    Watch, decode, encode, tensor_crc,
};

type Payloads = Vec<Result<Vec<u8>, FrameFault>>;

fn receive<const N: usize>(stream: &[u8]) -> Payloads {
    let mut decoder = Decoder::<N>::new();
    let mut frames = Vec::new();
    for &byte in stream {
        if let Some(frame) = decoder.push(byte) {
            frames.push(frame.map(<[u8]>::to_vec));
        }
    }
    frames
}

fn frame(sequence: u16, request: &Request) -> Vec<u8> {
    encode(sequence, request, &mut [0; FRAME_BYTES_MAX]).expect("a frame fits").to_vec()
}

fn requests(bytes: &[u8]) -> [Request<'_>; 17] {
    [
        Request::Hello { version: 1 },
        Request::WriteInput { offset: u32::MAX, bytes },
        Request::Infer,
        Request::Bench,
        Request::Trace,
        Request::ReadOutput { offset: 3, len: 512 },
        Request::Memory,
        Request::Calibrate { rounds: u32::MAX },
        Request::Stop,
        Request::InferRows { offset: u32::MAX, watch: Watch::Tensors, bytes },
        Request::SelfTest,
        Request::Slots,
        Request::UpdateBegin { bytes: u32::MAX, crc: u32::MAX },
        Request::UpdateWrite { offset: u32::MAX, bytes },
        Request::UpdateCommit { signature: bytes },
        Request::Reset,
        Request::Seen,
    ]
}

fn responses(bytes: &[u8]) -> Vec<Response<'_>> {
    let info = ModelInfo {
        name: "resnet8-fashion",
        crc: u32::MAX,
        input_shape: [224, 224, 3],
        output_bytes: 4000,
        classes: 1000,
        steps: 155,
    };
    let hello = |model| {
        Response::Hello(DeviceInfo {
            version: 1,
            firmware: "0.1.0",
            board: "mps2-an386",
            isa: "thumbv7em",
            unit: CounterUnit::Instructions,
            frame_bytes_max: 576,
            arena_capacity: 1 << 20,
            slot_capacity: 1 << 24,
            model,
        })
    };
    let refused = LoadFailure { code: u16::MAX, details: [u32::MAX; 2] };
    let top = core::iter::repeat_n(TopClass { class: 999, score: 0.25 }, 5).collect();
    let standing = Standing::Rejected { code: u16::MAX };
    let (sequence, crc) = (u32::MAX, u32::MAX);
    let state = SlotState::Whole { sequence, bytes: 81_000, crc, signed: true, standing };
    let (slot, empty) = (
        SlotInfo { capacity: 89_792, state },
        SlotInfo { capacity: 1 << 26, state: SlotState::Empty },
    );
    let sight = Sight { class: u16::MAX, score: 0.5, unknown: true };
    vec![
        hello(ModelState::Loaded(info)),
        hello(ModelState::Refused(refused)),
        Response::Written { have: 7 },
        Response::Inferred { count: u64::MAX, unknown: true, top },
        Response::StepCost { step: u16::MAX, count: u64::MAX },
        Response::TensorCrc { tensor: 1, at: 4, crc: 2, bytes: 3 },
        Response::Done { total: 0 },
        Response::Output { offset: u32::MAX, bytes },
        Response::Memory(MemoryUse { arena: 1, stack: 2, ..MemoryUse::default() }),
        Response::Calibrated { count: 1, expected: 1 },
        Response::Stopped,
        Response::SelfTest(SelfTestReport { intact: true, wrong: 3, ..SelfTestReport::default() }),
        Response::Slots(SlotsInfo { running: Some(1), verified: true, slots: [slot, empty] }),
        Response::UpdateBegun { slot: 1 },
        Response::UpdateCommitted { sequence: u32::MAX },
        Response::Resetting,
        Response::Seen { looks: u32::MAX, failures: 1, last: None },
        Response::Seen { looks: 2, failures: u32::MAX, last: Some(sight) },
        Response::Error(Refusal::NoModel(refused)),
        Response::Error(Refusal::BadFrame { fault: FrameFault::Crc, count: u32::MAX }),
    ]
}

#[test]
fn every_request_and_response_comes_back() {
    let bytes: Vec<u8> = (0..WRITE_BYTES_MAX).map(|i| (i % 251) as u8).collect();
    for request in requests(&bytes) {
        let payload = receive::<FRAME_BYTES_MAX>(&frame(u16::MAX, &request)).remove(0).unwrap();
        assert_eq!(decode(&payload), Ok((u16::MAX, request)));
    }
    for response in responses(&bytes) {
        let mut out = [0; FRAME_BYTES_MAX];
        let stream = encode(9, &response, &mut out).unwrap();
        let payload = receive::<FRAME_BYTES_MAX>(stream).remove(0).unwrap();
        assert_eq!(decode(&payload), Ok((9, response)));
    }
}

#[test]
fn bounds_of_the_specification_hold() {
    for fill in [0x00, 0x01, 0xFF] {
        let bytes = [fill; WRITE_BYTES_MAX];
        let longest = frame(u16::MAX, &Request::WriteInput { offset: u32::MAX, bytes: &bytes });
        assert!(longest.len() <= FRAME_BYTES_MAX, "{} bytes", longest.len());
        assert!(longest.len() <= WRITE_BYTES_MAX + FRAME_OVERHEAD_BYTES, "{}", longest.len());
        let all = requests(&[]);
        assert!(all.iter().all(|request| frame(u16::MAX, request).len() <= FRAME_BYTES_MIN));
    }
}

#[test]
fn wire_numbers_are_those_of_the_readme() {
    for (number, request) in requests(&[]).iter().enumerate() {
        let payload = receive::<FRAME_BYTES_MAX>(&frame(1, request)).remove(0).unwrap();
        assert_eq!((payload[0], usize::from(payload[1])), (1, number), "{request:?}");
    }
    assert_eq!(tensor_crc(b"123456789"), 0xCBF4_3926);
    assert_eq!(frame(1, &Request::Hello { version: 1 }), hello_v1());
}

/// A `Hello` of version 1, byte for byte: hosts of any age send it.
fn hello_v1() -> Vec<u8> {
    let crc = tensor_crc(&[1, 0, 1]).to_le_bytes();
    assert!(crc.iter().all(|&byte| byte != 0));
    let mut stream = vec![2, 1, 6, 1];
    stream.extend(crc);
    stream.push(0);
    stream
}

#[track_caller]
fn check(stream: &[u8], expected: &[Result<(), FrameFault>]) {
    let got: Vec<_> = receive::<32>(stream).into_iter().map(|frame| frame.map(|_| ())).collect();
    assert_eq!(got, expected, "{stream:x?}");
}

#[test]
fn damaged_frames_are_named_and_left_behind() {
    let good = frame(5, &Request::Memory);
    let with = |bad: &[u8]| [bad, &good].concat();
    check(&good, &[Ok(())]);
    check(&with(&[0, 0, 0]), &[Ok(())]); // idle delimiters are no frames
    check(&with(&[1, 0]), &[Err(FrameFault::Truncated), Ok(())]); // too little for a CRC
    check(&with(&[9, 1, 2, 0]), &[Err(FrameFault::Truncated), Ok(())]); // a run cut short
    check(&with(&[[2, 7].repeat(40), vec![0]].concat()), &[Err(FrameFault::TooLong), Ok(())]);
    let mut flipped = good.clone();
    flipped[1] ^= 0x40;
    check(&with(&flipped), &[Err(FrameFault::Crc), Ok(())]);
    check(&with(&good[..3]), &[Err(FrameFault::Truncated)]); // no delimiter between: both are lost,
    let later = [with(&good[..3]), good.clone()].concat(); // not the next
    check(&later, &[Err(FrameFault::Truncated), Ok(())]);
}

#[test]
fn intact_frames_of_other_messages_are_malformed() {
    assert_eq!(decode::<Request>(&[1, 200]), Err(FrameFault::Malformed)); // no such request
    assert_eq!(decode::<Request>(&[1, 2, 0]), Err(FrameFault::Malformed)); // bytes left over
    assert_eq!(decode::<Request>(&[1, 1, 0, 99, 1]), Err(FrameFault::Malformed)); // a length beyond
    assert_eq!(decode::<Request>(&[]), Err(FrameFault::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn garbage_is_never_taken_and_the_next_frame_is(
        garbage in prop::collection::vec(any::<u8>(), 0..1500),
        offset: u32,
        bytes in prop::collection::vec(any::<u8>(), 0..WRITE_BYTES_MAX),
    ) {
        let request = Request::WriteInput { offset, bytes: &bytes };
        let mut stream = garbage;
        stream.push(0);
        stream.extend(frame(77, &request));
        let mut frames = receive::<FRAME_BYTES_MAX>(&stream);
        let last = frames.pop().unwrap().unwrap();
        prop_assert_eq!(decode(&last), Ok((77, request)));
        for payload in frames.into_iter().flatten() {
            // 32 bits of CRC: a collision may pass here, and must still be harmless.
            let _ = decode::<Request>(&payload);
            let _ = decode::<Response>(&payload);
        }
    }

    #[test]
    fn a_mutated_frame_is_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..WRITE_BYTES_MAX),
        at: prop::sample::Index,
        bit in 0..8u8,
        cut: prop::sample::Index,
    ) {
        let request = Request::WriteInput { offset: 0, bytes: &bytes };
        let good = frame(3, &request);
        let mut flipped = good.clone();
        flipped[at.index(good.len() - 1)] ^= 1 << bit;
        let mut short = good[..cut.index(good.len() - 1)].to_vec();
        short.push(0);
        for bad in [flipped, short] {
            let stream = [bad, good.clone()].concat();
            let mut frames = receive::<FRAME_BYTES_MAX>(&stream);
            let last = frames.pop().unwrap().unwrap();
            prop_assert_eq!(decode(&last), Ok((3, request)));
            // A last run of 254 bytes is followed by a code byte that carries nothing: without it
            // the frame is still itself.
            let same = |frame: &Vec<u8>| decode(frame) == Ok((3, request));
            prop_assert!(frames.iter().flatten().all(same), "a damaged frame was taken");
        }
    }

    #[test]
    fn any_payload_decodes_or_is_malformed(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode::<Request>(&payload);
        let _ = decode::<Response>(&payload);
    }

    #[test]
    fn no_buffer_is_too_small_for_an_answer(len in 0..80usize) {
        let mut out = [0; 80];
        let request = Request::WriteInput { offset: 0, bytes: &[0; 40] };
        let frame_bytes = frame(1, &request).len();
        prop_assert_eq!(encode(1, &request, &mut out[..len]).is_ok(), len >= frame_bytes);
    }
}
