//! What a graph becomes before it runs: the tensors that are stored, and the operations on them.
//!
//! Batch normalization, addition and ReLU are not operations of their own: they are done where an
//! operation reads its input, `relu?(Σ terms)` with one or two terms, each a stored tensor with or
//! without normalization. So a residual block stores its convolutions' raw outputs and, where two
//! operations read it, its sum; besides only the pixels that a 1x1 convolution with a stride reads.
//! Owns this rewriting, the levels between which all images must meet (a batch normalization needs
//! the whole batch's statistics), and which gradients are kept; not memory or arithmetic.

use crate::graph::{Conv2d, Graph, Op, Padding};

use super::conv::{Convolution, Geometry};
use super::{max_pool2d, subsample_pad};
use resmcu_engine_kernels::pad_lanes;

/// A stored tensor: an operation's output, or the batch itself, which is the first.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// `[H,W,C]`, `C` padded to whole lanes; that of the batch is not padded.
    pub(super) shape: [usize; 3],
    /// Channels without padding.
    pub(super) channels: usize,
    /// The level that makes it.
    pub(super) level: usize,
    /// Whether some batch normalization reads it.
    pub(super) is_normalized: bool,
    /// Where its value is a term: the operation and the term's position.
    pub(super) uses: Vec<(usize, usize)>,
    /// Whether some operation reads it as it is, so that gradients are added up for it.
    pub(super) is_read: bool,
}

impl Tensor {
    /// Values of one image.
    pub(super) fn values(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A batch normalization.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    /// Its node.
    pub(super) node: usize,
    /// What it normalizes.
    pub(super) tensor: usize,
}

/// A tensor, normalized or as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub(super) tensor: usize,
    /// Position in [`Program::norms`].
    pub(super) norm: Option<usize>,
}

/// `relu?(Σ terms)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) first: Term,
    pub(super) second: Option<Term>,
    pub(super) relu: bool,
}

impl Source {
    fn plain(tensor: usize) -> Self {
        Self { first: Term { tensor, norm: None }, second: None, relu: false }
    }

    pub(super) fn terms(&self) -> impl Iterator<Item = Term> {
        std::iter::once(self.first).chain(self.second)
    }

    /// The tensor, where that is all.
    pub(super) fn as_tensor(&self) -> Option<usize> {
        let is_plain = self.second.is_none() && !self.relu && self.first.norm.is_none();
        is_plain.then_some(self.first.tensor)
    }
}

/// What an operation does with its source.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A convolution or a fully connected layer.
    Convolution(Box<Convolution>),
    MaxPool2d(max_pool2d::Geometry),
    GlobalAvgPool,
    SubsamplePad(subsample_pad::Geometry),
    /// Stores the source itself, because more than one operation reads it, or because a node
    /// rounds it to a grid.
    Store {
        /// That node.
        rounded_by: Option<usize>,
    },
}

/// Where the gradient of an operation's source goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    /// Nobody needs it.
    None,
    /// Into the sum of the tensor that is read; the first to come overwrites.
    Tensor { tensor: usize, is_first: bool },
    /// Into memory of the operation's own, where the terms' gradients are taken from.
    Own,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// The node whose value it makes.
    pub(super) node: usize,
    pub(super) kind: Kind,
    pub(super) source: Source,
    /// The tensor that it makes.
    pub(super) output: usize,
    pub(super) level: usize,
    pub(super) sink: Sink,
}

/// A graph's operations, in an order in which they can run and whose levels ascend.
#[derive(Clone, Debug, Default)]
pub(super) struct Program {
    pub(super) tensors: Vec<Tensor>,
    pub(super) operations: Vec<Operation>,
    pub(super) norms: Vec<Norm>,
    /// What each node's value is.
    pub(super) values: Vec<Source>,
    /// The operations of each level.
    pub(super) levels: Vec<std::ops::Range<usize>>,
}

impl Program {
    /// Rewrites a graph, which is valid.
    pub(super) fn new(graph: &Graph) -> Self {
        let mut compiler = Compiler {
            graph,
            consumers: graph.consumers().iter().map(Vec::len).collect(),
            program: Self::default(),
        };
        compiler.add_tensor(graph.input_shape(), false, 0);
        for index in 0..graph.nodes.len() {
            let value = compiler.value(index);
            compiler.program.values.push(value);
        }
        let output = graph.output().0;
        let logits = compiler.stored(output);
        compiler.program.values[output] = logits;
        compiler.finish()
    }

