//! Convolution on some images: forward, and the gradients of input and weights.
//!
//! Owns the choice of algorithm, packing, and how an algorithm wants its operand to lie: the zero
//! border, or channels in panels; not bias, threads or the sum over images. There is no im2col
//! buffer: in NHWC the `KW·I` values under a kernel row lie side by side in the image with its
//! border. Channels are padded to whole lanes (but for the batch's); the weights of the padding are
//! zero.

mod direct;
#[cfg(test)]
mod tests;
mod winograd;

use crate::graph::Padding;
use resmcu_engine_kernels::{Ahead, Arena, LANES, PANEL, Transposition, kernels};

/// The shapes of one convolution, channels padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Where an operand's images lie, each inside its zero border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Border {
    /// Rows of zeros above.
    pub(super) top: usize,
    /// Columns of zeros before.
    pub(super) left: usize,
    /// Rows in all.
    pub(super) rows: usize,
    /// Columns in all.
    pub(super) columns: usize,
    /// Whether each [`PANEL`] of channels has the pixels of all images to itself; else a pixel's
    /// channels lie side by side. Without a border.
    pub(super) panels: bool,
}

/// The strides of one image of an operand, as those of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The first pixel that is not border.
    pub(super) start: usize,
    pub(super) row: usize,
    pub(super) panel: Option<usize>,
}

impl Border {
    /// No border around `[rows,columns]`, a pixel's channels side by side.
    pub(super) fn none([rows, columns]: [usize; 2]) -> Self {
        Self { top: 0, left: 0, rows, columns, panels: false }
    }

    /// Where the image at `position` of `images` lies.
    pub(super) fn place(&self, position: usize, images: usize, channels: usize) -> Place {
        let pixels = self.pixels();
        if self.panels {
            let panel = Some(images * pixels * PANEL);
            return Place { start: position * pixels * PANEL, row: self.columns * PANEL, panel };
        }
        let start = (position * pixels + self.origin()) * channels;
        Place { start, row: self.columns * channels, panel: None }
    }

    /// The first pixel that is not border.
    pub(super) fn origin(&self) -> usize {
        self.top * self.columns + self.left
    }

    /// Pixels in all.
    pub(super) fn pixels(&self) -> usize {
        self.rows * self.columns
    }
}

/// Weights of one convolution as the kernels want them.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) forward: Arena,
    pub(super) backward: Arena,
    /// On the way to Winograd's.
    taps: Arena,
}

/// One convolution with its algorithms.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    pub(super) geometry: Geometry,
    /// Input and output channels without padding.
    channels: [usize; 2],
    /// Winograd's, else direct.
    winograd: bool,
}

impl Convolution {
    pub(super) fn new(geometry: Geometry, channels: [usize; 2]) -> Self {
        let winograd = winograd::suits(&geometry);
        Self { geometry, channels, winograd }
    }

    /// A 1x1 convolution with stride 1 and no padding: all pixels are one long row.
    fn is_pointwise(&self) -> bool {
        let Geometry { kernel, stride, padding, .. } = self.geometry;
        kernel == [1, 1] && stride == 1 && padding == Padding::default()
    }

    /// How the direct algorithm reads the operands.
    fn reading(&self) -> direct::Reading {
        match (self.is_pointwise(), self.takes_panels()) {
            (true, true) => direct::Reading::Panels,
            (true, false) => direct::Reading::Pixels,
            _ => direct::Reading::Rows,
        }
    }

    /// A 1x1 convolution with whole panels of channels, and pixels enough to fill the kernels.
    ///
    /// With a pixel's many channels side by side, the rows of a product would be as far apart as
    /// all map to the same few sets of the cache.
    fn takes_panels(&self) -> bool {
        let Geometry { input: [h, w, inputs], output: [.., outputs], .. } = self.geometry;
        let whole = inputs.is_multiple_of(PANEL) && outputs.is_multiple_of(PANEL);
        self.is_pointwise() && whole && h * w >= LANES
    }

    /// Images of one call that fill the kernels' registers.
    pub(super) fn images_wanted(&self) -> usize {
        let [h, w, _] = self.geometry.output;
        if self.winograd {
            winograd::WEIGHT_GROUP_TILES.div_ceil(winograd::tiles(&self.geometry).iter().product())
        } else {
            LANES.div_ceil(h * w)
        }
    }

    /// Values of the packed weights of one pass.
    pub(super) fn packed_values(&self) -> usize {
        let Geometry { input: [.., inputs], output: [.., outputs], kernel: [kh, kw], .. } =
            self.geometry;
        inputs * outputs * if self.winograd { resmcu_engine_kernels::FREQUENCIES } else { kh * kw }
    }

