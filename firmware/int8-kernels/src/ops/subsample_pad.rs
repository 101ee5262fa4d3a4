//! Shortcut option A (He et al. 2015, section 3.3): every `stride`-th pixel, with channels of zeros
//! around those of the input.

/// Where the pixels and channels come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubsampleShape {
    /// `[H,W,I]`.
    pub input: [u16; 3],
    /// `[ceil(H/stride), ceil(W/stride), O]`.
    pub output: [u16; 3],
    /// In both directions, at least 1.
    pub stride: u8,
    /// Channels of zeros before the input's; `O - I` less these follow.
    pub channels_before: u16,
}

/// `y[h,w,before + c] = x[h*stride, w*stride, c]`, and `zero` in the other channels.
///
/// `x`: `[H,W,I]` int8. `y`: `[OH,OW,O]` int8 of the same scale and of the zero point `zero`.
pub fn subsample_pad_s8(shape: &SubsampleShape, x: &[i8], zero: i8, y: &mut [i8]) {
    let [_, width, inputs] = shape.input.map(usize::from);
    let [_, columns, outputs] = shape.output.map(usize::from);
    let (stride, before) = (usize::from(shape.stride), usize::from(shape.channels_before));
    y.fill(zero);
    let rows_in = x.chunks_exact((width * inputs).max(1)).step_by(stride.max(1));
    for (y_row, x_row) in y.chunks_exact_mut((columns * outputs).max(1)).zip(rows_in) {
        let pixels_in = x_row.chunks_exact(inputs.max(1)).step_by(stride.max(1));
        for (y, x) in y_row.chunks_exact_mut(outputs.max(1)).zip(pixels_in) {
            let y = y.get_mut(before..before + inputs).unwrap_or_default();
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = x);
        }
    }
}
