//! Direct convolution: any kernel, stride and padding, each pass a contraction.

use super::{Border, Geometry, panel_columns, panels};
use resmcu_engine_kernels::{
    AStrides, Ahead, Arena, BStrides, CStrides, Contraction, PANEL, Transposition, kernels,
};

/// How a convolution's operands are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Image by image, row by row.
    Rows,
    /// A 1x1 convolution's: all pixels in a row, the channels of each side by side.
    Pixels,
    /// The same, each [`PANEL`] of channels by itself.
    Panels,
}

/// Pixels of a 1x1 convolution whose products the weight gradient sums at a time: each of its tiles
/// passes over all of them, so they have to stay in the cache.
const BLOCK_PIXELS: usize = 256;

/// The same of other kernels, in values of the larger operand's rows.
const BLOCK_VALUES: usize = 96 * 1024;

/// One axis of the data gradient: the input positions `first + stride · j`, `j < count`, get
/// `taps` terms each, the last from output position `from + j`.
///
/// An input position meets only the kernel positions that are congruent to it modulo the stride,
/// so each residue is a convolution of stride 1 of its own, over the output's gradient.
#[derive(Clone, Copy, Debug)]
struct Phase {
    taps: usize,
    first: usize,
    count: usize,
    from: usize,
}

fn phases(geometry: &Geometry, axis: usize) -> impl Iterator<Item = Phase> {
    let Geometry { input, kernel, stride, padding, .. } = *geometry;
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

/// Zeros around the output's gradient, so that every tap of the data gradient finds one.
pub(super) fn gradient_border(geometry: &Geometry) -> Border {
    let axis = |axis: usize| {
        let before = geometry.kernel[axis].div_ceil(geometry.stride) - 1;
        let last = phases(geometry, axis).map(|phase| phase.from + phase.count).max();
        (before, before + last.unwrap_or(0).max(geometry.output[axis]))
    };
    let ((top, rows), (left, columns)) = (axis(0), axis(1));
    Border { top, left, rows, columns, panels: false }
}

/// `[O,KH,KW,I]` to panels of output channels: `[panel][KH,KW,I][columns]`, with channels padded.
pub(super) fn pack_forward(
    geometry: &Geometry,
    [inputs, outputs]: [usize; 2],
    weights: &[f32],
    packed: &mut Arena,
) {
    let Geometry { input: [.., inputs_padded], output: [.., n], kernel: [kh, kw], .. } = *geometry;
    let (columns, terms) = (panel_columns(n), kh * kw * inputs_padded);
    let is_padded = inputs < inputs_padded || outputs < panels(n) * columns;
    let packed = room(packed, panels(n) * terms * columns, is_padded);
    let (taps, row) = (kh * kw, kh * kw * inputs);
    let of_panels = packed.chunks_exact_mut(terms * columns);
    for (packed, weights) in of_panels.zip(weights[..outputs * row].chunks(columns * row)) {
        let rows = weights.len() / row;
        for tap in 0..taps {
            let start = tap * inputs;
            let shape =
                Transposition { start, rows, columns: inputs, from_row: row, to_row: columns };
            let packed = &mut packed[tap * inputs_padded * columns..];
            kernels().transpose(&shape, &[weights], packed);
        }
    }
}

/// Room for packed weights. Where there is padding, all is zero before weights come.
fn room(packed: &mut Arena, len: usize, is_padded: bool) -> &mut [f32] {
    packed.resize(len);
    if is_padded {
        packed.values_mut().fill(0.0);
    }
    packed.values_mut()
}

/// `[O,KH,KW,I]` to the kernels of the data gradient: for each phase in rows and in columns panels
/// of input channels, `[panel][taps,taps,O][columns]`, mirrored, with channels padded.
pub(super) fn pack_backward(
    geometry: &Geometry,
    [inputs, outputs]: [usize; 2],
    weights: &[f32],
    packed: &mut Arena,
) {
    let Geometry { input: [.., n], output: [.., outputs_padded], kernel: [kh, kw], stride, .. } =
        *geometry;
    let columns = panel_columns(n);
    let all = phases(geometry, 0)
        .flat_map(|rows| phases(geometry, 1).map(move |columns| rows.taps * columns.taps));
    let is_padded = outputs < outputs_padded || inputs < panels(n) * columns;
    let len = all.sum::<usize>() * outputs_padded * panels(n) * columns;
    let packed = room(packed, len, is_padded);
    let mut start = 0;
    for (ry, rows) in phases(geometry, 0).enumerate() {
        for (rx, phase) in phases(geometry, 1).enumerate() {
            let terms = rows.taps * phase.taps * outputs_padded;
            for (t, u) in (0..rows.taps).flat_map(|t| (0..phase.taps).map(move |u| (t, u))) {
                let ky = ry + stride * (rows.taps - 1 - t);
                let kx = rx + stride * (phase.taps - 1 - u);
                for o in 0..outputs {
                    let from = &weights[((o * kh + ky) * kw + kx) * inputs..][..inputs];
                    let term = (t * phase.taps + u) * outputs_padded + o;
                    for (panel, from) in from.chunks(columns).enumerate() {
                        let to = start + (panel * terms + term) * columns;
                        packed[to..to + from.len()].copy_from_slice(from);
                    }
                }
            }
            start += panels(n) * terms * columns;
        }
    }
}

pub(super) fn forward(
    geometry: &Geometry,
    reading: Reading,
    x: &[f32],
    packed: &[f32],
    y: &mut [f32],
    ahead: &mut Ahead,
) {
    let Geometry { input: [h, w, inputs], output: [rows, columns, n], kernel: [kh, kw], .. } =
        *geometry;
    if reading != Reading::Rows {
        return pointwise([inputs, n], reading, x, packed, y, false, ahead);
    }
    let width = panel_columns(n);
    let super::Padding { top, left, bottom, right } = geometry.padding;
    let [rows_padded, columns_padded] = [h + top + bottom, w + left + right];
    let images = x.chunks_exact(rows_padded * columns_padded * inputs);
    for (x, y) in images.zip(y.chunks_exact_mut(rows * columns * n)) {
        let shape = Contraction {
            batch: rows,
            m: columns,
            n,
            k: kw * inputs,
            segments: kh,
            a: AStrides {
                start: 0,
                batch: geometry.stride * columns_padded * inputs,
                segment: columns_padded * inputs,
                m: geometry.stride * inputs,
                k: 1,
            },
            b: BStrides {
                start: 0,
                batch: 0,
                segment: kw * inputs * width,
                k: width,
                panel: kh * kw * inputs * PANEL,
            },
            c: CStrides { start: 0, batch: columns * n, m: n },
            accumulate: false,
        };
        kernels().contract(&shape, x, packed, y, ahead);
    }
}

/// `y = x * w`, or added to `y`, for 1x1 kernels: all pixels are rows of one product.
fn pointwise(
    [inputs, n]: [usize; 2],
    reading: Reading,
    x: &[f32],
    packed: &[f32],
    y: &mut [f32],
    accumulate: bool,
    ahead: &mut Ahead,
) {
    let (width, pixels) = (panel_columns(n), y.len() / n);
    let [segments, row, segment] = match reading {
        Reading::Panels => [inputs / PANEL, PANEL, pixels * PANEL],
        _ => [1, inputs, 0],
    };
    let k = inputs / segments;
    let shape = Contraction {
        batch: 1,
        m: pixels,
        n,
        k,
        segments,
        a: AStrides { start: 0, batch: 0, segment, m: row, k: 1 },
        b: BStrides { start: 0, batch: 0, segment: k * width, k: width, panel: inputs * PANEL },
        c: CStrides { start: 0, batch: 0, m: n },
        accumulate,
    };
    kernels().contract(&shape, x, packed, y, ahead);
}

/// The weight gradient of 1x1 kernels, `[I,O]`, or it added to `sums`.
fn pointwise_weights(
    [inputs, n]: [usize; 2],
    reading: Reading,
    [x, dy]: [&[f32]; 2],
    sums: &mut [f32],
    mut accumulate: bool,
    ahead: &mut Ahead,
) {
    let pixels = x.len() / inputs;
    let [batch, x_pixel, dy_pixel, x_panel, dy_panel] = match reading {
        Reading::Panels => [inputs / PANEL, PANEL, PANEL, pixels * PANEL, pixels * PANEL],
        _ => [1, inputs, n, 0, PANEL],
    };
    let m = inputs / batch;
    for first in (0..pixels).step_by(BLOCK_PIXELS) {
        let shape = Contraction {
            batch,
            m,
            n,
            k: BLOCK_PIXELS.min(pixels - first),
            segments: 1,
            a: AStrides { start: first * x_pixel, batch: x_panel, segment: 0, m: 1, k: x_pixel },
            b: BStrides {
                start: first * dy_pixel,
                batch: 0,
                segment: 0,
                k: dy_pixel,
                panel: dy_panel,
            },
            c: CStrides { start: 0, batch: m * n, m: n },
            accumulate,
        };
        kernels().contract(&shape, x, dy, sums, ahead);
        accumulate = true;
    }
}

pub(super) fn backward_weights(
    geometry: &Geometry,
    reading: Reading,
    [x_border, dy_border]: [Border; 2],
    [x, dy]: [&[f32]; 2],
    sums: &mut [f32],
    accumulate: bool,
    ahead: &mut Ahead,
) {
    let Geometry {
        input: [.., inputs], output: [rows, columns, n], kernel: [kh, kw], stride, ..
    } = *geometry;
    if reading != Reading::Rows {
        return pointwise_weights([inputs, n], reading, [x, dy], sums, accumulate, ahead);
    }
    let mut shape = Contraction {
        batch: kh,
        m: kw * inputs,
        n,
        k: columns,
        segments: rows,
        a: AStrides {
            start: 0,
            batch: x_border.columns * inputs,
            segment: stride * x_border.columns * inputs,
            m: 1,
            k: stride * inputs,
        },
        b: BStrides {
            start: dy_border.origin() * n,
            batch: 0,
            segment: dy_border.columns * n,
            k: n,
            panel: PANEL,
        },
        c: CStrides { start: 0, batch: kw * inputs * n, m: n },
        accumulate,
    };
    let [x_start, dy_start] = [shape.a.start, shape.b.start];
    let block = (BLOCK_VALUES / (columns * inputs.max(n))).max(1);
    let images = x.chunks_exact(x_border.pixels() * inputs);
    for (x, dy) in images.zip(dy.chunks_exact(dy_border.pixels() * n)) {
        for first in (0..rows).step_by(block) {
            shape.segments = block.min(rows - first);
            shape.a.start = x_start + first * shape.a.segment;
            shape.b.start = dy_start + first * shape.b.segment;
            kernels().contract(&shape, x, dy, sums, ahead);
            shape.accumulate = true;
        }
    }
}

pub(super) fn backward_data(
    geometry: &Geometry,
    reading: Reading,
    dy: &[f32],
    packed: &[f32],
    dx: &mut [f32],
    accumulate: bool,
    ahead: &mut Ahead,
) {
    let Geometry { input, output: [.., outputs], stride, .. } = *geometry;
    let (n, width) = (input[2], panel_columns(input[2]));
    if reading != Reading::Rows {
        return pointwise([outputs, n], reading, dy, packed, dx, accumulate, ahead);
    }
    let border = gradient_border(geometry);
    // Positions that no window sees, and phases without taps, have no gradient.
    let has_gaps = phases(geometry, 0).chain(phases(geometry, 1)).any(|p| p.taps == 0)
        || (0..2).any(|axis| phases(geometry, axis).map(|p| p.count).sum::<usize>() < input[axis]);
    if has_gaps && !accumulate {
        dx.fill(0.0);
    }
    let images = dy.chunks_exact(border.pixels() * outputs);
    for (dy, dx) in images.zip(dx.chunks_exact_mut(input.iter().product())) {
        let mut b_start = 0;
        for rows in phases(geometry, 0) {
            for columns in phases(geometry, 1) {
                let terms = rows.taps * columns.taps * outputs;
                let from_row = (rows.from + 1 + border.top).saturating_sub(rows.taps);
                let from_column = (columns.from + 1 + border.left).saturating_sub(columns.taps);
                let shape = Contraction {
                    batch: rows.count,
                    m: columns.count,
                    n,
                    k: columns.taps * outputs,
                    segments: rows.taps,
                    a: AStrides {
                        start: (from_row * border.columns + from_column) * outputs,
                        batch: border.columns * outputs,
                        segment: border.columns * outputs,
                        m: outputs,
                        k: 1,
                    },
                    b: BStrides {
                        start: b_start,
                        batch: 0,
                        segment: columns.taps * outputs * width,
                        k: width,
                        panel: terms * PANEL,
                    },
                    c: CStrides {
                        start: (rows.first * input[1] + columns.first) * n,
                        batch: stride * input[1] * n,
                        m: stride * n,
                    },
                    accumulate,
                };
                kernels().contract(&shape, dy, packed, dx, ahead);
                b_start += panels(n) * terms * width;
            }
        }
    }
}