    /// The border around the input.
    pub(super) fn input_border(&self) -> Border {
        let Geometry { input: [h, w, _], padding, .. } = self.geometry;
        if self.winograd {
            return winograd::border(&self.geometry);
        }
        let Padding { top, left, bottom, right } = padding;
        let [rows, columns] = [h + top + bottom, w + left + right];
        Border { top, left, rows, columns, panels: self.takes_panels() }
    }

    /// The border around the output's gradient.
    pub(super) fn gradient_border(&self) -> Border {
        if self.winograd {
            return winograd::border(&self.geometry);
        }
        Border { panels: self.takes_panels(), ..direct::gradient_border(&self.geometry) }
    }

    /// Values of scratch memory.
    pub(super) fn scratch_values(&self) -> usize {
        if self.winograd { winograd::scratch_values(&self.geometry) } else { 0 }
    }

    /// Packs weights `[O,KH,KW,I]`, for the data gradient too where `backward` says so.
    pub(super) fn pack(&self, weights: &[f32], backward: bool, packed: &mut Packed) {
        let Packed { forward, backward: gradient, taps } = packed;
        if self.winograd {
            direct::pack_forward(&self.geometry, self.channels, weights, taps);
            let [inputs, outputs] = [self.geometry.input[2], self.geometry.output[2]];
            winograd::pack(taps.values(), inputs, outputs, forward);
            if backward {
                direct::pack_backward(&self.geometry, self.channels, weights, taps);
                winograd::pack(taps.values(), outputs, inputs, gradient);
            }
        } else {
            direct::pack_forward(&self.geometry, self.channels, weights, forward);
            if backward {
                direct::pack_backward(&self.geometry, self.channels, weights, gradient);
            }
        }
    }

    /// `y = x * w`. `x`: images with [`Self::input_border`]; `y`: `[N,H,W,O]`.
    pub(super) fn forward(
        &self,
        x: &[f32],
        packed: &Packed,
        y: &mut [f32],
        scratch: &mut [f32],
        ahead: &mut Ahead,
    ) {
        if self.winograd {
            let shape = winograd::Shape::forward(&self.geometry);
            winograd::convolve(&shape, x, packed.forward.values(), y, false, scratch, ahead);
        } else {
            direct::forward(&self.geometry, self.reading(), x, packed.forward.values(), y, ahead);
        }
    }

    /// The gradient of the input, or it added to `dx`. `dy`: images with
    /// [`Self::gradient_border`]; `dx`: `[N,H,W,I]`.
    pub(super) fn backward_data(
        &self,
        dy: &[f32],
        packed: &Packed,
        dx: &mut [f32],
        accumulate: bool,
        scratch: &mut [f32],
        ahead: &mut Ahead,
    ) {
        if self.winograd {
            let shape = winograd::Shape::backward(&self.geometry);
            winograd::convolve(
                &shape,
                dy,
                packed.backward.values(),
                dx,
                accumulate,
                scratch,
                ahead,
            );
        } else {
            let packed = packed.backward.values();
            direct::backward_data(
                &self.geometry,
                self.reading(),
                dy,
                packed,
                dx,
                accumulate,
                ahead,
            );
        }
    }

    /// Values of the sums of the weight gradient.
    pub(super) fn sums(&self) -> usize {
        let Geometry { input: [.., inputs], output: [.., outputs], kernel: [kh, kw], .. } =
            self.geometry;
        kh * kw * inputs * outputs
    }

    /// The gradient of the weights, or it added to `sums`. `x` and `dy` have their borders.
    pub(super) fn backward_weights(
        &self,
        x: &[f32],
        dy: &[f32],
        sums: &mut [f32],
        accumulate: bool,
        scratch: &mut [f32],
        ahead: &mut Ahead,
    ) {
        if self.winograd {
            winograd::backward_weights(&self.geometry, x, dy, sums, accumulate, scratch, ahead);
        } else {
            let borders = [self.input_border(), self.gradient_border()];
            direct::backward_weights(
                &self.geometry,
                self.reading(),
                borders,
                [x, dy],
                sums,
                accumulate,
                ahead,
            );
        }
    }

    /// The gradient of the weights, `[O,KH,KW,I]`: the total of some [`Self::sums`], in their
    /// order.
    pub(super) fn weight_gradient(&self, sums: &[&[f32]], dw: &mut [f32]) {
        let [inputs, outputs] = [self.geometry.input[2], self.geometry.output[2]];
        let [i, o] = self.channels;
        let to_row = dw.len() / o.max(1);
        for tap in 0..to_row / i.max(1) {
            let start = tap * inputs * outputs;
            let shape = Transposition { start, rows: i, columns: o, from_row: outputs, to_row };
            kernels().transpose(&shape, sums, &mut dw[tap * i..]);
        }
    }
}

/// Columns of the panels that `n` columns are packed in.
fn panel_columns(n: usize) -> usize {
    n.min(PANEL)
}

/// Panels that `n` columns make.
fn panels(n: usize) -> usize {
    n.div_ceil(PANEL)
}
