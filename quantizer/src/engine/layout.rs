//! Where everything of a shard lies: activations, gradients, sums and scratch memory.
//!
//! Made once for a program and a number of images; nothing is allocated after it. Offsets count
//! values of one image and are multiplied by the images that a shard has room for.

use super::program::{Kind, Operation, Program, Sink};

/// The largest number of values that an operation's images should have at a time, so that they
/// stay in the second-level cache from one operation to the next.
const CHUNK_VALUES: usize = 64 * 1024;

/// Weights are read once a call: a call's images may have this share of their values.
const WEIGHTS_SHARE: usize = 16;

/// How long activations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Until the last operation that reads them.
    ForReaders,
    /// To the end, and with gradients.
    ForBackward,
    /// To the end.
    All,
}

/// Offsets of everything, in values; those of sums are absolute, the others an image each.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Images of a full shard.
    pub(super) images: usize,
    /// Images of one call, for each level.
    pub(super) chunks: Vec<usize>,
    /// Of each tensor's activations; the batch has none.
    pub(super) activations: Vec<usize>,
    /// Whether a tensor has room for the images of one call alone, see [`passing`].
    pub(super) passing: Vec<bool>,
    pub(super) activation_values: usize,
    /// Of the gradient of each tensor that is read.
    pub(super) tensor_gradients: Vec<Option<usize>>,
    /// Of the gradient of each operation's source.
    pub(super) own_gradients: Vec<Option<usize>>,
    pub(super) gradient_values: usize,
    /// Of `Σ x` and `Σ x²` of each tensor that is normalized.
    pub(super) moments: Vec<usize>,
    /// Of the sums of each operation's own gradient.
    pub(super) gradient_sums: Vec<usize>,
    /// Of the sums of each operation's bias, or of its grid's step.
    pub(super) bias_sums: Vec<usize>,
    pub(super) sums: usize,
    /// Of the sums of each operation's weight gradient.
    pub(super) weight_sums: Vec<usize>,
    pub(super) weight_values: usize,
    /// Scratch memory: the input with its border, the gradient with its border, the kernels'.
    pub(super) scratch: [usize; 3],
}

/// A block of memory and its life, in levels.
#[derive(Clone, Copy, Debug)]
struct Life {
    values: usize,
    first: usize,
    last: usize,
}

impl Layout {
    /// The layout of shards of up to `images` images.
    pub(super) fn new(program: &Program, images: usize, keep: Keep) -> Self {
        let mut layout = Self { images, ..Self::default() };
        layout.chunks = program
            .levels
            .iter()
            .map(|level| chunk(program, &program.operations[level.clone()]).clamp(1, images))
            .collect();
        layout.passing = passing(program, keep);
        layout.place_activations(program, keep);
        if keep == Keep::ForBackward {
            layout.place_gradients(program);
            layout.place_sums(program);
        }
        layout.size_scratch(program);
        layout
    }

    fn place_activations(&mut self, program: &Program, keep: Keep) {
        let end = program.levels.len();
        let mut lives: Vec<Life> = program
            .tensors
            .iter()
            .map(|t| Life { values: t.values(), first: t.level, last: t.level })
            .collect();
        lives[0].values = 0;
        let passing = lives.iter_mut().zip(&program.tensors).zip(&self.passing);
        for ((life, tensor), _) in passing.filter(|(_, passing)| **passing) {
            life.values = (life.values * self.chunks[tensor.level]).div_ceil(self.images);
        }
        for operation in &program.operations {
            for term in operation.source.terms() {
                let life = &mut lives[term.tensor];
                life.last = life.last.max(operation.level);
            }
        }
        lives[program.output()].last = end;
        if keep != Keep::ForReaders {
            lives.iter_mut().for_each(|life| (life.first, life.last) = (0, end));
        }
        (self.activations, self.activation_values) = place(&lives);
    }

    fn place_gradients(&mut self, program: &Program) {
        let (tensors, operations) = (&program.tensors, &program.operations);
        // Time runs backward: a life begins at the highest level.
        let time = |level: usize| program.levels.len() - level;
        let mut lives = Vec::new();
        let mut of_tensor = vec![None; tensors.len()];
        for (index, tensor) in tensors.iter().enumerate().filter(|(_, tensor)| tensor.is_read) {
            let reads =
                |op: &&Operation| matches!(op.sink, Sink::Tensor { tensor, .. } if tensor == index);
            let readers = operations.iter().filter(reads).map(|op| op.level);
            let is_output = index == program.output();
            let first = readers.max().filter(|_| !is_output).unwrap_or(program.levels.len());
            of_tensor[index] = Some(lives.len());
            let (first, last) = (time(first), time(tensor.level));
            lives.push(Life { values: tensor.values(), first, last });
        }
        let mut of_operation = vec![None; operations.len()];
        for (index, operation) in operations.iter().enumerate() {
            if operation.sink != Sink::Own {
                continue;
            }
            let made = operation.source.terms().map(|term| tensors[term.tensor].level).min();
            let last = time(made.unwrap_or_default());
            // What is stored has its gradient changed in place.
            let in_place = of_tensor[operation.output].filter(|_| is_store(operation));
            let life = in_place.unwrap_or_else(|| {
                let values = tensors[operation.source.first.tensor].values();
                lives.push(Life { values, first: time(operation.level), last });
                lives.len() - 1
            });
            lives[life].last = lives[life].last.max(last);
            of_operation[index] = Some(life);
        }
        let (offsets, values) = place(&lives);
        let offset = |life: Option<usize>| life.map(|life| offsets[life]);
        self.tensor_gradients = of_tensor.into_iter().map(offset).collect();
        self.own_gradients = of_operation.into_iter().map(offset).collect();
        self.gradient_values = values;
    }

