//! The transforms of Winograd's F(4x4,3x3) and of its weight gradient, on tiles of pixels.
//!
//! Lavin and Gray 2016, section 4.1, with the interpolation points 0, 1, -1, 2, -2 and infinity:
//! `Y = Aᵀ[(G g Gᵀ) ∘ (Bᵀ d B)]A`. The weight gradient is the same bilinear form read another way:
//! `dW = Cᵀ[(H dY Hᵀ) ∘ (Bᵀ d B)]C`, with dY (4x4) in the place of the kernel. Owns the matrices;
//! the products over channels are contractions.

use super::lanes::{LANES, Lanes};

/// Rows and columns of output that a tile makes.
pub const TILE: usize = 4;
/// Rows and columns of input under it.
pub const SPAN: usize = 6;
/// Products for each pair of channels.
pub const FREQUENCIES: usize = SPAN * SPAN;

/// A row of tiles: where its pixels and its transformed values lie, in values.
#[derive(Clone, Copy, Debug)]
pub struct TileRow {
    /// Tiles.
    pub tiles: usize,
    /// Channels, a multiple of [`LANES`].
    pub channels: usize,
    /// From one row of pixels to the next.
    pub pixel_row: usize,
    /// Rows and columns of the first tile's pixels that exist; a tile further right has
    /// [`TILE`] columns less. Only the output transform looks at it.
    pub valid: [usize; 2],
    /// From one frequency to the next.
    pub frequency: usize,
    /// Within a frequency, from one tile to the next.
    pub tile: usize,
    /// Within a tile, from [`LANES`] channels to the next.
    pub block: usize,
    /// Whether the output transform adds to what is there.
    pub accumulate: bool,
}

/// `out[f,t,c] = (Bᵀ d B)[f]` for each tile's 6x6 pixels `d`.
///
/// # Safety
/// `x` is readable over `tiles` 6x6 windows 4 pixels apart, `out` writable over all frequencies.
#[inline(always)]
pub(super) unsafe fn input<L: Lanes>(row: &TileRow, x: *const f32, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { transform::<L, SPAN, Input>(row, x, out) }
}

/// `out[f,t,c] = (H d Hᵀ)[f]` for each tile's 4x4 pixels `d` of the output's gradient.
///
/// # Safety
/// As [`input`], with 4x4 windows.
#[inline(always)]
pub(super) unsafe fn gradient<L: Lanes>(row: &TileRow, x: *const f32, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { transform::<L, TILE, Gradient>(row, x, out) }
}

/// A matrix that makes six values of `N`. A type and not a closure, because what a closure calls
/// is not inlined into a function that was compiled for more features than it.
trait Matrix<const N: usize> {
    unsafe fn apply<L: Lanes>(values: [L; N]) -> [L; SPAN];
}

/// `Bᵀ`.
struct Input;

impl Matrix<SPAN> for Input {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(values: [L; SPAN]) -> [L; SPAN] {
        // SAFETY: the caller has the instruction set.
        unsafe { bt(values) }
    }
}

/// `H`.
struct Gradient;

impl Matrix<TILE> for Gradient {
    #[inline(always)]
    unsafe fn apply<L: Lanes>(values: [L; TILE]) -> [L; SPAN] {
        // SAFETY: the caller has the instruction set.
        unsafe { h(values) }
    }
}

/// `N` vectors `step` values apart.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn load<L: Lanes, const N: usize>(from: *const f32, step: usize) -> [L; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut values = [L::splat(0.0); N];
        for (j, value) in values.iter_mut().enumerate() {
            *value = L::load(from.add(j * step));
        }
        values
    }
}

/// A column of a matrix.
#[inline(always)]
fn column<L: Copy, const N: usize, const M: usize>(rows: &[[L; M]; N], j: usize) -> [L; N] {
    let mut values = [rows[0][j]; N];
    for (value, row) in values.iter_mut().zip(rows) {
        *value = row[j];
    }
    values
}

