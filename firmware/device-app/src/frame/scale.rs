//! From a camera's rows to a model's input: the middle is cut out, scaled and converted.
//!
//! Specified so that any other implementation gives the same bytes (README): the largest centred
//! part of the model's proportions, every output pixel the mean of its box of source pixels, in
//! integers. One row of sums is all the memory that it needs.

use super::colour::grey;
use super::{FrameFormat, PixelFormat};
use resmcu_int8_runtime::pixel_to_input;

/// The longest side of a frame: the sums of a box stay within 32 bits.
pub const SIDE_MAX: u16 = 4096;

/// One side of the cut and the scaling.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// First source pixel of the cut.
    first: u32,
    /// Source pixels of the cut.
    cut: u32,
    /// Output pixels.
    output: u32,
}

impl Axis {
    /// The box of output pixel `at`, from the first pixel of the cut: `[start, end)`.
    fn of(&self, at: u32) -> (u32, u32) {
        let start = at * self.cut / self.output;
        (start, ((at + 1) * self.cut / self.output).max(start + 1))
    }
}

/// Scales one frame after the other.
#[derive(Debug)]
pub struct Scaler<'s> {
    pixels: PixelFormat,
    channels: usize,
    across: Axis,
    down: Axis,
    sums: &'s mut [u32],
    /// The next source row.
    row: u32,
    /// The next output row.
    output_row: u32,
}

impl<'s> Scaler<'s> {
    /// From frames of `format` to an input of `[H,W,C]`, in `sums` of at least `W * C` words.
    /// `None` where a side is 0 or longer than [`SIDE_MAX`], C is neither 1 nor 3, or `sums` is
    /// too short.
    #[must_use]
    pub fn new(format: FrameFormat, input: [u16; 3], sums: &'s mut [u32]) -> Option<Self> {
        let [height, width, channels] = input;
        let sides = [format.width, format.height, height, width];
        let sums = sums.get_mut(..usize::from(width) * usize::from(channels))?;
        if sides.iter().any(|&side| side == 0 || side > SIDE_MAX) || !matches!(channels, 1 | 3) {
            return None;
        }
        let [w, h, width, height] = [format.width, format.height, width, height].map(u32::from);
        let cut = [w.min(h * width / height).max(1), h.min(w * height / width).max(1)];
        let axis = |all: u32, cut: u32, output| Axis { first: (all - cut) / 2, cut, output };
        sums.fill(0);
        Some(Self {
            pixels: format.pixels,
            channels: usize::from(channels),
            across: axis(w, cut[0], width),
            down: axis(h, cut[1], height),
            sums,
            row: 0,
            output_row: 0,
        })
    }

