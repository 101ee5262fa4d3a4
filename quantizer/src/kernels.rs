//! Which kernel computes each convolution of a planned graph.
//!
//! Owns the cost table: instructions and bytes of flash of every kernel for a layer, by the loops
//! of its code. Picks the fastest kernels that a flash budget allows. Knows nothing of how a
//! kernel computes, and nothing of memory beyond the scratch that a kernel asks for.

use crate::accumulator::accumulator_bound;
use crate::plan::search::Memory;
use crate::quantized::{Channels, QuantizedGraph, QuantizedOp, TensorId};
use resmcu_int8_kernels::host::{HOST_KERNEL, HOST_KERNEL_NAME};
use resmcu_int8_kernels::ops::conv2d;
use resmcu_int8_kernels::packed::{self, Kernel, pixel_pairs_segments};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::Isa;

/// What a model file is packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Every core, by the generic kernels.
    Generic,
    /// The fastest of an instruction set's kernels within the limits.
    Fastest(Limits),
    /// One kernel for all layers that it computes: for tests and measurements.
    Only(Kernel),
}

/// What the choice of kernels has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The core's instructions.
    pub isa: Isa,
    /// The most bytes of the model file; none where flash does not matter.
    pub file_bytes: Option<usize>,
    /// Bytes of working memory beyond which no kernel is given more than its least.
    pub scratch_bytes: usize,
    /// What arena and scratch may take together.
    pub memory: Memory,
}

/// The name of a kernel's number in a model file.
#[must_use]
pub fn kernel_name(number: u16) -> &'static str {
    match (number, Kernel::from_number(number)) {
        (conv2d::NUMBER_S8, _) => "generic",
        (conv2d::NUMBER_S4, _) => "generic, int4",
        (HOST_KERNEL, _) => HOST_KERNEL_NAME,
        (_, Some(kernel)) => kernel.name(),
        (_, None) => "unknown",
    }
}

/// A convolution as kernels see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer<'g> {
    pub(crate) window: Window,
    clamp: [i8; 2],
    pub(crate) channels: packed::Channels<'g>,
    /// Of its accumulator, in the profile `tflite`.
    accumulator_bound: u64,
    weights: &'g [i8],
    /// Whether four bits hold each weight: kernels that store weights as they are have them so.
    pub(crate) is_int4: bool,
}

impl<'g> Layer<'g> {
    /// The node of this index, if it is one and its sizes fit.
    pub(crate) fn of(graph: &'g QuantizedGraph, index: usize) -> Option<Self> {
        let QuantizedOp::Conv2d { weights, channels, clamp, .. } = &graph.nodes.get(index)?.op
        else {
            return None;
        };
        let zero_point = graph.tensors[index + 1].zero_point;
        let (channels, accumulator_bound) = match channels {
            Channels::Native(channels) => (packed::Channels::Native(channels), 0),
            Channels::Tflite(channels) => {
                let zero_point = i8::try_from(zero_point).ok()?;
                let channels = packed::Channels::Tflite { channels, zero_point };
                (channels, accumulator_bound(graph, index))
            }
        };
        let window = window(graph, index)?;
        let is_int4 = weights.iter().all(|w| (conv2d::INT4[0]..=conv2d::INT4[1]).contains(w));
        Some(Self { window, clamp: *clamp, channels, accumulator_bound, weights, is_int4 })
    }

    pub(crate) fn takes(&self, kernel: Kernel) -> bool {
        (self.is_int4 || kernel.weight_bits() != Some(4))
            && self.accumulator_bound <= kernel.tflite_accumulator_max().into()
            && kernel.accepts(&self.window, self.clamp, self.channels)
    }

    /// Whether the generic kernel reads its weights in four bits, as it does in the profile
    /// `native` alone.
    pub(crate) fn is_generic_int4(&self) -> bool {
        self.is_int4 && matches!(self.channels, packed::Channels::Native(_))
    }

    /// Whether the kernel stores more bits of a weight than there are.
    fn wastes_bits(&self, kernel: Kernel) -> bool {
        self.is_int4 && kernel.weight_bits() == Some(8)
    }
}

