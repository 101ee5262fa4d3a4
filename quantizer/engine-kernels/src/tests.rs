//! Every kernel of this processor against its definition, in f64.

use super::*;

fn noise(seed: usize, len: usize) -> Vec<f32> {
    let value = |i: usize| ((i + seed) * 2_654_435_761 % 1009) as f32 / 504.5 - 1.0;
    (0..len).map(value).collect()
}

#[track_caller]
fn check_contraction(m: usize, n: usize, k: usize, [unit_m, accumulate]: [bool; 2]) {
    let strides = if unit_m { (1, m + 2) } else { (k + 1, 1) };
    check_strides(m, n, k, strides, accumulate);
}

#[track_caller]
fn check_strides(m: usize, n: usize, k: usize, (a_m, a_k): (usize, usize), accumulate: bool) {
    let (batch, segments) = (2, 3);
    let (width, panels) = (n.min(PANEL), n.div_ceil(PANEL));
    let a_segment = m * a_m + k * a_k + 5;
    let b_panel = segments * k * width;
    let shape = Contraction {
        batch,
        m,
        n,
        k,
        segments,
        a: AStrides { start: 3, batch: segments * a_segment, segment: a_segment, m: a_m, k: a_k },
        b: BStrides {
            start: 1,
            batch: panels * b_panel,
            segment: k * width,
            k: width,
            panel: b_panel,
        },
        c: CStrides { start: 2, batch: m * (n + 1), m: n + 1 },
        accumulate,
    };
    let a = noise(0, 3 + batch * shape.a.batch);
    let b = noise(77, 1 + batch * shape.b.batch);
    let c = noise(999, 2 + batch * shape.c.batch);
    let mut expected: Vec<f64> = c.iter().map(|&c| f64::from(c)).collect();
    for f in 0..batch {
        for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
            let mut sum = 0.0;
            for (s, k) in (0..segments).flat_map(|s| (0..k).map(move |k| (s, k))) {
                let a = a[3 + f * shape.a.batch + s * a_segment + row * a_m + k * a_k];
                let at = f * shape.b.batch + column / PANEL * b_panel + column % PANEL;
                let b = b[1 + at + s * shape.b.segment + k * width];
                sum += f64::from(a) * f64::from(b);
            }
            let c = &mut expected[2 + f * shape.c.batch + row * (n + 1) + column];
            *c = if accumulate { *c + sum } else { sum };
        }
    }
    for kernels in available() {
        let mut found = c.clone();
        kernels.contract(&shape, &a, &b, &mut found, &mut Ahead::default());
        for (found, expected) in found.iter().zip(&expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-6 * (segments * k) as f64 + 1e-6, "{}: {error}", kernels.name);
        }
    }
}

#[test]
fn contractions_are_the_definition() {
    for flags in [[false, false], [true, false], [false, true], [true, true]] {
        for m in 1..=20 {
            check_contraction(m, 16, 5, flags);
            check_contraction(m, 64, 3, flags);
        }
        for n in [16, 32, 48, 80] {
            check_contraction(9, n, 7, flags);
        }
        check_contraction(1, 16, 1, flags);
        // More rows than stay in the cache while panels pass.
        check_contraction(200, 48, 90, flags);
    }
    // Distances between rows that have instructions of their own.
    for (m, a_m) in (1..=17).flat_map(|m| [16, 32, 64].map(|a_m| (m, a_m))) {
        check_strides(m, 48, 7, (a_m, 1), m % 2 == 0);
    }
}

#[track_caller]
fn check_transposition([rows, columns]: [usize; 2], sources: usize) {
    let (start, from_row, to_row) = (3, columns + 5, rows + 2);
    let shape = Transposition { start, rows, columns, from_row, to_row };
    let values: Vec<Vec<f32>> =
        (0..sources).map(|seed| noise(seed, start + rows * from_row)).collect();
    let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
    let mut expected = vec![7.0; columns * to_row];
    for (r, c) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        let at = start + r * from_row + c;
        expected[c * to_row + r] = values.iter().map(|values| values[at]).sum();
    }
    for kernels in available() {
        let mut found = vec![7.0; expected.len()];
        kernels.transpose(&shape, &values, &mut found);
        assert_eq!(found, expected, "{}: {shape:?}", kernels.name);
    }
}

