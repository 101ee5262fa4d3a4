//! The checked doors to the kernels: every slice is long enough before its pointer goes on.

use super::elementwise::{Masked, Pixels, Read, Region, Term, Written};
use super::transpose::Transposition;
use super::{
    Ahead, Contraction, FREQUENCIES, Kernels, LANES, PANEL, SPAN, TILE, TileRow, WeightShape,
};

/// Pixels of a region in a slice: its first value is the first pixel's.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// Channels of a pixel after another, or of each panel.
    pub values: &'a [f32],
    /// From one row of pixels to the next, in values.
    pub row: usize,
    /// From one [`PANEL`] of channels to the next, where each has its pixels to itself; `None`
    /// where a pixel's channels all lie side by side.
    pub panel: Option<usize>,
}

/// As [`Plane`], to be written.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// Channels of a pixel after another, or of each panel.
    pub values: &'a mut [f32],
    /// From one row of pixels to the next, in values.
    pub row: usize,
    /// As [`Plane`]'s.
    pub panel: Option<usize>,
}

/// A plane, with a scale and a shift a channel or as it is.
#[derive(Clone, Copy, Debug)]
pub struct SumTerm<'a> {
    /// What is added.
    pub x: Plane<'a>,
    /// Scale and shift.
    pub affine: Option<[&'a [f32]; 2]>,
}

/// The input of a batch normalization, and its mean a channel.
#[derive(Clone, Copy, Debug)]
pub struct Centred<'a> {
    /// The input.
    pub x: Plane<'a>,
    /// A value a channel.
    pub mean: &'a [f32],
}

/// The coefficients of [`Kernels::norm_gradient`], a value a channel each.
#[derive(Clone, Copy, Debug)]
pub struct NormCoefficients<'a> {
    /// Times the output's gradient.
    pub per_dz: &'a [f32],
    /// Times the input less its mean.
    pub per_x: &'a [f32],
    /// The input's mean.
    pub mean: &'a [f32],
    /// Added to all.
    pub constant: &'a [f32],
}

