//! The one product of the engine: a batch of small, strided matrix products.
//!
//! Convolutions (direct, by Winograd's transforms, and 1x1), their gradients and the classifier
//! all come down to it. Owns register blocking and the order of the loops; not packing.

use super::ahead::{Ahead, Lines};
use super::lanes::{LANES, Lanes};

/// Columns of a packed panel of `b`.
pub const PANEL: usize = 2 * LANES;

/// Values of `a` that stay in the second-level cache while the panels of `b` pass.
const BLOCK_VALUES: usize = 32 * 1024;

/// Terms after which a panel of `b` is asked for: many weights come from far away, and once only.
const TERMS_AHEAD: usize = 16;

/// `c[f,m,n] = Σ_s Σ_k a[f,s,m,k] · b[f,s,k,n]`, or added to what `c` has.
///
/// An element's index is `start` plus, for each axis, its position times the axis's stride. `n` is
/// a multiple of [`LANES`], contiguous in `c`; in `b` each [`PANEL`] columns are contiguous. One
/// of `a.m` and `a.k` is 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contraction {
    /// Products that differ only in where their operands begin.
    pub batch: usize,
    /// Rows of `c`.
    pub m: usize,
    /// Columns of `c`.
    pub n: usize,
    /// Terms of the inner sum.
    pub k: usize,
    /// Terms of the outer sum.
    pub segments: usize,
    /// Where `a` lies.
    pub a: AStrides,
    /// Where `b` lies.
    pub b: BStrides,
    /// Where `c` lies.
    pub c: CStrides,
    /// Whether the sums are added to `c`.
    pub accumulate: bool,
}

/// Where elements of `a` lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct AStrides {
    /// The first element's index.
    pub start: usize,
    /// From one product to the next.
    pub batch: usize,
    /// From one term of the outer sum to the next.
    pub segment: usize,
    /// From one row to the next.
    pub m: usize,
    /// From one term of the inner sum to the next.
    pub k: usize,
}

/// Where elements of `b` lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct BStrides {
    /// The first element's index.
    pub start: usize,
    /// From one product to the next.
    pub batch: usize,
    /// From one term of the outer sum to the next.
    pub segment: usize,
    /// From one term of the inner sum to the next.
    pub k: usize,
    /// From one [`PANEL`] of columns to the next.
    pub panel: usize,
}

/// Where elements of `c` lie.
#[derive(Clone, Copy, Debug, Default)]
pub struct CStrides {
    /// The first element's index.
    pub start: usize,
    /// From one product to the next.
    pub batch: usize,
    /// From one row to the next.
    pub m: usize,
}

impl Contraction {
    pub(super) fn is_empty(&self) -> bool {
        self.batch * self.m * self.n * self.k * self.segments == 0
    }

    /// Panics unless every element that is used lies inside its operand.
    pub(super) fn check_bounds(&self, a: &[f32], b: &[f32], c: &[f32]) {
        let Self { batch, m, n, k, segments, a: at_a, b: at_b, c: at_c, .. } = *self;
        assert!(n.is_multiple_of(LANES) && (at_a.m == 1 || at_a.k == 1), "{self:?}");
        let last = |start: usize, axes: &[(usize, usize)]| {
            axes.iter().try_fold(start, |sum, &(count, stride)| {
                sum.checked_add((count - 1).checked_mul(stride)?)
            })
        };
        let a_axes = [(batch, at_a.batch), (segments, at_a.segment), (m, at_a.m), (k, at_a.k)];
        let a_last = last(at_a.start, &a_axes);
        assert!(a_last.is_some_and(|last| last < a.len()), "{self:?} reads past the end of a");
        let b_axes = [(batch, at_b.batch), (segments, at_b.segment), (k, at_b.k)];
        let column = (n - 1) / PANEL * at_b.panel + (n - 1) % PANEL;
        let b_last = last(at_b.start, &b_axes).and_then(|b| b.checked_add(column));
        assert!(b_last.is_some_and(|last| last < b.len()), "{self:?} reads past the end of b");
        let c_last = last(at_c.start, &[(batch, at_c.batch), (m, at_c.m), (n, 1)]);
        assert!(c_last.is_some_and(|last| last < c.len()), "{self:?} writes past the end of c");
    }
}

/// The operands of one tile.
#[derive(Clone, Copy)]
struct Tile {
    a: *const f32,
    b: *const f32,
    c: *mut f32,
}