    /// The tensor of the graph's output.
    pub(super) fn output(&self) -> usize {
        self.values.last().and_then(Source::as_tensor).unwrap_or_default()
    }
}

/// Whether a convolution is one of 1x1 kernels that leaves out pixels: those that it reads are
/// copied together, so that nothing is done for the others.
fn reads_some_pixels(conv: &Conv2d) -> bool {
    let (_, kh, kw, _) = conv.weights.dim();
    [kh, kw] == [1, 1] && conv.stride > 1 && conv.padding == Padding::default()
}

struct Compiler<'g> {
    graph: &'g Graph,
    /// How many nodes read each node.
    consumers: Vec<usize>,
    program: Program,
}

impl Compiler<'_> {
    fn add_tensor(&mut self, shape: [usize; 3], padded: bool, level: usize) -> usize {
        let [h, w, channels] = shape;
        let shape = [h, w, if padded { pad_lanes(channels) } else { channels }];
        self.program.tensors.push(Tensor {
            shape,
            channels,
            level,
            is_normalized: false,
            uses: Vec::new(),
            is_read: false,
        });
        self.program.tensors.len() - 1
    }

    /// The value of a node, from those of the nodes before it.
    fn value(&mut self, index: usize) -> Source {
        let node = &self.graph.nodes[index];
        let input = |n: usize| node.inputs[n].0;
        let value = match &node.op {
            Op::Input => return Source::plain(0),
            Op::BatchNorm(_) => {
                let tensor = self.stored_padded(input(0));
                self.program.tensors[tensor].is_normalized = true;
                self.program.norms.push(Norm { node: index, tensor });
                let norm = Some(self.program.norms.len() - 1);
                Source { first: Term { tensor, norm }, second: None, relu: false }
            }
            Op::FakeQuantize(_) => {
                let value = self.as_terms(input(0));
                return self.add_operation(index, Kind::Store { rounded_by: Some(index) }, value);
            }
            Op::Relu => Source { relu: true, ..self.as_terms(input(0)) },
            Op::Add => {
                let [first, second] = [0, 1].map(|n| self.one_term(input(n)));
                Source { first, second: Some(second), relu: false }
            }
            _ => return self.operation(index),
        };
        // Read twice, it is made once.
        if self.consumers[index] > 1 { self.store(index, value) } else { value }
    }

    /// The value of a node that has terms which are padded to whole lanes.
    fn as_terms(&mut self, index: usize) -> Source {
        if self.program.values[index].as_tensor() == Some(0) {
            return self.store(index, Source::plain(0));
        }
        self.program.values[index]
    }

    /// The value of a node as one term of a sum.
    fn one_term(&mut self, index: usize) -> Term {
        let value = self.as_terms(index);
        let is_term = value.second.is_none() && !value.relu;
        if is_term { value.first } else { self.store(index, value).first }
    }

    /// The tensor of a node's value, whose channels are padded.
    fn stored_padded(&mut self, index: usize) -> usize {
        let value = self.as_terms(index);
        let value = if value.as_tensor().is_some() { value } else { self.store(index, value) };
        value.first.tensor
    }

    /// The value of a node as a tensor.
    fn stored(&mut self, index: usize) -> Source {
        let value = self.program.values[index];
        if value.as_tensor().is_some() { value } else { self.store(index, value) }
    }

    /// Stores a node's value, and lets later readers have the tensor.
    fn store(&mut self, index: usize, value: Source) -> Source {
        let stored = self.add_operation(index, Kind::Store { rounded_by: None }, value);
        if let Some(known) = self.program.values.get_mut(index) {
            *known = stored;
        }
        stored
    }

    fn operation(&mut self, index: usize) -> Source {
        let node = &self.graph.nodes[index];
        let input = node.inputs[0].0;
        let [h, w, c] = self.graph.nodes[input].shape;
        let padded = [h, w, pad_lanes(c)];
        let output = {
            let [h, w, c] = node.shape;
            [h, w, pad_lanes(c)]
        };
        let (kind, source) = match &node.op {
            Op::Conv2d(conv) if reads_some_pixels(conv) => {
                let source = self.subsampled(input, conv.stride, [output[0], output[1], padded[2]]);
                let input = [output[0], output[1], padded[2]];
                let (kernel, padding) = ([1, 1], conv.padding);
                let geometry = Geometry { input, output, kernel, stride: 1, padding };
                let convolution = Convolution::new(geometry, [c, node.shape[2]]);
                (Kind::Convolution(Box::new(convolution)), source)
            }
            Op::Conv2d(_) | Op::FullyConnected(_) => {
                let source = self.program.values[input];
                let channels = if source.as_tensor() == Some(0) { c } else { padded[2] };
                let geometry = match &node.op {
                    Op::Conv2d(conv) => Geometry {
                        input: [h, w, channels],
                        output,
                        kernel: [conv.weights.dim().1, conv.weights.dim().2],
                        stride: conv.stride,
                        padding: conv.padding,
                    },
                    // A fully connected layer is a kernel as large as its input.
                    _ => Geometry {
                        input: [h, w, channels],
                        output,
                        kernel: [h, w],
                        stride: 1,
                        padding: Default::default(),
                    },
                };
                let convolution = Convolution::new(geometry, [c, node.shape[2]]);
                (Kind::Convolution(Box::new(convolution)), source)
            }
            &Op::MaxPool2d { kernel, stride, padding } => {
                let geometry =
                    max_pool2d::Geometry { input: padded, output, kernel, stride, padding };
                (Kind::MaxPool2d(geometry), self.as_terms(input))
            }
            &Op::SubsamplePad { stride, .. } => {
                let geometry = subsample_pad::Geometry {
                    input: padded,
                    output,
                    stride,
                    channels: c,
                    before: (node.shape[2] - c) / 2,
                };
                (Kind::SubsamplePad(geometry), self.as_terms(input))
            }
            _ => (Kind::GlobalAvgPool, self.as_terms(input)),
        };
        self.add_operation(index, kind, source)
    }

    /// The pixels of a node's value that a 1x1 convolution with a stride reads, as a tensor of
    /// `output`'s shape.
    fn subsampled(&mut self, node: usize, stride: usize, output: [usize; 3]) -> Source {
        let source = self.as_terms(node);
        let [h, w, channels] = self.graph.nodes[node].shape;
        let input = [h, w, output[2]];
        let geometry = subsample_pad::Geometry { input, output, stride, channels, before: 0 };
        let shape = [output[0], output[1], channels];
        self.add_operation_of(node, Kind::SubsamplePad(geometry), source, shape)
    }

    fn add_operation(&mut self, node: usize, kind: Kind, source: Source) -> Source {
        self.add_operation_of(node, kind, source, self.graph.nodes[node].shape)
    }

    /// An operation whose output is of `shape`, without padding.
    fn add_operation_of(
        &mut self,
        node: usize,
        kind: Kind,
        source: Source,
        shape: [usize; 3],
    ) -> Source {
        let level = source
            .terms()
            .map(|term| self.program.tensors[term.tensor].level + usize::from(term.norm.is_some()));
        let level = level.max().unwrap_or_default();
        let output = self.add_tensor(shape, true, level);
        let sink = Sink::None;
        self.program.operations.push(Operation { node, kind, source, output, level, sink });
        Source::plain(output)
    }

    /// Sorts by level, and decides which gradients are kept.
    fn finish(mut self) -> Program {
        let program = &mut self.program;
        program.operations.sort_by_key(|operation| operation.level);
        let levels = program.operations.last().map_or(0, |operation| operation.level + 1);
        program.levels = (0..levels)
            .map(|level| {
                let first = program.operations.partition_point(|op| op.level < level);
                first..program.operations.partition_point(|op| op.level <= level)
            })
            .collect();
        // The output's gradient is the loss's.
        let output = program.output();
        program.tensors[output].is_read = true;
        for (index, operation) in program.operations.iter_mut().enumerate().rev() {
            let is_store = matches!(operation.kind, Kind::Store { .. });
            let needs = operation.source.terms().any(|t| t.tensor != 0 || t.norm.is_some());
            operation.sink = match operation.source.as_tensor() {
                _ if !needs => Sink::None,
                Some(tensor) if !is_store => {
                    let is_first = !std::mem::replace(&mut program.tensors[tensor].is_read, true);
                    Sink::Tensor { tensor, is_first }
                }
                _ => Sink::Own,
            };
            if operation.sink == Sink::Own {
                for (position, term) in operation.source.terms().enumerate() {
                    program.tensors[term.tensor].uses.push((index, position));
                }
            }
        }
        self.program
    }
}
