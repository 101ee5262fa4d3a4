//! The pixel formats of cameras, and the integers that turn them into the model's.

/// How a pixel lies in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// One byte of brightness.
    Grey8,
    /// Red, green, blue, a byte each.
    Rgb888,
    /// Red 5, green 6, blue 5 bits; the high byte first, as OmniVision's sensors send it.
    Rgb565,
    /// Y0 U Y1 V: two pixels of full-range YUV (BT.601) share their colour.
    Yuyv,
}

impl PixelFormat {
    /// Bytes of a pixel.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Grey8 => 1,
            Self::Rgb565 | Self::Yuyv => 2,
            Self::Rgb888 => 3,
        }
    }

    /// Red, green and blue of pixel `x` of a row; black past its end.
    ///
    /// Five and six bits become eight by repeating their highest ones, so that 31 is 255. YUV is
    /// `R = Y + 1.402 V`, `G = Y - 0.344136 U - 0.714136 V`, `B = Y + 1.772 U` (U and V less 128),
    /// in units of 1/65536, rounded to nearest, clamped.
    #[must_use]
    pub fn rgb(self, row: &[u8], x: usize) -> [u8; 3] {
        let byte = |at: usize| row.get(at).copied().unwrap_or(0);
        match self {
            Self::Grey8 => [byte(x); 3],
            Self::Rgb888 => [byte(3 * x), byte(3 * x + 1), byte(3 * x + 2)],
            Self::Rgb565 => {
                let pixel = u16::from_be_bytes([byte(2 * x), byte(2 * x + 1)]);
                let (r, g, b) = (pixel >> 11, pixel >> 5 & 0x3F, pixel & 0x1F);
                [r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2].map(|v| v as u8)
            }
            Self::Yuyv => {
                let pair = 4 * (x / 2);
                let [y, u, v] = [byte(2 * x), byte(pair + 1), byte(pair + 3)].map(i32::from);
                if pair + 3 >= row.len() {
                    return [0; 3];
                }
                yuv_to_rgb(y, u - 128, v - 128)
            }
        }
    }
}

fn yuv_to_rgb(y: i32, u: i32, v: i32) -> [u8; 3] {
    let colour = |terms: i32| (y + ((terms + 0x8000) >> 16)).clamp(0, 255) as u8;
    [colour(91_881 * v), colour(-22_553 * u - 46_802 * v), colour(116_130 * u)]
}

/// Brightness of a colour: `0.299 R + 0.587 G + 0.114 B` in units of 1/256, rounded to nearest.
pub(crate) fn grey([r, g, b]: [u8; 3]) -> u8 {
    let sum = 77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b);
    ((sum + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_agree_on_the_edges_of_colour() {
        use PixelFormat::{Grey8, Rgb565, Rgb888, Yuyv};
        let check = |format: PixelFormat, row: &[u8], x, expected| {
            assert_eq!(format.rgb(row, x), expected, "{format:?} {row:?} {x}");
        };
        check(Grey8, &[7, 200], 1, [200; 3]);
        check(Rgb888, &[1, 2, 3, 4, 5, 6], 1, [4, 5, 6]);
        check(Rgb565, &[0xFF, 0xFF], 0, [255; 3]);
        check(Rgb565, &[0xF8, 0x00], 0, [255, 0, 0]);
        check(Rgb565, &[0x07, 0xE0], 0, [0, 255, 0]);
        check(Rgb565, &[0, 0, 0x08, 0x41], 1, [8, 8, 8]); // 1, 2 and 1 of 31, 63 and 31
        check(Yuyv, &[0, 128, 255, 128], 0, [0; 3]);
        check(Yuyv, &[0, 128, 255, 128], 1, [255; 3]);
        check(Yuyv, &[76, 85, 76, 255], 0, [254, 0, 0]); // pure red
        check(Yuyv, &[255, 255, 255, 255], 0, [255, 121, 255]); // clamped
        for format in [Grey8, Rgb888, Rgb565, Yuyv] {
            check(format, &[], 3, [0; 3]);
        }
    }

    #[test]
    fn grey_is_the_eyes_weighting() {
        let cases = [([0; 3], 0), ([255; 3], 255), ([255, 0, 0], 77), ([0, 255, 0], 149)];
        for (rgb, expected) in cases {
            assert_eq!(grey(rgb), expected, "{rgb:?}");
        }
        assert_eq!(grey([0, 0, 255]), 29);
    }
}