/// Tiles of one size: `count` below each other, in some columns, of some products.
///
/// The loops over them stand inside of what is compiled for a size: choosing costs as much as a
/// small tile.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    batch: usize,
    rows: usize,
    count: usize,
    /// The first column, and the one after the last, in vectors.
    columns: [usize; 2],
    /// Where the first product's column 0 begins.
    origin: Tile,
}

/// All tiles of a contraction: up to `ROWS` rows by one vector or, where `ROWS2` is not zero and
/// columns allow, up to `ROWS2` by two.
///
/// # Safety
/// [`Contraction::check_bounds`] holds, and the processor has what `L` asks for.
#[inline(always)]
pub(super) unsafe fn contract<L: Compiled, const ROWS: usize, const ROWS2: usize>(
    shape: &Contraction,
    a: *const f32,
    b: *const f32,
    c: *mut f32,
    ahead: &mut Ahead,
) {
    // More than one panel would read `a` again and again from far away.
    let block = if shape.n > PANEL { BLOCK_VALUES / (shape.k * shape.segments) } else { shape.m };
    let blocks = shape.m.div_ceil(block.max(2 * ROWS));
    let block = shape.m.div_ceil(blocks);
    // Equal tiles: 28 rows are twice 14, not 16 and 12.
    let each = |rows_max: usize| block.div_ceil(block.div_ceil(rows_max.max(1)));
    let has_wide = ROWS2 > 0 && !prefers_narrow::<ROWS>(shape);
    let wide = if has_wide { shape.n / PANEL * (PANEL / LANES) } else { 0 };
    let batch = if blocks == 1 { shape.batch } else { 1 };
    for f in (0..shape.batch).step_by(batch) {
        for first in (0..shape.m).step_by(block) {
            let rows = block.min(shape.m - first);
            // SAFETY: all offsets lie inside the operands, by the caller's contract.
            unsafe {
                let origin = Tile {
                    a: a.add(shape.a.start + f * shape.a.batch + first * shape.a.m),
                    b: b.add(shape.b.start + f * shape.b.batch),
                    c: c.add(shape.c.start + f * shape.c.batch + first * shape.c.m),
                };
                let tiles = Tiles { batch, rows, count: 1, columns: [0, wide], origin };
                all_rows::<L, 2, ROWS2>(shape, &tiles, each(ROWS2), ahead);
                let tiles = Tiles { columns: [wide, shape.n / LANES], ..tiles };
                all_rows::<L, 1, ROWS>(shape, &tiles, each(ROWS), ahead);
            }
        }
    }
}

/// Whether tiles of one vector are better although columns allow two: where they have the more
/// rows, `b` passes the less often through the first-level cache, and `a` is broadcast by the
/// multiplication itself.
fn prefers_narrow<const ROWS: usize>(shape: &Contraction) -> bool {
    shape.a.k == 1 && ROWS >= LANES && shape.m >= LANES
}

/// All rows of some columns, `each` rows a tile; then what is left of them.
///
/// # Safety
/// As [`contract`]; `tiles` has so many rows and columns.
#[inline(always)]
unsafe fn all_rows<L: Compiled, const VECTORS: usize, const MAX: usize>(
    shape: &Contraction,
    tiles: &Tiles,
    each: usize,
    ahead: &mut Ahead,
) {
    if tiles.columns[0] == tiles.columns[1] {
        return;
    }
    let (count, rest) = (tiles.rows / each, tiles.rows % each);
    let of_size = [(0, each, count), (count * each, rest, usize::from(rest > 0))];
    for (first, rows, count) in of_size.into_iter().filter(|&(_, _, count)| count > 0) {
        // SAFETY: the rows lie inside the block.
        unsafe {
            let Tile { a, b, c } = tiles.origin;
            let origin = Tile { a: a.add(first * shape.a.m), b, c: c.add(first * shape.c.m) };
            let tiles = Tiles { rows, count, origin, ..*tiles };
            by_stride::<L, VECTORS, MAX>(shape, &tiles, ahead);
        }
    }
}

/// Rows of `a` lie side by side, its terms any distance apart.
const SIDE_BY_SIDE: usize = 1;
/// Terms of `a` lie side by side, its rows any distance apart; any number of terms.
const ANY: usize = 0;

