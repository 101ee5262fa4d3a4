//! 3x3 convolution with stride 1 and padding 1 by Winograd's F(4x4,3x3), Lavin and Gray 2016.
//!
//! Four times fewer products than the direct way. Rounding errors are some 3e-6 of the result's
//! deviation in f32. Tiles are taken in groups, so that a group's transformed values stay in the
//! cache; the products over channels are one batched contraction a group.

use std::ops::Range;

use super::{Border, Geometry, panel_columns, panels};
use crate::graph::Padding;
use resmcu_engine_kernels::{
    AStrides, Ahead, Arena, BStrides, CStrides, Contraction, FREQUENCIES, LANES, PANEL, SPAN, TILE,
    TileRow, WeightShape, kernels,
};

/// Tiles of a group at least, or one row of tiles where that is more.
const GROUP_TILES: usize = 16;

/// The transformed weights pass through the cache once a group: a group may have this share of
/// their values.
const WEIGHTS_SHARE: usize = 8;

/// The same of the weight gradient, whose sums are transformed once a group.
pub(super) const WEIGHT_GROUP_TILES: usize = 64;

/// Sums of the weight gradient, one for each frequency and pair of channels, that are taken at a
/// time, so that they stay in the second-level cache until they are transformed.
const WEIGHT_BLOCK_VALUES: usize = 320 * 1024;

/// Whether the transforms pay: a tile costs 36 products where the direct way has 144, but borders
/// are computed in vain and the transforms themselves take a third more.
pub(super) fn suits(geometry: &Geometry) -> bool {
    let Geometry { input: [h, w, i], output: [oh, ow, _], kernel, stride, padding } = *geometry;
    let tiles: usize = tiles(geometry).iter().product();
    kernel == [3, 3]
        && stride == 1
        && padding == Padding::symmetric(1)
        && [h, w] == [oh, ow]
        && i.is_multiple_of(LANES)
        && 3 * FREQUENCIES * tiles <= 2 * 9 * h * w
}

/// Rows and columns of tiles.
pub(super) fn tiles(geometry: &Geometry) -> [usize; 2] {
    let [h, w, _] = geometry.output;
    [h.div_ceil(TILE), w.div_ceil(TILE)]
}

/// One pixel before, and as many after as the last tile reaches.
pub(super) fn border(geometry: &Geometry) -> Border {
    let [rows, columns] = tiles(geometry).map(|tiles| tiles * TILE + SPAN - TILE);
    Border { top: 1, left: 1, rows, columns, panels: false }
}

/// Values from one frequency of a group to the next: a cache line more than there are, because
/// strides of a power of two fall into few of the cache's sets.
fn frequency(group: usize, channels: usize) -> usize {
    group * channels + LANES
}

/// Tiles of a group of the forward pass and of the data gradient.
fn group_tiles(geometry: &Geometry) -> usize {
    GROUP_TILES.max(geometry.input[2].min(geometry.output[2]) / WEIGHTS_SHARE)
}

/// Both transformed operands of a group, and the weight gradient's sums of a block.
pub(super) fn scratch_values(geometry: &Geometry) -> usize {
    let [inputs, outputs] = [geometry.input[2], geometry.output[2]];
    let operands = |tiles: usize| {
        let group = Groups::new(geometry, 1, tiles).tiles_max();
        FREQUENCIES * (frequency(group, inputs) + frequency(group, outputs))
    };
    let sums = FREQUENCIES * block_channels(geometry) * outputs;
    operands(group_tiles(geometry)).max(operands(WEIGHT_GROUP_TILES) + sums)
}

/// Input channels whose sums of the weight gradient are taken at a time.
fn block_channels(geometry: &Geometry) -> usize {
    let affordable = WEIGHT_BLOCK_VALUES / (FREQUENCIES * geometry.output[2]);
    (affordable / LANES * LANES).clamp(LANES, geometry.input[2])
}

/// The sizes of one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    geometry: Geometry,
    inputs: usize,
    outputs: usize,
}

impl Shape {
    pub(super) fn forward(geometry: &Geometry) -> Self {
        Self { geometry: *geometry, inputs: geometry.input[2], outputs: geometry.output[2] }
    }

    /// The data gradient is the convolution of the gradient with the mirrored kernel.
    pub(super) fn backward(geometry: &Geometry) -> Self {
        Self { geometry: *geometry, inputs: geometry.output[2], outputs: geometry.input[2] }
    }
}

