//! Convolution on a group of images: forward, and the gradients of input, weights and bias.
//!
//! Owns packing and the three ways in which a convolution is a contraction; no im2col buffer: in
//! NHWC the `KW·I` values under a kernel row lie side by side in the zero-padded image. Threads
//! and the sum over groups are the executor's. Any kernel, stride and padding.

use super::arch::{Contraction, Strides, contract, pad_lanes};
use crate::graph::Padding;

/// The shapes of one convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// `[H,W,I]`.
    pub(super) input: [usize; 3],
    /// `[H,W,O]`.
    pub(super) output: [usize; 3],
    /// `[KH,KW]`.
    pub(super) kernel: [usize; 2],
    pub(super) stride: usize,
    pub(super) padding: Padding,
}

/// Memory that a worker keeps from one call to the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    padded: Vec<f32>,
    lanes: Vec<f32>,
}

/// One axis of the data gradient: the input positions `first + stride · j`, `j < count`, get
/// `taps` terms each, the last from output position `from + j`.
#[derive(Clone, Copy, Debug)]
struct Phase {
    taps: usize,
    first: usize,
    count: usize,
    from: usize,
}

impl Geometry {
    /// A 1x1 convolution with stride 1 and no padding sees one long row.
    fn merged(self) -> Self {
        if self.kernel != [1, 1] || self.stride != 1 || self.padding != Padding::default() {
            return self;
        }
        let row = |[h, w, c]: [usize; 3]| [1, h * w, c];
        Self { input: row(self.input), output: row(self.output), ..self }
    }

    fn padded(&self) -> [usize; 3] {
        let Padding { top, left, bottom, right } = self.padding;
        [self.input[0] + top + bottom, self.input[1] + left + right, self.input[2]]
    }

    fn phases(&self, axis: usize) -> impl Iterator<Item = Phase> {
        let Self { input, kernel, stride, padding, .. } = *self;
        let pad = [padding.top, padding.left][axis];
        (0..stride).map(move |r| {
            let from = pad.saturating_sub(r).div_ceil(stride);
            let first = stride * from + r - pad;
            Phase {
                taps: kernel[axis].saturating_sub(r).div_ceil(stride),
                first,
                count: input[axis].saturating_sub(first).div_ceil(stride),
                from,
            }
        })
    }

    /// Zeros before the output's gradient, and its size with zeros on both sides, along `axis`.
    fn gradient_padding(&self, axis: usize) -> (usize, usize) {
        let before = self.kernel[axis].div_ceil(self.stride) - 1;
        let last = self.phases(axis).map(|phase| phase.from + phase.count).max().unwrap_or(0);
        (before, before + last.max(self.output[axis]))
    }
}

/// `[O,KH,KW,I]` to `[KH,KW,I,O]`, `O` padded to whole lanes.
pub(super) fn pack_forward(weights: &[f32], geometry: &Geometry, packed: &mut Vec<f32>) {
    let outputs = geometry.output[2];
    let terms = weights.len() / outputs;
    let lanes = pad_lanes(outputs);
    packed.clear();
    packed.resize(terms * lanes, 0.0);
    for (o, weights) in weights.chunks_exact(terms).enumerate() {
        for (packed, &weight) in packed.chunks_exact_mut(lanes).zip(weights) {
            packed[o] = weight;
        }
    }
}

/// `[O,KH,KW,I]` to the kernels of the data gradient: for each phase in rows and in columns
/// `[taps,taps,O,I]`, mirrored, `I` padded to whole lanes.
pub(super) fn pack_backward(weights: &[f32], geometry: &Geometry, packed: &mut Vec<f32>) {
    let geometry = geometry.merged();
    let Geometry { input: [.., inputs], output: [.., outputs], kernel: [kh, kw], stride, .. } =
        geometry;
    let lanes = pad_lanes(inputs);
    packed.clear();
    for (ry, rows) in geometry.phases(0).enumerate() {
        for (rx, columns) in geometry.phases(1).enumerate() {
            for (t, u) in (0..rows.taps).flat_map(|t| (0..columns.taps).map(move |u| (t, u))) {
                let ky = ry + stride * (rows.taps - 1 - t);
                let kx = rx + stride * (columns.taps - 1 - u);
                for o in 0..outputs {
                    let start = ((o * kh + ky) * kw + kx) * inputs;
                    let end = packed.len() + lanes;
                    packed.extend_from_slice(&weights[start..start + inputs]);
                    packed.resize(end, 0.0);
                }
            }
        }
    }
}

