//! Pictures of a camera, classified and shown.

use super::harness::{Reads, refused, stream, two_pools};
use embedded_hal::delay::DelayNs;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use resmcu_device_app::frame::{FrameFormat, FrameSource, PixelFormat, Scaler};
use resmcu_device_app::{Answer, App, End, Eye, Identity, Look, Panel, Ram, Watched};
use resmcu_int8_runtime::{Block, Executor, Step};
use resmcu_wire_protocol::{Decoder, FRAME_BYTES_MAX, Refusal, Request, Response, Sight, decode};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use zerocopy::IntoBytes;

/// A camera of 8x8 pixels, each 2x2 of them what the model's input takes as 0, 1, 2, ...
struct Camera {
    row: u16,
    broken: bool,
}

impl FrameSource for Camera {
    type Error = &'static str;

    fn format(&self) -> FrameFormat {
        FrameFormat { width: 8, height: 8, pixels: PixelFormat::Rgb888 }
    }

    fn capture(&mut self) -> Result<(), Self::Error> {
        self.row = 0;
        if self.broken { Err("broken") } else { Ok(()) }
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Self::Error> {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let first = 3 * (4 * usize::from(self.row / 2) + x / 2);
            pixel.iter_mut().zip(0..).for_each(|(v, channel)| *v = 0x80 + first as u8 + channel);
        }
        self.row += 1;
        Ok(())
    }
}

/// What was shown.
#[derive(Default)]
struct Board {
    busy: Cell<u32>,
    shown: RefCell<Vec<(u16, String, bool)>>,
}

impl Panel for &Board {
    fn busy(&mut self, is_busy: bool) {
        self.busy.set(self.busy.get() + u32::from(is_busy));
    }

    fn show(&mut self, answer: &Answer<'_>) {
        assert!(answer.percent <= 100);
        self.shown.borrow_mut().push((answer.class, answer.name.to_owned(), answer.unknown));
    }
}

/// What comes over the line, in order.
enum Event {
    /// Nothing, so many times that it is asked.
    Quiet(u32),
    /// A request, as number 1.
    Asked(Request<'static>),
}
use Event::{Asked, Quiet};

/// A line to which things come in their time; it closes after the last one.
struct Script<'t> {
    events: VecDeque<Event>,
    /// What is left of a request that came.
    rest: VecDeque<u8>,
    sent: &'t mut Vec<u8>,
}

impl ErrorType for Script<'_> {
    type Error = Infallible;
}

impl ReadReady for Script<'_> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        let Some(Quiet(times)) = self.events.front_mut().filter(|_| self.rest.is_empty()) else {
            return Ok(true);
        };
        *times -= 1;
        if *times == 0 {
            self.events.pop_front();
        }
        Ok(false)
    }
}

impl Read for Script<'_> {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Infallible> {
        if self.rest.is_empty()
            && let Some(Asked(request)) = self.events.pop_front()
        {
            self.rest.extend(stream(&[request]));
        }
        let bytes = chunk.len().min(self.rest.len());
        chunk.iter_mut().zip(self.rest.drain(..bytes)).for_each(|(to, from)| *to = from);
        Ok(bytes)
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.sent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Time that passes by counting.
struct Clock<'c>(&'c Cell<u32>);

impl DelayNs for Clock<'_> {
    fn delay_ns(&mut self, nanoseconds: u32) {
        self.0.set(self.0.get() + nanoseconds / 1_000_000);
    }
}

/// What a service of these events came to.
struct Served {
    answers: Vec<Response<'static>>,
    shown: usize,
    rested_ms: u32,
    fed: u32,
}

