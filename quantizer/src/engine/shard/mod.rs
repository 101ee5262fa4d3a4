//! Some images on their way through a program, forward and backward.
//!
//! A shard is what one thread works on between two levels: it owns its images' activations and
//! gradients and its part of every sum over the batch. How many images a shard has does not depend
//! on the number of threads, and sums are taken over shards in their order, so neither do the
//! bits. Owns the order of the work inside a level; not the levels, nor what all shards share.

mod backward;
mod forward;

use std::ops::Range;

use super::batch_norm::State;
use super::conv::Packed;
use super::fake_quantize::Grid;
use super::layout::Layout;
use super::program::{Program, Term};
use super::softmax_cross_entropy::Loss;
use resmcu_engine_kernels::{Address, Ahead, Arena, Centred, Plane, Region};

/// What all shards share: the program, its memory's layout, and this step's parameters.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) program: Program,
    pub(super) layout: Layout,
    /// Of each batch normalization.
    pub(super) norms: Vec<State>,
    /// Of each operation: packed weights, and the bias with its padding, if there is one.
    pub(super) weights: Vec<Packed>,
    pub(super) biases: Vec<Vec<f32>>,
    /// Of each operation that rounds to a grid.
    pub(super) grids: Vec<Option<Grid>>,
}

/// Memory that a worker needs inside an operation.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    x: Arena,
    dy: Arena,
    kernel: Arena,
    /// What the next chunk will use.
    ahead: Ahead,
}

impl Scratch {
    pub(super) fn resize(&mut self, layout: &Layout) {
        let [x, dy, kernel] = layout.scratch;
        self.x.resize(x);
        self.dy.resize(dy);
        self.kernel.resize(kernel);
    }
}

/// The images of one shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) images: usize,
    activations: Arena,
    gradients: Arena,
    /// Sums of the weight gradients.
    pub(super) weights: Arena,
    /// Sums over pixels, a channel each.
    pub(super) sums: Vec<f64>,
    pub(super) loss: Loss,
}

/// Where a shard lies: what another one needs to ask for its memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    images: usize,
    activations: Address,
    gradients: Address,
}

impl Shard {
    /// Where it lies, until [`Self::start`].
    pub(super) fn memory(&self) -> Memory {
        Memory {
            images: self.images,
            activations: Address::of(self.activations.values()),
            gradients: Address::of(self.gradients.values()),
        }
    }

    /// The steps of a pass over the images of a level, in their order: of each its images, and what
    /// comes after it, if anything: of this shard or of the one that probably follows.
    fn steps(
        &self,
        shared: &Shared,
        level: usize,
        order: Order,
        following: Option<Memory>,
    ) -> impl Iterator<Item = (Range<usize>, Option<(Memory, Range<usize>)>)> + use<> {
        let own = self.memory();
        let chunk = shared.layout.chunks[level];
        let first =
            following.and_then(|memory| Some((memory, order.chunks(memory.images, chunk).next()?)));
        let mut after = order.chunks(own.images, chunk).skip(1).map(move |images| (own, images));
        order.chunks(own.images, chunk).map(move |images| (images, after.next().or(first.clone())))
    }

    /// Makes room for `images` images, and sets all sums over pixels to zero.
    pub(super) fn start(&mut self, layout: &Layout, images: usize) {
        self.images = images;
        self.activations.resize(layout.images * layout.activation_values);
        self.gradients.resize(layout.images * layout.gradient_values);
        // Their first images overwrite them.
        self.weights.resize(layout.weight_values);
        self.sums.resize(layout.sums, 0.0);
        self.sums.fill(0.0);
    }

    /// The activations of some images of a tensor, `[N,H,W,C]`.
    pub(super) fn activation(
        &self,
        shared: &Shared,
        tensor: usize,
        images: &Range<usize>,
    ) -> &[f32] {
        &self.activations.values()[shared.activation(tensor, images)]
    }

    /// The gradient of the output, `[N,O]` with padding.
    pub(super) fn output_gradient_mut(&mut self, shared: &Shared) -> &mut [f32] {
        let output = shared.program.output();
        let offset = shared.layout.tensor_gradients[output].unwrap_or_default();
        let range = shared.range(offset, output, &(0..self.images));
        &mut self.gradients.values_mut()[range]
    }
}

impl Shared {
    /// Where `images` of a block lie that is laid out as `tensor` is.
    fn range(&self, offset: usize, tensor: usize, images: &Range<usize>) -> Range<usize> {
        let start = offset * self.layout.images;
        let values = self.program.tensors[tensor].values();
        start + images.start * values..start + images.end * values
    }

    /// Where the activations of `images` lie; of a passing tensor, images of one call.
    fn activation(&self, tensor: usize, images: &Range<usize>) -> Range<usize> {
        let offset = self.layout.activations[tensor];
        if !self.layout.passing[tensor] {
            return self.range(offset, tensor, images);
        }
        let start = images.start % self.layout.chunks[self.program.tensors[tensor].level];
        self.range(offset, tensor, &(start..start + images.len()))
    }

    /// All pixels of `images` images of a tensor, one image below the other.
    fn region(&self, tensor: usize, images: usize) -> Region {
        let [rows, columns, channels] = self.program.tensors[tensor].shape;
        Region { rows: images * rows, columns, channels }
    }

    /// The tensor of a term and the mean of its normalization, for those that have one.
    fn centred<'a>(
        &'a self,
        term: Term,
        activations: &'a [f32],
        images: &Range<usize>,
    ) -> Option<Centred<'a>> {
        let norm = term.norm?;
        let x = contiguous(
            &activations[self.activation(term.tensor, images)],
            self.region(term.tensor, 1),
        );
        Some(Centred { x, mean: self.norms[norm].mean() })
    }
}

/// Values whose rows follow one another, a pixel's channels side by side.
fn contiguous(values: &[f32], region: Region) -> Plane<'_> {
    Plane { values, row: region.columns * region.channels, panel: None }
}

/// Scratch memory that is borrowed and returned.
pub(super) type Pool = std::sync::Mutex<Vec<Scratch>>;

/// Calls `work` with scratch memory of the pool. The last that was returned is the first to be
/// borrowed: it is in some cache.
pub(super) fn with_scratch(pool: &Pool, layout: &Layout, work: impl FnOnce(&mut Scratch)) {
    let taken = pool.lock().ok().and_then(|mut pool| pool.pop());
    let mut scratch = taken.unwrap_or_default();
    scratch.resize(layout);
    work(&mut scratch);
    if let Ok(mut pool) = pool.lock() {
        pool.push(scratch);
    }
}

/// The order in which a pass over the batch takes its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

impl Order {
    /// Each pass goes the other way than the one before, because what that one touched last is
    /// still in the cache: a batch's activations are larger than it.
    pub(super) fn of_pass(pass: usize) -> Self {
        if pass.is_multiple_of(2) { Self::Ascending } else { Self::Descending }
    }

    /// The position of `i` of `count`, where positions are taken in this order.
    fn position(self, i: usize, count: usize) -> usize {
        match self {
            Self::Ascending => i,
            Self::Descending => count - 1 - i,
        }
    }

    /// `images` in steps of `chunk`.
    fn chunks(self, images: usize, chunk: usize) -> impl Iterator<Item = Range<usize>> {
        let count = images.div_ceil(chunk);
        (0..count).map(move |i| {
            let first = self.position(i, count) * chunk;
            first..(first + chunk).min(images)
        })
    }
}