/// A transform to 6x6 values from a window of `N` by `N` pixels, rows first.
#[inline(always)]
unsafe fn transform<L: Lanes, const N: usize, M: Matrix<N>>(
    row: &TileRow,
    x: *const f32,
    out: *mut f32,
) {
    let channels = row.channels;
    for tile in 0..row.tiles {
        for channel in (0..channels).step_by(LANES) {
            // SAFETY: the caller's contract: the window and the frequencies are inside.
            unsafe {
                let x = x.add(tile * TILE * channels + channel);
                let out = out.add(tile * row.tile + channel / LANES * row.block);
                let mut rows = [[L::splat(0.0); SPAN]; N];
                for (i, values) in rows.iter_mut().enumerate() {
                    *values = M::apply(load(x.add(i * row.pixel_row), channels));
                }
                for j in 0..SPAN {
                    let values = M::apply(column(&rows, j));
                    for (i, value) in values.into_iter().enumerate() {
                        value.store(out.add((i * SPAN + j) * row.frequency));
                    }
                }
            }
        }
    }
}

/// `y = Aᵀ m A` for each tile: 4x4 pixels, fewer at the borders.
///
/// # Safety
/// `m` is readable over all frequencies, `y` writable at the pixels that are valid.
#[inline(always)]
pub(super) unsafe fn output<L: Lanes>(row: &TileRow, m: *const f32, y: *mut f32) {
    let channels = row.channels;
    for tile in 0..row.tiles {
        let rows_valid = row.valid[0].min(TILE);
        let columns_valid = row.valid[1].saturating_sub(tile * TILE).min(TILE);
        for channel in (0..channels).step_by(LANES) {
            // SAFETY: the caller's contract.
            unsafe {
                let m = m.add(tile * row.tile + channel / LANES * row.block);
                let y = y.add(tile * TILE * channels + channel);
                let mut half = [[L::splat(0.0); TILE]; SPAN];
                for (i, half) in half.iter_mut().enumerate() {
                    let m = m.add(i * SPAN * row.frequency);
                    *half = at(load(m, row.frequency));
                }
                for j in 0..TILE {
                    let values = at(column(&half, j));
                    if j >= columns_valid {
                        continue;
                    }
                    for (i, value) in values.into_iter().enumerate() {
                        if i < rows_valid {
                            let y = y.add(i * row.pixel_row + j * channels);
                            let value = if row.accumulate { value.add(L::load(y)) } else { value };
                            value.store(y);
                        }
                    }
                }
            }
        }
    }
}

/// `u = G g Gᵀ` of one input channel's 3x3 kernels to `lanes` output channels.
///
/// # Safety
/// `g[tap · g_tap + lane]` is readable, `u[frequency · u_frequency + lane]` writable.
#[inline(always)]
pub(super) unsafe fn weights<L: Lanes>(shape: &WeightShape, g: *const f32, u: *mut f32) {
    for lane in (0..shape.lanes).step_by(LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut half = [[L::splat(0.0); SPAN]; 3];
            for (i, half) in half.iter_mut().enumerate() {
                *half = self::g(load(g.add(i * 3 * shape.tap + lane), shape.tap));
            }
            for j in 0..SPAN {
                let values = self::g(column(&half, j));
                for (i, value) in values.into_iter().enumerate() {
                    value.store(u.add((i * SPAN + j) * shape.frequency + lane));
                }
            }
        }
    }
}

/// `dw = Cᵀ m C` of one input channel's kernels, or added to it, from the sums of the weight
/// gradient.
///
/// # Safety
/// As [`weights`], the other way.
#[inline(always)]
pub(super) unsafe fn weight_gradient<L: Lanes>(shape: &WeightShape, m: *const f32, dw: *mut f32) {
    for lane in (0..shape.lanes).step_by(LANES) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut half = [[L::splat(0.0); 3]; SPAN];
            for (i, half) in half.iter_mut().enumerate() {
                *half = ct(load(m.add(i * SPAN * shape.frequency + lane), shape.frequency));
            }
            for j in 0..3 {
                let values = ct(column(&half, j));
                for (i, value) in values.into_iter().enumerate() {
                    let dw = dw.add((i * 3 + j) * shape.tap + lane);
                    let value = if shape.accumulate { value.add(L::load(dw)) } else { value };
                    value.store(dw);
                }
            }
        }
    }
}

