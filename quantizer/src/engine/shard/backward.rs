//! The backward pass of a shard, level by level.

use std::ops::Range;

use super::super::conv::{self, Border, Convolution};
use super::super::program::{Kind, Operation, Sink};
use super::super::{global_avg_pool, max_pool2d, subsample_pad};
use super::{Memory, Order, Scratch, Shard, Shared, contiguous, forward::clear_borders};
use resmcu_engine_kernels::{Ahead, PANEL, Plane, PlaneMut, Region, SumTerm, kernels};

impl Memory {
    /// What the backward pass of some images at a level will read and write.
    fn ahead_of_backward(
        &self,
        shared: &Shared,
        level: usize,
        images: &Range<usize>,
        ahead: &mut Ahead,
    ) {
        let Shared { program, layout, .. } = shared;
        for index in program.levels[level].clone().rev() {
            let operation = &program.operations[index];
            let output = operation.output;
            let used = program.tensors[output].uses.iter().map(|&(user, _)| user);
            let own = used.filter_map(|user| layout.own_gradients[user]);
            for offset in layout.tensor_gradients[output].into_iter().chain(own) {
                ahead.add(self.gradients, shared.range(offset, output, images));
            }
            let read = operation.source.terms().map(|term| term.tensor);
            for tensor in [output].into_iter().chain(read).filter(|&tensor| tensor != 0) {
                ahead.add(self.activations, shared.activation(tensor, images));
            }
            if let Some((target, _)) = shared.target(index, images) {
                ahead.add(self.gradients, target);
            }
        }
    }
}

impl Shared {
    /// Where the gradient of an operation's source goes, and whether it is added there.
    fn target(&self, index: usize, images: &Range<usize>) -> Option<(Range<usize>, bool)> {
        let operation = &self.program.operations[index];
        let (offset, accumulate) = match operation.sink {
            Sink::None => return None,
            Sink::Tensor { tensor, is_first } => (self.layout.tensor_gradients[tensor]?, !is_first),
            Sink::Own => (self.layout.own_gradients[index]?, false),
        };
        Some((self.range(offset, operation.source.first.tensor, images), accumulate))
    }
}

impl Shard {
    /// The gradients through the operations of one level, the last first.
    pub(in super::super) fn backward(
        &mut self,
        shared: &Shared,
        level: usize,
        (order, following): (Order, Option<Memory>),
        batch: &[f32],
        scratch: &mut Scratch,
    ) {
        let mut is_first = true;
        for (images, next) in self.steps(shared, level, order, following) {
            scratch.ahead.clear();
            if let Some((memory, images)) = next {
                memory.ahead_of_backward(shared, level, &images, &mut scratch.ahead);
            }
            for operation in &shared.program.operations[shared.program.levels[level].clone()] {
                if shared.layout.passing[operation.output] {
                    self.store(shared, operation, batch, &images);
                }
            }
            for index in shared.program.levels[level].clone().rev() {
                self.backward_operation(shared, index, batch, &images, is_first, scratch);
            }
            is_first = false;
        }
    }

    fn backward_operation(
        &mut self,
        shared: &Shared,
        index: usize,
        batch: &[f32],
        images: &Range<usize>,
        is_first: bool,
        scratch: &mut Scratch,
    ) {
        let operation = &shared.program.operations[index];
        let source = &operation.source;
        match &operation.kind {
            Kind::Store { .. } => self.backward_store(shared, index, images, scratch),
            Kind::Convolution(convolution) => {
                let at = (index, &**convolution, is_first);
                self.backward_convolution(shared, at, batch, images, scratch);
            }
            Kind::MaxPool2d(_) | Kind::SubsamplePad(_) | Kind::GlobalAvgPool => {
                let Some((target, accumulate)) = shared.target(index, images) else { return };
                let [rows, columns, channels] = shared.program.tensors[operation.output].shape;
                let border = Border::none([rows, columns]);
                let Scratch { x, dy, .. } = scratch;
                let values = images.len() * rows * columns * channels;
                let dy = &mut dy.values_mut()[..values];
                self.gather(shared, operation.output, images, border, dy);
                let x = match &operation.kind {
                    Kind::MaxPool2d(_) => {
                        self.load_plain(shared, source, batch, images, x.values_mut())
                    }
                    // Only a mask would need it.
                    _ if source.relu => {
                        self.load_plain(shared, source, batch, images, x.values_mut())
                    }
                    _ => &[],
                };
                let dx = &mut self.gradients.values_mut()[target];
                if !accumulate {
                    dx.fill(0.0);
                }
                let y = &self.activations.values()[shared.activation(operation.output, images)];
                match &operation.kind {
                    Kind::MaxPool2d(geometry) => max_pool2d::backward(geometry, x, y, dy, dx),
                    Kind::SubsamplePad(geometry) => subsample_pad::backward(geometry, dy, dx),
                    _ => {
                        let [h, w, c] = shared.program.tensors[source.first.tensor].shape;
                        global_avg_pool::backward(dy, h * w, c, dx);
                    }
                }
                let [rows, columns, _] = shared.program.tensors[source.first.tensor].shape;
                self.finish_own(shared, index, images, x, Border::none([rows, columns]));
            }
        }
    }

