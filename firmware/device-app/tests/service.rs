//! The service on an in-memory line: what each request answers, in which state, with which model.

use embedded_hal::digital::{ErrorType as PinErrorType, OutputPin};
use embedded_io::{ErrorType, Read, Write};
use resmcu_device_app::{App, Calibration, Counter, Identity, Ram};
use resmcu_int8_runtime::{Block, Executor};
use resmcu_model_format::write::{DataSection, encode as encode_model};
use resmcu_model_format::{Dtype, Header, Isa, ModelFile, Op, Pool2d, Profile, Step, Tensor};
use resmcu_wire_protocol::{
    CounterUnit, Decoder, DeviceInfo, FRAME_BYTES_MAX, FrameFault, LoadFailure, MemoryUse,
    ModelInfo, ModelState, Refusal, Request, Response, TopClass, decode, encode, tensor_crc,
};
use std::convert::Infallible;
use std::{cell::Cell, collections::VecDeque, rc::Rc};

/// A line whose one end was written beforehand and whose other end is read afterwards.
struct Line<'t> {
    received: VecDeque<u8>,
    sent: &'t mut Vec<u8>,
}

impl ErrorType for Line<'_> {
    type Error = Infallible;
}

impl Read for Line<'_> {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        let bytes = chunk.len().min(self.received.len());
        chunk.iter_mut().zip(self.received.drain(..bytes)).for_each(|(to, from)| *to = from);
        Ok(bytes)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Counts its own reads: an empty span is 1 of overhead, so a step costs 0.
struct Reads(u64);

impl Counter for Reads {
    const UNIT: CounterUnit = CounterUnit::Cycles;

    fn now(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn between(&self, begin: u64, end: u64) -> u64 {
        end - begin
    }

    fn calibrate(&mut self, rounds: u32) -> Option<Calibration> {
        let expected = 2 * u64::from(rounds);
        (rounds != 13).then_some(Calibration { count: expected, expected })
    }
}

/// How often the light went on.
#[derive(Clone, Default)]
struct Light(Rc<Cell<u32>>);

impl PinErrorType for Light {
    type Error = Infallible;
}

impl OutputPin for Light {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }
}

/// `[4,4,3]`, twice the largest of each 2x2 window, to `[1,1,3]`.
fn two_pools() -> Vec<u8> {
    let tensor = |name, side, offset, first, last| Tensor {
        name,
        shape: [side, side, 3],
        dtype: Dtype::I8,
        scale: 0.5,
        zero_point: 0,
        offset,
        first,
        last,
    };
    let step = |name, input| Step {
        name,
        kernel: 0,
        output: input + 1,
        macs: 0,
        op: Op::MaxPool2d(Pool2d {
            input,
            kernel_size: [2, 2],
            stride: [2, 2],
            padding: [0; 4],
            clamp: [-128, 127],
        }),
    };
    let header = Header {
        name: "two pools, and a name that is far longer than what a small frame can carry",
        producer: "test",
        profile: Profile::Native,
        isa: Isa::Generic,
        class_names: "",
        arena_bytes: 80,
        scratch_bytes: 0,
        arena_lower_bound: 60,
        macs: 0,
        tensors: 3,
        steps: 2,
    };
    let tensors =
        [tensor("input", 4, 0, 0, 0), tensor("middle", 2, 48, 0, 1), tensor("output", 1, 64, 1, 1)];
    let steps = [step("first", 0), step("second", 1)];
    encode_model(&header, &tensors, &steps, &DataSection::default()).expect("a small model")
}

/// The image 0, 1, 2, ... and what the model makes of it.
fn image() -> [u8; 48] {
    core::array::from_fn(|i| i as u8)
}
const MIDDLE: [u8; 12] = [15, 16, 17, 21, 22, 23, 39, 40, 41, 45, 46, 47];
const OUTPUT: [u8; 3] = [45, 46, 47];

/// What the device sends when `stream` arrives, and how often its light went on.
fn serve<const FRAME: usize>(file: &[u8], stream: Vec<u8>) -> (Vec<u8>, u32) {
    let mut arena = [Block::ZERO; 6];
    let mut model = Executor::<4>::new(file, &mut arena);
    let (mut sent, light) = (Vec::new(), Light::default());
    let line = Line { received: stream.into(), sent: &mut sent };
    let identity = Identity { firmware: "1.2.3", board: "bench", isa: "host", slot_capacity: 4096 };
    let ram =
        Ram { arena_capacity: 96, statics: 7, stack_capacity: 9000, stack_high_water: || 1 << 20 };
    let parts = (line, Reads(0), light.clone());
    let mut app = App::<_, _, _, 4, FRAME>::new(parts, identity, ram, &mut model);
    app.serve().expect("the line has no errors");
    (sent, light.0.get())
}

fn stream(requests: &[Request]) -> Vec<u8> {
    let mut frames = Vec::new();
    for (sequence, request) in (1..).zip(requests) {
        let mut out = [0; FRAME_BYTES_MAX];
        frames.extend_from_slice(encode(sequence, request, &mut out).expect("it fits"));
    }
    frames
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

fn refused(sequence: u16, refusal: Refusal) -> (u16, Response<'static>) {
    (sequence, Response::Error(refusal))
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
            (4, Response::Inferred { count: 0, top: top() }),
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
            (5, Response::Inferred { count: 0, top: top() }),
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
            (7, Response::Inferred { count: 0, top: top() }),
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
    let plan = size_of::<Result<Executor<4>, resmcu_int8_runtime::LoadError>>() as u32;
    let memory = MemoryUse {
        arena: 80,
        scratch: 0,
        arena_capacity: 96,
        plan,
        statics: 7,
        stack: (1 << 20) - plan,
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
            refused(4, Refusal::UnsupportedVersion { device: 1, host: 99 }),
            (5, Response::Stopped),
        ],
    );
}

#[test]
fn hello_tells_the_model_or_why_there_is_none() {
    let hello = |model| {
        Response::Hello(DeviceInfo {
            version: 1,
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
    check(&[Request::Hello { version: 1 }], &[(1, hello(loaded))]);
    let mut other = file;
    other[0] ^= 1;
    let error = Executor::<4>::new(&other, &mut []).map(|_| ()).expect_err("no magic");
    let failure = LoadFailure { code: error.code(), details: error.details() };
    let requests = [
        Request::Hello { version: 1 },
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