    fn place_sums(&mut self, program: &Program) {
        for tensor in &program.tensors {
            self.moments.push(self.sums);
            self.sums += if tensor.is_normalized { 2 * tensor.shape[2] } else { 0 };
        }
        for operation in &program.operations {
            self.gradient_sums.push(self.sums);
            let channels = program.tensors[operation.source.first.tensor].shape[2];
            let norms = operation.source.terms().filter(|term| term.norm.is_some()).count();
            self.sums += (1 + norms) * channels;
            self.bias_sums.push(self.sums);
            self.weight_sums.push(self.weight_values);
            match &operation.kind {
                Kind::Convolution(convolution) => {
                    self.sums += convolution.geometry.output[2];
                    self.weight_values += convolution.sums();
                }
                // Of the grid's step.
                Kind::Store { rounded_by } => self.sums += usize::from(rounded_by.is_some()),
                _ => {}
            }
        }
    }

    fn size_scratch(&mut self, program: &Program) {
        for operation in &program.operations {
            let images = self.chunks[operation.level];
            let [input, output] = [operation.source.first.tensor, operation.output];
            let values = |tensor: usize| images * program.tensors[tensor].values();
            let needed = match &operation.kind {
                Kind::Convolution(conv) => {
                    let [.., inputs] = conv.geometry.input;
                    let [.., outputs] = conv.geometry.output;
                    let x = images * conv.input_border().pixels() * inputs;
                    let dy = images * conv.gradient_border().pixels() * outputs;
                    [x, dy, conv.scratch_values()]
                }
                Kind::Store { rounded_by } if rounded_by.is_some() => [values(input), 0, 0],
                Kind::Store { .. } => [0; 3],
                _ => [values(input), values(output), 0],
            };
            for (scratch, needed) in self.scratch.iter_mut().zip(needed) {
                *scratch = needed.max(*scratch);
            }
        }
    }
}

/// The tensors that need not be kept: what an operation stores that others read for the same images
/// before the next come. Backward makes them again: what they are made of is read there anyway, and
/// memory that is written less is what a step waits for less.
fn passing(program: &Program, keep: Keep) -> Vec<bool> {
    let mut passing = vec![false; program.tensors.len()];
    for operation in program.operations.iter().filter(|_| keep != Keep::All) {
        let (output, tensor) = (operation.output, &program.tensors[operation.output]);
        let reads = |other: &&Operation| other.source.terms().any(|term| term.tensor == output);
        let mut readers = program.operations.iter().filter(reads);
        passing[output] = matches!(operation.kind, Kind::Store { rounded_by: None })
            && !tensor.is_normalized
            && output != program.output()
            && readers.all(|reader| reader.level == operation.level);
    }
    passing
}

pub(super) fn is_store(operation: &Operation) -> bool {
    matches!(operation.kind, Kind::Store { .. })
}

/// Images of one call at a level: as many as fill the kernels, if they stay in the cache, or if the
/// weights are the more memory to pass through it.
fn chunk(program: &Program, operations: &[Operation]) -> usize {
    let convolutions = || {
        operations.iter().filter_map(|operation| match &operation.kind {
            Kind::Convolution(convolution) => Some(convolution),
            _ => None,
        })
    };
    let wanted = convolutions().map(|convolution| convolution.images_wanted());
    let weights = convolutions().map(|convolution| convolution.packed_values());
    let values = operations.iter().map(|operation| program.tensors[operation.output].values());
    let memory = CHUNK_VALUES.max(weights.max().unwrap_or(0) / WEIGHTS_SHARE);
    let affordable = memory / values.max().unwrap_or(1).max(1);
    wanted.max().unwrap_or(1).min(affordable.max(1))
}

/// Offsets for blocks of known lives, each at the lowest where it fits, the largest first; and the
/// values needed.
fn place(lives: &[Life]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lives[index].values), index));
    let mut offsets = vec![0; lives.len()];
    let mut peak = 0;
    for (placed, &index) in order.iter().enumerate() {
        let life = lives[index];
        let meets =
            |&&other: &&usize| lives[other].first <= life.last && life.first <= lives[other].last;
        let mut neighbours: Vec<usize> = order[..placed].iter().filter(meets).copied().collect();
        neighbours.sort_by_key(|&other| offsets[other]);
        let mut offset = 0;
        for other in neighbours {
            if offset + life.values > offsets[other] {
                offset = offset.max(offsets[other] + lives[other].values);
            }
        }
        offsets[index] = offset;
        peak = peak.max(offset + life.values);
    }
    (offsets, peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lives: &[(usize, usize, usize)], expected: usize) {
        let lives: Vec<Life> =
            lives.iter().map(|&(values, first, last)| Life { values, first, last }).collect();
        let (offsets, peak) = place(&lives);
        assert_eq!(peak, expected);
        for (i, a) in lives.iter().enumerate() {
            for (j, b) in lives.iter().enumerate().skip(i + 1) {
                let meet = a.first <= b.last && b.first <= a.last;
                let apart =
                    offsets[i] + a.values <= offsets[j] || offsets[j] + b.values <= offsets[i];
                assert!(!meet || apart, "{a:?} at {}, {b:?} at {}", offsets[i], offsets[j]);
            }
        }
    }

    #[test]
    fn blocks_share_memory_only_when_their_lives_do_not_meet() {
        check(&[], 0);
        check(&[(5, 0, 3)], 5);
        check(&[(5, 0, 1), (3, 2, 3)], 5);
        check(&[(5, 0, 1), (3, 1, 3)], 8);
        check(&[(4, 0, 1), (4, 1, 2), (4, 2, 3), (4, 3, 4)], 8);
        check(&[(2, 0, 9), (8, 0, 2), (8, 3, 5), (8, 6, 9), (0, 0, 9)], 10);
    }
}