// SAFETY, of every call: the bounds are checked, and the table is of this processor, because
// `available` gives no other.
impl Kernels {
    /// The contraction of `a` and `b` into `c`.
    ///
    /// # Panics
    /// If an operand is shorter than the contraction reaches; so do all methods here.
    pub fn contract(
        &self,
        shape: &Contraction,
        a: &[f32],
        b: &[f32],
        c: &mut [f32],
        ahead: &mut Ahead,
    ) {
        if shape.is_empty() {
            return;
        }
        shape.check_bounds(a, b, c);
        // SAFETY: as above.
        unsafe { (self.contract)(shape, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), ahead) }
    }

    /// `out[c,r] = Σ source[r,c]`, in the sources' order.
    pub fn transpose(&self, shape: &Transposition, sources: &[&[f32]], out: &mut [f32]) {
        if shape.rows * shape.columns == 0 {
            return;
        }
        shape.check(sources, out);
        // SAFETY: as above.
        unsafe { (self.transpose)(shape, sources, out.as_mut_ptr()) }
    }

    /// `out[f,t,c] = (Bᵀ d B)[f]` of the 6x6 pixels `d` under each tile.
    pub fn winograd_input(&self, row: &TileRow, x: &[f32], out: &mut [f32]) {
        row.check(SPAN, x, out);
        // SAFETY: as above.
        unsafe { (self.winograd_input)(row, x.as_ptr(), out.as_mut_ptr()) }
    }

    /// `out[f,t,c] = (H d Hᵀ)[f]` of each tile's 4x4 pixels `d` of the output's gradient.
    pub fn winograd_gradient(&self, row: &TileRow, dy: &[f32], out: &mut [f32]) {
        row.check(TILE, dy, out);
        // SAFETY: as above.
        unsafe { (self.winograd_gradient)(row, dy.as_ptr(), out.as_mut_ptr()) }
    }

    /// The valid pixels of `Aᵀ m A` of each tile.
    pub fn winograd_output(&self, row: &TileRow, m: &[f32], y: &mut [f32]) {
        row.check_output(m, y);
        // SAFETY: as above.
        unsafe { (self.winograd_output)(row, m.as_ptr(), y.as_mut_ptr()) }
    }

    /// `u = G g Gᵀ` of a row of 3x3 kernels.
    pub fn winograd_weights(&self, shape: &WeightShape, g: &[f32], u: &mut [f32]) {
        shape.check(g, u);
        // SAFETY: as above.
        unsafe { (self.winograd_weights)(shape, g.as_ptr(), u.as_mut_ptr()) }
    }

    /// `dw = Cᵀ m C` of a row of 3x3 kernels, or added to it.
    pub fn winograd_weight_gradient(&self, shape: &WeightShape, m: &[f32], dw: &mut [f32]) {
        shape.check(dw, m);
        // SAFETY: as above.
        unsafe { (self.winograd_weight_gradient)(shape, m.as_ptr(), dw.as_mut_ptr()) }
    }

    /// `out = Σ terms`, one or two, then ReLU where `relu` says so.
    pub fn sum(
        &self,
        region: Region,
        out: PlaneMut<'_>,
        first: SumTerm<'_>,
        second: Option<SumTerm<'_>>,
        relu: bool,
    ) {
        let term = |SumTerm { x, affine }: SumTerm<'_>| Term {
            x: x.checked(region),
            affine: affine.map(|pair| pair.map(|values| channels(region, values))),
        };
        let (out, first, second) = (out.checked(region), term(first), second.map(term));
        // SAFETY: as above.
        unsafe { (self.sum)(region, out, first, second, relu) }
    }

    /// Adds `src` to `out`.
    pub fn add(&self, region: Region, out: PlaneMut<'_>, src: Plane<'_>) {
        let out = out.checked(region);
        let Pixels { start, row, pixel, panel } = out;
        let own = Pixels { start: start.cast_const(), row, pixel, panel };
        let [own, src] = [own, src.checked(region)].map(|x| Term { x, affine: None });
        // A term may be the output itself.
        // SAFETY: as above.
        unsafe { (self.sum)(region, out, own, Some(src), false) }
    }

    /// `out = dz · per_dz + (x - mean) · per_x + constant`, added to `out` where `accumulate`.
    pub fn norm_gradient(
        &self,
        region: Region,
        out: PlaneMut<'_>,
        [dz, x]: [Plane<'_>; 2],
        coefficients: NormCoefficients<'_>,
        accumulate: bool,
    ) {
        let (out, planes) = (out.checked(region), [dz.checked(region), x.checked(region)]);
        let NormCoefficients { per_dz, per_x, mean, constant } = coefficients;
        let coefficients = [per_dz, per_x, mean, constant].map(|values| channels(region, values));
        // SAFETY: as above.
        unsafe { (self.norm_gradient)(region, out, planes, coefficients, accumulate) }
    }

    /// Adds `Σ x` to the first half of `sums` and `Σ x²` to the second.
    pub fn moments(&self, region: Region, x: Plane<'_>, sums: &mut [f64]) {
        let x = x.checked(region);
        assert!(sums.len() >= 2 * region.channels);
        let (first, second) = sums.split_at_mut(region.channels);
        // SAFETY: as above.
        unsafe { (self.moments)(region, x, [first.as_mut_ptr(), second.as_mut_ptr()]) }
    }

    /// Masks `dz` by `y > 0` in place; adds `Σ dz` to the first part of `sums` and
    /// `Σ dz · (x - mean)` to the next, a part a batch normalization.
    pub fn mask(
        &self,
        region: Region,
        dz: PlaneMut<'_>,
        y: Option<Plane<'_>>,
        norms: [Option<Centred<'_>>; 2],
        sums: &mut [f64],
    ) {
        let dz = dz.checked(region);
        let count = norms.iter().flatten().count();
        assert!(sums.len() >= (1 + count) * region.channels);
        let mut parts = sums.chunks_exact_mut(region.channels.max(1));
        let sums = [(); 3].map(|()| parts.next().map_or(std::ptr::null_mut(), <[f64]>::as_mut_ptr));
        let norm = |Centred { x, mean }: Centred<'_>| (x.checked(region), channels(region, mean));
        let masked = Masked { y: y.map(|y| y.checked(region)), norms: norms.map(|n| n.map(norm)) };
        // SAFETY: as above.
        unsafe { (self.mask)(region, dz, masked, sums) }
    }
}

/// A coefficient's first value, when it has one a channel.
fn channels(region: Region, values: &[f32]) -> *const f32 {
    assert!(values.len() >= region.channels);
    values.as_ptr()
}

impl Region {
    /// The pixels that begin at `start`, if `len` values hold them all; else panics.
    fn pixels<P>(self, start: P, row: usize, panel: Option<usize>, len: usize) -> Pixels<P> {
        let Self { rows, columns, channels } = self;
        assert!(channels.is_multiple_of(if panel.is_some() { PANEL } else { LANES }));
        let (pixel, panels) =
            if panel.is_some() { (PANEL, channels / PANEL) } else { (channels, 1) };
        let panel = panel.unwrap_or(PANEL);
        let step = |count: usize, size: usize| count.saturating_sub(1).checked_mul(size);
        let last = step(rows, row)
            .and_then(|last| last.checked_add(step(panels, panel)?))
            .and_then(|last| last.checked_add(columns * pixel));
        assert!(
            rows == 0 || last.is_some_and(|last| last <= len),
            "{self:?}: {row}, {panel}, {len}"
        );
        Pixels { start, row, pixel, panel }
    }
}

impl Plane<'_> {
    fn checked(self, region: Region) -> Read {
        region.pixels(self.values.as_ptr(), self.row, self.panel, self.values.len())
    }
}

