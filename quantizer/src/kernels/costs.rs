//! What the kernels cost in instructions, and in cycles.
//!
//! Owns the cost tables of every instruction set, by the loops of its code, and what those come to
//! for a layer. Knows no graph and no budget, and memory that answers at once.

use super::walk::Walk;
use super::{Core, Limits};
use resmcu_int8_kernels::packed::Kernel;
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::Isa;

/// The tables of a core.
pub(super) struct Tables {
    pub(super) instructions: &'static Costs,
    /// In cycles, for cores whose timing is published.
    pub(super) cycles: Option<&'static Costs>,
}

/// The kernels' loops, in instructions or in cycles.
pub(super) struct Costs {
    /// Whether the loops load weights of int16 one by one, where they are stored so.
    pub(super) loads_halves: bool,
    /// Whether each transform on the fly loads its weights twice, for one output after the other.
    pub(super) loads_twice: bool,
    /// The generic kernel: eight products, and an output.
    generic: [usize; 2],
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
    /// Of both methods with weights on the fly: what comes with each pair of tiles for a pair of
    /// outputs, and with each transform of the weights of such a pair.
    on_the_fly: [[usize; 2]; 2],
    /// Two outputs of a pair of tiles, transformed back and stored: 64 and 16 places.
    outputs: [usize; 2],
    /// Winograd's method with channels in sixteens, where a core has vectors for them: sixteen of
    /// two tiles and two outputs, with another pair of outputs beside them and alone, what comes
    /// with each sum, sixteen of one place in a vertical and in a horizontal pass, and two outputs
    /// of a pair of tiles.
    winograd_of_16: Option<[usize; 6]>,
    /// Widening four bytes, and what comes with a patch and with a row of it.
    patch: [usize; 3],
    /// Two outputs of a pair of pixels.
    pixels: usize,
    /// Eight weights of four bits that become bytes.
    eight_nibbles: usize,
    /// Two pixels a product.
    pub(super) pixel_pairs: PixelPairs,
    /// Of dot products of sixteen bytes, where a core has them: a step of two pixels and four
    /// outputs, a row of steps, what comes with four outputs, and with a pair of pixels.
    dot: Option<[usize; 4]>,
    /// Of vectors of output channels, where a core has them: what comes with a byte of the windows
    /// of some pixels besides two for each of them, with a row, with a block of outputs, and with
    /// each of the pixels.
    lanes: Option<[usize; 4]>,
}

/// Of two pixels a product.
pub(super) struct PixelPairs {
    /// Words of two pixels at once: the fewest, the most in the least scratch memory, the most.
    words: [usize; 3],
    /// Eight weights of two outputs, and for each word of them in segments of 8, 4, 3, 2
    /// and 1.
    eights: (usize, [usize; 5]),
    /// Widening a pixel's patch, and each byte of it.
    pixel: [usize; 2],
    /// Two outputs, and for each word of them.
    outputs: [usize; 2],
    /// Weights that one load brings, and loads of an output's constants.
    pub(super) loads: [usize; 2],
}

impl PixelPairs {
    /// Whether more scratch memory makes it faster.
    pub(super) const fn grows(&self) -> bool {
        self.words[2] > self.words[1]
    }

    /// Words of two pixels at once, in the least scratch memory or in the most.
    pub(super) const fn words_at_once(&self, has_most: bool) -> usize {
        self.words[if has_most { 2 } else { 1 }]
    }
}