/// Rows of tiles over some images, in groups.
#[derive(Clone, Copy, Debug)]
struct Groups {
    /// Rows and columns of tiles of an image.
    tiles: [usize; 2],
    /// Rows of tiles of a group.
    rows_each: usize,
    /// Rows of tiles of all images.
    rows: usize,
}

impl Groups {
    /// Groups of up to `group` tiles, or of one row of them.
    fn new(geometry: &Geometry, images: usize, group: usize) -> Self {
        let tiles = tiles(geometry);
        let rows_each = (group / tiles[1]).max(1);
        Self { tiles, rows_each, rows: tiles[0] * images }
    }

    fn tiles_max(&self) -> usize {
        self.rows_each * self.tiles[1]
    }

    /// For each group its rows: position in the group, image, and row of tiles in the image.
    fn each(self) -> impl Iterator<Item = impl Iterator<Item = (usize, usize, usize)> + Clone> {
        let of_image = self.tiles[0];
        (0..self.rows).step_by(self.rows_each).map(move |first| {
            let end = (first + self.rows_each).min(self.rows);
            (first..end).map(move |row| (row - first, row / of_image, row % of_image))
        })
    }
}

/// `[taps,I]` in panels of output channels to `[frequencies]` of the same.
pub(super) fn pack(taps: &[f32], inputs: usize, outputs: usize, packed: &mut Arena) {
    let columns = panel_columns(outputs);
    let frequency = panels(outputs) * inputs * columns;
    packed.resize(FREQUENCIES * frequency);
    let shape = WeightShape { lanes: columns, tap: inputs * columns, frequency, accumulate: false };
    for (panel, taps) in taps.chunks_exact(9 * inputs * columns).enumerate() {
        for i in 0..inputs {
            let to = (panel * inputs + i) * columns;
            kernels().winograd_weights(
                &shape,
                &taps[i * columns..],
                &mut packed.values_mut()[to..],
            );
        }
    }
}

/// `y = x * w`, or added to `y`. `x` has [`border`]; `y` is `[N,H,W,O]`.
pub(super) fn convolve(
    shape: &Shape,
    x: &[f32],
    packed: &[f32],
    y: &mut [f32],
    accumulate: bool,
    scratch: &mut [f32],
    ahead: &mut Ahead,
) {
    let Shape { geometry, inputs, outputs } = *shape;
    let border = border(&geometry);
    let [h, w, _] = geometry.output;
    let groups = Groups::new(&geometry, y.len() / (h * w * outputs), group_tiles(&geometry));
    let [tiles_column, group] = [groups.tiles[1], groups.tiles_max()];
    let (v, m) = scratch.split_at_mut(FREQUENCIES * frequency(group, inputs));
    let input = TileRow {
        tiles: tiles_column,
        channels: inputs,
        pixel_row: border.columns * inputs,
        valid: [0; 2],
        frequency: frequency(group, inputs),
        tile: LANES,
        block: group * LANES,
        accumulate: false,
    };
    let mut output = TileRow {
        channels: outputs,
        pixel_row: w * outputs,
        frequency: frequency(group, outputs),
        tile: outputs,
        block: LANES,
        accumulate,
        ..input
    };
    for rows in groups.each() {
        let mut count = 0;
        for (slot, image, tile) in rows.clone() {
            let from = (image * border.rows + tile * TILE) * border.columns * inputs;
            kernels().winograd_input(&input, &x[from..], &mut v[slot * tiles_column * LANES..]);
            count += tiles_column;
        }
        let contraction = products(shape, group, count);
        kernels().contract(&contraction, v, packed, m, ahead);
        for (slot, image, tile) in rows {
            output.valid = [h - tile * TILE, w];
            let to = (image * h + tile * TILE) * w * outputs;
            kernels().winograd_output(&output, &m[slot * tiles_column * outputs..], &mut y[to..]);
        }
    }
}