/// The window of a convolution, if node `index` is one and its sizes fit.
fn window(graph: &QuantizedGraph, index: usize) -> Option<Window> {
    let QuantizedOp::Conv2d { input, sliding, .. } = &graph.nodes.get(index)?.op else {
        return None;
    };
    let shape = |tensor: TensorId| fit(graph.tensors[tensor.0].shape);
    Some(Window {
        input: shape(*input)?,
        output: shape(TensorId(index + 1))?,
        size: fit(sliding.size)?,
        stride: fit(sliding.stride)?,
        padding: fit([sliding.padding[0], sliding.padding[1]])?,
    })
}

fn fit<T: TryFrom<usize> + Default + Copy, const N: usize>(numbers: [usize; N]) -> Option<[T; N]> {
    let mut fitted = [T::default(); N];
    for (fitted, number) in fitted.iter_mut().zip(numbers) {
        *fitted = T::try_from(number).ok()?;
    }
    Some(fitted)
}

/// A kernel for a layer, and what it costs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The kernel; none is the generic one.
    pub kernel: Option<Kernel>,
    /// Instructions of one inference, estimated.
    pub instructions: u64,
    /// Bytes of packed weights.
    pub weight_bytes: usize,
    /// Bytes of working memory.
    pub scratch_bytes: usize,
}

/// Every kernel of an instruction set that computes node `index`, the fastest first; empty where
/// the node is not a convolution.
#[must_use]
pub fn candidates(graph: &QuantizedGraph, index: usize, limits: &Limits) -> Vec<Candidate> {
    candidates_by_rows(graph, index, limits, usize::MAX)
}

/// The same where the node makes `rows` rows at a time.
#[must_use]
pub fn candidates_by_rows(
    graph: &QuantizedGraph,
    index: usize,
    limits: &Limits,
    rows: usize,
) -> Vec<Candidate> {
    let Some(layer) = Layer::of(graph, index) else { return vec![] };
    let groups = groups(&layer.window, rows);
    let of_group = |window: &Window| Layer { window: *window, ..layer };
    let (costs, has_packed) = Costs::of(limits.isa);
    let mut candidates = vec![in_groups(&groups, |window| generic(&of_group(window), costs))];
    if has_packed {
        let kernels =
            Kernel::ALL.into_iter().filter(|&kernel| layer.takes(kernel) && costs.has(kernel));
        let kernels = kernels.filter(|&kernel| !layer.wastes_bits(kernel));
        let of = |kernel| in_groups(&groups, |w| packed(kernel, &of_group(w), costs, limits));
        candidates.extend(kernels.map(of));
    }
    candidates.sort_by_key(|candidate| candidate.instructions);
    candidates
}

/// The windows of all groups of `rows` rows, and how many of each there are.
fn groups(window: &Window, rows: usize) -> Vec<(Window, u64)> {
    let height = usize::from(window.output[0]);
    let rows = rows.clamp(1, height.max(1));
    let of = |rows: usize| {
        let under = (rows.max(1) - 1) * usize::from(window.stride[0]) + usize::from(window.size[0]);
        let input = under.min(window.input[0].into()) as u16;
        let (mut group, whole) = (*window, rows == height);
        group.output[0] = rows as u16;
        group.input[0] = if whole { window.input[0] } else { input };
        group
    };
    let mut groups = vec![(of(rows), (height / rows) as u64)];
    if height % rows != 0 {
        groups.push((of(height % rows), 1));
    }
    groups
}

/// What a kernel costs for all groups together.
fn in_groups(groups: &[(Window, u64)], cost: impl Fn(&Window) -> Candidate) -> Candidate {
    let mut all = cost(&groups[0].0);
    all.instructions *= groups[0].1;
    for (window, count) in &groups[1..] {
        all.instructions += count * cost(window).instructions;
    }
    all
}

/// The kernel of each node of `graph` (none: generic), and the scratch that it is given in bytes.
/// The convolutions' weights take at most `budget` bytes, if any choice brings them down to that.
pub(crate) fn choose(
    graph: &QuantizedGraph,
    packing: Packing,
    budget: usize,
) -> Vec<(Option<Kernel>, usize)> {
    let nodes = 0..graph.nodes.len();
    match packing {
        Packing::Generic => nodes.map(|_| (None, 0)).collect(),
        Packing::Only(kernel) => nodes
            .map(|index| {
                let layer = Layer::of(graph, index).filter(|layer| layer.takes(kernel));
                layer.map_or((None, 0), |l| (Some(kernel), 4 * kernel.scratch_words_min(&l.window)))
            })
            .collect(),
        Packing::Fastest(limits) => {
            let table: Vec<_> = nodes.map(|index| candidates(graph, index, &limits)).collect();
            let picks = pick(&table, budget);
            let picked = picks.iter().zip(&table);
            let kernel = |(&pick, table): (&usize, &Vec<Candidate>)| {
                table.get(pick).map_or((None, 0), |c| (c.kernel, c.scratch_bytes))
            };
            picked.map(kernel).collect()
        }
    }
}

