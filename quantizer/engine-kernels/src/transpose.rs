//! Matrices whose rows become columns, alone or summed: weights on their way into the kernels, and
//! their gradients on the way back.

use super::lanes::{LANES, Lanes};

/// A matrix that is read by rows and written by columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transposition {
    /// The first value that is read.
    pub start: usize,
    /// Rows of what is read.
    pub rows: usize,
    /// Columns of what is read.
    pub columns: usize,
    /// From one row of what is read to the next, in values.
    pub from_row: usize,
    /// From one row of what is written, a column of what is read, to the next.
    pub to_row: usize,
}

impl Transposition {
    /// Panics unless all that is read and written lies inside.
    pub(super) fn check(&self, sources: &[&[f32]], out: &[f32]) {
        let Self { start, rows, columns, from_row, to_row } = *self;
        let reaches = |count: usize, row: usize, len: usize| {
            (count - 1).checked_mul(row).and_then(|last| last.checked_add(len))
        };
        let reads = reaches(rows, from_row, columns).and_then(|end| end.checked_add(start));
        let fits = |source: &&[f32]| reads.is_some_and(|end| end <= source.len());
        assert!(sources.iter().all(fits), "{self:?} reads past the end");
        let writes = reaches(columns, to_row, rows);
        assert!(writes.is_some_and(|end| end <= out.len()), "{self:?} writes past the end");
    }
}

/// `out[c,r] = Σ source[r,c]`, in the sources' order.
///
/// # Safety
/// [`Transposition::check`] holds, and the processor has what `L` asks for.
#[inline(always)]
pub(super) unsafe fn transpose<L: Lanes>(shape: &Transposition, sources: &[&[f32]], out: *mut f32) {
    let Transposition { start, rows, columns, from_row, to_row } = *shape;
    for row in (0..rows).step_by(LANES) {
        for column in (0..columns).step_by(LANES) {
            let [count, width] = [LANES.min(rows - row), LANES.min(columns - column)];
            let from = start + row * from_row + column;
            // SAFETY: the caller's contract.
            unsafe {
                let to = out.add(column * to_row + row);
                if [count, width] == [LANES; 2] {
                    tile::<L>(sources, from, from_row, to, to_row);
                } else {
                    edge(sources, [count, width], from, from_row, to, to_row);
                }
            }
        }
    }
}

/// # Safety
/// As [`transpose`]; there are [`LANES`] rows and columns.
#[inline(always)]
unsafe fn tile<L: Lanes>(
    sources: &[&[f32]],
    from: usize,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut tile = [L::splat(0.0); LANES];
        for source in sources {
            let source = source.as_ptr().add(from);
            for (row, sum) in tile.iter_mut().enumerate() {
                *sum = sum.add(L::load(source.add(row * from_row)));
            }
        }
        for (row, values) in L::transpose(tile).into_iter().enumerate() {
            values.store(to.add(row * to_row));
        }
    }
}

/// # Safety
/// As [`transpose`]; there are `count` rows and `width` columns.
#[inline(always)]
unsafe fn edge(
    sources: &[&[f32]],
    [count, width]: [usize; 2],
    from: usize,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
) {
    for row in 0..count {
        for column in 0..width {
            let mut sum = 0.0;
            for source in sources {
                // SAFETY: the caller's contract.
                sum += unsafe { *source.as_ptr().add(from + row * from_row + column) };
            }
            // SAFETY: as above.
            unsafe { *to.add(column * to_row + row) = sum };
        }
    }
}
