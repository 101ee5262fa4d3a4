//! The weights `[O,KH,KW,I]` out of what a kernel packed: for hosts, which run models of any
//! packing by a kernel of their own. Every packing loses nothing, so that this is exact.

use super::tiles::{Method, Weights};
use super::{Channels, Kernel, direct16, dot8, lanes8, pixel_pairs};
use crate::shape::Window;
use zerocopy::{FromBytes, IntoBytes};

impl Kernel {
    /// Undoes [`Kernel::pack`] of a layer that the kernel [accepts](Kernel::accepts). Answers
    /// whether `packed` and `weights` have the lengths for it.
    #[must_use]
    pub fn unpack(
        self,
        window: &Window,
        channels: Channels<'_>,
        packed: &[u32],
        weights: &mut [i8],
    ) -> bool {
        let outputs = usize::from(window.output[2]);
        let fits = packed.len() == self.packed_words(window)
            && weights.len() == outputs * window.patch_len()
            && channels.len() == outputs
            && !weights.is_empty();
        if fits {
            match self.tiles() {
                Some((method, kind)) => tiles(method, kind, window, packed, weights),
                None if self == Self::Dot8 => dot8(window, packed, weights),
                None if self == Self::Lanes8 => lanes8(window, packed, weights),
                None if self == Self::PixelPairs => pixel_pairs(window, packed, weights),
                None => direct16(window, channels, packed, weights),
            }
        }
        fits
    }
}

/// Byte `at` of words.
fn byte(words: &[u32], at: usize) -> i8 {
    <[i8]>::ref_from_bytes(words.as_bytes()).unwrap_or_default().get(at).copied().unwrap_or(0)
}

/// Lane `at` of words of two int16.
fn int16(words: &[u32], at: usize) -> i32 {
    let lanes = <[i16]>::ref_from_bytes(words.as_bytes()).unwrap_or_default();
    lanes.get(at).copied().unwrap_or(0).into()
}

/// Where channel `i` of four lies among the lanes of two words: 0 and 2, then 1 and 3.
const LANES: [usize; 4] = [0, 2, 1, 3];

fn dot8(window: &Window, packed: &[u32], weights: &mut [i8]) {
    let row = usize::from(window.size[1]) * usize::from(window.input[2]);
    let (step, outputs) = (dot8::OUTPUTS * dot8::STEP, dot8::OUTPUTS);
    let groups = usize::from(window.output[2]).div_ceil(outputs);
    let group = packed.len() / groups.max(1);
    for (o, weights) in weights.chunks_exact_mut(window.patch_len()).enumerate() {
        let packed = packed.chunks_exact(group).nth(o / outputs).unwrap_or_default();
        for (line, weights) in weights.chunks_exact_mut(row).enumerate() {
            for (i, w) in weights.iter_mut().enumerate() {
                let at = (line * row.div_ceil(dot8::STEP) + i / dot8::STEP) * step;
                *w = byte(packed, at + o % outputs * dot8::STEP + i % dot8::STEP);
            }
        }
    }
}

fn lanes8(window: &Window, mut packed: &[u32], weights: &mut [i8]) {
    let (patch, [_, most]) = (window.patch_len(), lanes8::block(window.output[2].into()));
    for weights in weights.chunks_mut(most * patch) {
        let lanes = weights.len() / patch;
        let (now, rest) = packed.split_at(lanes8::block_words(lanes, patch).min(packed.len()));
        let taps = now.get(lanes8::CONSTANTS * lanes..).unwrap_or_default();
        for (lane, weights) in weights.chunks_exact_mut(patch).enumerate() {
            let places = weights.iter_mut().enumerate();
            places.for_each(|(i, w)| *w = byte(taps, i * lanes + lane));
        }
        packed = rest;
    }
}