/// Which candidate of each layer: the fastest, and then, while they take too many bytes, the
/// exchange that costs the fewest instructions for each byte that it saves.
fn pick(table: &[Vec<Candidate>], budget: usize) -> Vec<usize> {
    let mut picks = vec![0; table.len()];
    let bytes = |picks: &[usize]| -> usize {
        let picked = picks.iter().zip(table);
        picked.filter_map(|(&pick, table)| table.get(pick)).map(|c| c.weight_bytes).sum()
    };
    while bytes(&picks) > budget {
        let exchanges = picks.iter().zip(table).enumerate().flat_map(|(layer, (&pick, table))| {
            (pick + 1..table.len()).filter_map(move |other| {
                let saved = table[pick].weight_bytes.checked_sub(table[other].weight_bytes)?;
                let slower = table[other].instructions - table[pick].instructions;
                (saved > 0).then_some((layer, other, slower as f64 / saved as f64))
            })
        });
        let Some((layer, other, _)) = exchanges.min_by(|a, b| a.2.total_cmp(&b.2)) else { break };
        picks[layer] = other;
    }
    picks
}

fn generic(layer: &Layer<'_>, costs: &Costs) -> Candidate {
    let window = &layer.window;
    let outputs = window.positions() * usize::from(window.output[2]);
    let [for_eight, for_each] = costs.generic;
    Candidate {
        kernel: None,
        instructions: (outputs * (for_each + for_eight * window.patch_len() / 8)) as u64,
        weight_bytes: conv2d::packed_len(window) / if layer.is_generic_int4() { 2 } else { 1 },
        scratch_bytes: conv2d::scratch_len(window),
    }
}

fn packed(kernel: Kernel, layer: &Layer<'_>, costs: &Costs, limits: &Limits) -> Candidate {
    let window = &layer.window;
    let least = 4 * kernel.scratch_words_min(window);
    let most = 4 * kernel.scratch_words_max(window);
    let scratch_bytes = most.min(limits.scratch_bytes).max(least);
    let pairs = kernel.tile_pairs(window);
    let passes = pairs.div_ceil(kernel.tile_pairs_at_once(window, scratch_bytes / 4));
    let instructions = match kernel {
        Kernel::Direct16 => costs.direct16(window),
        Kernel::Winograd4 => costs.winograd4(window, pairs, 0),
        Kernel::Winograd4OnTheFly => costs.winograd4(window, pairs, passes),
        Kernel::Winograd4Int4 => costs.winograd4(window, pairs, passes) + unpacking(window, passes),
        Kernel::Polyphase2 => costs.polyphase2(window, pairs, 0),
        Kernel::Polyphase2OnTheFly => costs.polyphase2(window, pairs, passes),
        Kernel::Polyphase2Int4 => {
            costs.polyphase2(window, pairs, passes) + unpacking(window, passes)
        }
        Kernel::PixelPairs => {
            costs.pixel_pairs(window, pixel_pairs_segments(window.patch_len(), layer.weights))
        }
        Kernel::Dot8 => costs.dot8(window),
        Kernel::Lanes8 => costs.lanes8(window),
    };
    let weight_bytes = 4 * kernel.packed_words(window);
    Candidate {
        kernel: Some(kernel),
        instructions: instructions as u64,
        weight_bytes,
        scratch_bytes,
    }
}

/// Instructions that four bits cost over eight: twelve for each word of eight weights, on each
/// pass over all weights.
fn unpacking(window: &Window, passes: usize) -> usize {
    let quads = usize::from(window.input[2]).div_ceil(4);
    passes * usize::from(window.output[2]) / 2 * (9 * 12 * quads + 60)
}

