//! Pictures of a camera, classified and shown.

use super::harness::{Line, OUTPUT, Reads, two_pools};
use resmcu_device_app::frame::{FrameFormat, FrameSource, PixelFormat, Scaler};
use resmcu_device_app::{Answer, App, Identity, Look, Panel, Ram, Watched};
use resmcu_int8_runtime::{Block, Executor, Step};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
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

#[test]
fn a_picture_is_scaled_classified_and_shown() {
    let file = two_pools();
    let mut blocks = vec![Block::ZERO; file.len().div_ceil(Block::BYTES)];
    blocks.as_mut_bytes()[..file.len()].copy_from_slice(&file);
    let mut arena = [Block::ZERO; 8];
    let mut plan = [Step::VACANT; 4];
    let mut model = Executor::new(&blocks.as_bytes()[..file.len()], &mut arena, &mut plan);
    let (mut sent, board, fed) = (Vec::new(), Board::default(), Cell::new(0));
    let identity = Identity { firmware: "1", board: "test", isa: "none", slot_capacity: 0 };
    let ram = Ram { arena_capacity: 128, statics: 0, stack_capacity: 0, stack_high_water: || 0 };
    let line = Line { received: VecDeque::new(), sent: &mut sent };
    let panel = Watched { panel: &board, feed: || fed.set(fed.get() + 1) };
    let mut app = App::<_, _, _, 128>::new((line, Reads(0), panel), identity, ram, &mut model);

    let mut camera = Camera { row: 0, broken: false };
    let (mut sums, mut row) = ([0; 12], [0; 24]);
    let mut scaler = Scaler::new(camera.format(), [4, 4, 3], &mut sums).expect("it can be scaled");
    for _ in 0..2 {
        let look = app.look(&mut camera, &mut scaler, &mut row).expect("the camera works");
        assert!(matches!(look, Look::Class { class: 2, unknown: false, .. }), "{look:?}");
    }
    camera.broken = true;
    assert_eq!(app.look(&mut camera, &mut scaler, &mut row), Err("broken"));
    let mut small = [0; 3];
    let mut other = Scaler::new(camera.format(), [1, 1, 3], &mut small).expect("it can be scaled");
    assert_eq!(app.look(&mut camera, &mut other, &mut row), Ok(Look::OtherInput));
    drop(app);

    assert_eq!(model.expect("it loads").output(), OUTPUT);
    assert_eq!(board.busy.get(), 2);
    assert_eq!(*board.shown.borrow(), vec![(2, String::new(), false); 2]);
    // A watchdog is fed with every row and after every run.
    assert_eq!(fed.get(), 2 * (8 + 1));
}
