//! The service on an in-memory line: what each request answers, in which state, with which model.

mod harness;
mod look;
mod update;

use harness::{Light, Line, MIDDLE, OUTPUT, Reads, image, refused, stream, two_pools};
use resmcu_device_app::{App, End, Identity, Ram};
use resmcu_int8_runtime::{Block, Executor, STEP_BYTES, Step};
use resmcu_model_format::write::annotate;
use resmcu_model_format::{KnownAnswer, ModelFile, Notes};
use resmcu_wire_protocol::{
    CounterUnit, Decoder, DeviceInfo, FRAME_BYTES_MAX, FrameFault, LoadFailure, MemoryUse,
    ModelInfo, ModelState, PROTOCOL_VERSION, Refusal, Request, Response, SelfTestReport, TopClass,
    Watch, decode, tensor_crc,
};

/// What the device sends when `stream` arrives, and how often its light went on.
fn serve<const FRAME: usize>(file: &[u8], stream: Vec<u8>) -> (Vec<u8>, u32) {
    let mut arena = [Block::ZERO; 6];
    let mut plan = [Step::VACANT; 4];
    let mut model = Executor::new(file, &mut arena, &mut plan);
    let (mut sent, light) = (Vec::new(), Light::default());
    let line = Line { received: stream.into(), sent: &mut sent };
    let identity = Identity { firmware: "1.2.3", board: "bench", isa: "host", slot_capacity: 4096 };
    let ram =
        Ram { arena_capacity: 96, statics: 7, stack_capacity: 9000, stack_high_water: || 1 << 20 };
    let parts = (line, Reads(0), light.clone());
    let mut app = App::<_, _, _, FRAME>::new(parts, identity, ram, &mut model);
    let end = app.serve().expect("the line has no errors");
    assert!(matches!(end, End::Closed | End::Stopped));
    (sent, light.0.get())
}

/// Compares all answers, with the sequence numbers of their requests.
#[track_caller]
fn check_stream(file: &[u8], received: Vec<u8>, expected: &[(u16, Response)]) {
    let (sent, _) = serve::<FRAME_BYTES_MAX>(file, received);
    let (mut decoder, mut answers) = (Decoder::<FRAME_BYTES_MAX>::new(), 0);
    for byte in sent {
        let Some(frame) = decoder.push(byte) else { continue };
        let got: (u16, Response) = decode(frame.expect("intact")).expect("a response");
        assert_eq!(Some(&got), expected.get(answers), "answer {answers}");
        answers += 1;
    }
    assert_eq!(answers, expected.len(), "number of answers");
}

#[track_caller]
fn check(requests: &[Request], expected: &[(u16, Response)]) {
    check_stream(&two_pools(), stream(requests), expected);
}

fn top() -> heapless::Vec<TopClass, 5> {
    // Scale 0.5: e^0, e^-0.5, e^-1 over their sum, as micromath computes them.
    let (sent, _) = serve::<FRAME_BYTES_MAX>(
        &two_pools(),
        stream(&[Request::WriteInput { offset: 0, bytes: &image() }, Request::Infer]),
    );
    let mut decoder = Decoder::<FRAME_BYTES_MAX>::new();
    for byte in sent {
        let Some(Ok(frame)) = decoder.push(byte) else { continue };
        if let Ok((2, Response::Inferred { top, .. })) = decode(frame) {
            let exact = [0.506_48, 0.307_20, 0.186_32];
            for (got, exact) in top.iter().zip(exact) {
                assert!((got.score - exact).abs() < 2e-3, "{} for {exact}", got.score);
            }
            assert!(top.iter().map(|best| best.class).eq([2, 1, 0]));
            return top;
        }
    }
    panic!("no inference was answered");
}

fn inferred() -> Response<'static> {
    Response::Inferred { count: 0, unknown: false, top: top() }
}

#[test]
fn an_image_in_pieces_is_classified_and_its_output_read() {
    let image = image();
    let write = |offset: usize, end: usize| Request::WriteInput {
        offset: offset as u32,
        bytes: &image[offset..end],
    };
    check(
        &[
            write(0, 20),
            write(16, 40), // a retry that overlaps
            write(40, 48),
            Request::Infer,
            Request::ReadOutput { offset: 1, len: 2 },
            Request::ReadOutput { offset: 3, len: 0 },
        ],
        &[
            (1, Response::Written { have: 20 }),
            (2, Response::Written { have: 40 }),
            (3, Response::Written { have: 48 }),
            (4, inferred()),
            (5, Response::Output { offset: 1, bytes: &OUTPUT[1..] }),
            (6, Response::Output { offset: 3, bytes: &[] }),
        ],
    );
}

