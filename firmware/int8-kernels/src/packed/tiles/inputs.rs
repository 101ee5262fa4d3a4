//! From the image to transformed tiles: the walk's first half.
//!
//! Owns which pixels a pair of tiles reads, and what stands for those outside of the image; does
//! not know the transforms.

use super::{Method, ROWS_MAX, STEP, Walk};
use crate::arch::passes;
use crate::packed::{polyphase2, winograd4};

/// The next pair of tiles.
#[derive(Default)]
pub(super) struct Place<'x> {
    row: usize,
    column: usize,
    /// The image's lines that it reads; those outside of it are empty.
    lines: [&'x [i8]; ROWS_MAX],
}

impl Walk<'_, '_> {
    /// The lines of a row of tiles.
    fn lines<'x>(&self, row: usize, x: &'x [i8]) -> [&'x [i8]; ROWS_MAX] {
        let [height, width, depth] = self.layer.window.input.map(usize::from);
        let pitch = width * depth;
        let first = (STEP[0] * row).wrapping_sub(self.layer.window.padding[0].into());
        core::array::from_fn(|i| {
            let line = first.wrapping_add(i);
            if line >= height {
                return Default::default();
            }
            x.get(line * pitch..).and_then(|x| x.get(..pitch)).unwrap_or_default()
        })
    }

    /// Transforms the pair of tiles at `place` into `v`, and moves on. `u` holds the vertical pass
    /// of the pair before, of which the last columns are this one's first.
    pub(super) fn transform<'x>(
        &self,
        place: &mut Place<'x>,
        x: &'x [i8],
        [fill, padded]: [&mut [i8]; 2],
        u: &mut [u32],
        v: &mut [u32],
    ) {
        let column = place.column;
        let (columns, depth) = (self.geometry.columns, usize::from(self.layer.window.input[2]));
        let mut done = if column == 0 {
            place.lines = self.lines(place.row, x);
            0
        } else {
            self.method.carry(u)
        };
        place.column += 1;
        if place.column == self.pairs_a_row.get() {
            (place.row, place.column) = (place.row + 1, 0);
        }
        let left = usize::from(self.layer.window.padding[1]);
        let width = usize::from(self.layer.window.input[1]);
        while done < columns {
            // The next columns that lie wholly before, in or behind the image.
            let at = STEP[1] * column + done;
            let (count, inside) = if at < left {
                (left - at, None)
            } else if at - left < width {
                (width - (at - left), Some(at - left))
            } else {
                (columns, None)
            };
            let count = count.min(columns - done);
            let (bytes, filled) = (count * depth, count * self.channels);
            let padding = fill.get(..filled).unwrap_or_default();
            let rows = match inside {
                None => [padding; ROWS_MAX],
                Some(first) => place.lines.map(|line| {
                    let pixels = line.get(first * depth..).and_then(|line| line.get(..bytes));
                    pixels.unwrap_or(padding)
                }),
            };
            let rows = if depth == self.channels || inside.is_none() {
                rows
            } else {
                fill_up(rows, depth, filled, padded)
            };
            match (self.method, rows) {
                (Method::Winograd4, rows) => passes::winograd4::rows(rows, self.channels, done, u),
                (Method::Polyphase2, [a, b, c, d, e, _]) => {
                    passes::polyphase2::rows([a, b, c, d, e], self.channels, done, u);
                }
            }
            done += count;
        }
        for tile in 0..2 {
            let (Some(u), Some(v)) = (u.get(4 * tile..), v.get_mut(2 * tile..)) else { continue };
            match self.method {
                Method::Winograd4 => passes::winograd4::columns(u, self.channels, v),
                Method::Polyphase2 => passes::polyphase2::columns(u, self.channels, v),
            }
        }
    }
}

impl Method {
    /// Copies the last columns of a vertical pass to where the next pair of tiles has them first.
    /// Answers how many they are.
    fn carry(self, u: &mut [u32]) -> usize {
        match self {
            Self::Winograd4 => {
                let lines = u.as_chunks_mut::<{ winograd4::COLUMNS }>().0;
                lines.iter_mut().for_each(|line| [line[0], line[1]] = [line[8], line[9]]);
                2
            }
            Self::Polyphase2 => {
                let lines = u.as_chunks_mut::<{ polyphase2::COLUMNS }>().0;
                lines.iter_mut().for_each(|line| line[0] = line[8]);
                1
            }
        }
    }
}

/// Copies rows of pixels of `depth` bytes to where a pixel has a multiple of four. Rows of padding,
/// which have that already, stay.
fn fill_up<'a>(
    rows: [&'a [i8]; ROWS_MAX],
    depth: usize,
    filled: usize,
    padded: &'a mut [i8],
) -> [&'a [i8]; ROWS_MAX] {
    let mut places = padded.chunks_exact_mut(filled.max(1));
    rows.map(|row| {
        if row.len() == filled {
            return row;
        }
        let Some(place) = places.next() else { return Default::default() };
        if depth == 3 {
            let pixels = place.as_chunks_mut::<4>().0.iter_mut();
            pixels.zip(row.as_chunks::<3>().0).for_each(|(y, &[r, g, b])| *y = [r, g, b, 0]);
        } else {
            let pixels = place.chunks_exact_mut(depth.next_multiple_of(4).max(1));
            for (y, x) in pixels.zip(row.chunks_exact(depth.max(1))) {
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x);
            }
        }
        place
    })
}
