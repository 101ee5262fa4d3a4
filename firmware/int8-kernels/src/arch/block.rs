//! What the inner loops of a core work on: a pair of tiles or pixels, and some pairs of outputs.
//!
//! A step is four channels of both tiles, and their weights for a pair of outputs: `[2][2]` words
//! each, in which a tile or an output has channels 0 and 2 in its first word, and 1 and 3 in its
//! second. A sum is over some steps, and sums follow one another. Owns these shapes, so that each
//! core's loops can rely on them; does not know what is summed.

use crate::requantize::Form;

/// A pair of tiles or pixels, and `pairs` pairs of output channels.
pub(crate) struct Block<'a> {
    /// Steps of inputs.
    pub(crate) v: &'a [u32],
    /// Steps of weights, from the first pair's first one on.
    pub(crate) weights: &'a [u32],
    /// Words from one pair's weights to those of the next.
    pub(crate) stride: usize,
    /// One, or as many as the core's loops take at once.
    pub(crate) pairs: usize,
}

/// How long each of `N` sums is.
#[repr(C)]
pub(crate) struct Counts<const N: usize> {
    /// Bytes of inputs, none of them 0.
    bytes: [u32; N],
    /// 0, where loops end.
    end: u32,
    /// Steps of all sums.
    steps: usize,
}

impl<const N: usize> Counts<N> {
    /// Sums of `products[i]` products for each of `4 * quads` channels; none where one would be of
    /// none.
    pub(crate) fn new(products: [usize; N], quads: usize) -> Option<Self> {
        let bytes = products.map(|products| (16 * products * quads) as u32);
        let steps = products.iter().sum::<usize>() * quads;
        let is_whole = N != 0 && bytes.iter().all(|&bytes| bytes != 0);
        is_whole.then_some(Self { bytes, end: 0, steps })
    }

    /// Steps of each sum.
    #[cfg(resmcu_passes = "portable")]
    pub(crate) fn each(&self) -> [usize; N] {
        self.bytes.map(|bytes| bytes as usize / 16)
    }

    /// `N` lengths in bytes, and 0.
    #[cfg(not(resmcu_passes = "portable"))]
    pub(crate) fn as_ptr(&self) -> *const u32 {
        (&raw const *self).cast()
    }

    /// Whether a block has all steps.
    pub(crate) fn fit(&self, block: &Block<'_>) -> bool {
        let words = 4 * self.steps;
        let last = block.pairs.saturating_sub(1) * block.stride;
        words <= block.v.len() && last + words <= block.weights.len()
    }
}

/// From the sums of a block to outputs.
pub(crate) struct Outputs<'a> {
    /// Constants of both outputs of the first pair.
    pub(crate) constants: &'a [u32],
    /// Words to the constants of the next pair.
    pub(crate) stride: usize,
    /// One, or as many as the core's loops take at once.
    pub(crate) pairs: usize,
    /// From pixel to pixel and from row to row of the output, in bytes.
    pub(crate) pixel: usize,
    pub(crate) row: usize,
    /// The arithmetic.
    pub(crate) form: Form,
}

impl Outputs<'_> {
    /// Whether there are `constants` words of each channel, and room for two tiles of
    /// `rows * columns` in `y`, which begins at the first channel.
    pub(crate) fn fit(&self, constants: usize, [rows, columns]: [usize; 2], y: &[i8]) -> bool {
        let last = self.pairs.saturating_sub(1) * self.stride;
        let end = (rows - 1) * self.row + (2 * columns - 1) * self.pixel + 2 * self.pairs;
        last + 2 * constants <= self.constants.len() && end <= y.len() && self.pairs != 0
    }
}

/// From the sums of a block of the direct kernel to outputs of two pixels.
pub(crate) struct Pixels<'a> {
    /// All words of the block's pairs.
    pub(crate) packed: &'a [u32],
    /// Words of a pair: two biases twice, its weights, two scales, two last words.
    pub(crate) stride: usize,
    /// One, or as many as the core's loops take at once.
    pub(crate) pairs: usize,
    /// The arithmetic.
    pub(crate) form: Form,
}

impl Pixels<'_> {
    /// Whether the pairs are whole, and both pixels have room for their outputs.
    pub(crate) fn fit(&self, first: &[i8], second: &[i8]) -> bool {
        let outputs = 2 * self.pairs;
        let words = self.pairs * self.stride;
        let has_constants = self.stride >= 8 && words <= self.packed.len();
        has_constants && outputs <= first.len().min(second.len()) && self.pairs != 0
    }
}
