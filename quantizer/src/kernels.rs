//! Which kernel computes each convolution of a planned graph.
//!
//! Owns what every kernel costs for a layer in bytes of flash and of scratch memory; what it costs
//! in instructions and cycles is `costs`', how often it reads its weights `walk`'s, and which
//! kernels a flash budget allows `pick`'s. Knows nothing of how a kernel computes, and nothing of
//! memory beyond the scratch that a kernel asks for.
//!
//! The cost is in cycles of the core, where there is a table of them, else in instructions; and a
//! board whose flash answers late waits for each word of weights that is read from it
//! ([`Limits::flash_wait_states`]). Not modelled: that waits overlap with computing, the caches and
//! prefetchers that some chips have before their flash, and waiting for instructions, which the
//! inner loops of all kernels read again and again from a few hundred bytes.

use crate::accumulator::accumulator_bound;
use crate::plan::search::Memory;
use crate::quantized::{Channels, QuantizedGraph, QuantizedOp, TensorId};
use resmcu_int8_kernels::host::{HOST_KERNEL, HOST_KERNEL_NAME};
use resmcu_int8_kernels::ops::conv2d;
use resmcu_int8_kernels::packed::{self, Kernel};
use resmcu_int8_kernels::shape::Window;
use resmcu_model_format::Isa;

mod costs;
mod pick;
mod walk;
use costs::{Costs, Tables};
pub(crate) use pick::pick;
use walk::{Walk, flash_loads};

/// What a model file is packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Every core, by the generic kernels.
    Generic,
    /// The fastest of an instruction set's kernels within the limits.
    Fastest(Limits),
    /// One kernel for all layers that it computes, in the least scratch memory: for tests and
    /// measurements.
    Only(Kernel),
    /// The same in the most scratch memory that it makes use of.
    OnlyWithMost(Kernel),
}

/// A core whose cycles are others than those of most cores with its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// None such.
    Any,
    /// SiFive's E31, on which a product takes five cycles.
    E31,
    /// Raspberry Pi's Hazard3, which waits for little but memory and branches.
    Hazard3,
}

/// What the choice of kernels has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The core's instructions.
    pub isa: Isa,
    /// The core itself, where its timing is known.
    pub core: Core,
    /// The most bytes of the model file; none where flash does not matter.
    pub file_bytes: Option<usize>,
    /// Bytes of working memory beyond which no kernel is given more than its least.
    pub scratch_bytes: usize,
    /// What arena and scratch may take together.
    pub memory: Memory,
    /// Cycles that the core waits for each word of data that it loads from flash.
    pub flash_wait_states: u32,
}

impl Limits {
    /// A core with flash enough that answers at once, whole tensors, and the scratch memory that
    /// the fastest kernels of ResNets for small images want.
    #[must_use]
    pub const fn none(isa: Isa) -> Self {
        Self {
            isa,
            core: Core::Any,
            file_bytes: None,
            scratch_bytes: 52 << 10,
            memory: Memory::Whole,
            flash_wait_states: 0,
        }
    }
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
    /// What one inference takes.
    pub time: Time,
    /// Bytes of packed weights.
    pub weight_bytes: usize,
    /// Bytes of working memory.
    pub scratch_bytes: usize,
}

impl Candidate {
    /// Whether a model file calls its kernel by this number.
    #[must_use]
    pub fn is(&self, number: u16) -> bool {
        Kernel::from_number(number) == self.kernel
    }
}

/// What an inference, or a part of it, takes by the cost tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Instructions.
    pub instructions: u64,
    /// Cycles of the core, waiting for flash included; none for cores that have no table of them.
    pub cycles: Option<u64>,
    /// Words of weights that are loaded from flash.
    pub flash_loads: u64,
    /// What choices are made by: the cycles, or the instructions and the waiting for flash.
    pub cost: u64,
}

impl Time {
    /// By counts without waiting, and the board's wait states.
    fn new(instructions: u64, cycles: Option<u64>, flash_loads: u64, wait_states: u32) -> Self {
        let waits = flash_loads * u64::from(wait_states);
        let cycles = cycles.map(|cycles| cycles + waits);
        let cost = cycles.unwrap_or(instructions + waits);
        Self { instructions, cycles, flash_loads, cost }
    }

