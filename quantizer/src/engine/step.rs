//! One training step: forward with batch statistics, loss, and the gradient of every parameter.
//!
//! Owns the levels, where all shards meet because a batch normalization needs the whole batch's
//! statistics, and the sums over shards; not the optimizer. After the first step on a graph nothing
//! of a batch's size is allocated.

use ndarray::ArrayView4;
use rayon::prelude::*;

use super::batch_norm::State;
use super::layout::{self, Keep, Layout};
use super::program::{Kind, Operation, Program, Sink};
use super::shard::{self, Memory, Order, Pool, Shard, Shared};
use super::softmax_cross_entropy::{self, Targets};
use super::{EngineError, check_batch, fake_quantize, prepare_weights};
use crate::graph::{Graph, Node, NodeId, Op, Padding, ParameterKind};

/// Shards of a batch, unless that would make them smaller than [`SHARD_IMAGES`].
const SHARDS: usize = 16;
/// Images of the smallest shard.
const SHARD_IMAGES: usize = 4;

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutput {
    /// Mean cross-entropy of the batch against its targets.
    pub loss: f64,
    /// Images of the batch that were classified as their first label.
    pub correct: usize,
}

/// The memory of training steps on one graph, and the last step's gradients.
#[derive(Debug, Default)]
pub struct TrainStep {
    /// What the memory was made for: images, and each node's shape.
    made_for: Option<(usize, Vec<NodeShape>)>,
    shared: Shared,
    /// Where each batch normalization is used: the operation, and the part of its sums.
    norm_uses: Vec<Option<(usize, usize)>>,
    shards: Vec<Shard>,
    /// Where each of them lies.
    memories: Vec<Memory>,
    pool: Pool,
    /// Sums over shards.
    sums: Vec<f64>,
    origins: Vec<Origin>,
    gradients: Vec<Vec<f32>>,
}

/// Where a gradient comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// A position in the operations.
    Weights(usize),
    Bias(usize),
    /// A position in the batch normalizations.
    Gamma(usize),
    Beta(usize),
    /// The operation that rounds to the step's grid.
    Step(usize),
    /// The node whose weights' steps they are: a gradient that comes from the weights' own.
    WeightSteps(usize),
}

impl TrainStep {
    /// Steps that have no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradients of the last step: one vector a trained parameter, in the order of
    /// [`Graph::parameters`] without the running averages, row-major.
    pub fn gradients(&self) -> &[Vec<f32>] {
        &self.gradients
    }

    /// Runs `batch` (`[N,H,W,C]`, normalized) forward and backward towards `targets`. The running
    /// averages of `graph` move towards the batch's by `momentum`; nothing else of it changes.
    #[expect(clippy::needless_pass_by_value, reason = "views are passed by value, as in ndarray")]
    pub fn run(
        &mut self,
        graph: &mut Graph,
        batch: ArrayView4<'_, f32>,
        targets: &Targets<'_>,
        momentum: f32,
    ) -> Result<StepOutput, EngineError> {
        check_batch(graph, &batch)?;
        targets.check(batch.dim().0, graph.classes())?;
        self.forward_backward(graph, &batch, momentum, |step, graph| step.loss(graph, targets));
        let sum: f64 = self.shards.iter().map(|shard| shard.loss.sum).sum();
        let correct = self.shards.iter().map(|shard| shard.loss.correct).sum();
        Ok(StepOutput { loss: sum / targets.len().max(1) as f64, correct })
    }

