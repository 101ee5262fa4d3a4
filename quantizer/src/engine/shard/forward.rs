//! The forward pass of a shard, level by level.

use std::ops::Range;

use super::super::conv::{self, Border};
use super::super::program::{Kind, Operation, Source, Term};
use super::super::{global_avg_pool, max_pool2d, subsample_pad};
use super::{Memory, Order, Scratch, Shard, Shared, contiguous};
use resmcu_engine_kernels::{Ahead, PlaneMut, Region, SumTerm, kernels};

impl Shard {
    /// The operations of one level on all images. `batch`: the shard's images, `[N,H,W,C]`.
    pub(in super::super) fn forward(
        &mut self,
        shared: &Shared,
        level: usize,
        (order, following): (Order, Option<Memory>),
        batch: &[f32],
        scratch: &mut Scratch,
    ) {
        for (images, next) in self.steps(shared, level, order, following) {
            scratch.ahead.clear();
            if let Some((memory, images)) = next {
                memory.ahead_of_forward(shared, level, &images, &mut scratch.ahead);
            }
            for index in shared.program.levels[level].clone() {
                self.forward_operation(shared, index, batch, &images, scratch);
            }
        }
    }

    /// One operation on some images.
    fn forward_operation(
        &mut self,
        shared: &Shared,
        index: usize,
        batch: &[f32],
        images: &Range<usize>,
        scratch: &mut Scratch,
    ) {
        let operation = &shared.program.operations[index];
        let output = shared.activation(operation.output, images);
        let Scratch { x, kernel, ahead, .. } = scratch;
        match &operation.kind {
            Kind::Store { .. } => {
                self.store(shared, operation, batch, images);
                if let Some(grid) = shared.grids[index] {
                    grid.round(&mut self.activations.values_mut()[output.clone()]);
                }
            }
            Kind::Convolution(convolution) => {
                let border = convolution.input_border();
                let x = self.load(shared, &operation.source, batch, images, border, x.values_mut());
                let y = &mut self.activations.values_mut()[output.clone()];
                convolution.forward(x, &shared.weights[index], y, kernel.values_mut(), ahead);
                let bias = &shared.biases[index];
                if !bias.is_empty() {
                    let pixels = y.chunks_exact_mut(bias.len());
                    pixels.for_each(|y| y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias));
                }
            }
            Kind::MaxPool2d(geometry) => {
                let x = self.load_plain(shared, &operation.source, batch, images, x.values_mut());
                let y = &mut self.activations.values_mut()[output.clone()];
                max_pool2d::forward(geometry, x, y);
            }
            Kind::SubsamplePad(geometry) if operation.source.as_tensor().is_some() => {
                let x = shared.activation(operation.source.first.tensor, images);
                let activations = self.activations.values_mut();
                if let Ok([x, y]) = activations.get_disjoint_mut([x, output.clone()]) {
                    subsample_pad::forward(geometry, x, y);
                }
            }
            Kind::SubsamplePad(geometry) => {
                let x = self.load_plain(shared, &operation.source, batch, images, x.values_mut());
                let y = &mut self.activations.values_mut()[output.clone()];
                subsample_pad::forward(geometry, x, y);
            }
            Kind::GlobalAvgPool => {
                let x = self.load_plain(shared, &operation.source, batch, images, x.values_mut());
                let y = &mut self.activations.values_mut()[output.clone()];
                let [h, w, c] = shared.program.tensors[operation.source.first.tensor].shape;
                global_avg_pool::forward(x, h * w, c, y);
            }
        }
        let tensor = &shared.program.tensors[operation.output];
        if tensor.is_normalized && !self.sums.is_empty() {
            let region = shared.region(operation.output, images.len());
            let start = shared.layout.moments[operation.output];
            let y = contiguous(&self.activations.values()[output], region);
            kernels().moments(region, y, &mut self.sums[start..][..2 * tensor.shape[2]]);
        }
    }

    /// Evaluates the source into its own tensor.
    pub(super) fn store(
        &mut self,
        shared: &Shared,
        operation: &Operation,
        batch: &[f32],
        images: &Range<usize>,
    ) {
        let Source { first, second, relu } = operation.source;
        let output = shared.activation(operation.output, images);
        let region = shared.region(operation.output, images.len());
        let row = region.columns * region.channels;
        let activations = self.activations.values_mut();
        if first.tensor == 0 {
            let tensor = &shared.program.tensors[0];
            let batch = batch[images.start * tensor.values()..].chunks_exact(tensor.shape[2]);
            let pixels = activations[output].chunks_exact_mut(region.channels);
            return pixels.zip(batch).for_each(|(pixel, x)| {
                let (values, padding) = pixel.split_at_mut(x.len());
                values.copy_from_slice(x);
                padding.fill(0.0);
            });
        }
        let range = |term: Term| shared.activation(term.tensor, images);
        // The sum of a tensor with itself reads it once.
        let other = second.map(range).filter(|other| *other != range(first));
        let ranges = [range(first), output, other.clone().unwrap_or(0..0)];
        let Ok([x, out, other_values]) = activations.get_disjoint_mut(ranges) else {
            debug_assert!(false, "activations overlap");
            return;
        };
        let x = &*x;
        let other = if other.is_some() { &*other_values } else { x };
        let term = |term: Term, values| SumTerm {
            x: contiguous(values, region),
            affine: term.norm.map(|norm| shared.norms[norm].affine()),
        };
        let out = PlaneMut { values: out, row, panel: None };
        let second = second.map(|second| term(second, other));
        kernels().sum(region, out, term(first, x), second, relu);
    }

    /// The source's values, without a border.
    pub(super) fn load_plain<'a>(
        &self,
        shared: &Shared,
        source: &Source,
        batch: &[f32],
        images: &Range<usize>,
        out: &'a mut [f32],
    ) -> &'a [f32] {
        let [rows, columns, _] = shared.program.tensors[source.first.tensor].shape;
        self.load(shared, source, batch, images, Border::none([rows, columns]), out)
    }

    /// A source's values of all images, in `out`; how many channels they have is returned.
    pub(in super::super) fn evaluate(
        &self,
        shared: &Shared,
        source: &Source,
        batch: &[f32],
        out: &mut Vec<f32>,
    ) -> usize {
        let tensor = &shared.program.tensors[source.first.tensor];
        out.resize(self.images * tensor.values(), 0.0);
        self.load_plain(shared, source, batch, &(0..self.images), out);
        tensor.shape[2]
    }

    /// The source's values of some images inside a zero border, in `out`.
    pub(super) fn load<'a>(
        &self,
        shared: &Shared,
        source: &Source,
        batch: &[f32],
        images: &Range<usize>,
        border: Border,
        out: &'a mut [f32],
    ) -> &'a [f32] {
        let region = shared.region(source.first.tensor, 1);
        let Region { rows, columns, channels } = region;
        let out = &mut out[..images.len() * border.pixels() * channels];
        clear_borders(border, region, out);
        for (position, image) in images.clone().enumerate() {
            let conv::Place { start, row, panel } = border.place(position, images.len(), channels);
            let out = &mut out[start..];
            let of_batch = || &batch[image * rows * columns * channels..];
            if source.first.tensor == 0 && panel.is_none() {
                let rows = of_batch().chunks_exact(columns * channels).take(rows);
                for (to, from) in out.chunks_mut(row).zip(rows) {
                    to[..from.len()].copy_from_slice(from);
                }
                continue;
            }
            let term = |term: Term| SumTerm {
                x: contiguous(
                    match term.tensor {
                        0 => of_batch(),
                        tensor => self.activation(shared, tensor, &(image..image + 1)),
                    },
                    region,
                ),
                affine: term.norm.map(|norm| shared.norms[norm].affine()),
            };
            let out = PlaneMut { values: out, row, panel };
            kernels().sum(region, out, term(source.first), source.second.map(term), source.relu);
        }
        out
    }
}