#[test]
fn bench_and_trace_stream_every_step() {
    let image = image();
    let write = Request::WriteInput { offset: 0, bytes: &image };
    let crc = |tensor, bytes: &[u8]| Response::TensorCrc {
        tensor,
        at: 0,
        crc: tensor_crc(bytes),
        bytes: bytes.len() as u32,
    };
    check(
        &[write, Request::Bench, write, Request::Trace, Request::ReadOutput { offset: 0, len: 3 }],
        &[
            (1, Response::Written { have: 48 }),
            (2, Response::StepCost { step: 0, count: 0 }),
            (2, Response::StepCost { step: 1, count: 0 }),
            (2, Response::Done { total: 0 }),
            (3, Response::Written { have: 48 }),
            (4, crc(0, &image)),
            (4, crc(1, &MIDDLE)),
            (4, crc(2, &OUTPUT)),
            (4, Response::Done { total: 0 }),
            (5, Response::Output { offset: 0, bytes: &OUTPUT }),
        ],
    );
}

#[test]
fn a_run_needs_a_complete_new_image() {
    let image = image();
    let write = |end: usize| Request::WriteInput { offset: 0, bytes: &image[..end] };
    let lacks = |have| Refusal::NotAllInputWritten { have, need: 48 };
    check(
        &[Request::Infer, write(47), Request::Trace, write(48), Request::Infer, Request::Bench],
        &[
            refused(1, lacks(0)),
            (2, Response::Written { have: 47 }),
            refused(3, lacks(47)),
            (4, Response::Written { have: 48 }),
            (5, inferred()),
            refused(6, lacks(0)),
        ],
    );
}

#[test]
fn writes_and_reads_outside_are_refused_and_change_nothing() {
    let image = image();
    let write = |offset, bytes| Request::WriteInput { offset, bytes };
    let read = |offset, len| Request::ReadOutput { offset, len };
    check(
        &[
            write(0, &image[..40]),
            write(41, &image[41..]),
            write(40, &image[..9]),
            write(u32::MAX, &image),
            read(0, 1),
            write(40, &image[40..]),
            Request::Infer,
            read(2, 2),
            read(u32::MAX, u32::MAX),
            write(0, &image[..1]),
            read(0, 1),
        ],
        &[
            (1, Response::Written { have: 40 }),
            refused(2, Refusal::InputGap { offset: 41, have: 40 }),
            refused(3, Refusal::InputOutOfRange { end: 49, bytes: 48 }),
            refused(4, out_of_range(u32::MAX as usize + 48)),
            refused(5, Refusal::NoOutput),
            (6, Response::Written { have: 48 }),
            (7, inferred()),
            refused(8, Refusal::OutputOutOfRange { end: 4, bytes: 3 }),
            refused(9, Refusal::OutputOutOfRange { end: u32::MAX, bytes: 3 }),
            (10, Response::Written { have: 1 }),
            refused(11, Refusal::NoOutput),
        ],
    );
}

fn out_of_range(end: usize) -> Refusal {
    Refusal::InputOutOfRange { end: u32::try_from(end).unwrap_or(u32::MAX), bytes: 48 }
}

#[test]
fn memory_calibration_version_and_stop() {
    let memory = MemoryUse {
        arena: 80,
        scratch: 0,
        arena_capacity: 96,
        plan: 3 * STEP_BYTES as u32,
        statics: 7,
        stack: 1 << 20,
        stack_capacity: 9000,
    };
    check(
        &[
            Request::Memory,
            Request::Calibrate { rounds: 21 },
            Request::Calibrate { rounds: 13 },
            Request::Hello { version: 99 },
            Request::Stop,
            Request::Memory, // nobody is there any more
        ],
        &[
            (1, Response::Memory(memory)),
            (2, Response::Calibrated { count: 42, expected: 42 }),
            refused(3, Refusal::NotCalibratable),
            refused(4, Refusal::UnsupportedVersion { device: PROTOCOL_VERSION, host: 99 }),
            (5, Response::Stopped),
        ],
    );
}

#[test]
fn hello_tells_the_model_or_why_there_is_none() {
    let hello = |model| {
        Response::Hello(DeviceInfo {
            version: PROTOCOL_VERSION,
            firmware: "1.2.3",
            board: "bench",
            isa: "host",
            unit: CounterUnit::Cycles,
            frame_bytes_max: FRAME_BYTES_MAX as u16,
            arena_capacity: 96,
            slot_capacity: 4096,
            model,
        })
    };
    let file = two_pools();
    let loaded = ModelState::Loaded(ModelInfo {
        name: "two pools, and a name that is far longer", // its first 40 bytes
        crc: ModelFile::parse(&file).expect("a good file").crc(),
        input_shape: [4, 4, 3],
        output_bytes: 3,
        classes: 3,
        steps: 2,
    });
    check(&[Request::Hello { version: PROTOCOL_VERSION }], &[(1, hello(loaded))]);
    let mut other = file;
    other[0] ^= 1;
    let error = Executor::new(&other, &mut [], &mut []).map(|_| ()).expect_err("no magic");
    let failure = LoadFailure { code: error.code(), details: error.details() };
    let requests = [
        Request::Hello { version: PROTOCOL_VERSION },
        Request::Infer,
        Request::WriteInput { offset: 0, bytes: &[1] },
        Request::ReadOutput { offset: 0, len: 1 },
    ];
    let no_model = |sequence| refused(sequence, Refusal::NoModel(failure));
    let answers = [(1, hello(ModelState::Refused(failure))), no_model(2), no_model(3), no_model(4)];
    check_stream(&other, stream(&requests), &answers);
}