/// `y = x * w + bias`. `x`: `[N,H,W,I]`, `y`: `[N,H,W,O]`, `packed`: of [`pack_forward`].
pub(super) fn forward(
    geometry: &Geometry,
    packed: &[f32],
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
    scratch: &mut Scratch,
) {
    match bias {
        Some(bias) => y.chunks_exact_mut(bias.len()).for_each(|y| y.copy_from_slice(bias)),
        None => y.fill(0.0),
    }
    let geometry = geometry.merged();
    let Geometry { output: [rows, columns, outputs], kernel: [kh, kw], stride, .. } = geometry;
    let [_, columns_padded, inputs] = geometry.padded();
    let b_k = pad_lanes(outputs);
    for (x, y) in images(x, geometry.input).zip(y.chunks_exact_mut(rows * columns * outputs)) {
        let x = pad(x, geometry.input, geometry.padding, &mut scratch.padded);
        for row in 0..rows {
            let shape = Contraction {
                m: columns,
                n: outputs,
                k: kw * inputs,
                segments: kh,
                a: Strides {
                    start: row * stride * columns_padded * inputs,
                    segment: columns_padded * inputs,
                    m: stride * inputs,
                    k: 1,
                },
                b: Strides { start: 0, segment: kw * inputs * b_k, m: 0, k: b_k },
                c0: row * columns * outputs,
                c_m: outputs,
            };
            contract(&shape, x, packed, y);
        }
    }
}

/// Adds the gradient of the weights to `dw`, which is `[KH,KW,I,O]`.
pub(super) fn backward_weights(
    geometry: &Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut Scratch,
) {
    let geometry = geometry.merged();
    let Geometry { output: [rows, columns, outputs], kernel: [kh, kw], stride, .. } = geometry;
    let [_, columns_padded, inputs] = geometry.padded();
    let b_k = pad_lanes(outputs);
    for (x, dy) in images(x, geometry.input).zip(images(dy, geometry.output)) {
        let x = pad(x, geometry.input, geometry.padding, &mut scratch.padded);
        let dy = widen(dy, outputs, &mut scratch.lanes);
        for ky in 0..kh {
            let shape = Contraction {
                m: kw * inputs,
                n: outputs,
                k: columns,
                segments: rows,
                a: Strides {
                    start: ky * columns_padded * inputs,
                    segment: stride * columns_padded * inputs,
                    m: 1,
                    k: stride * inputs,
                },
                b: Strides { start: 0, segment: columns * b_k, m: 0, k: b_k },
                c0: ky * kw * inputs * outputs,
                c_m: outputs,
            };
            contract(&shape, x, dy, dw);
        }
    }
}

/// Adds the gradient of the bias to `db`, `[O]`.
pub(super) fn backward_bias(dy: &[f32], db: &mut [f32]) {
    for dy in dy.chunks_exact(db.len()) {
        db.iter_mut().zip(dy).for_each(|(db, dy)| *db += dy);
    }
}

/// Adds the gradient of the input to `dx`. `packed`: of [`pack_backward`].
///
/// An input position meets only the kernel positions that are congruent to it modulo the stride,
/// so each residue is a convolution of stride 1 of its own, over the output's gradient.
pub(super) fn backward_data(
    geometry: &Geometry,
    packed: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    scratch: &mut Scratch,
) {
    let geometry = geometry.merged();
    let Geometry { input, output, stride, .. } = geometry;
    let (b_k, outputs) = (pad_lanes(input[2]), output[2]);
    let ((top, rows_padded), (left, columns_padded)) =
        (geometry.gradient_padding(0), geometry.gradient_padding(1));
    let padding = Padding {
        top,
        left,
        bottom: rows_padded - top - output[0],
        right: columns_padded - left - output[1],
    };
    for (dy, dx) in images(dy, output).zip(dx.chunks_exact_mut(input.iter().product())) {
        let dy = pad(dy, output, padding, &mut scratch.padded);
        let mut b_start = 0;
        for rows in geometry.phases(0) {
            for columns in geometry.phases(1) {
                for row in 0..rows.count {
                    let from_row = (rows.from + row + 1 + top).saturating_sub(rows.taps);
                    let from_column = (columns.from + 1 + left).saturating_sub(columns.taps);
                    let shape = Contraction {
                        m: columns.count,
                        n: input[2],
                        k: columns.taps * outputs,
                        segments: rows.taps,
                        a: Strides {
                            start: (from_row * columns_padded + from_column) * outputs,
                            segment: columns_padded * outputs,
                            m: outputs,
                            k: 1,
                        },
                        b: Strides {
                            start: b_start,
                            segment: columns.taps * outputs * b_k,
                            m: 0,
                            k: b_k,
                        },
                        c0: ((rows.first + stride * row) * input[1] + columns.first) * input[2],
                        c_m: stride * input[2],
                    };
                    contract(&shape, dy, packed, dx);
                }
                b_start += rows.taps * columns.taps * outputs * b_k;
            }
        }
    }
}

fn images(x: &[f32], shape: [usize; 3]) -> std::slice::ChunksExact<'_, f32> {
    x.chunks_exact(shape.iter().product())
}

/// The image `[H,W,C]` with zeros around it; the image itself where there are none.
fn pad<'a>(
    x: &'a [f32],
    [_, columns, channels]: [usize; 3],
    padding: Padding,
    padded: &'a mut Vec<f32>,
) -> &'a [f32] {
    if padding == Padding::default() {
        return x;
    }
    let Padding { top, left, bottom, right } = padding;
    let row = (left + columns + right) * channels;
    padded.clear();
    padded.resize(top * row, 0.0);
    for x in x.chunks_exact(columns * channels) {
        padded.resize(padded.len() + left * channels, 0.0);
        padded.extend_from_slice(x);
        padded.resize(padded.len() + right * channels, 0.0);
    }
    padded.resize(padded.len() + bottom * row, 0.0);
    padded
}