impl Memory {
    /// What the forward pass of some images at a level will read and write.
    fn ahead_of_forward(
        &self,
        shared: &Shared,
        level: usize,
        images: &Range<usize>,
        ahead: &mut Ahead,
    ) {
        for operation in &shared.program.operations[shared.program.levels[level].clone()] {
            let read = operation.source.terms().map(|term| term.tensor);
            for tensor in read.chain([operation.output]).filter(|&tensor| tensor != 0) {
                ahead.add(self.activations, shared.activation(tensor, images));
            }
        }
    }
}

/// Zeros around each image of an operand.
pub(super) fn clear_borders(border: Border, region: Region, out: &mut [f32]) {
    if [border.rows, border.columns] != [region.rows, region.columns] {
        let images = out.chunks_exact_mut(border.pixels() * region.channels);
        images.for_each(|out| clear_border(border, region, out));
    }
}

/// Zeros around the region inside an image with its border.
fn clear_border(border: Border, region: Region, out: &mut [f32]) {
    let Region { rows, columns, channels } = region;
    let row = border.columns * channels;
    let end = border.top + rows;
    out[..border.top * row].fill(0.0);
    for out in out[border.top * row..end * row].chunks_exact_mut(row) {
        out[..border.left * channels].fill(0.0);
        out[(border.left + columns) * channels..].fill(0.0);
    }
    out[end * row..].fill(0.0);
}
