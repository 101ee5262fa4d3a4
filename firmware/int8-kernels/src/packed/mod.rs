//! Convolutions whose weights are packed for one kernel: the fast ones.
//!
//! A kernel here computes what `ops::conv2d` computes, in either profile, to the byte, for the
//! layers that it [accepts](Kernel::accepts): all else stays with the generic one. Weights and
//! constants lie in one stream of words in the order in which they are read, which
//! [`Kernel::pack`] makes on the host.
//!
//! Each kernel is a walk over the image (this folder) and a few passes over its innermost loops,
//! once in plain Rust (`arch::portable`, `arch::model`: every core, the host, the tests) and in
//! assembly where a core has some (the other folders of `arch`), which do the same word for word.
//! Slices of other lengths than a layer's make a kernel compute less, never panic or read
//! elsewhere.

pub(crate) mod constants;
pub(crate) mod direct16;
pub(crate) mod dot8;
pub(crate) mod dsp;
mod int4;
pub(crate) mod lanes8;
pub(crate) mod pixel_pairs;
pub(crate) mod polyphase2;
#[cfg(test)]
mod tests;
pub(crate) mod tiles;
#[cfg(not(target_os = "none"))]
mod unpack;
pub(crate) mod winograd4;

use crate::ops::conv2d::Pad;
use crate::requantize::{Form, TFLITE_ACCUMULATOR_MAX};
use crate::shape::Window;
pub use constants::{Channels, TFLITE_PACKED_ACCUMULATOR_MAX};
pub use pixel_pairs::segments as pixel_pairs_segments;
use tiles::{Method, Weights};

