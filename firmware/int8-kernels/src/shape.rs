//! Shapes: how big, how far apart, how padded.

/// A window that slides over `[H,W,C]`: the shape of a convolution or a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `[H,W,I]`.
    pub input: [u16; 3],
    /// `[OH,OW,O]`.
    pub output: [u16; 3],
    /// `[KH,KW]`.
    pub size: [u8; 2],
    /// Vertical, horizontal.
    pub stride: [u8; 2],
    /// Top and left; what is missing at the bottom and the right is padding too.
    pub padding: [u8; 2],
}

impl Window {
    /// Elements under the window: `KH * KW * I`.
    #[inline]
    #[must_use]
    pub fn patch_len(&self) -> usize {
        usize::from(self.size[0]) * usize::from(self.size[1]) * usize::from(self.input[2])
    }

    /// Number of output positions, `OH * OW`.
    #[inline]
    #[must_use]
    pub fn positions(&self) -> usize {
        usize::from(self.output[0]) * usize::from(self.output[1])
    }

    /// Calls `f` with each pixel `[C]` of `x` that lies under the window at an output position.
    #[inline]
    pub(crate) fn for_each_pixel(
        &self,
        row: usize,
        column: usize,
        x: &[i8],
        mut f: impl FnMut(&[i8]),
    ) {
        let channels = usize::from(self.input[2]);
        let (rows, columns) = (self.inside(0, row), self.inside(1, column));
        for iy in (rows.input..).take(rows.end - rows.begin) {
            let start = (iy * usize::from(self.input[1]) + columns.input) * channels;
            let end = start + (columns.end - columns.begin) * channels;
            x.get(start..end).unwrap_or_default().chunks_exact(channels.max(1)).for_each(&mut f);
        }
    }

    /// The part of the window at output row (axis 0) or column (axis 1) `o` that lies inside the
    /// input: its first input index, and where inside the window it begins and ends.
    #[inline]
    pub(crate) fn inside(&self, axis: usize, o: usize) -> Span {
        let start = o * usize::from(self.stride[axis]);
        let padding = usize::from(self.padding[axis]);
        let size = usize::from(self.size[axis]);
        let begin = padding.saturating_sub(start).min(size);
        let limit = (usize::from(self.input[axis]) + padding).saturating_sub(start);
        let end = size.min(limit).max(begin);
        Span { input: (start + begin).saturating_sub(padding), begin, end }
    }
}

/// What [`Window::inside`] finds on one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// First index of the input.
    pub(crate) input: usize,
    /// First index of the window that lies inside.
    pub(crate) begin: usize,
    /// The one after the last.
    pub(crate) end: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: u16, size: u8, stride: u8, padding: u8, o: usize, expected: [usize; 3]) {
        let window = Window {
            input: [input, 1, 1],
            output: [1, 1, 1],
            size: [size, 1],
            stride: [stride, 1],
            padding: [padding, 0],
        };
        let got = window.inside(0, o);
        assert_eq!([got.input, got.begin, got.end], expected);
    }

    #[test]
    fn a_window_is_cut_at_the_borders() {
        check(8, 3, 1, 1, 0, [0, 1, 3]);
        check(8, 3, 1, 1, 3, [2, 0, 3]);
        check(8, 3, 1, 1, 7, [6, 0, 2]);
        check(8, 3, 2, 0, 3, [6, 0, 2]); // padding at the end only, as TensorFlow's SAME
        check(1, 7, 2, 3, 0, [0, 3, 4]); // wider than the input on both sides
        check(2, 2, 2, 2, 0, [0, 2, 2]); // wholly in the padding
    }
}