/// Calls the tiles that are compiled for the distance between rows of `a`, and for the number of
/// terms: where it is common, it is part of the instructions; any other costs an addition a
/// product, or a loop.
///
/// # Safety
/// As [`contract`]; a tile has up to `MAX` rows and `VECTORS` vectors.
#[inline(always)]
unsafe fn by_stride<L: Compiled, const VECTORS: usize, const MAX: usize>(
    shape: &Contraction,
    tiles: &Tiles,
    ahead: &mut Ahead,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let found = match (shape.a.k, shape.a.m, shape.k) {
            (1, LANES, LANES) => whole::<L, VECTORS, MAX, LANES, LANES>(shape, tiles, ahead),
            (1, LANES, _) => whole::<L, VECTORS, MAX, LANES, ANY>(shape, tiles, ahead),
            (1, 32, _) => whole::<L, VECTORS, MAX, 32, ANY>(shape, tiles, ahead),
            (1, 64, _) => whole::<L, VECTORS, MAX, 64, ANY>(shape, tiles, ahead),
            _ => false,
        };
        match shape.a.k {
            _ if found => {}
            1 => any::<L, VECTORS, MAX, ANY>(shape, tiles, ahead),
            _ => any::<L, VECTORS, MAX, SIDE_BY_SIDE>(shape, tiles, ahead),
        }
    }
}

/// [`all`], compiled as a function of its own for each size and for the instruction set: within one
/// function for all sizes, registers would run out, and the compiler would take minutes.
pub(super) trait Compiled: Lanes {
    /// # Safety
    /// As [`all`].
    unsafe fn all<const VECTORS: usize, const ROWS: usize, const A_ROW: usize, const TERMS: usize>(
        shape: &Contraction,
        tiles: &Tiles,
        ahead: &mut Ahead,
    );
}

/// Calls the tiles that are compiled for so many rows; whether there are any.
macro_rules! of_rows {
    ($lanes:ty, $vectors:ident, $max:ident, $a_row:ident, $terms:ident,
     ($shape:ident, $tiles:ident, $ahead:ident), $($rows:literal)*) => {
        match $tiles.rows {
            // SAFETY: the caller's contract.
            $($rows if $rows <= $max => unsafe {
                <$lanes>::all::<$vectors, $rows, $a_row, $terms>($shape, $tiles, $ahead);
                true
            },)*
            _ => false,
        }
    };
}