/// The kernels that have a packing of their own, with their numbers in model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kernel {
    /// Any shape: patches and weights as int16, two pixels and two channels at once.
    Direct16 = 1,
    /// 3x3, stride 1: Winograd F(4x4,3x3), weights stored transformed (8 bytes for one).
    Winograd4 = 7,
    /// Any layer: int8 weights, two products in one multiplication.
    PixelPairs = 8,
    /// The same with int8 weights that are transformed on the fly.
    Winograd4OnTheFly = 3,
    /// 3x3, stride 2: F(2x2,3x3) of the phases, weights stored transformed (50 bytes for nine).
    Polyphase2 = 4,
    /// The same with int8 weights that are transformed on the fly.
    Polyphase2OnTheFly = 5,
    /// Any shape: int8 as it is, by dot products of sixteen.
    Dot8 = 10,
    /// Any shape: int8 as it is, a vector of output channels at a time.
    Lanes8 = 11,
    /// [`Self::Winograd4OnTheFly`] with weights of four bits.
    Winograd4Int4 = 19,
    /// [`Self::Polyphase2OnTheFly`] with weights of four bits.
    Polyphase2Int4 = 21,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Direct16,
        Self::Winograd4,
        Self::Winograd4OnTheFly,
        Self::Polyphase2,
        Self::Polyphase2OnTheFly,
        Self::PixelPairs,
        Self::Dot8,
        Self::Lanes8,
        Self::Winograd4Int4,
        Self::Polyphase2Int4,
    ];

    /// The kernel of this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kernel| kernel.number() == number)
    }

    /// Its number in model files; the generic kernel is 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// What reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct16 => "direct, int16",
            Self::Winograd4 => "Winograd 4x4",
            Self::Winograd4OnTheFly => "Winograd 4x4, int8",
            Self::Polyphase2 => "polyphase 2x2",
            Self::Polyphase2OnTheFly => "polyphase 2x2, int8",
            Self::PixelPairs => "direct, int8",
            Self::Winograd4Int4 => "Winograd 4x4, int4",
            Self::Polyphase2Int4 => "polyphase 2x2, int4",
            Self::Dot8 => "dot products, int8",
            Self::Lanes8 => "output vectors, int8",
        }
    }

    /// Whether it stores a weight in eight bits; in four; or neither, but transformed, or in the
    /// only form that its vector unit reads.
    #[must_use]
    pub const fn weight_bits(self) -> Option<u8> {
        match self.tiles() {
            None if matches!(self, Self::PixelPairs) => Some(8),
            None | Some((_, Weights::Stored)) => None,
            Some((_, Weights::OnTheFly)) => Some(8),
            Some((_, Weights::Int4)) => Some(4),
        }
    }

    /// Whether it computes this layer exactly: all but [`Self::PixelPairs`] need no clamp but
    /// int8's own, and constants that one multiply scales; those in int16 also an even number of
    /// outputs, and sums that int16 weights hold shifted. In the profile `tflite` they need an
    /// accumulator of at most [`Self::tflite_accumulator_max`] too.
    #[must_use]
    pub fn accepts(self, window: &Window, clamp: [i8; 2], channels: Channels<'_>) -> bool {
        if self == Self::PixelPairs {
            return channels.len() == usize::from(window.output[2]);
        }
        let common = clamp == [i8::MIN, i8::MAX]
            && channels.len() == usize::from(window.output[2])
            && channels.are_folded();
        if matches!(self, Self::Dot8 | Self::Lanes8) {
            return common;
        }
        let pairs =
            window.output[2].is_multiple_of(2) && channels.pre_shift_max() <= PACKED_PRE_SHIFT_MAX;
        let tiles = |(method, _): (Method, Weights)| method.accepts(window, channels);
        common && pairs && self.tiles().is_none_or(tiles)
    }

    /// Largest absolute value of the accumulator of the profile `tflite` that it computes with.
    #[must_use]
    pub fn tflite_accumulator_max(self) -> u32 {
        match self {
            Self::PixelPairs => TFLITE_ACCUMULATOR_MAX,
            _ => TFLITE_PACKED_ACCUMULATOR_MAX,
        }
    }

    /// Its transforms, if it has them.
    const fn tiles(self) -> Option<(Method, Weights)> {
        match self {
            Self::Direct16 | Self::PixelPairs | Self::Dot8 | Self::Lanes8 => None,
            Self::Winograd4 => Some((Method::Winograd4, Weights::Stored)),
            Self::Winograd4OnTheFly => Some((Method::Winograd4, Weights::OnTheFly)),
            Self::Polyphase2 => Some((Method::Polyphase2, Weights::Stored)),
            Self::Polyphase2OnTheFly => Some((Method::Polyphase2, Weights::OnTheFly)),
            Self::Winograd4Int4 => Some((Method::Winograd4, Weights::Int4)),
            Self::Polyphase2Int4 => Some((Method::Polyphase2, Weights::Int4)),
        }
    }

    /// Length in words of the packed weights.
    #[must_use]
    pub fn packed_words(self, window: &Window) -> usize {
        match self.tiles() {
            None if self == Self::PixelPairs => pixel_pairs::packed_words(window),
            None if self == Self::Dot8 => dot8::packed_words(window),
            None if self == Self::Lanes8 => lanes8::packed_words(window),
            None => direct16::packed_words(window),
            Some((method, weights)) => method.packed_words(window, weights),
        }
    }

    /// Words of scratch memory that it needs.
    #[must_use]
    pub fn scratch_words_min(self, window: &Window) -> usize {
        self.scratch_words(window, 1)
    }

    /// Words of scratch memory beyond which more makes it no faster.
    #[must_use]
    pub fn scratch_words_max(self, window: &Window) -> usize {
        if self == Self::PixelPairs {
            return pixel_pairs::scratch_words(window, pixel_pairs::WORDS[1]);
        }
        let pairs = match self.tiles() {
            Some((method, Weights::OnTheFly | Weights::Int4)) => method.tile_pairs(window),
            Some((_, Weights::Stored)) | None => 1,
        };
        self.scratch_words(window, pairs)
    }

    /// Pairs of tiles of a whole layer; none for a kernel without tiles.
    #[must_use]
    pub fn tile_pairs(self, window: &Window) -> usize {
        self.tiles().map_or(0, |(method, _)| method.tile_pairs(window))
    }

    /// How many pairs of tiles one transform of the weights serves in so much scratch memory.
    #[must_use]
    pub fn tile_pairs_at_once(self, window: &Window, scratch_words: usize) -> usize {
        let [one, two] = [1, 2].map(|pairs| self.scratch_words(window, pairs));
        1 + scratch_words.saturating_sub(one) / (two - one).max(1)
    }

    fn scratch_words(self, window: &Window, pairs: usize) -> usize {
        match self.tiles() {
            None if self == Self::PixelPairs => {
                pixel_pairs::scratch_words(window, pixel_pairs::WORDS[0])
            }
            None if self == Self::Dot8 => dot8::scratch_words(window),
            None if self == Self::Lanes8 => lanes8::scratch_words(window),
            None => direct16::scratch_words(window),
            Some((method, weights)) => method.scratch_words(window, weights, pairs),
        }
    }

    /// Packs the weights `[O,KH,KW,I]` of a layer that it [accepts](Self::accepts), inside its
    /// [`weight_bits`](Self::weight_bits), into
    /// [`packed_words`](Self::packed_words) words.
    pub fn pack(self, window: &Window, channels: Channels<'_>, weights: &[i8], packed: &mut [u32]) {
        debug_assert_eq!(packed.len(), self.packed_words(window));
        match self.tiles() {
            None if self == Self::PixelPairs => {
                pixel_pairs::pack(window, channels, weights, packed);
            }
            None if self == Self::Dot8 => dot8::pack(window, channels, weights, packed),
            None if self == Self::Lanes8 => lanes8::pack(window, channels, weights, packed),
            None => direct16::pack(window, channels, weights, packed),
            Some((method, kind)) => method.pack(window, channels, weights, kind, packed),
        }
    }
}