#[test]
fn transpositions_are_the_definition() {
    for rows in [1, 3, 16, 17, 32, 50] {
        for columns in [1, 15, 16, 48, 51] {
            (0..4).for_each(|sources| check_transposition([rows, columns], sources));
        }
    }
}

#[test]
#[should_panic(expected = "past the end of b")]
fn a_short_operand_is_refused() {
    let a = AStrides { k: 1, ..AStrides::default() };
    let shape =
        Contraction { batch: 1, m: 1, n: 16, k: 1, segments: 1, a, ..Contraction::default() };
    kernels().contract(&shape, &[1.0], &[1.0; 15], &mut [0.0; 16], &mut Ahead::default());
}

/// A region inside rows that are further apart, and what a plane of it holds.
struct Field {
    region: Region,
    row: usize,
}

impl Field {
    fn new(rows: usize, columns: usize, channels: usize) -> Self {
        Self { region: Region { rows, columns, channels }, row: (columns + 2) * channels }
    }

    fn noise(&self, seed: usize) -> Vec<f32> {
        noise(seed, self.region.rows * self.row)
    }

    fn plane<'a>(&self, values: &'a [f32]) -> Plane<'a> {
        Plane { values, row: self.row, panel: None }
    }

    /// `value(index, channel)` at every pixel of the region, `else` what was there.
    fn expect(&self, before: &[f32], value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let Region { rows, columns, channels } = self.region;
        let inside = |i: usize| i / self.row < rows && i % self.row < columns * channels;
        let at = |(i, &b): (usize, &f32)| if inside(i) { value(i, i % channels) } else { b };
        before.iter().enumerate().map(at).collect()
    }

    /// The sums of `value(index, channel)` a channel.
    fn sums(&self, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
        let Region { rows, columns, channels } = self.region;
        let mut sums = vec![0.0; channels];
        for (y, i) in (0..rows).flat_map(|y| (0..columns * channels).map(move |i| (y, i))) {
            sums[i % channels] += value(y * self.row + i, i % channels);
        }
        sums
    }
}

#[track_caller]
fn assert_near(kernels: &Kernels, found: &[f32], expected: &[f32]) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() < 1e-5;
        assert!(near, "{}[{index}]: {found}, expected {expected}", kernels.name);
    }
}

fn fields() -> Vec<Field> {
    [[1, 1, 16], [3, 5, 32], [40, 4, 16], [2, 150, 48], [0, 3, 16]]
        .map(|[rows, columns, channels]| Field::new(rows, columns, channels))
        .into()
}

#[test]
fn sums_of_terms_are_the_definition() {
    for field in fields() {
        let (x, x2, before) = (field.noise(1), field.noise(5), field.noise(9));
        let [scale, shift, scale2, shift2] = [11, 13, 17, 19].map(|seed| noise(seed, 48));
        for (affine, second, relu) in (0..12).map(|i| (i % 2 == 1, i / 2 % 3, i >= 6)) {
            let expected = field.expect(&before, |i, c| {
                let mut value = if affine { x[i] * scale[c] + shift[c] } else { x[i] };
                value += [0.0, x2[i], x2[i] * scale2[c] + shift2[c]][second];
                if relu { value.max(0.0) } else { value }
            });
            let term = |x, affine| SumTerm { x: field.plane(x), affine };
            let first = term(&x, affine.then_some([scale.as_slice(), shift.as_slice()]));
            let affine2 = (second == 2).then_some([scale2.as_slice(), shift2.as_slice()]);
            let second = (second > 0).then(|| term(&x2, affine2));
            for kernels in available() {
                let mut found = before.clone();
                let out = PlaneMut { values: &mut found, row: field.row, panel: None };
                kernels.sum(field.region, out, first, second, relu);
                assert_near(kernels, &found, &expected);
            }
        }
        for kernels in available() {
            let mut found = before.clone();
            let out = PlaneMut { values: &mut found, row: field.row, panel: None };
            kernels.add(field.region, out, field.plane(&x));
            assert_near(kernels, &found, &field.expect(&before, |i, _| before[i] + x[i]));
        }
    }
}