/// `[.., C]` with `C` padded to whole lanes; the values themselves where it is whole.
fn widen<'a>(x: &'a [f32], channels: usize, lanes: &'a mut Vec<f32>) -> &'a [f32] {
    let width = pad_lanes(channels);
    if width == channels {
        return x;
    }
    lanes.clear();
    for x in x.chunks_exact(channels) {
        lanes.extend_from_slice(x);
        lanes.resize(lanes.len() + width - channels, 0.0);
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    fn naive(geometry: &Geometry, weights: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
        let Geometry { input: [h, w, i], output: [oh, ow, o], kernel: [kh, kw], stride, padding } =
            *geometry;
        let mut y = Vec::new();
        for (x, oy) in x.chunks_exact(h * w * i).flat_map(|x| (0..oh).map(move |oy| (x, oy))) {
            for (ox, o) in (0..ow).flat_map(|ox| (0..o).map(move |o| (ox, o))) {
                let mut sum = f64::from(bias[o]);
                for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                    let row = (oy * stride + ky).checked_sub(padding.top).filter(|&y| y < h);
                    let column = (ox * stride + kx).checked_sub(padding.left).filter(|&x| x < w);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    for c in 0..i {
                        let weight = weights[((o * kh + ky) * kw + kx) * i + c];
                        sum += f64::from(weight) * f64::from(x[(row * w + column) * i + c]);
                    }
                }
                y.push(sum as f32);
            }
        }
        y
    }

    /// Forward against the definition; both gradients against differences of the definition.
    #[track_caller]
    fn check(
        input: [usize; 3],
        outputs: usize,
        kernel: [usize; 2],
        stride: usize,
        pad: [usize; 4],
    ) {
        let [top, left, bottom, right] = pad;
        let axis = |size, kernel| (size - kernel) / stride + 1;
        let rows = axis(input[0] + top + bottom, kernel[0]);
        let output = [rows, axis(input[1] + left + right, kernel[1]), outputs];
        let padding = Padding { top, left, bottom, right };
        let geometry = Geometry { input, output, kernel, stride, padding };
        let x = noise(1, 2 * input.iter().product::<usize>());
        let weights = noise(2, outputs * kernel[0] * kernel[1] * input[2]);
        let bias = noise(3, outputs);
        let expected = naive(&geometry, &weights, &bias, &x);
        let (mut packed, mut scratch) = (Vec::new(), Scratch::default());
        pack_forward(&weights, &geometry, &mut packed);
        let mut y = vec![f32::NAN; expected.len()];
        forward(&geometry, &packed, Some(&bias), &x, &mut y, &mut scratch);
        for (y, expected) in y.iter().zip(&expected) {
            assert!((y - expected).abs() < 1e-5, "{geometry:?}: {y}, expected {expected}");
        }
        let dy = noise(4, y.len());
        pack_backward(&weights, &geometry, &mut packed);
        let mut dx = vec![1.0; x.len()];
        backward_data(&geometry, &packed, &dy, &mut dx, &mut scratch);
        dx.iter_mut().for_each(|dx| *dx -= 1.0);
        check_gradient(&x, &dy, &dx, |x| naive(&geometry, &weights, &bias, x));
        let mut dw_packed = vec![0.0; weights.len()];
        backward_weights(&geometry, &x, &dy, &mut dw_packed, &mut scratch);
        let terms = weights.len() / outputs;
        let dw: Vec<f32> =
            (0..weights.len()).map(|i| dw_packed[i % terms * outputs + i / terms]).collect();
        check_gradient(&weights, &dy, &dw, |weights| naive(&geometry, weights, &bias, &x));
        let mut db = vec![0.0; outputs];
        backward_bias(&dy, &mut db);
        check_gradient(&bias, &dy, &db, |bias| naive(&geometry, &weights, bias, &x));
    }

    #[test]
    fn convolutions_are_the_definition_and_so_are_their_gradients() {
        check([1, 1, 1], 1, [1, 1], 1, [0; 4]);
        check([1, 1, 3], 2, [3, 3], 1, [1; 4]);
        check([4, 5, 2], 3, [1, 1], 1, [0; 4]);
        check([5, 7, 3], 2, [1, 1], 2, [0; 4]);
        check([6, 4, 1], 17, [3, 3], 1, [1; 4]);
        check([5, 7, 2], 16, [3, 3], 2, [1; 4]);
        check([6, 6, 2], 3, [3, 3], 2, [0, 0, 1, 1]); // TensorFlow's SAME
        check([6, 5, 2], 3, [3, 3], 2, [1, 0, 0, 2]);
        check([9, 8, 3], 2, [7, 7], 2, [3; 4]);
        check([7, 7, 2], 2, [2, 2], 3, [0; 4]); // positions that no window sees
        check([5, 6, 2], 2, [2, 3], 1, [0, 1, 1, 0]);
        check([4, 4, 2], 2, [3, 3], 4, [2, 3, 4, 1]); // padding wider than the kernel's half
    }
}
