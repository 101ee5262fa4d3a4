//! The register-blocked loop behind [`super::contract`], generic over its blocking.
//!
//! Owns bounds (checked once a contraction) and the split into tiles; not instruction sets.

use super::{Contraction, LANES, pad_lanes};

/// Terms between two steps of the addresses where the stride of `a` is 1. With a plain loop over
/// `k`, rustc 1.95 keeps the sums of the AVX2 kernel in memory, an order of magnitude slower.
const UNROLL: usize = 4;

/// All tiles of a contraction: up to `ROWS` rows by one vector of [`LANES`] columns or, where
/// `ROWS2` is not zero and columns allow, up to `ROWS2` by two.
#[inline(always)]
pub(super) fn all<const FUSED: bool, const ROWS: usize, const ROWS2: usize>(
    shape: &Contraction,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
) {
    check_bounds(shape, a, b, c);
    let mut column = 0;
    while column < shape.n {
        let wide = ROWS2 > 0 && shape.n - column > LANES;
        let rows_max = if wide { ROWS2 } else { ROWS };
        // Equal tiles: 28 rows are twice 14, not 16 and 12.
        let rows_each = shape.m.div_ceil(shape.m.div_ceil(rows_max));
        let mut row = 0;
        while row < shape.m {
            let rows = rows_each.min(shape.m - row);
            if wide {
                dispatch::<FUSED, 2, ROWS2>(shape, row, column, rows, a, b, c);
            } else {
                dispatch::<FUSED, 1, ROWS>(shape, row, column, rows, a, b, c);
            }
            row += rows;
        }
        column += if wide { 2 * LANES } else { LANES };
    }
}

/// Calls the tile of `rows` rows, which is compiled for that number.
#[inline(always)]
fn dispatch<const FUSED: bool, const VECTORS: usize, const MAX: usize>(
    shape: &Contraction,
    row: usize,
    column: usize,
    rows: usize,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
) {
    macro_rules! tiles {
        ($($rows:literal)*) => {
            match rows {
                // SAFETY: the bounds of the whole contraction were checked, and `row + rows` and
                // `column` lie inside it.
                $($rows if $rows <= MAX => unsafe {
                    tile::<FUSED, VECTORS, $rows>(shape, row, column, a, b, c)
                },)*
                _ => {}
            }
        };
    }
    tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
}

/// One tile: its sums stay in registers over both sums of the contraction.
///
/// # Safety
/// `check_bounds` holds for `shape`, `a`, `b` and `c`; `row + ROWS <= shape.m`; `column` is a
/// multiple of [`LANES`] below `shape.n`, with `VECTORS` vectors left in `pad_lanes(shape.n)`.
#[inline(always)]
unsafe fn tile<const FUSED: bool, const VECTORS: usize, const ROWS: usize>(
    shape: &Contraction,
    row: usize,
    column: usize,
    a: &[f32],
    b: &[f32],
    c: &mut [f32],
) {
    let a_m = shape.a.m;
    let mut sums = [[[0.0_f32; LANES]; VECTORS]; ROWS];
    for segment in 0..shape.segments {
        let mut a_at = shape.a.start + segment * shape.a.segment + row * a_m;
        let mut b_at = shape.b.start + segment * shape.b.segment + column;
        let mut left = shape.k;
        while shape.a.k == 1 && left >= UNROLL {
            for offset in 0..UNROLL {
                // SAFETY: the caller's contract: `offset` more terms are inside both operands.
                unsafe {
                    let b = b.as_ptr().add(b_at + offset * shape.b.k);
                    add_term::<FUSED, VECTORS, ROWS>(
                        &mut sums,
                        a.as_ptr().add(a_at),
                        a_m,
                        offset,
                        b,
                    );
                }
            }
            a_at += UNROLL;
            b_at += UNROLL * shape.b.k;
            left -= UNROLL;
        }
        for _ in 0..left {
            // SAFETY: the caller's contract; `a_at` and `b_at` are checked indices.
            unsafe {
                let b = b.as_ptr().add(b_at);
                add_term::<FUSED, VECTORS, ROWS>(&mut sums, a.as_ptr().add(a_at), a_m, 0, b);
            }
            a_at += shape.a.k;
            b_at += shape.b.k;
        }
    }
    for (m, sums) in sums.iter().enumerate() {
        let start = shape.c0 + (row + m) * shape.c_m + column;
        let stored = (VECTORS * LANES).min(shape.n - column);
        let c = &mut c[start..start + stored];
        for (c, sum) in c.iter_mut().zip(sums.as_flattened()) {
            *c += sum;
        }
    }
}

/// `sums[m] += a[m · a_m + offset] · b`, for all rows and vectors.
///
/// # Safety
/// `a` is readable at `m · a_m + offset` for each row `m`, `b` over `VECTORS` vectors.
#[inline(always)]
unsafe fn add_term<const FUSED: bool, const VECTORS: usize, const ROWS: usize>(
    sums: &mut [[[f32; LANES]; VECTORS]; ROWS],
    a: *const f32,
    a_m: usize,
    offset: usize,
    b: *const f32,
) {
    for (m, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's contract.
        let a = unsafe { *a.add(m * a_m + offset) };
        for (v, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's contract; an array of f32 is aligned as f32 is.
            let b = unsafe { &*b.add(v * LANES).cast::<[f32; LANES]>() };
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = if FUSED { a.mul_add(*b, *sum) } else { a * *b + *sum };
            }
        }
    }
}

/// Panics unless every index that the contraction reads lies inside its operand.
fn check_bounds(shape: &Contraction, a: &[f32], b: &[f32], c: &[f32]) {
    let last = |start: usize, axes: &[(usize, usize)]| {
        axes.iter().try_fold(start, |sum, &(count, stride)| {
            sum.checked_add((count - 1).checked_mul(stride)?)
        })
    };
    let Contraction { m, n, k, segments, .. } = *shape;
    let a_last =
        last(shape.a.start, &[(segments, shape.a.segment), (m, shape.a.m), (k, shape.a.k), (1, 0)]);
    assert!(a_last.is_some_and(|last| last < a.len()), "{shape:?} reads past the end of a");
    let b_axes = [(segments, shape.b.segment), (k, shape.b.k), (pad_lanes(n), 1)];
    let b_last = last(shape.b.start, &b_axes);
    assert!(b_last.is_some_and(|last| last < b.len()), "{shape:?} reads past the end of b");
    let c_last = last(shape.c0, &[(m, shape.c_m), (n, 1)]);
    assert!(c_last.is_some_and(|last| last < c.len()), "{shape:?} writes past the end of c");
}