    /// Runs `batch` forward and backward towards the output `goal` (`[N,H,W,C]`), and returns the
    /// mean of the squared differences from it. Nothing of `graph` changes but the running
    /// averages of batch normalizations, if it has any.
    ///
    /// # Errors
    /// Where the batch is not of the graph's input shape, or the goal not of its output's.
    #[expect(clippy::needless_pass_by_value, reason = "views are passed by value, as in ndarray")]
    pub fn run_towards(
        &mut self,
        graph: &mut Graph,
        batch: ArrayView4<'_, f32>,
        goal: &[f32],
    ) -> Result<f64, EngineError> {
        check_batch(graph, &batch)?;
        let values: usize = graph.node(graph.output()).shape.iter().product();
        let images = batch.dim().0;
        if goal.len() != images * values {
            return Err(EngineError::LabelCount { labels: goal.len() / values.max(1), images });
        }
        self.forward_backward(graph, &batch, 0.0, |step, graph| step.squares(graph, goal));
        let sum: f64 = self.shards.iter().map(|shard| shard.loss.sum).sum();
        Ok(sum / goal.len().max(1) as f64)
    }

    /// Forward, `loss`, which leaves the output's gradient, and backward.
    fn forward_backward(
        &mut self,
        graph: &mut Graph,
        batch: &ArrayView4<'_, f32>,
        momentum: f32,
        loss: impl FnOnce(&mut Self, &Graph),
    ) {
        self.prepare(graph, batch.dim().0);
        let batch = batch.as_standard_layout();
        let batch = batch.as_slice().unwrap_or_default();
        for level in 0..self.shared.program.levels.len() {
            let order = Order::of_pass(level);
            self.each_shard(batch, order, |shard, shared, following, batch, scratch| {
                shard.forward(shared, level, (order, following), batch, scratch);
            });
            self.finish_forward(graph, level, momentum);
        }
        loss(self, graph);
        for level in (0..self.shared.program.levels.len()).rev() {
            let order = Order::of_pass(level + 1);
            self.each_shard(batch, order, |shard, shared, following, batch, scratch| {
                shard.backward(shared, level, (order, following), batch, scratch);
            });
            self.finish_backward(graph, level);
        }
        self.reduce();
        self.weight_steps(graph);
    }