#[test]
fn not_a_number_passes_a_relu() {
    let field = Field::new(1, 1, 16);
    let x = [f32::NAN; 16];
    for kernels in available() {
        let mut found = [0.0; 48];
        let out = PlaneMut { values: &mut found, row: 48, panel: None };
        let term = SumTerm { x: Plane { values: &x, row: 16, panel: None }, affine: None };
        kernels.sum(field.region, out, term, None, true);
        assert!(found[..16].iter().all(|value| value.is_nan()), "{}", kernels.name);
    }
}

#[test]
fn gradients_of_normalizations_are_the_definition() {
    for field in fields() {
        let (dz, x, before) = (field.noise(1), field.noise(5), field.noise(9));
        let [per_dz, per_x, mean, constant] = [11, 13, 17, 19].map(|seed| noise(seed, 48));
        for (kernels, accumulate) in available().flat_map(|k| [(k, false), (k, true)]) {
            let expected = field.expect(&before, |i, c| {
                let value = dz[i] * per_dz[c] + (x[i] - mean[c]) * per_x[c] + constant[c];
                if accumulate { before[i] + value } else { value }
            });
            let coefficients = NormCoefficients {
                per_dz: &per_dz,
                per_x: &per_x,
                mean: &mean,
                constant: &constant,
            };
            let mut found = before.clone();
            let out = PlaneMut { values: &mut found, row: field.row, panel: None };
            let planes = [field.plane(&dz), field.plane(&x)];
            kernels.norm_gradient(field.region, out, planes, coefficients, accumulate);
            assert_near(kernels, &found, &expected);
        }
    }
}

#[test]
fn moments_and_masks_are_the_definition() {
    for field in fields() {
        let channels = field.region.channels;
        let (dz, y, x, x2) = (field.noise(1), field.noise(5), field.noise(9), field.noise(14));
        let means = [11, 13].map(|seed| noise(seed, 48));
        for kernels in available() {
            let mut sums = vec![1.0; 2 * channels];
            kernels.moments(field.region, field.plane(&x), &mut sums);
            let first = field.sums(|i, _| f64::from(x[i]));
            let second = field.sums(|i, _| f64::from(x[i]).powi(2));
            for (found, expected) in sums.iter().zip(first.iter().chain(&second)) {
                assert!((found - 1.0 - expected).abs() < 1e-4, "{}", kernels.name);
            }
            for (relu, norms) in [(true, 0), (true, 1), (true, 2), (false, 0), (false, 2)] {
                let masked = |i: usize| if relu && y[i] <= 0.0 { 0.0 } else { dz[i] };
                let centred = |n: usize, x| {
                    (n < norms).then_some(Centred { x: field.plane(x), mean: &means[n] })
                };
                let (mut found, mut sums) = (dz.clone(), vec![0.0; 3 * channels]);
                let out = PlaneMut { values: &mut found, row: field.row, panel: None };
                let planes = [centred(0, x.as_slice()), centred(1, x2.as_slice())];
                let mask = relu.then(|| field.plane(&y));
                kernels.mask(field.region, out, mask, planes, &mut sums);
                assert_near(kernels, &found, &field.expect(&dz, |i, _| masked(i)));
                let product = |n: usize, x: &[f32]| {
                    let at = |i: usize, c: usize| f64::from(masked(i) * (x[i] - means[n][c]));
                    if n < norms { field.sums(at) } else { vec![0.0; channels] }
                };
                let mut expected = field.sums(|i, _| f64::from(masked(i)));
                expected.extend(product(0, &x));
                expected.extend(product(1, &x2));
                for (found, expected) in sums.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-4, "{}", kernels.name);
                }
            }
        }
    }
}

/// The cache lines that are asked for in portions of `lines`, in their order. A line that is asked
/// for again at once is there.
fn asked(blocks: &[&[f32]], lines: &[usize]) -> Vec<*const f32> {
    use std::cell::RefCell;
    thread_local!(static ASKED: RefCell<Vec<*const f32>> = const { RefCell::new(Vec::new()) });
    #[derive(Clone, Copy)]
    struct Recorder;
    impl ahead::Prefetch for Recorder {
        unsafe fn prefetch(at: *const f32) {
            ASKED.with_borrow_mut(|asked| asked.push(at));
        }
        unsafe fn prefetch_near(_at: *const f32) {}
    }
    let mut ahead = Ahead::default();
    blocks.iter().for_each(|block| ahead.add(Address::of(block), 0..block.len()));
    for &count in lines {
        let mut taken = ahead.take(count);
        // SAFETY: the recorder asks for nothing.
        (0..count).for_each(|_| unsafe { taken.ask::<Recorder>() });
    }
    let mut asked = ASKED.take();
    asked.dedup();
    asked.retain(|at| !at.is_null());
    asked
}