/// An application with the model of [`two_pools`], a camera and this line, until it is closed.
fn serve(events: impl IntoIterator<Item = Event>, broken: bool) -> Served {
    let (mut sent, board, fed, rested) = (Vec::new(), Board::default(), Cell::new(0), Cell::new(0));
    let events = events.into_iter().collect();
    let line = Script { events, rest: VecDeque::new(), sent: &mut sent };
    with_app(line, &board, &fed, |app| {
        let (mut sums, mut row) = ([0; 12], [0; 24]);
        let mut eye = eye(&mut sums, &mut row);
        eye.source.broken = broken;
        let end = app.serve_and_look(&mut eye, &mut Clock(&rested));
        assert_eq!(end, Ok(End::Closed));
    });
    let mut decoder = Decoder::<FRAME_BYTES_MAX>::new();
    let mut answers = Vec::new();
    for &byte in &sent {
        let Some(frame) = decoder.push(byte) else { continue };
        let (_, response) = frame.and_then(decode::<Response>).expect("an answer");
        answers.push(match response {
            Response::Hello(_) | Response::Output { .. } => Response::Stopped, // stands for both
            Response::Written { have } => Response::Written { have },
            Response::Seen { looks, failures, last } => Response::Seen { looks, failures, last },
            Response::Inferred { count: _, unknown, ref top } => {
                Response::Inferred { count: 0, unknown, top: top.clone() }
            }
            Response::Error(refusal) => refused(1, refusal).1,
            other => panic!("{other:?}"),
        });
    }
    let shown = board.shown.borrow().len();
    Served { answers, shown, rested_ms: rested.get(), fed: fed.get() }
}

type Panels<'p> = Watched<&'p Board, Box<dyn FnMut() + 'p>>;

/// Calls `with` with an application on this line.
fn with_app<S: Read + Write>(
    line: S,
    board: &Board,
    fed: &Cell<u32>,
    with: impl FnOnce(&mut App<'_, '_, '_, S, Reads, Panels<'_>, 128>),
) {
    let file = two_pools();
    let mut blocks = vec![Block::ZERO; file.len().div_ceil(Block::BYTES)];
    blocks.as_mut_bytes()[..file.len()].copy_from_slice(&file);
    let mut arena = [Block::ZERO; 8];
    let mut plan = [Step::VACANT; 4];
    let mut model = Executor::new(&blocks.as_bytes()[..file.len()], &mut arena, &mut plan);
    let identity = Identity { firmware: "1", board: "test", isa: "none", slot_capacity: 0 };
    let ram = Ram { arena_capacity: 128, statics: 0, stack_capacity: 0, stack_high_water: || 0 };
    let feed: Box<dyn FnMut() + '_> = Box::new(|| fed.set(fed.get() + 1));
    let panel = Watched { panel: board, feed };
    with(&mut App::new((line, Reads(0), panel), identity, ram, &mut model));
}

fn eye<'e>(sums: &'e mut [u32; 12], row: &'e mut [u8; 24]) -> Eye<'e, Camera> {
    let source = Camera { row: 0, broken: false };
    let scaler = Scaler::new(source.format(), [4, 4, 3], sums).expect("it can be scaled");
    Eye { source, scaler, row }
}

#[test]
fn a_picture_is_scaled_classified_and_shown() {
    let (mut sent, board, fed) = (Vec::new(), Board::default(), Cell::new(0));
    let (events, rest) = (VecDeque::new(), VecDeque::new());
    let line = Script { events, rest, sent: &mut sent };
    with_app(line, &board, &fed, |app| {
        let (mut sums, mut row) = ([0; 12], [0; 24]);
        let mut eye = eye(&mut sums, &mut row);
        for _ in 0..2 {
            let look = app.look(&mut eye).expect("the camera works");
            let Look::Class(Sight { class: 2, unknown: false, .. }) = look else {
                panic!("{look:?}")
            };
        }
        eye.source.broken = true;
        assert_eq!(app.look(&mut eye), Err("broken"));
        let (mut small, mut row) = ([0; 3], [0; 24]);
        let scaler = Scaler::new(eye.source.format(), [1, 1, 3], &mut small).expect("it can be");
        let mut other = Eye { source: eye.source, scaler, row: &mut row };
        assert_eq!(app.look(&mut other), Ok(Look::OtherInput));
    });
    assert_eq!(board.busy.get(), 2);
    assert_eq!(*board.shown.borrow(), vec![(2, String::new(), false); 2]);
    // A watchdog is fed with every row and after both steps.
    assert_eq!(fed.get(), 2 * (8 + 2));
}

/// What a host is told of so many looks.
fn seen(looks: u32) -> Response<'static> {
    Response::Seen { looks, failures: 0, last: (looks > 0).then_some(SIGHT) }
}