impl PlaneMut<'_> {
    fn checked(self, region: Region) -> Written {
        region.pixels(self.values.as_mut_ptr(), self.row, self.panel, self.values.len())
    }
}

impl TileRow {
    /// Panics unless windows of `window` by `window` pixels and all frequencies are inside.
    fn check(&self, window: usize, x: &[f32], out: &[f32]) {
        let columns = self.tiles.saturating_sub(1) * TILE + window;
        let pixels = (window - 1) * self.pixel_row + columns * self.channels;
        self.check_frequencies(out);
        assert!(self.tiles == 0 || pixels <= x.len(), "{self:?} reads past the end");
    }

    fn check_output(&self, m: &[f32], y: &[f32]) {
        let rows = self.valid[0].min(TILE);
        let columns = self.valid[1].min(self.tiles * TILE);
        let pixels = rows.saturating_sub(1) * self.pixel_row + columns * self.channels;
        self.check_frequencies(m);
        assert!(rows * columns == 0 || pixels <= y.len(), "{self:?} writes past the end");
    }

    fn check_frequencies(&self, values: &[f32]) {
        assert!(self.channels.is_multiple_of(LANES), "{self:?}");
        let [tile, block] = [self.tiles, self.channels / LANES].map(|n| n.saturating_sub(1));
        let last = (FREQUENCIES - 1) * self.frequency + tile * self.tile + block * self.block;
        assert!(last + LANES <= values.len(), "{self:?}");
    }
}

impl WeightShape {
    fn check(&self, taps: &[f32], frequencies: &[f32]) {
        let last = (FREQUENCIES - 1) * self.frequency + self.lanes;
        assert!(self.lanes.is_multiple_of(LANES) && last <= frequencies.len(), "{self:?}");
        assert!(8 * self.tap + self.lanes <= taps.len(), "{self:?} reads past the end");
    }
}