fn pixel_pairs(window: &Window, packed: &[u32], weights: &mut [i8]) {
    let pair = packed.len() / usize::from(window.output[2]).div_ceil(2).max(1);
    for (o, weights) in weights.chunks_exact_mut(window.patch_len()).enumerate() {
        let pair = packed.chunks_exact(pair.max(1)).nth(o / 2).unwrap_or_default();
        let taps = pair.get(pixel_pairs::header_words(window)..).unwrap_or_default();
        let places = weights.iter_mut().enumerate();
        places.for_each(|(i, w)| *w = byte(taps, 2 * i + o % 2));
    }
}

fn direct16(window: &Window, channels: Channels<'_>, packed: &[u32], weights: &mut [i8]) {
    let row = usize::from(window.size[1]) * usize::from(window.input[2]);
    let (words, rest, lines) = (row / 4, row % 4, usize::from(window.size[0]));
    let pair = packed.len() / (channels.len() / 2).max(1);
    for (o, weights) in weights.chunks_exact_mut(window.patch_len()).enumerate() {
        let pre_shift = channels.get(o).pre_shift;
        let packed = packed.chunks_exact(pair).nth(o / 2).unwrap_or_default();
        let steps = packed.get(direct16::CONSTANTS / 2..).unwrap_or_default();
        for (line, weights) in weights.chunks_exact_mut(row).enumerate() {
            for (i, w) in weights.iter_mut().enumerate() {
                // Whole words of all rows, then what remains of them, one after another.
                let place = if i < 4 * words {
                    4 * words * line + i
                } else {
                    4 * words * lines + rest * line + i - 4 * words
                };
                let at = 8 * (place / 4) + 4 * (o % 2) + LANES[place % 4];
                *w = (int16(steps, at) >> pre_shift) as i8;
            }
        }
    }
}

fn tiles(method: Method, kind: Weights, window: &Window, packed: &[u32], weights: &mut [i8]) {
    let depth = usize::from(window.input[2]);
    let quads = depth.div_ceil(4);
    let pair = packed.len() / (usize::from(window.output[2]) / 2).max(1);
    for (o, weights) in weights.chunks_exact_mut(9 * depth).enumerate() {
        let packed = packed.chunks_exact(pair).nth(o / 2).unwrap_or_default();
        for i in 0..depth {
            let (quad, lane) = (i / 4, i % 4);
            let taps = match kind {
                Weights::Stored => method.taps(|point| {
                    int16(packed, 8 * (point * quads + quad) + 4 * (o % 2) + LANES[lane])
                }),
                Weights::OnTheFly => core::array::from_fn(|tap| {
                    byte(packed, 4 * (18 * quad + 9 * (o % 2) + tap) + lane).into()
                }),
                Weights::Int4 => core::array::from_fn(|tap| {
                    let both = byte(packed, 4 * (9 * quad + tap) + lane);
                    // The first output has the lower half; a shift brings the sign down.
                    (if o % 2 == 0 { both << 4 >> 4 } else { both >> 4 }).into()
                }),
            };
            let slots = weights.iter_mut().skip(i).step_by(depth);
            slots.zip(taps).for_each(|(w, tap)| *w = tap as i8);
        }
    }
}

impl Method {
    /// The nine weights of which `transformed` gives each point.
    fn taps(self, transformed: impl Fn(usize) -> i32) -> [i32; 9] {
        match self {
            // The points that are one weight.
            Self::Polyphase2 => [0, 1, 4, 2, 3, 6, 10, 11, 14].map(transformed),
            // Of the rows of `G` the first and the second add up to -2 w1; the third is 6 w2, the
            // last 6 w0.
            Self::Winograd4 => {
                let one = |m: [i32; 6]| [m[5] / 6, (m[0] + m[1]) / -2, m[2] / 6];
                let rows: [[i32; 3]; 6] = core::array::from_fn(|row| {
                    one(core::array::from_fn(|column| transformed(6 * row + column)))
                });
                let columns: [[i32; 3]; 3] =
                    core::array::from_fn(|column| one(rows.map(|row| row[column])));
                core::array::from_fn(|tap| columns[tap % 3][tap / 3])
            }
        }
    }
}
