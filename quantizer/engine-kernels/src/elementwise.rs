//! What happens to activations and gradients between two products, value by value.
//!
//! Each function passes once over a region of pixels whose rows may lie apart (inside a zero
//! border), and does there what the graph's batch normalization, addition and ReLU ask for. Owns
//! the order of the loops and of the sums; not the formulas' coefficients.

use super::contract::PANEL;
use super::lanes::{LANES, Lanes};

/// Pixels whose sum is taken in f32 before it joins the sum in f64.
const SUM_PIXELS: usize = 128;
/// Sums in flight, so that an addition does not wait for the one before.
const CHAINS: usize = 4;

/// Rows and columns of pixels, and their channels, a multiple of [`LANES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Rows of pixels.
    pub rows: usize,
    /// Pixels of a row.
    pub columns: usize,
    /// Values of a pixel.
    pub channels: usize,
}

/// Pixels of a region: the first value, and how far the next row, the next pixel and the next
/// [`PANEL`] of channels are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixels<P> {
    pub(super) start: P,
    pub(super) row: usize,
    pub(super) pixel: usize,
    pub(super) panel: usize,
}

impl<P> Pixels<P> {
    /// From the first value to that of a row and a channel.
    #[inline(always)]
    fn offset(&self, row: usize, channel: usize) -> usize {
        row * self.row + channel / PANEL * self.panel + channel % PANEL
    }
}

impl<T> Pixels<*const T> {
    #[inline(always)]
    fn at(&self, row: usize, column: usize, channel: usize) -> *const T {
        self.start.wrapping_add(self.offset(row, channel) + column * self.pixel)
    }
}

impl<T> Pixels<*mut T> {
    #[inline(always)]
    fn at(&self, row: usize, column: usize, channel: usize) -> *mut T {
        self.start.wrapping_add(self.offset(row, channel) + column * self.pixel)
    }
}

/// Values to read.
pub(super) type Read = Pixels<*const f32>;
/// Values to write.
pub(super) type Written = Pixels<*mut f32>;

/// A term of a sum; `affine` are a scale and a shift a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) x: Read,
    pub(super) affine: Option<[*const f32; 2]>,
}

impl Term {
    /// Scale and shift of a block of channels, where the caller knows that there are any.
    #[inline(always)]
    unsafe fn constants<L: Lanes>(&self, is_affine: bool, channel: usize) -> [L; 2] {
        // SAFETY: the caller's contract.
        unsafe {
            match self.affine {
                Some(affine) if is_affine => load_at(affine, channel),
                _ => [L::splat(0.0); 2],
            }
        }
    }
}

/// Cache-sized parts of a region: the first row, the block's channel, and the number of rows.
///
/// An iterator, and [`for_chains`] a macro, because the body of a closure has the instruction set
/// of its kernel only where the compiler chooses to inline it.
#[inline(always)]
fn parts(region: Region) -> impl Iterator<Item = (usize, usize, usize)> {
    let group = (SUM_PIXELS / region.columns.max(1)).max(1);
    (0..region.rows).step_by(group).flat_map(move |first| {
        let channels = (0..region.channels).step_by(LANES);
        channels.map(move |channel| (first, channel, group.min(region.rows - first)))
    })
}

/// Executes the body for each column so that neighbouring columns are of different chains.
macro_rules! for_chains {
    ($columns:expr, |$chain:ident, $column:ident| $body:block) => {
        let whole = $columns / CHAINS * CHAINS;
        for first in (0..whole).step_by(CHAINS) {
            for $chain in 0..CHAINS {
                let $column = first + $chain;
                $body
            }
        }
        for $column in whole..$columns {
            let $chain = 0;
            $body
        }
    };
}

/// Executes the body for each vector of a region with the constants of its channels: where a pixel
/// has several panels of them, in the order in which they lie in memory; else a block of channels
/// after another, so that the constants stay in registers.
macro_rules! for_vectors {
    ($region:expr, $channel:ident => $constants:expr,
        |$row:ident, $column:ident, $held:pat_param| $body:block) => {
        let Region { rows, columns, channels } = $region;
        if channels > PANEL {
            for $row in 0..rows {
                for $column in 0..columns {
                    for $channel in (0..channels).step_by(LANES) {
                        let $held = $constants;
                        $body
                    }
                }
            }
        } else {
            for (first, $channel, rows) in parts($region) {
                let $held = $constants;
                for $row in first..first + rows {
                    for $column in 0..columns {
                        $body
                    }
                }
            }
        }
    };
}