#[test]
fn bad_frames_are_counted_and_the_next_good_one_is_answered() {
    let bad = |fault, count| refused(0, Refusal::BadFrame { fault, count });
    let good = stream(&[Request::Calibrate { rounds: 1 }]);
    let answer = (1, Response::Calibrated { count: 2, expected: 2 });
    let mut flipped = good.clone();
    flipped[2] ^= 0x10;
    let long = [vec![0xEE; 2000], vec![0]].concat();
    let short = vec![5, 1, 0];
    let received = [long, good.clone(), short, flipped, good.clone(), vec![0, 0], good].concat();
    check_stream(
        &two_pools(),
        received,
        &[
            bad(FrameFault::TooLong, 1),
            answer.clone(),
            bad(FrameFault::Truncated, 2),
            bad(FrameFault::Crc, 3),
            answer.clone(),
            answer,
        ],
    );
}

#[test]
fn the_light_goes_on_for_each_run() {
    let image = image();
    let write = Request::WriteInput { offset: 0, bytes: &image };
    let requests = [write, Request::Infer, Request::Infer, write, Request::Bench];
    assert_eq!(serve::<FRAME_BYTES_MAX>(&two_pools(), stream(&requests)).1, 2);
}

#[test]
fn rows_are_answered_by_their_inference() {
    let image = image();
    let rows = |from: usize, to: usize| Request::InferRows {
        offset: 12 * from as u32,
        watch: Watch::Nothing,
        bytes: &image[12 * from..12 * to],
    };
    check(
        &[rows(0, 1), rows(1, 3), rows(2, 4), rows(0, 4), rows(1, 2), rows(0, 4)],
        &[
            (1, Response::Written { have: 12 }),
            (2, Response::Written { have: 36 }),
            (3, inferred()),
            (4, inferred()),
            refused(5, Refusal::InputGap { offset: 12, have: 0 }),
            (6, inferred()),
        ],
    );
}

/// The model with these notes.
fn annotated(margin_min: u32, known_answers: &[KnownAnswer]) -> Vec<u8> {
    let notes = Notes { margin_min, known_answers: 0 };
    annotate(&two_pools(), &notes, known_answers).expect("a model")
}

#[test]
fn an_answer_below_the_margin_is_unknown() {
    let image = image();
    // The two best of 45, 46, 47 are 1 apart.
    for (margin_min, unknown) in [(0, false), (1, false), (2, true), (u32::MAX, true)] {
        let received =
            stream(&[Request::InferRows { offset: 0, watch: Watch::Nothing, bytes: &image }]);
        let answer = Response::Inferred { count: 0, unknown, top: top() };
        check_stream(&annotated(margin_min, &[]), received, &[(1, answer)]);
    }
}

/// What the model makes of a seed's image.
fn known(seed: u32) -> KnownAnswer {
    let answer = KnownAnswer { seed, output_crc: 0 };
    let image: Vec<u8> = answer.input().take(48).collect();
    let largest = |channel: usize| {
        let values = (0..16).map(|pixel| image[3 * pixel + channel] as i8);
        values.max().expect("sixteen") as u8
    };
    KnownAnswer { output_crc: tensor_crc(&[0, 1, 2].map(largest)), ..answer }
}

#[test]
fn a_self_test_counts_wrong_answers_and_takes_the_image() {
    let wrong = KnownAnswer { output_crc: !known(7).output_crc, ..known(7) };
    let (stack, stack_capacity) = (stack(), 9000);
    let cases =
        [(vec![], 0), (vec![known(1), known(2)], 0), (vec![known(1), wrong, known(3), wrong], 2)];
    for (answers, wrong) in cases {
        let image = image();
        let write = Request::WriteInput { offset: 0, bytes: &image };
        let requests = [write, Request::SelfTest, Request::Infer];
        let answers_len = answers.len() as u16;
        let report =
            SelfTestReport { intact: true, answers: answers_len, wrong, stack, stack_capacity };
        assert_eq!(report.is_passed(), wrong == 0);
        let expected = [
            (1, Response::Written { have: 48 }),
            (2, Response::SelfTest(report)),
            refused(3, Refusal::NotAllInputWritten { have: 0, need: 48 }),
        ];
        check_stream(&annotated(0, &answers), stream(&requests), &expected);
    }
}

/// The stack that the tests' board claims.
fn stack() -> u32 {
    1 << 20
}

#[test]
fn a_board_without_slots_says_so() {
    let requests = [
        Request::Slots,
        Request::UpdateBegin { bytes: 1, crc: 0 },
        Request::UpdateWrite { offset: 0, bytes: &[1] },
        Request::UpdateCommit { signature: &[] },
    ];
    let answers = [1, 2, 3, 4].map(|sequence| refused(sequence, Refusal::NoSlots));
    check(&requests, &answers);
}