    /// Bytes of the input that a frame fills.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        self.sums.len() * self.down.output as usize
    }

    /// The next frame begins.
    pub fn restart(&mut self) {
        (self.row, self.output_row) = (0, 0);
        self.sums.fill(0);
    }

    /// Takes the next source row. Of every output row that it completes `take` gets each byte in
    /// raster order, as the model takes it (`v - 128`). True when the frame is complete.
    pub fn push(&mut self, row: &[u8], mut take: impl FnMut(u8)) -> bool {
        let at = self.row;
        self.row = self.row.saturating_add(1);
        let Some(at) = at.checked_sub(self.down.first) else { return false };
        while self.output_row < self.down.output {
            let (start, end) = self.down.of(self.output_row);
            if at < start || at >= end {
                break;
            }
            self.add(row);
            if at + 1 < end {
                break;
            }
            self.emit(end - start, &mut take);
            self.output_row += 1;
        }
        self.output_row == self.down.output
    }

    /// Adds a source row to the sums of the present output row.
    fn add(&mut self, row: &[u8]) {
        let Axis { first, output, .. } = self.across;
        for (x, sums) in (0..output).zip(self.sums.chunks_exact_mut(self.channels)) {
            let (start, end) = self.across.of(x);
            for source in start..end {
                let rgb = self.pixels.rgb(row, (first + source) as usize);
                match &mut *sums {
                    [sum] => *sum += u32::from(grey(rgb)),
                    sums => sums.iter_mut().zip(rgb).for_each(|(sum, v)| *sum += u32::from(v)),
                }
            }
        }
    }

    /// Writes the means of the present output row, of boxes `rows` high.
    fn emit(&mut self, rows: u32, take: &mut impl FnMut(u8)) {
        let means = self.sums.chunks_exact(self.channels).zip(0..).flat_map(|(sums, x)| {
            let (start, end) = self.across.of(x);
            let area = (rows * (end - start)).max(1);
            sums.iter().map(move |sum| ((sum + area / 2) / area) as u8)
        });
        means.for_each(|mean| take(pixel_to_input(mean)));
        self.sums.fill(0);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// A frame of grey pixels, row by row.
    fn scaled(width: u16, rows: &[&[u8]], input: [u16; 3]) -> Vec<u8> {
        let pixels = if rows[0].len() == usize::from(width) {
            PixelFormat::Grey8
        } else {
            PixelFormat::Rgb888
        };
        let format = FrameFormat { width, height: rows.len() as u16, pixels };
        let mut sums = [0; 64];
        let mut scaler = Scaler::new(format, input, &mut sums).expect("it can be scaled");
        let mut output = Vec::new();
        for _ in 0..2 {
            scaler.restart(); // the second frame is as the first
            output.clear();
            let push = |row: &&[u8]| scaler.push(row, |byte| output.push(byte));
            let done: Vec<bool> = rows.iter().map(push).collect();
            assert_eq!(
                done.iter().filter(|done| !**done).count(),
                done.iter().position(|d| *d).expect("it ends")
            );
        }
        output.iter().map(|v| v ^ 0x80).collect()
    }

    #[track_caller]
    fn check(width: u16, rows: &[&[u8]], input: [u16; 3], expected: &[u8]) {
        assert_eq!(scaled(width, rows, input), expected);
    }

    #[test]
    fn means_are_those_of_the_boxes() {
        check(1, &[&[7]], [1, 1, 1], &[7]);
        check(2, &[&[0, 1], &[2, 3]], [1, 1, 1], &[2]); // 1.5, a tie, up
        check(4, &[&[1, 3, 5, 7], &[1, 3, 5, 7]], [1, 2, 1], &[2, 6]);
        check(2, &[&[10, 20], &[30, 40]], [2, 2, 1], &[10, 20, 30, 40]);
        // Three pixels to two: boxes of one and two.
        check(3, &[&[9, 1, 3], &[9, 1, 3], &[5, 5, 7]], [2, 2, 1], &[9, 2, 7, 4]);
    }

    #[test]
    fn the_middle_is_cut_out() {
        check(4, &[&[0, 10, 20, 0], &[0, 30, 40, 0]], [2, 2, 1], &[10, 20, 30, 40]);
        check(2, &[&[9, 9], &[1, 2], &[3, 4], &[9, 9]], [2, 2, 1], &[1, 2, 3, 4]);
        check(5, &[&[0, 0, 8, 0, 0]], [1, 1, 1], &[8]);
    }

    #[test]
    fn small_frames_repeat_their_pixels() {
        check(1, &[&[7]], [2, 2, 1], &[7; 4]);
        check(2, &[&[1, 2], &[3, 4]], [4, 4, 1], &[1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
    }

    #[test]
    fn colours_become_what_the_model_takes() {
        let row: &[u8] = &[255, 0, 0, 0, 255, 0];
        check(2, &[row, row], [2, 2, 3], &[row, row].concat());
        check(2, &[row, row], [2, 2, 1], &[77, 149, 77, 149]);
        check(1, &[&[50]], [1, 1, 3], &[50, 50, 50]);
    }

    /// Against the definition, with all of the frame at hand.
    #[test]
    fn any_sizes_are_as_defined() {
        let mut state = 1u32;
        let mut random = |from: u16, to: u16| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            from + ((state >> 16) as u16) % (to - from + 1)
        };
        for _ in 0..200 {
            let (w, h, width, height) =
                (random(1, 40), random(1, 40), random(1, 20), random(1, 20));
            let frame: Vec<Vec<u8>> =
                (0..h).map(|_| (0..w).map(|_| random(0, 255) as u8).collect()).collect();
            let rows: Vec<&[u8]> = frame.iter().map(Vec::as_slice).collect();
            let axis = |all: usize, other: usize, to: usize, other_to: usize| {
                let cut = all.min(other * to / other_to).max(1);
                let first = (all - cut) / 2;
                move |at: usize| {
                    let start = at * cut / to;
                    first + start..first + ((at + 1) * cut / to).max(start + 1)
                }
            };
            let sides = [w, h, width, height].map(usize::from);
            let columns = axis(sides[0], sides[1], sides[2], sides[3]);
            let lines = axis(sides[1], sides[0], sides[3], sides[2]);
            let mut expected = Vec::new();
            for y in 0..sides[3] {
                for x in 0..sides[2] {
                    let of_row = |row: &Vec<u8>| columns(x).map(|c| u64::from(row[c])).sum::<u64>();
                    let sum: u64 = frame[lines(y)].iter().map(of_row).sum();
                    let mean = sum as f64 / (lines(y).len() * columns(x).len()) as f64;
                    expected.push((mean + 0.5).floor() as u8);
                }
            }
            check(w, &rows, [height, width, 1], &expected);
        }
    }

    #[test]
    fn what_cannot_be_scaled_is_refused() {
        let format = |width, height| FrameFormat { width, height, pixels: PixelFormat::Grey8 };
        let new = |format, input, words: usize| {
            let mut sums = vec![0; words];
            Scaler::new(format, input, &mut sums).is_some()
        };
        assert!(new(format(SIDE_MAX, SIDE_MAX), [1, 1, 3], 3));
        assert!(!new(format(SIDE_MAX + 1, 1), [1, 1, 1], 1));
        assert!(!new(format(0, 1), [1, 1, 1], 1));
        assert!(!new(format(1, 1), [0, 1, 1], 1));
        assert!(!new(format(1, 1), [1, 1, 2], 2));
        assert!(!new(format(1, 1), [1, 2, 3], 5));
    }

    #[test]
    fn the_whitest_largest_frame_does_not_overflow() {
        let format = FrameFormat { width: SIDE_MAX, height: SIDE_MAX, pixels: PixelFormat::Grey8 };
        let (mut sums, mut output) = ([0; 1], Vec::new());
        let mut scaler = Scaler::new(format, [1, 1, 1], &mut sums).expect("it can be scaled");
        let row = vec![255; usize::from(SIDE_MAX)];
        let done = (0..SIDE_MAX).filter(|_| scaler.push(&row, |byte| output.push(byte))).count();
        assert_eq!((done, output), (1, vec![0x7F]));
    }
}