/// `out = Σ terms`, one or two, with ReLU or without.
///
/// # Safety
/// All pixels of the region are readable in the terms and writable in `out`; a term may be `out`.
#[inline(always)]
pub(super) unsafe fn sum<L: Lanes>(
    region: Region,
    out: Written,
    first: Term,
    second: Option<Term>,
    relu: bool,
) {
    macro_rules! cases {
        ($(($affine:literal, $second:pat, $second_affine:expr))*) => {
            match (first.affine.is_some(), second.map(|term| term.affine.is_some()), relu) {
                // SAFETY: the caller's contract.
                $(($affine, $second, true) => unsafe {
                    sum_of::<L, $affine, $second_affine, true>(region, out, first, second);
                },
                // SAFETY: as above.
                ($affine, $second, false) => unsafe {
                    sum_of::<L, $affine, $second_affine, false>(region, out, first, second);
                },)*
            }
        };
    }
    cases!((false, None, 0)(false, Some(false), 1)(false, Some(true), 2)(true, None, 0)(
        true,
        Some(false),
        1
    )(true, Some(true), 2));
}

/// `SECOND`: 0 for none, 1 for a plain one, 2 for one with scale and shift.
#[inline(always)]
unsafe fn sum_of<L: Lanes, const AFFINE: bool, const SECOND: usize, const RELU: bool>(
    region: Region,
    out: Written,
    first: Term,
    second: Option<Term>,
) {
    let other = second.unwrap_or(first);
    // SAFETY: the caller's contract.
    unsafe {
        for_vectors!(
            region,
            channel => (first.constants(AFFINE, channel), other.constants(SECOND == 2, channel)),
            |row, column, ([scale, shift], [scale2, shift2])| {
                let mut value = L::load(first.x.at(row, column, channel));
                if AFFINE {
                    value = value.fma(scale, shift);
                }
                let x2 = other.x.at(row, column, channel);
                if SECOND == 1 {
                    value = value.add(L::load(x2));
                }
                if SECOND == 2 {
                    value = L::load(x2).fma(scale2, value.add(shift2));
                }
                let value = if RELU { value.relu() } else { value };
                value.store(out.at(row, column, channel));
            }
        );
    }
}

/// The gradient before a batch normalization: `out = dz · per_dz + (x - mean) · per_x + constant`,
/// added to `out` where `accumulate` says so.
///
/// # Safety
/// As [`sum`]; each coefficient has a value a channel.
#[inline(always)]
pub(super) unsafe fn norm_gradient<L: Lanes>(
    region: Region,
    out: Written,
    [dz, x]: [Read; 2],
    coefficients: [*const f32; 4],
    accumulate: bool,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for_vectors!(
            region,
            channel => load_at::<L, 4>(coefficients, channel),
            |row, column, [per_dz, per_x, mean, constant]| {
                let centred = L::load(x.at(row, column, channel)).sub(mean);
                let dz = L::load(dz.at(row, column, channel));
                let value = dz.fma(per_dz, centred.fma(per_x, constant));
                let to = out.at(row, column, channel);
                let value = if accumulate { value.add(L::load(to)) } else { value };
                value.store(to);
            }
        );
    }
}

/// The vectors of one block of channels.
#[inline(always)]
unsafe fn load_at<L: Lanes, const N: usize>(values: [*const f32; N], channel: usize) -> [L; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut loaded = [L::splat(0.0); N];
        for (loaded, values) in loaded.iter_mut().zip(values) {
            *loaded = L::load(values.add(channel));
        }
        loaded
    }
}