#[test]
fn every_line_is_asked_for_once_and_in_its_order() {
    let memory = vec![0.0; 40 * LANES];
    let line = |index: usize| memory[index * LANES..].as_ptr();
    let [a, b] = [&memory[..2 * LANES + 1], &memory[10 * LANES..12 * LANES]];
    let all = [line(0), line(1), line(2), line(10), line(11)];
    assert_eq!(asked(&[a, b], &[100, 100]), all);
    assert_eq!(asked(&[a, a, b, a], &[1; 9]), all);
    assert_eq!(asked(&[a, b], &[2, 0, 1, 1]), all[..4]);
    assert_eq!(asked(&[a], &[0]), []);
    assert_eq!(asked(&[], &[1]), []);
}

/// What a region's values are in panels, which lie `pixels` apart: more than they need.
fn in_panels(values: &[f32], region: Region, pixels: usize) -> Vec<f32> {
    let mut out = vec![0.0; region.channels / PANEL * pixels * PANEL];
    for (i, value) in values.iter().enumerate() {
        let (pixel, channel) = (i / region.channels, i % region.channels);
        out[(channel / PANEL * pixels + pixel) * PANEL + channel % PANEL] = *value;
    }
    out
}

/// Values that lie as those of another plane do.
fn like<'a>(plane: Plane<'_>, values: &'a mut [f32]) -> PlaneMut<'a> {
    PlaneMut { values, row: plane.row, panel: plane.panel }
}

#[test]
fn values_in_panels_are_those_of_pixels() {
    let region = Region { rows: 3, columns: 5, channels: 96 };
    let (row, pixels) = (region.columns * region.channels, 17);
    let [x, dz, y] = [1, 5, 9].map(|seed| noise(seed, region.rows * row));
    let [x2, dz2, y2] = [&x, &dz, &y].map(|values| in_panels(values, region, pixels));
    let constants = [11, 13, 17, 19].map(|seed| noise(seed, region.channels));
    let [per_dz, per_x, mean, constant] = constants.each_ref().map(Vec::as_slice);
    let plane = |values| Plane { values, row, panel: None };
    let paneled =
        |values| Plane { values, row: region.columns * PANEL, panel: Some(pixels * PANEL) };
    for kernels in available() {
        let run = |planes: [Plane<'_>; 3], mut out: Vec<f32>| {
            let [x, dz, y] = planes;
            let mut sums = vec![0.0; 4 * region.channels];
            let term = |x| SumTerm { x, affine: Some([per_x, constant]) };
            kernels.sum(region, like(x, &mut out), term(x), Some(term(dz)), true);
            let coefficients = NormCoefficients { per_dz, per_x, mean, constant };
            kernels.norm_gradient(region, like(x, &mut out), [dz, x], coefficients, true);
            let norms = [Some(Centred { x, mean }), None];
            kernels.mask(region, like(x, &mut out), Some(y), norms, &mut sums);
            kernels.moments(region, x, &mut sums[2 * region.channels..]);
            (out, sums)
        };
        let (found, sums) = run([&x, &dz, &y].map(|v| plane(v.as_slice())), vec![0.0; x.len()]);
        let planes = [&x2, &dz2, &y2].map(|v| paneled(v.as_slice()));
        let (found2, sums2) = run(planes, vec![0.0; x2.len()]);
        assert_eq!(in_panels(&found, region, pixels), found2, "{}", kernels.name);
        assert_eq!(sums, sums2, "{}", kernels.name);
    }
}

#[test]
#[should_panic(expected = "544")]
fn panels_past_the_end_are_refused() {
    let region = Region { rows: 1, columns: 1, channels: 64 };
    let out = PlaneMut { values: &mut [0.0; 64], row: 32, panel: Some(17 * PANEL) };
    let x = Plane { values: &[0.0; 64], row: 64, panel: None };
    kernels().sum(region, out, SumTerm { x, affine: None }, None, false);
}