/// Instructions of the kernels' loops.
struct Costs {
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
    /// Two outputs of a pair of tiles, transformed back and stored: 64 and 16 places.
    outputs: [usize; 2],
    /// Widening four bytes, and what comes with a patch.
    patch: [usize; 2],
    /// Two outputs of a pair of pixels.
    pixels: usize,
    /// Two pixels a product: eight weights of two outputs and four pixels, in segments of 8, 4, 2
    /// and 1; widening a byte; and two outputs of four pixels.
    pixel_pairs: ([usize; 4], usize, usize),
    /// Of dot products of sixteen bytes, where a core has them: a step of two pixels and four
    /// outputs, a row of steps, what comes with four outputs, and with a pair of pixels.
    dot: Option<[usize; 4]>,
    /// Of vectors of output channels, where a core has them: what comes with a byte of the windows
    /// of some pixels besides two for each of them, with a row, with a block of outputs, and with
    /// the pixels.
    lanes: Option<[usize; 4]>,
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
    pixel_pairs: ([58; 4], 8, 170),
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
    pixel_pairs: ([58; 4], 8, 190),
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
    pixel_pairs: ([350, 400, 500, 700], 12, 300),
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
    pixel_pairs: ([115, 126, 152, 205], 8, 340),
    dot: None,
    lanes: None,
};

/// By the lines of `arch/armv81m_mve`; the rest as a core with DSP extension does it.
const ARMV81M_MVE: Costs = Costs { dot: Some([14, 7, 34, 60]), ..ARMV7EM };

/// By the lines of `arch/rv32v`; the rest as without vectors.
const RV32V: Costs = Costs { lanes: Some([4, 20, 70, 250]), ..RV32 };

impl Costs {
    /// The costs of a core, and whether it has packed kernels at all.
    const fn of(isa: Isa) -> (&'static Self, bool) {
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
    fn has(&self, kernel: Kernel) -> bool {
        match kernel {
            Kernel::Dot8 => self.dot.is_some(),
            Kernel::Lanes8 => self.lanes.is_some(),
            _ => true,
        }
    }

    /// Pixels, as many as are computed at once; for each block of outputs all bytes of the window.
    fn lanes8(&self, window: &Window) -> usize {
        let [byte, row, block, group] = self.lanes.unwrap_or_default();
        let outputs = usize::from(window.output[2]);
        let [pixels, lanes] = if outputs > 16 { [3, 32] } else { [6, 16] };
        let rows = usize::from(window.size[0]) * row;
        let products = window.patch_len() * (byte + 2 * pixels) + rows + block;
        window.positions().div_ceil(pixels) * (group + outputs.div_ceil(lanes) * products)
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
        let widen = 2 * (self.patch[1] + rows * (10 + self.patch[0] * words));
        let products = usize::from(window.output[2]) / 2 * (self.pixels + self.step * rows * words);
        window.positions().div_ceil(2) * (60 + widen + products)
    }

    /// Pairs of tiles; each is transformed, and multiplied for each pair of channels. `passes`:
    /// how often all weights are transformed.
    fn winograd4(&self, window: &Window, pairs: usize, passes: usize) -> usize {
        let quads = usize::from(window.input[2]).div_ceil(4);
        let outputs = usize::from(window.output[2]) / 2;
        let transform = (8 * self.winograd[0] + 2 * self.winograd[1]) * quads + 300;
        let step = if passes == 0 { self.step } else { self.step_alone };
        let products = outputs * (36 * (step * quads + self.sum) + self.outputs[0]);
        pairs * (transform + products) + passes * outputs * (self.winograd[2] * quads + 60)
    }

    /// The same by phases.
    fn polyphase2(&self, window: &Window, pairs: usize, passes: usize) -> usize {
        let quads = usize::from(window.input[2]).div_ceil(4);
        let outputs = usize::from(window.output[2]) / 2;
        let transform = (8 * self.polyphase[0] + 2 * self.polyphase[1]) * quads + 300;
        let step = if passes == 0 { self.step } else { self.step_alone };
        let products = outputs * (25 * step * quads + 9 * self.sum + self.outputs[1]);
        pairs * (transform + products) + passes * outputs * (self.polyphase[2] * quads + 60)
    }

    /// Four pixels at a time; each widens its patch, and multiplies it for each pair of channels.
    /// `groups`: how many eights of weights have segments of 8, 4, 2 and 1.
    fn pixel_pairs(&self, window: &Window, groups: [usize; 4]) -> usize {
        let (eights, byte, outputs) = self.pixel_pairs;
        let patch = window.patch_len();
        let weights: usize = eights.iter().zip(groups).map(|(eight, groups)| eight * groups).sum();
        let products = usize::from(window.output[2]).div_ceil(2) * outputs + weights;
        window.positions().div_ceil(4) * (4 * (40 + byte * patch) + products)
    }
}