/// The largest `pre_shift` of the kernels in int16: a weight times `2^8` still is an int16.
pub const PACKED_PRE_SHIFT_MAX: u8 = 8;

/// The largest `post_shift` of a packed kernel: `m * 2^(16 - e)` is an integer.
pub const PACKED_POST_SHIFT_MAX: u8 = 16;

/// The largest `post_shift` with which every packed kernel takes such a `pre_shift`, if any does:
/// Winograd's method doubles what has a shift of one less than it computes with.
#[must_use]
pub const fn packed_post_shift_max(pre_shift: u8) -> u8 {
    let is_doubled = pre_shift + 1 == winograd4::PRE_SHIFT_MIN;
    if is_doubled { PACKED_POST_SHIFT_MAX - 1 } else { PACKED_POST_SHIFT_MAX }
}

/// A convolution of a kernel with a packing of its own.
#[derive(Clone, Copy, Debug)]
pub struct PackedConv2d<'a> {
    /// Which kernel.
    pub kernel: Kernel,
    /// Shapes, stride and padding.
    pub window: Window,
    /// What lies outside of the input.
    pub pad: Pad<'a>,
    /// [`Kernel::packed_words`] words of [`Kernel::pack`].
    pub packed: &'a [u32],
    /// Smallest and largest result.
    pub clamp: [i8; 2],
    /// The profile's arithmetic, and whether a residual is joined.
    pub form: Form,
    /// Of the output, in the profile `tflite`.
    pub zero_point: i8,
}

/// What `ops::conv2d_s8` computes for the same layer.
///
/// `x`: `[H,W,I]`. `y`: `[OH,OW,O]`, which holds the residual where one is joined. `scratch`: at
/// least [`Kernel::scratch_words_min`] words; with more, weights transformed once serve longer, or
/// more pixels are computed at once.
pub fn packed_conv2d_s8(layer: &PackedConv2d<'_>, x: &[i8], y: &mut [i8], scratch: &mut [u32]) {
    debug_assert_eq!(layer.packed.len(), layer.kernel.packed_words(&layer.window));
    match layer.kernel.tiles() {
        None if layer.kernel == Kernel::PixelPairs => pixel_pairs::run(layer, x, y, scratch),
        None if layer.kernel == Kernel::Dot8 => dot8::run(layer, x, y, scratch),
        None if layer.kernel == Kernel::Lanes8 => lanes8::run(layer, x, y, scratch),
        None => direct16::run(layer, x, y, scratch),
        Some(tiles) => tiles::run(layer, tiles, x, y, scratch),
    }
}