    /// `is_first`: of the shard's images, so that the weights' sums begin with them.
    fn backward_convolution(
        &mut self,
        shared: &Shared,
        (index, convolution, is_first): (usize, &Convolution, bool),
        batch: &[f32],
        images: &Range<usize>,
        scratch: &mut Scratch,
    ) {
        let operation = &shared.program.operations[index];
        let Scratch { x, dy, kernel, ahead } = scratch;
        let kernel = kernel.values_mut();
        let [rows, columns, channels] = convolution.geometry.output;
        let border = convolution.gradient_border();
        let dy = &mut dy.values_mut()[..images.len() * border.pixels() * channels];
        self.gather(shared, operation.output, images, border, dy);
        if !shared.biases[index].is_empty() {
            let start = shared.layout.bias_sums[index];
            let sums = &mut self.sums[start..][..channels];
            let region = Region { rows, columns, channels };
            for position in 0..images.len() {
                let conv::Place { start, row, panel } =
                    border.place(position, images.len(), channels);
                let dy = PlaneMut { values: &mut dy[start..], row, panel };
                kernels().mask(region, dy, None, [None; 2], sums);
            }
        }
        let x_border = convolution.input_border();
        let x = self.load(shared, &operation.source, batch, images, x_border, x.values_mut());
        let sums = &mut self.weights.values_mut()[shared.layout.weight_sums[index]..];
        let sums = &mut sums[..convolution.sums()];
        convolution.backward_weights(x, dy, sums, !is_first, kernel, ahead);
        let Some((target, accumulate)) = shared.target(index, images) else { return };
        let dx = &mut self.gradients.values_mut()[target];
        convolution.backward_data(dy, &shared.weights[index], dx, accumulate, kernel, ahead);
        self.finish_own(shared, index, images, x, x_border);
    }

    /// The gradient of a tensor from all its uses, inside a zero border.
    fn gather(
        &self,
        shared: &Shared,
        tensor: usize,
        images: &Range<usize>,
        border: Border,
        out: &mut [f32],
    ) {
        let region = shared.region(tensor, 1);
        clear_borders(border, region, out);
        for (position, image) in images.clone().enumerate() {
            let place = border.place(position, images.len(), region.channels);
            let conv::Place { start, row, panel } = place;
            let out = PlaneMut { values: &mut out[start..], row, panel };
            self.gather_image(shared, tensor, image, region, out);
        }
    }

    fn gather_image(
        &self,
        shared: &Shared,
        tensor: usize,
        image: usize,
        region: Region,
        mut out: PlaneMut<'_>,
    ) {
        let image = image..image + 1;
        let gradients = self.gradients.values();
        let plane =
            |offset: usize| contiguous(&gradients[shared.range(offset, tensor, &image)], region);
        let mut is_first = true;
        if let Some(offset) = shared.layout.tensor_gradients[tensor] {
            put(region, &mut out, plane(offset), &mut is_first);
        }
        for &(user, position) in &shared.program.tensors[tensor].uses {
            let Some(offset) = shared.layout.own_gradients[user] else { continue };
            let source = &shared.program.operations[user].source;
            let term = source.terms().nth(position).unwrap_or(source.first);
            let Some(norm) = term.norm else {
                put(region, &mut out, plane(offset), &mut is_first);
                continue;
            };
            let x = contiguous(self.activation(shared, tensor, &image), region);
            let coefficients = shared.norms[norm].coefficients();
            let to = PlaneMut { values: &mut *out.values, ..out };
            kernels().norm_gradient(region, to, [plane(offset), x], coefficients, !is_first);
            is_first = false;
        }
        if is_first {
            clear(region, &mut out);
        }
    }