/// The products of `count` transformed tiles, of a group of at most `group`, with the weights. The
/// transformed input lies in blocks of channels: neighbouring tiles are as far apart whatever the
/// number of channels, and the contraction has instructions for that distance.
fn products(shape: &Shape, group: usize, count: usize) -> Contraction {
    let Shape { inputs, outputs, .. } = *shape;
    let columns = panel_columns(outputs);
    Contraction {
        batch: FREQUENCIES,
        m: count,
        n: outputs,
        k: LANES,
        segments: inputs / LANES,
        a: AStrides {
            start: 0,
            batch: frequency(group, inputs),
            segment: group * LANES,
            m: LANES,
            k: 1,
        },
        b: BStrides {
            start: 0,
            batch: panels(outputs) * inputs * columns,
            segment: LANES * columns,
            k: columns,
            panel: inputs * PANEL,
        },
        c: CStrides { start: 0, batch: frequency(group, outputs), m: outputs },
        accumulate: false,
    }
}

/// The weight gradient, `[taps,I,O]`, or it added to `sums`. `x` and `dy` have [`border`].
///
/// A block of input channels at a time, because of the sums: there are four times as many as
/// weights.
pub(super) fn backward_weights(
    geometry: &Geometry,
    x: &[f32],
    dy: &[f32],
    sums: &mut [f32],
    mut accumulate: bool,
    scratch: &mut [f32],
    ahead: &mut Ahead,
) {
    let border = border(geometry);
    let [inputs, outputs] = [geometry.input[2], geometry.output[2]];
    let images = x.len() / (border.pixels() * inputs);
    let groups = Groups::new(geometry, images, WEIGHT_GROUP_TILES);
    let [tiles_column, group] = [groups.tiles[1], groups.tiles_max()];
    let (v, rest) = scratch.split_at_mut(FREQUENCIES * frequency(group, inputs));
    let (d, block_sums) = rest.split_at_mut(FREQUENCIES * frequency(group, outputs));
    let row = |channels: usize| TileRow {
        tiles: tiles_column,
        channels,
        pixel_row: border.columns * channels,
        valid: [0; 2],
        frequency: frequency(group, channels),
        tile: channels,
        block: LANES,
        accumulate: false,
    };
    let block = block_channels(geometry);
    for rows in groups.each() {
        let mut count = 0;
        for (slot, image, tile) in rows {
            let pixel = (image * border.rows + tile * TILE) * border.columns;
            let to = slot * tiles_column;
            kernels().winograd_input(&row(inputs), &x[pixel * inputs..], &mut v[to * inputs..]);
            let dy = &dy[(pixel + border.origin()) * outputs..];
            kernels().winograd_gradient(&row(outputs), dy, &mut d[to * outputs..]);
            count += tiles_column;
        }
        for first in (0..inputs).step_by(block) {
            let channels = first..(first + block).min(inputs);
            let contraction = weight_products(geometry, channels.clone(), group, count);
            kernels().contract(&contraction, v, d, block_sums, ahead);
            transform_sums(geometry, channels, block_sums, sums, accumulate);
        }
        accumulate = true;
    }
}

/// The products of `count` transformed tiles, of a group of at most `group`, of some input channels
/// with those of the gradient: sums `[frequencies,channels,O]`.
fn weight_products(
    geometry: &Geometry,
    channels: Range<usize>,
    group: usize,
    count: usize,
) -> Contraction {
    let [inputs, outputs] = [geometry.input[2], geometry.output[2]];
    Contraction {
        batch: FREQUENCIES,
        m: channels.len(),
        n: outputs,
        k: count,
        segments: 1,
        a: AStrides {
            start: channels.start,
            batch: frequency(group, inputs),
            segment: 0,
            m: 1,
            k: inputs,
        },
        b: BStrides {
            start: 0,
            batch: frequency(group, outputs),
            segment: 0,
            k: outputs,
            panel: PANEL,
        },
        c: CStrides { start: 0, batch: channels.len() * outputs, m: outputs },
        accumulate: false,
    }
}

/// Turns sums `[frequencies,channels,O]` into `[taps,I,O]` of some input channels.
fn transform_sums(
    geometry: &Geometry,
    channels: Range<usize>,
    block_sums: &[f32],
    sums: &mut [f32],
    accumulate: bool,
) {
    let [inputs, outputs] = [geometry.input[2], geometry.output[2]];
    let shape = WeightShape {
        lanes: outputs,
        tap: inputs * outputs,
        frequency: channels.len() * outputs,
        accumulate,
    };
    for (position, channel) in channels.enumerate() {
        kernels().winograd_weight_gradient(
            &shape,
            &block_sums[position * outputs..],
            &mut sums[channel * outputs..],
        );
    }
}