/// The camera's picture is the tests' image: of 22.5, 23 and 23.5 the last is the best class, and
/// its score 1 / (1 + e^-0.5 + e^-1).
const SIGHT: Sight = Sight { class: 2, score: 0.506_48, unknown: false };

/// One look asks the line eight times between rows, and twice between steps; before it, the loop
/// asks once.
const LOOK: u32 = 1 + 8 + 2;

fn check(name: &str, events: Vec<Event>, answers: &[Response<'static>], looks: usize, rest: u32) {
    let served = serve(events, false);
    assert_eq!((served.shown, served.rested_ms), (looks, rest), "{name}");
    assert_eq!(served.answers.len(), answers.len(), "{name}");
    for (found, expected) in served.answers.iter().zip(answers) {
        match (found, expected) {
            (
                Response::Seen { looks, failures, last: Some(last) },
                Response::Seen { last: Some(sight), .. },
            ) => {
                assert!((last.score - sight.score).abs() < 0.01, "{name}: {last:?}");
                let last = Sight { score: sight.score, ..*last };
                let (looks, failures) = (*looks, *failures);
                let found = Response::Seen { looks, failures, last: Some(last) };
                assert_eq!(&found, expected, "{name}");
            }
            (Response::Inferred { top, .. }, Response::Inferred { .. }) => {
                assert_eq!(top[0].class, 2, "{name}");
            }
            _ => assert_eq!(found, expected, "{name}"),
        }
    }
}

#[test]
fn a_host_is_served_between_two_looks_and_its_image_left_alone() {
    let write = |offset: u32, bytes| Asked(Request::WriteInput { offset, bytes });
    let [first, second] = [&IMAGE[..16], &IMAGE[16..]];
    let written = |have| Response::Written { have };
    let inferred =
        || Response::Inferred { count: 0, unknown: false, top: heapless::Vec::default() };
    let read = || Asked(Request::ReadOutput { offset: 0, len: 3 });
    let refused = |refusal| refused(1, refusal).1;
    let half = Refusal::NotAllInputWritten { have: 0, need: 48 };

    check("nobody comes", vec![Quiet(2 * LOOK)], &[], 2, 0);
    check(
        "questions end no look",
        vec![Quiet(LOOK + 3), Asked(Request::Seen), Quiet(LOOK - 4), Asked(Request::Seen)],
        &[seen(1), seen(2)],
        2,
        0,
    );
    check(
        "an image that comes during a look is the host's, and so is its output",
        vec![
            Quiet(5),
            write(0, first),
            Quiet(2999),
            write(16, second),
            Quiet(2999),
            Asked(Request::Infer),
            Quiet(2999),
            read(),
            Quiet(3000 + LOOK),
        ],
        &[written(16), written(48), inferred(), Response::Stopped],
        1,
        3 * 2999 + 3000,
    );
    check(
        "an image that comes while the model runs",
        vec![Quiet(LOOK - 1), write(0, first), write(16, second), Asked(Request::Infer), read()],
        &[written(16), written(48), inferred(), Response::Stopped],
        0,
        0,
    );
    check(
        "a host that went away leaves nothing behind",
        vec![write(0, first), Quiet(3000 + LOOK), write(16, second), Asked(Request::Infer), read()],
        &[
            written(16),
            refused(Refusal::InputGap { offset: 16, have: 0 }),
            refused(half),
            refused(Refusal::NoOutput),
        ],
        1,
        3000,
    );
    check(
        "a picture of the camera is no image of the host's",
        vec![Quiet(LOOK), Asked(Request::Infer), read()],
        &[refused(half), refused(Refusal::NoOutput)],
        1,
        0,
    );
}

const IMAGE: [u8; 48] = {
    let mut image = [0; 48];
    let mut at = 0;
    while at < image.len() {
        image[at] = at as u8;
        at += 1;
    }
    image
};

#[test]
fn a_camera_that_gives_no_picture_is_counted_and_tried_again() {
    let served = serve([Quiet(1 + 1000 + 1 + 1000), Asked(Request::Seen)], true);
    assert_eq!(served.answers, [Response::Seen { looks: 0, failures: 2, last: None }]);
    assert_eq!((served.shown, served.rested_ms), (0, 2000));
    assert!(served.fed >= 2000, "the watchdog is fed while the camera rests: {}", served.fed);
}