    /// What takes as much by every kernel, in instructions and in cycles of a core that has a table
    /// of them.
    pub(crate) fn of_any_kernel(limits: &Limits, [instructions, cycles]: [u64; 2]) -> Self {
        Self::new(instructions, Tables::of(limits).cycles.map(|_| cycles), 0, 0)
    }

    /// So many of it.
    pub(crate) fn times(self, times: u64) -> Self {
        Self {
            instructions: times * self.instructions,
            cycles: self.cycles.map(|cycles| times * cycles),
            flash_loads: times * self.flash_loads,
            cost: times * self.cost,
        }
    }

    /// This and `other`.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            instructions: self.instructions + other.instructions,
            cycles: self.cycles.zip(other.cycles).map(|(a, b)| a + b),
            flash_loads: self.flash_loads + other.flash_loads,
            cost: self.cost + other.cost,
        }
    }
}

/// Every kernel of an instruction set that computes node `index`, that of least cost first; empty
/// where the node is not a convolution.
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
    let tables = Tables::of(limits);
    let mut kernels = vec![None];
    if limits.isa != Isa::Generic {
        let has = |kernel| layer.takes(kernel) && tables.instructions.has(kernel);
        let kernel = |kernel: &Kernel| has(*kernel) && !layer.wastes_bits(*kernel);
        kernels.extend(Kernel::ALL.into_iter().filter(kernel).map(Some));
    }
    let of = |kernel| in_groups(&groups, |w| candidate(kernel, &of_group(w), &tables, limits));
    let mut candidates: Vec<_> = kernels.into_iter().map(of).collect();
    candidates.sort_by_key(|candidate| candidate.time.cost);
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
    all.time = all.time.times(groups[0].1);
    for (window, count) in &groups[1..] {
        all.time = all.time.and(cost(window).time.times(*count));
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
        Packing::Only(kernel) => {
            nodes.map(|index| only(graph, index, kernel, Kernel::scratch_words_min)).collect()
        }
        Packing::OnlyWithMost(kernel) => {
            nodes.map(|index| only(graph, index, kernel, Kernel::scratch_words_max)).collect()
        }
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

/// This kernel, where it computes the node, and the bytes of its scratch memory.
fn only(
    graph: &QuantizedGraph,
    index: usize,
    kernel: Kernel,
    scratch_words: impl Fn(Kernel, &Window) -> usize,
) -> (Option<Kernel>, usize) {
    let layer = Layer::of(graph, index).filter(|layer| layer.takes(kernel));
    layer.map_or((None, 0), |l| (Some(kernel), 4 * scratch_words(kernel, &l.window)))
}

/// A kernel for a layer, all its rows at once.
fn candidate(
    kernel: Option<Kernel>,
    layer: &Layer<'_>,
    tables: &Tables,
    limits: &Limits,
) -> Candidate {
    let (window, costs) = (&layer.window, tables.instructions);
    let (weight_bytes, scratch_bytes) = match kernel {
        None => {
            let bytes = conv2d::packed_len(window);
            let bytes = if layer.is_generic_int4() { bytes / 2 } else { bytes };
            (bytes, conv2d::scratch_len(window))
        }
        Some(kernel) => {
            (4 * kernel.packed_words(window), scratch_bytes(kernel, window, costs, limits))
        }
    };
    let walk = Walk::of(kernel, layer, costs, scratch_bytes);
    let count = |costs: &Costs| costs.count(kernel, window, &walk) as u64;
    let (instructions, cycles) = (count(costs), tables.cycles.map(count));
    let loads = flash_loads(kernel, window, &walk, costs) as u64;
    let time = Time::new(instructions, cycles, loads, limits.flash_wait_states);
    Candidate { kernel, time, weight_bytes, scratch_bytes }
}

/// What a kernel is given within the limits.
fn scratch_bytes(kernel: Kernel, window: &Window, costs: &Costs, limits: &Limits) -> usize {
    let least = 4 * kernel.scratch_words_min(window);
    let most = 4 * kernel.scratch_words_max(window);
    match kernel {
        // Of no use but for all of it, and on cores that compute more pixels at once.
        Kernel::PixelPairs if !costs.pixel_pairs.grows() || most > limits.scratch_bytes => least,
        _ => most.min(limits.scratch_bytes).max(least),
    }
}

#[cfg(test)]
mod tests;