/// Where the taps and the frequencies of a row of kernels lie, in values.
#[derive(Clone, Copy, Debug)]
pub struct WeightShape {
    /// Kernels, a multiple of [`LANES`].
    pub lanes: usize,
    /// From one tap of the 3x3 to the next.
    pub tap: usize,
    /// From one frequency to the next.
    pub frequency: usize,
    /// Whether the weight gradient is added to what is there.
    pub accumulate: bool,
}

/// `Bᵀ d`.
#[inline(always)]
unsafe fn bt<L: Lanes>(d: [L; 6]) -> [L; 6] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let (two, four, five) = (L::splat(2.0), L::splat(-4.0), L::splat(-5.0));
        let even = d[2].fma(four, d[4]);
        let odd = d[1].fma(four, d[3]);
        let outer = d[4].sub(d[2]);
        let inner = d[3].sub(d[1]).mul(two);
        [
            d[0].fma(L::splat(4.0), d[2].fma(five, d[4])),
            even.add(odd),
            even.sub(odd),
            outer.add(inner),
            outer.sub(inner),
            d[1].fma(L::splat(4.0), d[3].fma(five, d[5])),
        ]
    }
}

/// `Aᵀ m`.
#[inline(always)]
unsafe fn at<L: Lanes>(m: [L; 6]) -> [L; 4] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let (a, b) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (c, d) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(a).add(c),
            d.fma(L::splat(2.0), b),
            c.fma(L::splat(4.0), a),
            d.fma(L::splat(8.0), b).add(m[5]),
        ]
    }
}

/// `G g`.
#[inline(always)]
unsafe fn g<L: Lanes>(g: [L; 3]) -> [L; 6] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let sixth = L::splat(-1.0 / 6.0);
        let ends = g[0].add(g[2]).mul(sixth);
        let middle = g[1].mul(sixth);
        let far = g[0].fma(L::splat(1.0 / 24.0), g[2].mul(L::splat(1.0 / 6.0)));
        let near = g[1].mul(L::splat(1.0 / 12.0));
        [
            g[0].mul(L::splat(0.25)),
            ends.add(middle),
            ends.sub(middle),
            far.add(near),
            far.sub(near),
            g[2],
        ]
    }
}

/// `H d`: as `G`, for kernels of four taps.
#[inline(always)]
unsafe fn h<L: Lanes>(d: [L; 4]) -> [L; 6] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let sixth = L::splat(-1.0 / 6.0);
        let even = d[0].add(d[2]).mul(sixth);
        let odd = d[1].add(d[3]).mul(sixth);
        let far = d[0].fma(L::splat(1.0 / 24.0), d[2].mul(L::splat(1.0 / 6.0)));
        let near = d[1].fma(L::splat(1.0 / 12.0), d[3].mul(L::splat(1.0 / 3.0)));
        [d[0].mul(L::splat(0.25)), even.add(odd), even.sub(odd), far.add(near), far.sub(near), d[3]]
    }
}

/// `Cᵀ m`: as `Aᵀ`, for three outputs.
#[inline(always)]
unsafe fn ct<L: Lanes>(m: [L; 6]) -> [L; 3] {
    // SAFETY: the caller has the instruction set.
    unsafe {
        let (a, b) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (c, d) = (m[3].add(m[4]), m[3].sub(m[4]));
        [m[0].add(a).add(c), d.fma(L::splat(2.0), b), c.fma(L::splat(4.0), a).add(m[5])]
    }
}
