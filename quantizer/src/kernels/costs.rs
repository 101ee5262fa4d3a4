//! What the kernels cost in instructions.
//!
//! Owns the cost table of every instruction set, by the loops of its code, and what those come to
//! for a layer. Knows no graph and no budget.

use resmcu_int8_kernels::packed::Kernel;
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::Isa;

/// Instructions of the kernels' loops.
pub(super) struct Costs {
    /// The generic kernel: eight products, and an output.
    pub(super) generic: [usize; 2],
    /// Four channels of two tiles (or pixels) and two outputs.
    step: usize,
    /// The same where one pair of outputs is taken at a time, as with weights on the fly.
    step_alone: usize,
    /// What comes with each sum that is not a step.
    sum: usize,
    /// Four channels of one place in a vertical and in a horizontal pass, and in the transform of
    /// nine weights, of Winograd's method.
    winograd: [usize; 3],
    /// The same by phases.
    polyphase: [usize; 3],
    /// Two outputs of a pair of tiles, transformed back and stored: 64 and 16 places.
    outputs: [usize; 2],
    /// Widening four bytes, and what comes with a patch.
    patch: [usize; 2],
    /// Two outputs of a pair of pixels.
    pixels: usize,
    /// Two pixels a product.
    pub(super) pixel_pairs: PixelPairs,
    /// Of dot products of sixteen bytes, where a core has them: a step of two pixels and four
    /// outputs, a row of steps, what comes with four outputs, and with a pair of pixels.
    dot: Option<[usize; 4]>,
    /// Of vectors of output channels, where a core has them: what comes with a byte of the windows
    /// of some pixels besides two for each of them, with a row, with a block of outputs, and with
    /// the pixels.
    lanes: Option<[usize; 4]>,
}

/// Of two pixels a product.
pub(super) struct PixelPairs {
    /// Words of two pixels at once: the fewest, the most in the least scratch memory, the most.
    words: [usize; 3],
    /// Eight weights of two outputs, and for each word of them in segments of 8, 4, 3, 2
    /// and 1.
    eights: (usize, [usize; 5]),
    /// Widening a byte.
    byte: usize,
    /// Two outputs, and for each word of them.
    outputs: [usize; 2],
}

impl PixelPairs {
    /// Whether more scratch memory makes it faster.
    pub(super) const fn grows(&self) -> bool {
        self.words[2] > self.words[1]
    }
}

/// By the lines of `arch/armv7em`.
const ARMV7EM: Costs = Costs {
    generic: [22, 40],
    step: 10,
    step_alone: 10,
    sum: 4,
    winograd: [72, 265, 890],
    polyphase: [45, 110, 240],
    outputs: [900, 180],
    patch: [6, 60],
    pixels: 30,
    pixel_pairs: PixelPairs { words: [2; 3], eights: (0, [29; 5]), byte: 8, outputs: [0, 85] },
    dot: None,
    lanes: None,
};

/// By the lines of `arch/armv7m`, and what compilers make of the rest, as measured on ResNet-8.
const ARMV7M: Costs = Costs {
    generic: [22, 43],
    step: 29,
    step_alone: 34,
    sum: 8,
    winograd: [84, 252, 2600],
    polyphase: [56, 290, 1300],
    outputs: [1050, 210],
    patch: [18, 100],
    pixels: 70,
    pixel_pairs: PixelPairs { words: [2; 3], eights: (0, [29; 5]), byte: 8, outputs: [0, 95] },
    dot: None,
    lanes: None,
};

/// The same of `arch/armv6m`.
const ARMV6M: Costs = Costs {
    generic: [36, 52],
    step: 62,
    step_alone: 62,
    sum: 22,
    winograd: [200, 900, 4000],
    polyphase: [200, 1500, 3000],
    outputs: [6700, 900],
    patch: [24, 140],
    pixels: 140,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (0, [175, 200, 225, 250, 350]),
        byte: 12,
        outputs: [0, 150],
    },
    dot: None,
    lanes: None,
};

/// The same of `arch/rv32`.
const RV32: Costs = Costs {
    generic: [32, 29],
    step: 43,
    step_alone: 52,
    sum: 6,
    winograd: [85, 445, 2900],
    polyphase: [56, 310, 1800],
    outputs: [1400, 240],
    patch: [18, 100],
    pixels: 80,
    pixel_pairs: PixelPairs {
        words: [1, 2, 3],
        eights: (24, [46, 52, 58, 69, 105]),
        byte: 4,
        outputs: [90, 36],
    },
    dot: None,
    lanes: None,
};

/// By the lines of `arch/armv81m_mve`; the rest as a core with DSP extension does it.
const ARMV81M_MVE: Costs = Costs { dot: Some([14, 7, 34, 60]), ..ARMV7EM };

/// By the lines of `arch/rv32v`; the rest as without vectors.
const RV32V: Costs = Costs { lanes: Some([4, 20, 70, 250]), ..RV32 };

