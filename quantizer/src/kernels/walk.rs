//! How a kernel goes through a layer: how often all weights come by, and how many loads that takes.
//!
//! What stays the same in any unit of cost, and what a board's flash has to do. Knows no cost.

use super::Layer;
use super::costs::Costs;
use resmcu_int8_kernels::ops::conv2d::CHANNEL_BLOCK;
use resmcu_int8_kernels::packed::{Kernel, pixel_pairs_segments};
use resmcu_int8_kernels::shape::Window;

/// Words of constants of an output, as the profiles have them.
const CHANNEL_WORDS: usize = 3;

/// The walk of one kernel over one layer.
pub(super) struct Walk {
    /// Pairs of tiles; none for a kernel without tiles.
    pub(super) pairs: usize,
    /// How often all weights are read from the file.
    pub(super) passes: usize,
    /// Words of two pixels that [`Kernel::PixelPairs`] computes at once.
    pub(super) words: usize,
    /// How many of its eights of weights have segments of 8, 4, 3, 2 and 1.
    pub(super) segments: [usize; 5],
}

impl Walk {
    /// Of a kernel (none: the generic one) with so much scratch memory.
    pub(super) fn of(
        kernel: Option<Kernel>,
        layer: &Layer<'_>,
        costs: &Costs,
        scratch_bytes: usize,
    ) -> Self {
        let (window, pixels) = (&layer.window, layer.window.positions());
        let mut walk = Self { pairs: 0, passes: pixels, words: 0, segments: [0; 5] };
        let Some(kernel) = kernel else { return walk };
        walk.pairs = kernel.tile_pairs(window);
        walk.passes = match kernel {
            Kernel::Direct16 | Kernel::Dot8 => pixels.div_ceil(2),
            Kernel::Lanes8 => pixels.div_ceil(Costs::lanes(window)[0]),
            Kernel::PixelPairs => {
                let has_most = scratch_bytes == 4 * kernel.scratch_words_max(window);
                walk.words = costs.pixel_pairs.words_at_once(has_most);
                walk.segments = pixel_pairs_segments(window.patch_len(), layer.weights);
                pixels.div_ceil(2 * walk.words)
            }
            Kernel::Winograd4 | Kernel::Polyphase2 => walk.pairs,
            Kernel::Winograd4OnTheFly
            | Kernel::Winograd4Int4
            | Kernel::Polyphase2OnTheFly
            | Kernel::Polyphase2Int4 => {
                walk.pairs.div_ceil(kernel.tile_pairs_at_once(window, scratch_bytes / 4))
            }
        };
        walk
    }
}

/// Words of weights and constants that are loaded from flash; a load of less than a word counts as
/// one.
pub(super) fn flash_loads(
    kernel: Option<Kernel>,
    window: &Window,
    walk: &Walk,
    costs: &Costs,
) -> usize {
    let (outputs, patch) = (usize::from(window.output[2]), window.patch_len());
    let loads = match kernel {
        // A weight of each output of a block in a word.
        None => patch * outputs.div_ceil(CHANNEL_BLOCK) + CHANNEL_WORDS * outputs,
        Some(Kernel::PixelPairs) => {
            let [weights, constants] = costs.pixel_pairs.loads;
            outputs.next_multiple_of(2) * (patch.next_multiple_of(8) / weights + constants)
        }
        Some(kernel) => {
            let pairs = if costs.loads_halves { int16_pairs(kernel, window) } else { 0 };
            let again = if costs.loads_twice { on_the_fly_words(kernel, window) } else { 0 };
            kernel.packed_words(window) + pairs + again
        }
    };
    walk.passes * loads
}

/// Words of two weights that are stored in 16 bits: those of whole fours of channels, in each place
/// that has a weight.
fn int16_pairs(kernel: Kernel, window: &Window) -> usize {
    let places = match kernel {
        Kernel::Winograd4 => 36,
        Kernel::Polyphase2 => 25,
        Kernel::Direct16 => window.size.map(usize::from).iter().product(),
        _ => 0,
    };
    2 * places * usize::from(window.input[2]).div_ceil(4) * usize::from(window.output[2])
}

/// Words of the weights that a kernel transforms on the fly as they are stored; those of four bits
/// become bytes in memory before.
fn on_the_fly_words(kernel: Kernel, window: &Window) -> usize {
    let quads = usize::from(window.input[2]).div_ceil(4) * usize::from(window.output[2]);
    match kernel {
        Kernel::Winograd4OnTheFly | Kernel::Polyphase2OnTheFly => 9 * quads,
        _ => 0,
    }
}