    /// The gradient before what was stored: gathered, then masked, in place.
    fn backward_store(
        &mut self,
        shared: &Shared,
        index: usize,
        images: &Range<usize>,
        scratch: &mut Scratch,
    ) {
        let operation = &shared.program.operations[index];
        let Some(own) = shared.layout.own_gradients[index] else { return };
        let tensor = operation.output;
        let region = shared.region(tensor, images.len());
        let target = shared.range(own, tensor, images);
        let row = region.columns * region.channels;
        let mut is_first = shared.layout.tensor_gradients[tensor].is_none();
        for &(user, position) in &shared.program.tensors[tensor].uses {
            let Some(offset) = shared.layout.own_gradients[user] else { continue };
            let ranges = [target.clone(), shared.range(offset, tensor, images)];
            let gradients = self.gradients.values_mut();
            let Ok([out, dz]) = gradients.get_disjoint_mut(ranges) else {
                debug_assert!(false, "gradients overlap");
                continue;
            };
            let source = &shared.program.operations[user].source;
            let term = source.terms().nth(position).unwrap_or(source.first);
            let mut out = PlaneMut { values: out, row, panel: None };
            let dz = contiguous(dz, region);
            let Some(norm) = term.norm else {
                put(region, &mut out, dz, &mut is_first);
                continue;
            };
            let x = &self.activations.values()[shared.activation(tensor, images)];
            let (x, coefficients) = (contiguous(x, region), shared.norms[norm].coefficients());
            kernels().norm_gradient(region, out, [dz, x], coefficients, !is_first);
            is_first = false;
        }
        let gradients = self.gradients.values_mut();
        if is_first {
            gradients[target].fill(0.0);
        }
        self.mask_stored(shared, index, operation, images, scratch.x.values_mut());
    }

    fn mask_stored(
        &mut self,
        shared: &Shared,
        index: usize,
        operation: &Operation,
        images: &Range<usize>,
        before: &mut [f32],
    ) {
        let Some(own) = shared.layout.own_gradients[index] else { return };
        let tensor = operation.output;
        let region = shared.region(tensor, images.len());
        let grid = shared.grids[index];
        if grid.is_some() {
            self.load_plain(shared, &operation.source, &[], images, before);
        }
        let Self { activations, gradients, sums, .. } = self;
        let activations = activations.values();
        let dz = &mut gradients.values_mut()[shared.range(own, tensor, images)];
        let stored = &activations[shared.activation(tensor, images)];
        let y = match grid {
            Some(grid) => {
                sums[shared.layout.bias_sums[index]] += grid.backward(before, dz);
                &*before
            }
            None => stored,
        };
        let y = contiguous(y, region);
        let dz = PlaneMut { values: dz, row: y.row, panel: None };
        let mut terms = operation.source.terms();
        let mut norm = || terms.next().and_then(|t| shared.centred(t, activations, images));
        let norms = [norm(), norm()];
        let sums = &mut sums[shared.layout.gradient_sums[index]..];
        kernels().mask(region, dz, operation.source.relu.then_some(y), norms, sums);
    }

    /// Masks the gradient of a source of the operation's own by the source's values `x`, which lie
    /// as `border` says; and sums it.
    fn finish_own(
        &mut self,
        shared: &Shared,
        index: usize,
        images: &Range<usize>,
        x: &[f32],
        border: Border,
    ) {
        let operation = &shared.program.operations[index];
        let (Sink::Own, Some(own)) = (operation.sink, shared.layout.own_gradients[index]) else {
            return;
        };
        let source = &operation.source;
        let tensor = source.first.tensor;
        let region = shared.region(tensor, 1);
        let Self { activations, gradients, sums, .. } = self;
        let activations = activations.values();
        let sums = &mut sums[shared.layout.gradient_sums[index]..];
        for (position, image) in images.clone().enumerate() {
            let image = image..image + 1;
            let dz = &mut gradients.values_mut()[shared.range(own, tensor, &image)];
            let row = region.columns * region.channels;
            let dz = PlaneMut { values: dz, row, panel: None };
            let y = source.relu.then(|| {
                let place = border.place(position, images.len(), region.channels);
                let conv::Place { start, row, panel } = place;
                Plane { values: &x[start..], row, panel }
            });
            let mut terms = source.terms();
            let mut norm = || terms.next().and_then(|t| shared.centred(t, activations, &image));
            let norms = [norm(), norm()];
            kernels().mask(region, dz, y, norms, sums);
        }
    }
}

/// Copies `src` to `out`, or adds it if something is there.
fn put(region: Region, out: &mut PlaneMut<'_>, src: Plane<'_>, is_first: &mut bool) {
    let out = PlaneMut { values: &mut *out.values, ..*out };
    if std::mem::replace(is_first, false) {
        kernels().sum(region, out, SumTerm { x: src, affine: None }, None, false);
    } else {
        kernels().add(region, out, src);
    }
}

fn clear(region: Region, out: &mut PlaneMut<'_>) {
    let Region { rows, columns, channels } = region;
    let (panels, width) = match out.panel {
        Some(_) => (channels / PANEL, columns * PANEL),
        None => (1, columns * channels),
    };
    for panel in 0..panels {
        let values = &mut out.values[panel * out.panel.unwrap_or(0)..];
        values.chunks_mut(out.row).take(rows).for_each(|out| out[..width].fill(0.0));
    }
}