/// By the lines of `arch/armv7em`.
const ARMV7EM: Costs = Costs {
    loads_halves: false,
    loads_twice: true,
    eight_nibbles: 12,
    generic: [22, 40],
    step: 10,
    step_alone: 10,
    sum: 4,
    winograd: [72, 265, 855],
    polyphase: [45, 110, 240],
    on_the_fly: [[90, 600], [120, 170]],
    outputs: [900, 180],
    patch: [6, 60, 10],
    pixels: 30,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (1, [26; 5]),
        pixel: [190, 2],
        outputs: [94, 0],
        loads: [4, 3],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// The same in cycles of a Cortex-M4.
const ARMV7EM_CYCLES: Costs = Costs {
    loads_halves: false,
    loads_twice: true,
    eight_nibbles: 14,
    generic: [30, 58],
    step: 18,
    step_alone: 18,
    sum: 4,
    winograd: [76, 300, 1017],
    polyphase: [50, 130, 300],
    on_the_fly: [[174, 1050], [205, 535]],
    outputs: [1270, 272],
    patch: [8, 80, 45],
    pixels: 45,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (1, [36; 5]),
        pixel: [300, 2],
        outputs: [120, 0],
        loads: [4, 3],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// By the lines of `arch/armv7m`, and what compilers make of the rest: what fits the counts of each
/// kernel in ResNet-8's layers best, as all tables below.
const ARMV7M: Costs = Costs {
    loads_halves: true,
    loads_twice: false,
    eight_nibbles: 12,
    generic: [24, 47],
    step: 29,
    step_alone: 37,
    sum: 8,
    winograd: [62, 203, 2455],
    polyphase: [55, 282, 813],
    on_the_fly: [[0, 60]; 2],
    outputs: [1331, 202],
    patch: [30, 103, 10],
    pixels: 85,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (0, [29; 5]),
        pixel: [40, 11],
        outputs: [0, 176],
        loads: [1, 12],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// The same in cycles of a Cortex-M3.
const ARMV7M_CYCLES: Costs = Costs {
    loads_halves: true,
    loads_twice: false,
    eight_nibbles: 24,
    generic: [41, 70],
    step: 53,
    step_alone: 64,
    sum: 16,
    winograd: [92, 333, 3272],
    polyphase: [103, 521, 1071],
    on_the_fly: [[0, 120]; 2],
    outputs: [2466, 356],
    patch: [40, 142, 17],
    pixels: 168,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (0, [141; 5]),
        pixel: [40, 15],
        outputs: [0, 273],
        loads: [1, 12],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// In instructions of `arch/armv6m`.
const ARMV6M: Costs = Costs {
    loads_halves: false,
    loads_twice: false,
    eight_nibbles: 12,
    generic: [37, 63],
    step: 64,
    step_alone: 68,
    sum: 23,
    winograd: [183, 814, 3372],
    polyphase: [224, 1838, 2073],
    on_the_fly: [[0, 60]; 2],
    outputs: [3676, 1144],
    patch: [42, 130, 9],
    pixels: 260,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (0, [73, 76, 84, 91, 140]),
        pixel: [40, 9],
        outputs: [0, 145],
        loads: [1, 12],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// The same in cycles of a Cortex-M0; a Cortex-M0+ takes one less for each branch.
const ARMV6M_CYCLES: Costs = Costs {
    loads_halves: false,
    loads_twice: false,
    eight_nibbles: 15,
    generic: [43, 102],
    step: 73,
    step_alone: 82,
    sum: 32,
    winograd: [274, 1244, 5032],
    polyphase: [321, 2854, 2999],
    on_the_fly: [[0, 76]; 2],
    outputs: [5368, 1827],
    patch: [63, 231, 13],
    pixels: 425,
    pixel_pairs: PixelPairs {
        words: [2; 3],
        eights: (0, [104, 101, 117, 127, 193]),
        pixel: [40, 14],
        outputs: [0, 219],
        loads: [1, 12],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// In instructions of `arch/rv32`.
const RV32: Costs = Costs {
    loads_halves: true,
    loads_twice: false,
    eight_nibbles: 12,
    generic: [33, 36],
    step: 43,
    step_alone: 55,
    sum: 6,
    winograd: [66, 317, 2677],
    polyphase: [56, 309, 1260],
    on_the_fly: [[0, 60]; 2],
    outputs: [1659, 239],
    patch: [34, 56, 8],
    pixels: 72,
    pixel_pairs: PixelPairs {
        words: [1, 2, 3],
        eights: (24, [45, 51, 57, 68, 103]),
        pixel: [40, 6],
        outputs: [102, 43],
        loads: [1, 12],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// The same in cycles of an E31.
const E31_CYCLES: Costs = Costs {
    loads_halves: true,
    loads_twice: false,
    eight_nibbles: 25,
    generic: [57, 47],
    step: 122,
    step_alone: 134,
    sum: 11,
    winograd: [132, 612, 3137],
    polyphase: [101, 524, 1725],
    on_the_fly: [[0, 126]; 2],
    outputs: [1822, 350],
    patch: [29, 0, 11],
    pixels: 82,
    pixel_pairs: PixelPairs {
        words: [1, 2, 3],
        eights: (52, [104, 112, 119, 134, 193]),
        pixel: [40, 9],
        outputs: [129, 49],
        loads: [1, 12],
    },
    winograd_of_16: None,
    dot: None,
    lanes: None,
};

/// The same in cycles of a Hazard3.
const HAZARD3_CYCLES: Costs = Costs {
    eight_nibbles: 14,
    generic: [33, 39],
    step: 51,
    step_alone: 65,
    winograd: [64, 308, 2925],
    polyphase: [57, 316, 1237],
    outputs: [1801, 247],
    patch: [38, 53, 8],
    pixels: 80,
    pixel_pairs: PixelPairs {
        eights: (21, [56, 55, 66, 77, 103]),
        pixel: [40, 7],
        outputs: [94, 47],
        ..RV32.pixel_pairs
    },
    ..RV32
};

/// By the lines of `arch/armv81m_mve`, and for dot products by what fits their counts in ResNet-8's
/// layers best; the rest as a core with DSP extension does it.
const ARMV81M_MVE: Costs = Costs {
    dot: Some([17, 1, 13, 270]),
    winograd_of_16: Some([14, 16, 2, 73, 415, 425]),
    ..ARMV7EM
};

/// By the lines of `arch/rv32v`, and for a pixel by what fits the counts in ResNet-8's layers best;
/// the rest as without vectors.
const RV32V: Costs = Costs { lanes: Some([4, 20, 90, 150]), ..RV32 };

impl Tables {
    /// Those of a core; for every core those of one, which compare layers with each other.
    pub(super) const fn of(limits: &Limits) -> Self {
        let (instructions, cycles) = match (limits.isa, limits.core) {
            (Isa::Generic, _) => (&ARMV7EM, None),
            (Isa::Armv7em, _) => (&ARMV7EM, Some(&ARMV7EM_CYCLES)),
            (Isa::Armv7m, _) => (&ARMV7M, Some(&ARMV7M_CYCLES)),
            (Isa::Armv6m, _) => (&ARMV6M, Some(&ARMV6M_CYCLES)),
            (Isa::Rv32, Core::E31) => (&RV32, Some(&E31_CYCLES)),
            (Isa::Rv32, Core::Hazard3) => (&RV32, Some(&HAZARD3_CYCLES)),
            (Isa::Rv32, Core::Any) => (&RV32, None),
            (Isa::Armv81mMve, _) => (&ARMV81M_MVE, None),
            (Isa::Rv32v, _) => (&RV32V, None),
        };
        Self { instructions, cycles }
    }
}

impl Costs {
    /// Whether a core has what a kernel is made for.
    pub(super) fn has(&self, kernel: Kernel) -> bool {
        match kernel {
            Kernel::Dot8 => self.dot.is_some(),
            Kernel::Lanes8 => self.lanes.is_some(),
            _ => true,
        }
    }

    /// All that a kernel (none: the generic one) does for a layer.
    pub(super) fn count(&self, kernel: Option<Kernel>, window: &Window, walk: &Walk) -> usize {
        let Walk { pairs, passes, .. } = *walk;
        match kernel {
            None => self.generic(window),
            Some(Kernel::Direct16) => self.direct16(window),
            Some(Kernel::Winograd4) => self.winograd4(window, pairs, 0),
            Some(Kernel::Winograd4OnTheFly) => self.winograd4(window, pairs, passes),
            Some(Kernel::Winograd4Int4) => {
                self.winograd4(window, pairs, passes) + self.nibbles(window, passes)
            }
            Some(Kernel::Polyphase2) => self.polyphase2(window, pairs, 0),
            Some(Kernel::Polyphase2OnTheFly) => self.polyphase2(window, pairs, passes),
            Some(Kernel::Polyphase2Int4) => {
                self.polyphase2(window, pairs, passes) + self.nibbles(window, passes)
            }
            Some(Kernel::PixelPairs) => self.pixel_pairs(window, walk),
            Some(Kernel::Dot8) => self.dot8(window),
            Some(Kernel::Lanes8) => self.lanes8(window),
        }
    }

    /// Patches; for each output all of one.
    fn generic(&self, window: &Window) -> usize {
        let [for_eight, for_each] = self.generic;
        let outputs = window.positions() * usize::from(window.output[2]);
        outputs * (for_each + for_eight * window.patch_len() / 8)
    }

    /// What four bits cost over eight, on each pass over all weights.
    fn nibbles(&self, window: &Window, passes: usize) -> usize {
        let quads = usize::from(window.input[2]).div_ceil(4);
        let pairs = usize::from(window.output[2]) / 2;
        passes * pairs * (9 * self.eight_nibbles * quads + 60)
    }

    /// Pixels that vectors of output channels compute at once, and the outputs of a block.
    pub(super) fn lanes(window: &Window) -> [usize; 2] {
        if window.output[2] > 16 { [3, 32] } else { [6, 16] }
    }

    /// Pixels, as many as are computed at once; for each block of outputs all bytes of the window.
    fn lanes8(&self, window: &Window) -> usize {
        let [byte, row, block, pixel] = self.lanes.unwrap_or_default();
        let outputs = usize::from(window.output[2]);
        let [pixels, lanes] = Self::lanes(window);
        let rows = usize::from(window.size[0]) * row;
        let products = window.patch_len() * (byte + 2 * pixels) + rows + block;
        window.positions().div_ceil(pixels) * (pixels * pixel + outputs.div_ceil(lanes) * products)
    }

    /// Pairs of pixels; for each four outputs of them all rows of the window.
    fn dot8(&self, window: &Window) -> usize {
        let [step, row, outputs, pair] = self.dot.unwrap_or_default();
        let rows = usize::from(window.size[0]);
        let steps = (usize::from(window.size[1]) * usize::from(window.input[2])).div_ceil(16);
        let groups = usize::from(window.output[2]).div_ceil(4);
        let products = groups * (rows * (steps * step + row) + outputs);
        window.positions().div_ceil(2) * (pair + products)
    }

    /// Pairs of pixels; each widens its patches, and multiplies them for each pair of channels.
    fn direct16(&self, window: &Window) -> usize {
        let rows = usize::from(window.size[0]);
        let words = usize::from(window.size[1]) * usize::from(window.input[2]).div_ceil(4);
        let [word, patch, row] = self.patch;
        let widen = 2 * (patch + rows * (row + word * words));
        let products = usize::from(window.output[2]) / 2 * (self.pixels + self.step * rows * words);
        window.positions().div_ceil(2) * (60 + widen + products)
    }

    /// Pairs of tiles; each is transformed, and multiplied for each pair of channels. `passes`:
    /// how often all weights are transformed.
    fn winograd4(&self, window: &Window, pairs: usize, passes: usize) -> usize {
        let (channels, outputs) = (usize::from(window.input[2]), window.output[2] / 2);
        let (outputs, quads) = (usize::from(outputs), channels.div_ceil(4));
        let [vertical, horizontal, _] = self.winograd;
        let of_4 = [self.step, self.step_alone, self.sum, vertical, horizontal, self.outputs[0]];
        let (steps, costs) = match self.winograd_of_16 {
            Some(of_16) if channels.is_multiple_of(16) => (channels / 16, of_16),
            _ => (quads, of_4),
        };
        let [step, step_alone, sum, vertical, horizontal, places] = costs;
        let step = if passes == 0 { step } else { step_alone };
        let transform = (8 * vertical + 2 * horizontal) * steps + 300;
        let products = outputs * (36 * (step * steps + sum) + places);
        let times = [pairs * outputs, passes * outputs];
        let fly = self.on_the_fly(0, times, self.winograd[2] * quads);
        pairs * (transform + products) + fly
    }

    /// The same by phases.
    fn polyphase2(&self, window: &Window, pairs: usize, passes: usize) -> usize {
        let quads = usize::from(window.input[2]).div_ceil(4);
        let outputs = usize::from(window.output[2]) / 2;
        let transform = (8 * self.polyphase[0] + 2 * self.polyphase[1]) * quads + 300;
        let step = if passes == 0 { self.step } else { self.step_alone };
        let products = outputs * (25 * step * quads + 9 * self.sum + self.outputs[1]);
        let times = [pairs * outputs, passes * outputs];
        let fly = self.on_the_fly(1, times, self.polyphase[2] * quads);
        pairs * (transform + products) + fly
    }

    /// What comes with weights on the fly, by method: `times` that a pair of outputs is computed
    /// for a pair of tiles, and that its weights are transformed, each for so much as `weights`.
    fn on_the_fly(&self, method: usize, times: [usize; 2], weights: usize) -> usize {
        let [[pair, transform], [tiles, passes]] = [self.on_the_fly[method], times];
        if passes == 0 { 0 } else { tiles * pair + passes * (weights + transform) }
    }

    /// Four pixels at a time, or with the most scratch memory as many as there are registers for;
    /// each widens its patch, and all are multiplied for each pair of channels.
    fn pixel_pairs(&self, window: &Window, walk: &Walk) -> usize {
        let PixelPairs { words: [fewest, ..], eights, pixel, outputs, .. } = self.pixel_pairs;
        let Walk { words, segments, .. } = *walk;
        let pairs = usize::from(window.output[2]).div_ceil(2);
        let pixel = pixel[0] + pixel[1] * window.patch_len();
        let block = |words: usize| {
            let weights =
                eights.1.iter().zip(segments).map(|(eight, n)| (eights.0 + eight * words) * n);
            weights.sum::<usize>() + pairs * (outputs[0] + outputs[1] * words)
        };
        let pixels = window.positions();
        let (blocks, rest) = (pixels / (2 * words), pixels % (2 * words));
        let rest = if rest == 0 { 0 } else { block(rest.div_ceil(2).max(fewest)) };
        pixels * pixel + blocks * block(words) + rest
    }
}
