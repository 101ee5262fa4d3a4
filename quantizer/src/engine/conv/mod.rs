//! Convolution on some images: forward, and the gradients of input and weights.
//!
//! Owns the choice of algorithm, packing, and the zero border that an algorithm wants around its
//! operand; not bias, threads or the sum over images. There is no im2col buffer: in NHWC the
//! `KW·I` values under a kernel row lie side by side in the image with its border. Channels are
//! padded to whole lanes (but for the batch's), the padding's weights are zero.

mod direct;
#[cfg(test)]
mod tests;
mod winograd;

use crate::graph::Padding;
use resmcu_engine_kernels::{Ahead, Arena, LANES, PANEL};

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

/// Where an image lies inside its zero border.
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
}

impl Border {
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
        Border { top, left, rows: h + top + bottom, columns: w + left + right }
    }

    /// The border around the output's gradient.
    pub(super) fn gradient_border(&self) -> Border {
        if self.winograd {
            return winograd::border(&self.geometry);
        }
        direct::gradient_border(&self.geometry)
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
            direct::forward(
                &self.geometry,
                self.is_pointwise(),
                x,
                packed.forward.values(),
                y,
                ahead,
            );
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
                self.is_pointwise(),
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
                self.is_pointwise(),
                borders,
                [x, dy],
                sums,
                accumulate,
                ahead,
            );
        }
    }

    /// The gradient of the weights, `[O,KH,KW,I]`, from complete sums.
    pub(super) fn weight_gradient(&self, sums: &[f32], dw: &mut [f32]) {
        let [inputs, outputs] = [self.geometry.input[2], self.geometry.output[2]];
        let [i, o] = self.channels;
        let terms = dw.len() / o.max(1);
        for (o, dw) in dw.chunks_exact_mut(terms.max(1)).enumerate() {
            for (dw, sums) in dw.chunks_exact_mut(i.max(1)).zip(sums.chunks_exact(inputs * outputs))
            {
                let column = sums.iter().skip(o).step_by(outputs);
                dw.iter_mut().zip(column).for_each(|(dw, sum)| *dw = *sum);
            }
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