    /// The first node, in order, that held a value which is not finite in the last step, in its
    /// parameters or in its output.
    pub fn first_non_finite<'g>(&self, graph: &'g Graph) -> Option<&'g str> {
        let Self { shared, shards, .. } = self;
        let bad_parameters = |node: &Node| {
            node.parameters().iter().any(|p| p.values.iter().any(|value| !value.is_finite()))
        };
        // What passes is a sum of what does not.
        let is_kept = |operation: &Operation| !shared.layout.passing[operation.output];
        let bad_output = |operation: &Operation| {
            is_kept(operation)
                && shards.iter().any(|shard| {
                    let values = shard.activation(shared, operation.output, &(0..shard.images));
                    values.iter().any(|value| !value.is_finite())
                })
        };
        let operations = &shared.program.operations;
        let position = graph.nodes.iter().enumerate().position(|(index, node)| {
            bad_parameters(node) || operations.iter().any(|op| op.node == index && bad_output(op))
        });
        position.map(|index| graph.nodes[index].name.as_str())
    }

    /// Memory for the graph and the batch, and this step's parameters.
    fn prepare(&mut self, graph: &Graph, images: usize) {
        let shapes = || graph.nodes.iter().map(NodeShape::new);
        let fits = |(made, nodes): &(usize, Vec<NodeShape>)| {
            *made == images && nodes.iter().cloned().eq(shapes())
        };
        if !self.made_for.as_ref().is_some_and(fits) {
            self.made_for = Some((images, shapes().collect()));
            self.allocate(graph, images);
        }
        let layout = &self.shared.layout;
        self.shards.par_iter_mut().enumerate().for_each(|(index, shard)| {
            shard.start(layout, layout.images.min(images - index * layout.images));
        });
        self.memories.clear();
        self.memories.extend(self.shards.iter().map(Shard::memory));
        prepare_weights(graph, &mut self.shared, true);
    }

    fn allocate(&mut self, graph: &Graph, images: usize) {
        let shard_images = images.div_ceil(SHARDS).max(SHARD_IMAGES);
        let program = Program::new(graph);
        let layout = Layout::new(&program, shard_images, Keep::ForBackward);
        self.norm_uses = norm_uses(&program);
        self.origins = origins(graph, &program);
        let mut norms = vec![State::default(); program.norms.len()];
        for (state, norm) in norms.iter_mut().zip(&program.norms) {
            state.resize(program.tensors[norm.tensor].channels);
        }
        self.shared = Shared { program, layout, norms, ..Shared::default() };
        self.shards.clear();
        self.shards.resize_with(images.div_ceil(shard_images), Shard::default);
        let trained = graph.parameters().into_iter().filter(|p| p.kind.is_trained());
        self.gradients = trained.map(|p| vec![0.0; p.values.len()]).collect();
    }

    /// Calls `work` for each shard, with its images.
    fn each_shard(
        &mut self,
        batch: &[f32],
        order: Order,
        work: impl Fn(&mut Shard, &Shared, Option<Memory>, &[f32], &mut shard::Scratch) + Sync,
    ) {
        let Self { shared, shards, memories, pool, .. } = self;
        let values = shared.layout.images * shared.program.tensors[0].values();
        let each = |(index, (shard, batch)): (usize, (&mut Shard, &[f32]))| {
            let following = match order {
                Order::Ascending => memories.get(index + 1),
                Order::Descending => index.checked_sub(1).and_then(|index| memories.get(index)),
            };
            shard::with_scratch(pool, &shared.layout, |scratch| {
                work(shard, shared, following.copied(), batch, scratch);
            });
        };
        let shards = shards.par_iter_mut().zip(batch.par_chunks(values)).enumerate();
        match order {
            Order::Ascending => shards.for_each(each),
            Order::Descending => shards.rev().for_each(each),
        }
    }

    /// Takes the sums of `count` values from `start` over all shards, in their order.
    fn total(&mut self, start: usize, count: usize) {
        self.sums.clear();
        self.sums.resize(count, 0.0);
        for shard in &self.shards {
            let sums = &shard.sums[start..start + count];
            self.sums.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
    }

    /// Positions of a tensor in the whole batch.
    fn positions(&self, tensor: usize) -> usize {
        let [rows, columns, _] = self.shared.program.tensors[tensor].shape;
        self.shards.iter().map(|shard| shard.images).sum::<usize>() * rows * columns
    }

    /// The statistics of what a level has made.
    fn finish_forward(&mut self, graph: &mut Graph, level: usize, momentum: f32) {
        for index in 0..self.shared.program.norms.len() {
            let norm = self.shared.program.norms[index];
            let tensor = &self.shared.program.tensors[norm.tensor];
            if tensor.level != level {
                continue;
            }
            let (start, count) = (self.shared.layout.moments[norm.tensor], 2 * tensor.shape[2]);
            let positions = self.positions(norm.tensor);
            self.total(start, count);
            if let Op::BatchNorm(norm) = &mut graph.nodes[norm.node].op {
                let state = &mut self.shared.norms[index];
                state.finish_forward(norm, &self.sums, positions, momentum);
            }
        }
    }

    /// The gradients of the batch normalizations that a level has read.
    fn finish_backward(&mut self, graph: &Graph, level: usize) {
        for index in 0..self.norm_uses.len() {
            let Some((operation, part)) = self.norm_uses[index] else { continue };
            if self.shared.program.operations[operation].level != level {
                continue;
            }
            let norm = self.shared.program.norms[index];
            let channels = self.shared.program.tensors[norm.tensor].shape[2];
            let positions = self.positions(norm.tensor);
            self.total(self.shared.layout.gradient_sums[operation], (part + 1) * channels);
            if let Op::BatchNorm(norm) = &graph.nodes[norm.node].op {
                let sums = [&self.sums[..channels], &self.sums[part * channels..]];
                self.shared.norms[index].finish_backward(norm, sums, positions);
            }
        }
    }

    fn loss(&mut self, graph: &Graph, targets: &Targets<'_>) {
        let Self { shared, shards, .. } = self;
        let output = shared.program.output();
        let (weight, each) = (1.0 / targets.len() as f32, shared.layout.images);
        let (channels, padded) = (graph.classes(), shared.program.tensors[output].shape[2]);
        shards.par_iter_mut().enumerate().for_each(|(index, shard)| {
            let targets = targets.slice(index * each..index * each + shard.images);
            let values = shard.activation(shared, output, &(0..shard.images));
            let logits = values.chunks_exact(padded).flat_map(|pixel| &pixel[..channels]);
            let logits: Vec<f32> = logits.copied().collect();
            let mut dlogits = vec![0.0; logits.len()];
            shard.loss =
                softmax_cross_entropy::forward_backward(&logits, &targets, weight, &mut dlogits);
            let out = shard.output_gradient_mut(shared).chunks_exact_mut(padded);
            for (out, dlogits) in out.zip(dlogits.chunks_exact(channels)) {
                out[..channels].copy_from_slice(dlogits);
                out[channels..].fill(0.0);
            }
        });
    }

    /// Squared differences from `goal`, and the gradient of their mean.
    fn squares(&mut self, graph: &Graph, goal: &[f32]) {
        let Self { shared, shards, .. } = self;
        let output = shared.program.output();
        let (channels, padded) = (graph.classes(), shared.program.tensors[output].shape[2]);
        let values = shared.program.tensors[output].values() / padded * channels;
        let (weight, each) = (2.0 / goal.len() as f32, shared.layout.images * values);
        shards.par_iter_mut().zip(goal.par_chunks(each)).for_each(|(shard, goal)| {
            let made = shard.activation(shared, output, &(0..shard.images));
            let mut gradient = vec![0.0; made.len()];
            let mut sum = 0.0;
            let pixels = made.chunks_exact(padded).zip(goal.chunks_exact(channels));
            for ((made, goal), gradient) in pixels.zip(gradient.chunks_exact_mut(padded)) {
                for ((made, goal), gradient) in made.iter().zip(goal).zip(gradient) {
                    let difference = made - goal;
                    sum += f64::from(difference * difference);
                    *gradient = weight * difference;
                }
            }
            shard.loss = softmax_cross_entropy::Loss { sum, correct: 0 };
            shard.output_gradient_mut(shared).copy_from_slice(&gradient);
        });
    }

    /// The gradient of each trained parameter over all shards, in their order.
    fn reduce(&mut self) {
        let Self { shared, shards, origins, gradients, .. } = self;
        let gradients = gradients.par_iter_mut().zip(origins);
        gradients.for_each(|(gradient, origin)| match *origin {
            Origin::Weights(index) => {
                if let Kind::Convolution(conv) = &shared.program.operations[index].kind {
                    let start = shared.layout.weight_sums[index];
                    let mut sums = [&[][..]; SHARDS];
                    for (sums, shard) in sums.iter_mut().zip(shards.iter()) {
                        *sums = &shard.weights.values()[start..start + conv.sums()];
                    }
                    conv.weight_gradient(&sums[..shards.len()], gradient);
                }
            }
            Origin::Bias(index) => {
                let start = shared.layout.bias_sums[index];
                for (c, gradient) in gradient.iter_mut().enumerate() {
                    let sum: f64 = shards.iter().map(|shard| shard.sums[start + c]).sum();
                    *gradient = sum as f32;
                }
            }
            Origin::Gamma(index) => gradient.copy_from_slice(&shared.norms[index].gamma_gradient),
            Origin::Beta(index) => gradient.copy_from_slice(&shared.norms[index].beta_gradient),
            Origin::Step(index) => {
                let start = shared.layout.bias_sums[index];
                let sum: f64 = shards.iter().map(|shard| shard.sums[start]).sum();
                let tensor = &shared.program.tensors[shared.program.operations[index].output];
                let values = tensor.shape[0] * tensor.shape[1] * tensor.channels;
                if let Some(grid) = shared.grids[index] {
                    gradient.fill(grid.step_gradient(sum, values));
                }
            }
            Origin::WeightSteps(_) => {}
        });
    }

    /// Turns the gradients of rounded weights into those of weights and of their steps.
    fn weight_steps(&mut self, graph: &Graph) {
        for index in 0..self.origins.len() {
            let Origin::WeightSteps(node) = self.origins[index] else { continue };
            let node = &graph.nodes[node];
            let Some(quantizer) = node.op.weight_quantizer() else { continue };
            // A node's parameters follow one another: weights, bias if any, steps.
            let parameters = node.parameters();
            let (before, after) = self.gradients.split_at_mut(index);
            let first = before.len() + 1 - parameters.len();
            if let (Some(weights), Some(gradient), Some(steps)) = (
                parameters[0].values.as_standard_layout().as_slice(),
                before.get_mut(first),
                after.first_mut(),
            ) {
                fake_quantize::weight_gradients(quantizer, weights, gradient, steps);
            }
        }
    }
}