/// Adds `Σ x` and `Σ x²` to the sums of each channel.
///
/// # Safety
/// All pixels of the region are readable, the sums writable over its channels.
#[inline(always)]
pub(super) unsafe fn moments<L: Lanes>(region: Region, x: Read, sums: [*mut f64; 2]) {
    for (row, channel, rows) in parts(region) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut partial = [[L::splat(0.0); CHAINS]; 2];
            for row in row..row + rows {
                let start = x.start.add(x.offset(row, channel));
                for_chains!(region.columns, |chain, column| {
                    let x = L::load(start.add(column * x.pixel));
                    partial[0][chain] = partial[0][chain].add(x);
                    partial[1][chain] = x.fma(x, partial[1][chain]);
                });
            }
            flush(partial[0], sums[0].add(channel));
            flush(partial[1], sums[1].add(channel));
        }
    }
}

/// What the gradient of a ReLU's output meets: the output, and the batch normalizations before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masked {
    /// `dz` becomes 0 where this is not above 0.
    pub(super) y: Option<Read>,
    /// Inputs of batch normalizations with their means.
    pub(super) norms: [Option<(Read, *const f32)>; 2],
}

/// Masks `dz` in place; adds `Σ dz` to the first sums and `Σ dz · (x - mean)` to those of each
/// batch normalization.
///
/// # Safety
/// As [`moments`].
#[inline(always)]
pub(super) unsafe fn mask<L: Lanes>(
    region: Region,
    dz: Written,
    masked: Masked,
    sums: [*mut f64; 3],
) {
    macro_rules! cases {
        ($($norms:literal)*) => {
            match (masked.norms.iter().flatten().count(), masked.y.is_some()) {
                // SAFETY: the caller's contract.
                $(($norms, true) => unsafe {
                    mask_of::<L, $norms, true>(region, dz, masked, sums);
                },
                // SAFETY: as above.
                ($norms, false) => unsafe {
                    mask_of::<L, $norms, false>(region, dz, masked, sums);
                },)*
                _ => {}
            }
        };
    }
    cases!(0 1 2);
}

#[inline(always)]
unsafe fn mask_of<L: Lanes, const NORMS: usize, const RELU: bool>(
    region: Region,
    dz: Written,
    masked: Masked,
    sums: [*mut f64; 3],
) {
    let unused =
        Pixels { start: dz.start.cast_const(), row: dz.row, pixel: dz.pixel, panel: dz.panel };
    let y = masked.y.unwrap_or(unused);
    let mut norms = masked.norms.into_iter().flatten();
    let norms: [_; NORMS] = std::array::from_fn(|_| norms.next().unwrap_or((unused, unused.start)));
    for (row, channel, rows) in parts(region) {
        // SAFETY: the caller's contract.
        unsafe {
            let means = norms.map(|(_, mean)| L::load(mean.add(channel)));
            let mut total = [L::splat(0.0); CHAINS];
            let mut products = [[L::splat(0.0); CHAINS]; NORMS];
            for row in row..row + rows {
                let dz_row = dz.start.add(dz.offset(row, channel));
                let y_row = y.start.add(y.offset(row, channel));
                let x = norms.map(|(x, _)| (x.start.add(x.offset(row, channel)), x.pixel));
                for_chains!(region.columns, |chain, column| {
                    let to = dz_row.add(column * dz.pixel);
                    let mut value = L::load(to);
                    if RELU {
                        value = value.where_positive(L::load(y_row.add(column * y.pixel)));
                        value.store(to);
                    }
                    total[chain] = total[chain].add(value);
                    for n in 0..NORMS {
                        let (x, pixel) = x[n];
                        let centred = L::load(x.add(column * pixel)).sub(means[n]);
                        products[n][chain] = value.fma(centred, products[n][chain]);
                    }
                });
            }
            flush(total, sums[0].add(channel));
            for n in 0..NORMS {
                flush(products[n], sums[n + 1].add(channel));
            }
        }
    }
}

/// Adds the chains to the sums in f64.
#[inline(always)]
unsafe fn flush<L: Lanes>(chains: [L; CHAINS], sums: *mut f64) {
    // SAFETY: the caller's contract.
    unsafe { chains[0].add(chains[1]).add(chains[2].add(chains[3])).add_to(sums) }
}