/// Tiles of any number of rows.
///
/// # Safety
/// As [`by_stride`]; rows of `a` lie as `A_ROW` says, [`SIDE_BY_SIDE`] or at [`ANY`] distance.
#[inline(always)]
unsafe fn any<L: Compiled, const VECTORS: usize, const MAX: usize, const A_ROW: usize>(
    shape: &Contraction,
    tiles: &Tiles,
    ahead: &mut Ahead,
) {
    let found = of_rows!(L, VECTORS, MAX, A_ROW, ANY, (shape, tiles, ahead),
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    debug_assert!(found, "{} rows", tiles.rows);
}

/// Tiles that whole images of common sizes make, with `A_ROW` values between rows of `a` and
/// `TERMS` terms of the inner sum; whether there are such of so many rows.
///
/// # Safety
/// As [`by_stride`]; rows of `a` are `A_ROW` values apart, terms are `TERMS` or [`ANY`].
#[inline(always)]
unsafe fn whole<
    L: Compiled,
    const VECTORS: usize,
    const MAX: usize,
    const A_ROW: usize,
    const TERMS: usize,
>(
    shape: &Contraction,
    tiles: &Tiles,
    ahead: &mut Ahead,
) -> bool {
    of_rows!(L, VECTORS, MAX, A_ROW, TERMS, (shape, tiles, ahead), 3 6 7 8 11 12 14 16)
}

/// All tiles of one size.
///
/// # Safety
/// As [`any`] or [`whole`]; a tile has `ROWS` rows.
#[inline(always)]
pub(super) unsafe fn all<
    L: Lanes,
    const VECTORS: usize,
    const ROWS: usize,
    const A_ROW: usize,
    const TERMS: usize,
>(
    shape: &Contraction,
    tiles: &Tiles,
    ahead: &mut Ahead,
) {
    let Tiles { batch, count, columns: [first, end], origin, .. } = *tiles;
    let each = terms_line::<VECTORS, ROWS>();
    let lines = match TERMS {
        ANY => shape.k / unroll(A_ROW) * unroll(A_ROW).div_ceil(each),
        terms => terms / each,
    } * shape.segments;
    for f in 0..batch {
        for column in (first..end).step_by(VECTORS).map(|vector| vector * LANES) {
            for row in (0..count).map(|tile| tile * ROWS) {
                // SAFETY: every offset lies inside its operand, by the caller's contract.
                unsafe {
                    let lines = ahead.take(lines);
                    let Tile { a, b, c } = origin;
                    let tile = Tile {
                        a: a.add(f * shape.a.batch + row * shape.a.m),
                        b: b.add(
                            f * shape.b.batch + column / PANEL * shape.b.panel + column % PANEL,
                        ),
                        c: c.add(f * shape.c.batch + row * shape.c.m + column),
                    };
                    self::tile::<L, VECTORS, ROWS, A_ROW, TERMS>(shape, tile, lines);
                }
            }
        }
    }
}

/// Terms between two steps of the addresses where the stride of `a` along `k` is 1: as many as make
/// up for the steps, which are one where the rows' distance is part of the instructions.
const fn unroll(a_row: usize) -> usize {
    match a_row {
        ANY => 4,
        _ => 2,
    }
}

/// Terms for each of which, or of some more, a line is asked for: those of some twelve products. In
/// less time than those take, no line comes.
const fn terms_line<const VECTORS: usize, const ROWS: usize>() -> usize {
    match VECTORS * ROWS {
        0..4 => 4,
        4..12 => 2,
        _ => 1,
    }
}

/// The body once for each of the numbers: the compiler leaves a loop of so many instructions as it
/// is.
macro_rules! unrolled {
    ($number:ident in $($literal:literal)* $body:block) => {
        $({
            let $number = $literal;
            $body
        })*
    };
}

/// One tile: its sums stay in registers over both sums of the contraction.
///
/// # Safety
/// As [`all`].
#[inline(always)]
unsafe fn tile<
    L: Lanes,
    const VECTORS: usize,
    const ROWS: usize,
    const A_ROW: usize,
    const TERMS: usize,
>(
    shape: &Contraction,
    tile: Tile,
    mut lines: Lines,
) {
    const { assert!(TERMS == ANY || TERMS == LANES, "other numbers of terms are not unrolled") };
    let (a_m, a_k) = match A_ROW {
        SIDE_BY_SIDE => (1, shape.a.k),
        ANY => (shape.a.m, 1),
        _ => (A_ROW, 1),
    };
    let (b_k, unroll) = (shape.b.k, unroll(A_ROW));
    // SAFETY: every offset is one of the contraction's, all of which were checked.
    unsafe {
        let mut sums = [[L::splat(0.0); VECTORS]; ROWS];
        for segment in 0..shape.segments {
            let mut a = tile.a.add(segment * shape.a.segment);
            let mut b = tile.b.add(segment * shape.b.segment);
            if TERMS == LANES {
                unrolled!(offset in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 {
                    L::prefetch_near(b.wrapping_add(TERMS_AHEAD * b_k));
                    if offset % terms_line::<VECTORS, ROWS>() == 0 {
                        lines.ask::<L>();
                    }
                    add_term(&mut sums, a.add(offset), a_m, b);
                    b = b.wrapping_add(b_k);
                });
            }
            let mut left = if TERMS == ANY { shape.k } else { 0 };
            while left >= unroll {
                for offset in 0..unroll {
                    if offset % terms_line::<VECTORS, ROWS>() == 0 {
                        lines.ask::<L>();
                    }
                    if A_ROW != SIDE_BY_SIDE {
                        L::prefetch_near(b.wrapping_add((offset + TERMS_AHEAD) * b_k));
                    }
                    add_term(&mut sums, a.wrapping_add(offset * a_k), a_m, b.add(offset * b_k));
                }
                a = a.wrapping_add(unroll * a_k);
                b = b.wrapping_add(unroll * b_k);
                left -= unroll;
            }
            for _ in 0..left {
                add_term(&mut sums, a, a_m, b);
                a = a.wrapping_add(a_k);
                b = b.wrapping_add(b_k);
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                let c = tile.c.add(m * shape.c.m + v * LANES);
                if shape.accumulate { sum.add(L::load(c)).store(c) } else { sum.store(c) }
            }
        }
    }
}

/// `sums[m] += a[m · a_m] · b`, for all rows and vectors.
///
/// # Safety
/// `a` is readable at `m · a_m` for each row `m`, `b` over `VECTORS` vectors.
#[inline(always)]
unsafe fn add_term<L: Lanes, const VECTORS: usize, const ROWS: usize>(
    sums: &mut [[L; VECTORS]; ROWS],
    a: *const f32,
    a_m: usize,
    b: *const f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut vectors = [L::splat(0.0); VECTORS];
        for (v, vector) in vectors.iter_mut().enumerate() {
            *vector = L::load(b.add(v * LANES));
        }
        for (m, sums) in sums.iter_mut().enumerate() {
            let a = L::splat(*a.add(m * a_m));
            for (sum, b) in sums.iter_mut().zip(vectors) {
                *sum = a.fma(b, *sum);
            }
        }
    }
}