/// For each batch normalization the operation that reads it, and its part of the sums.
fn norm_uses(program: &Program) -> Vec<Option<(usize, usize)>> {
    let mut uses = vec![None; program.norms.len()];
    for (index, operation) in program.operations.iter().enumerate() {
        let norms = operation.source.terms().filter_map(|term| term.norm);
        for (part, norm) in norms.enumerate().filter(|_| operation.sink == Sink::Own) {
            uses[norm] = Some((index, part + 1));
        }
    }
    uses
}

/// Where the gradient of each trained parameter comes from, in their order.
fn origins(graph: &Graph, program: &Program) -> Vec<Origin> {
    let mut origins = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        let is_own = |op: &Operation| op.node == index && !layout::is_store(op);
        let operation = program.operations.iter().position(is_own);
        let norm = program.norms.iter().position(|norm| norm.node == index);
        origins.extend(node.parameters().iter().filter_map(|parameter| match parameter.kind {
            ParameterKind::Weights => operation.map(Origin::Weights),
            ParameterKind::Bias => operation.map(Origin::Bias),
            ParameterKind::Gamma => norm.map(Origin::Gamma),
            ParameterKind::Beta => norm.map(Origin::Beta),
            ParameterKind::Step if node.op.weight_quantizer().is_some() => {
                Some(Origin::WeightSteps(index))
            }
            ParameterKind::Step => {
                let rounds = |op: &Operation| op.node == index && layout::is_store(op);
                program.operations.iter().position(rounds).map(Origin::Step)
            }
            ParameterKind::Mean | ParameterKind::Variance => None,
        }));
    }
    origins
}

/// What of a node decides how it runs, without its parameters' values.
#[derive(Clone, Debug, PartialEq)]
struct NodeShape {
    kind: &'static str,
    inputs: [Option<NodeId>; 2],
    shape: [usize; 3],
    /// Kernel, stride and whether there is a bias.
    attributes: [usize; 4],
    padding: Padding,
    rounds_weights: bool,
}

impl NodeShape {
    fn new(node: &Node) -> Self {
        let (attributes, padding) = match &node.op {
            Op::Conv2d(conv) => {
                let (_, kh, kw, _) = conv.weights.dim();
                ([kh, kw, conv.stride, conv.bias.is_some().into()], conv.padding)
            }
            &Op::MaxPool2d { kernel, stride, padding } => ([kernel, kernel, stride, 0], padding),
            &Op::SubsamplePad { stride, .. } => ([0, 0, stride, 0], Padding::default()),
            _ => ([0; 4], Padding::default()),
        };
        let input = |n: usize| node.inputs.get(n).copied();
        let inputs = [input(0), input(1)];
        let rounds_weights = node.op.weight_quantizer().is_some();
        Self {
            kind: node.op.kind(),
            inputs,
            shape: node.shape,
            attributes,
            padding,
            rounds_weights,
        }
    }
}
