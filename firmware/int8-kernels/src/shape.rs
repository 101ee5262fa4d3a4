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

    /// The same window over some rows: it makes rows `output` from rows `input`, which hold all
    /// that lies under it and begin where it begins, or where the image does.
    #[inline]
    #[must_use]
    pub fn of_rows(&self, input: [u16; 2], output: [u16; 2]) -> Self {
        let begin = u32::from(output[0]) * u32::from(self.stride[0]);
        let above = (u32::from(input[0]) + u32::from(self.padding[0])).saturating_sub(begin);
        Self {
            input: [input[1].saturating_sub(input[0]), self.input[1], self.input[2]],
            output: [output[1].saturating_sub(output[0]), self.output[1], self.output[2]],
            padding: [above.min(u32::from(self.padding[0])) as u8, self.padding[1]],
            ..*self
        }
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
    fn rows_of_a_window_have_their_own_padding() {
        let window = Window {
            input: [9, 5, 2],
            output: [5, 5, 3],
            size: [3, 3],
            stride: [2, 1],
            padding: [1, 1],
        };
        let check = |input: [u16; 2], output, expected: [u16; 3]| {
            let rows = window.of_rows(input, output);
            assert_eq!([rows.input[0], rows.output[0], rows.padding[0].into()], expected);
            assert_eq!((&rows.input[1..], &rows.output[1..]), (&[5, 2][..], &[5, 3][..]));
        };
        check([0, 9], [0, 5], [9, 5, 1]);
        check([0, 2], [0, 1], [2, 1, 1]);
        check([1, 6], [1, 3], [5, 2, 0]);
        check([7, 9], [4, 5], [2, 1, 0]);
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