impl Costs {
    /// The costs of a core, and whether it has packed kernels at all.
    pub(super) const fn of(isa: Isa) -> (&'static Self, bool) {
        match isa {
            Isa::Generic => (&ARMV7EM, false),
            Isa::Armv7em => (&ARMV7EM, true),
            Isa::Armv7m => (&ARMV7M, true),
            Isa::Armv6m => (&ARMV6M, true),
            Isa::Rv32 => (&RV32, true),
            Isa::Armv81mMve => (&ARMV81M_MVE, true),
            Isa::Rv32v => (&RV32V, true),
        }
    }

    /// Whether a core has what a kernel is made for.
    pub(super) fn has(&self, kernel: Kernel) -> bool {
        match kernel {
            Kernel::Dot8 => self.dot.is_some(),
            Kernel::Lanes8 => self.lanes.is_some(),
            _ => true,
        }
    }

    /// Pixels, as many as are computed at once; for each block of outputs all bytes of the window.
    pub(super) fn lanes8(&self, window: &Window) -> usize {
        let [byte, row, block, group] = self.lanes.unwrap_or_default();
        let outputs = usize::from(window.output[2]);
        let [pixels, lanes] = if outputs > 16 { [3, 32] } else { [6, 16] };
        let rows = usize::from(window.size[0]) * row;
        let products = window.patch_len() * (byte + 2 * pixels) + rows + block;
        window.positions().div_ceil(pixels) * (group + outputs.div_ceil(lanes) * products)
    }

    /// Pairs of pixels; for each four outputs of them all rows of the window.
    pub(super) fn dot8(&self, window: &Window) -> usize {
        let [step, row, outputs, pair] = self.dot.unwrap_or_default();
        let rows = usize::from(window.size[0]);
        let steps = (usize::from(window.size[1]) * usize::from(window.input[2])).div_ceil(16);
        let groups = usize::from(window.output[2]).div_ceil(4);
        let products = groups * (rows * (steps * step + row) + outputs);
        window.positions().div_ceil(2) * (pair + products)
    }

    /// Pairs of pixels; each widens its patches, and multiplies them for each pair of channels.
    pub(super) fn direct16(&self, window: &Window) -> usize {
        let rows = usize::from(window.size[0]);
        let words = usize::from(window.size[1]) * usize::from(window.input[2]).div_ceil(4);
        let widen = 2 * (self.patch[1] + rows * (10 + self.patch[0] * words));
        let products = usize::from(window.output[2]) / 2 * (self.pixels + self.step * rows * words);
        window.positions().div_ceil(2) * (60 + widen + products)
    }

    /// Pairs of tiles; each is transformed, and multiplied for each pair of channels. `passes`:
    /// how often all weights are transformed.
    pub(super) fn winograd4(&self, window: &Window, pairs: usize, passes: usize) -> usize {
        let quads = usize::from(window.input[2]).div_ceil(4);
        let outputs = usize::from(window.output[2]) / 2;
        let transform = (8 * self.winograd[0] + 2 * self.winograd[1]) * quads + 300;
        let step = if passes == 0 { self.step } else { self.step_alone };
        let products = outputs * (36 * (step * quads + self.sum) + self.outputs[0]);
        pairs * (transform + products) + passes * outputs * (self.winograd[2] * quads + 60)
    }

    /// The same by phases.
    pub(super) fn polyphase2(&self, window: &Window, pairs: usize, passes: usize) -> usize {
        let quads = usize::from(window.input[2]).div_ceil(4);
        let outputs = usize::from(window.output[2]) / 2;
        let transform = (8 * self.polyphase[0] + 2 * self.polyphase[1]) * quads + 300;
        let step = if passes == 0 { self.step } else { self.step_alone };
        let products = outputs * (25 * step * quads + 9 * self.sum + self.outputs[1]);
        pairs * (transform + products) + passes * outputs * (self.polyphase[2] * quads + 60)
    }

    /// Four pixels at a time, or with the most scratch memory as many as there are registers for;
    /// each widens its patch, and all are multiplied for each pair of channels. `groups`: how many
    /// eights of weights have segments of 8, 4, 3, 2 and 1.
    pub(super) fn pixel_pairs(&self, window: &Window, groups: [usize; 5], has_most: bool) -> usize {
        let PixelPairs { words: [fewest, at_least, most], eights, byte, outputs } =
            self.pixel_pairs;
        let pairs = usize::from(window.output[2]).div_ceil(2);
        let pixel = 40 + byte * window.patch_len();
        let block = |words: usize| {
            let weights =
                eights.1.iter().zip(groups).map(|(eight, n)| (eights.0 + eight * words) * n);
            weights.sum::<usize>() + pairs * (outputs[0] + outputs[1] * words)
        };
        let (pixels, words) = (window.positions(), if has_most { most } else { at_least });
        let (blocks, rest) = (pixels / (2 * words), pixels % (2 * words));
        let rest = if rest == 0 { 0 } else { block(rest.div_ceil(2).max(fewest)) };
        pixels * pixel + blocks * block(words) + rest
    }
}
