//! A float graph put together operator by operator, as an importer reads them.
//!
//! Owns what several operators of other tools come to here: padding before a window, slices and
//! widening as shortcut option A, scaling of the image as its normalization, a flattened tensor's
//! order. Guarantees that each value is read as it was made, and that nothing that was computed is
//! left unread. Knows no file: its importers add name and place to what it refuses.

mod finish;

pub(in crate::import) use finish::Account;
pub use finish::Unfinished;

use crate::graph::{BatchNorm, Conv2d, FakeQuantize, FullyConnected, Node, NodeId, Op, Padding};
use ndarray::{Array1, Array2, Array4};
use std::collections::{BTreeMap, HashSet};

/// Why an operator does not fit a graph of this project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(super) String);

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Unfit {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// The order in which a flattened image was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `[H,W,C]`, as here.
    ChannelsLast,
    /// `[C,H,W]`.
    ChannelsFirst,
}

/// What an importer knows of a tensor that was computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Value {
    node: NodeId,
    /// Of the node when this value was made.
    version: usize,
    /// `[H,W,C]` of the node.
    made: [usize; 3],
    /// Rows and columns from one position to the next.
    steps: [usize; 2],
    /// Zeros around it, after the steps.
    padding: Padding,
    /// Whether it is one row of all its elements.
    flat: bool,
    /// Whether it went through a softmax, which only the output may.
    softmax: bool,
}

impl Value {
    /// `[H,W,C]`, padding included.
    pub(super) fn shape(&self) -> [usize; 3] {
        let [height, width, channels] = self.made;
        let Padding { top, left, bottom, right } = self.padding;
        let rows = height.div_ceil(self.steps[0]).saturating_add(top).saturating_add(bottom);
        let columns = width.div_ceil(self.steps[1]).saturating_add(left).saturating_add(right);
        [rows, columns, channels]
    }

    /// Whether it is one row of all its elements.
    pub(super) fn is_flat(&self) -> bool {
        self.flat
    }

    /// Its elements.
    pub(super) fn elements(&self) -> usize {
        self.shape().iter().fold(1, |product, &side| product.saturating_mul(side))
    }
}

/// The graph so far.
pub(super) struct Assembler {
    nodes: Vec<Node>,
    /// How often each node was changed after it was made.
    versions: Vec<usize>,
    read: Vec<bool>,
    names: HashSet<String>,
    /// What becomes of the image's values before any layer, a channel each: `a·x + b`.
    image: Vec<(f64, f64)>,
    folded: BTreeMap<&'static str, usize>,
    left_out: Vec<String>,
}

impl Assembler {
    /// With an image of `shape` `[H,W,C]`.
    pub(super) fn new(shape: [usize; 3]) -> Result<(Self, Value), Unfit> {
        crate::graph::check_elements(shape)?;
        let mut assembler = Self {
            nodes: Vec::new(),
            versions: Vec::new(),
            read: Vec::new(),
            names: HashSet::new(),
            image: vec![(1.0, 0.0); shape[2]],
            folded: BTreeMap::new(),
            left_out: Vec::new(),
        };
        let image = assembler.add("input", Op::Input, Vec::new(), shape);
        Ok((assembler, image))
    }

    fn add(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: [usize; 3]) -> Value {
        let node = NodeId(self.nodes.len());
        inputs.iter().for_each(|input| self.read[input.0] = true);
        let name = self.unique(name, op.kind());
        self.nodes.push(Node { name, op, inputs, shape });
        self.versions.push(0);
        self.read.push(false);
        let (steps, padding) = ([1, 1], Padding::default());
        Value { node, version: 0, made: shape, steps, padding, flat: false, softmax: false }
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<Value, Unfit> {
        let shapes: Vec<_> = inputs.iter().map(|input| self.nodes[input.0].shape).collect();
        let shape = op.output_shape(&shapes)?;
        Ok(self.add(name, op, inputs.to_vec(), shape))
    }

    /// A name that no other node has, of characters that a checkpoint's tensors may have.
    fn unique(&mut self, name: &str, kind: &str) -> String {
        const LONGEST: usize = 64;
        let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let mut name: String = name.chars().take(LONGEST).map(plain).collect();
        if name.is_empty() {
            kind.clone_into(&mut name);
        }
        let mut free = name.clone();
        let mut number = 2_usize;
        while self.names.contains(&free) {
            free = format!("{name}_{number}");
            number += 1;
        }
        self.names.insert(free.clone());
        free
    }

    /// Counts what became part of something else.
    pub(super) fn fold(&mut self, what: &'static str) {
        *self.folded.entry(what).or_default() += 1;
    }

    /// The value as operators may read it: steps become a node of their own.
    fn current(&mut self, x: Value) -> Result<Value, Unfit> {
        if x.softmax {
            return Err("it reads a softmax, which is understood as the output only".into());
        }
        if x.version != self.versions[x.node.0] {
            let name = &self.nodes[x.node.0].name;
            let reason = format!("it reads `{name}` without the constant that is added to it");
            return Err(reason.into());
        }
        let channels = x.made[2];
        self.stepped(x, channels)
    }

    /// Takes the steps, and widens to `channels`.
    fn stepped(&mut self, x: Value, channels: usize) -> Result<Value, Unfit> {
        if x.steps == [1, 1] && channels == x.made[2] {
            return Ok(x);
        }
        let [stride, across] = x.steps;
        if stride != across {
            return Err(format!("it reads every {stride} rows and {across} columns").into());
        }
        let name = format!("{}.shortcut", self.nodes[x.node.0].name);
        let y = self.push(&name, Op::SubsamplePad { stride, channels }, &[x.node])?;
        Ok(Value { padding: x.padding, flat: x.flat, ..y })
    }

    /// The node of a value that nothing was put around.
    fn plain(&mut self, x: Value) -> Result<NodeId, Unfit> {
        let x = self.current(x)?;
        if x.padding != Padding::default() {
            let reason = "its input is padded, which only convolutions and max pooling can take";
            return Err(reason.into());
        }
        Ok(x.node)
    }

    /// A convolution; padding before it becomes its own.
    pub(super) fn conv(&mut self, name: &str, x: Value, layer: Conv2d) -> Result<Value, Unfit> {
        let x = self.image_of(x)?;
        let padding = sum(layer.padding, x.padding)?;
        self.push(name, Op::Conv2d(Conv2d { padding, ..layer }), &[x.node])
    }

    /// A value that is an image, not a row.
    fn image_of(&mut self, x: Value) -> Result<Value, Unfit> {
        if x.flat && x.made[..2] != [1, 1] {
            return Err("its input was flattened, which only full connections can take".into());
        }
        self.current(x)
    }

    /// A fully connected layer over `[O,I]` weights whose inputs are in `order`.
    pub(super) fn fully_connected(
        &mut self,
        name: &str,
        x: Value,
        layer: FullyConnected,
        order: Order,
    ) -> Result<Value, Unfit> {
        let node = self.plain(x)?;
        let FullyConnected { weights, bias, quantizer } = layer;
        let [height, width, channels] = self.nodes[node.0].shape;
        let (outputs, inputs) = weights.dim();
        let positions = height * width;
        let permuted = order == Order::ChannelsFirst && positions > 1;
        let weights = if permuted && inputs == positions * channels {
            Array2::from_shape_fn((outputs, inputs), |(o, i)| {
                weights[[o, i % channels * positions + i / channels]]
            })
        } else {
            weights
        };
        let y = self.push(
            name,
            Op::FullyConnected(FullyConnected { weights, bias, quantizer }),
            &[node],
        )?;
        Ok(Value { flat: true, ..y })
    }

    /// `max(x, 0)`.
    pub(super) fn relu(&mut self, name: &str, x: Value) -> Result<Value, Unfit> {
        let node = self.plain(x)?;
        let y = self.push(name, Op::Relu, &[node])?;
        Ok(Value { flat: x.flat, ..y })
    }

    /// Rounded to int8 of a step and a zero point. Zeros around stay what they are.
    pub(super) fn round(
        &mut self,
        name: &str,
        x: Value,
        step: f32,
        zero_point: i8,
    ) -> Result<Value, Unfit> {
        if x.softmax {
            // Probabilities are rounded in their order.
            return Ok(x);
        }
        let x = self.current(x)?;
        let mut node = x.node;
        let takes_relu = matches!(self.nodes[node.0].op, Op::Conv2d(_) | Op::Add);
        if zero_point == i8::MIN && takes_relu {
            node = self.push(&format!("{}.relu", self.nodes[node.0].name), Op::Relu, &[node])?.node;
            self.fold("grid that begins at zero into a ReLU");
        }
        let grid = FakeQuantize { step: Array1::from(vec![step]), zero_point };
        let y = self.push(name, Op::FakeQuantize(grid), &[node])?;
        Ok(Value { padding: x.padding, flat: x.flat, ..y })
    }

    /// Whether no value of a node is below zero.
    fn is_not_negative(&self, node: NodeId) -> bool {
        match &self.nodes[node.0].op {
            Op::Relu => true,
            Op::FakeQuantize(grid) => {
                grid.zero_point == i8::MIN || self.is_not_negative(self.nodes[node.0].inputs[0])
            }
            _ => false,
        }
    }

    /// The sum of two values of one shape.
    pub(super) fn sum(&mut self, name: &str, a: Value, b: Value) -> Result<Value, Unfit> {
        if a.flat != b.flat && a.made[..2] != [1, 1] {
            return Err("one of its inputs was flattened and the other was not".into());
        }
        let nodes = [self.plain(a)?, self.plain(b)?];
        if nodes[0] == nodes[1] {
            return Err("it adds a tensor to itself".into());
        }
        let y = self.push(name, Op::Add, &nodes)?;
        Ok(Value { flat: a.flat, ..y })
    }

    /// The largest value of each window; padding before it has to change nothing.
    pub(super) fn max_pool(
        &mut self,
        name: &str,
        x: Value,
        [kernel, stride]: [usize; 2],
        own: Padding,
    ) -> Result<Value, Unfit> {
        let x = self.image_of(x)?;
        if x.padding != Padding::default() && !self.is_not_negative(x.node) {
            return Err("its input is padded with zeros, and may be below zero".into());
        }
        let padding = sum(own, x.padding)?;
        self.push(name, Op::MaxPool2d { kernel, stride, padding }, &[x.node])
    }

    /// The mean over all positions.
    pub(super) fn global_average(
        &mut self,
        name: &str,
        x: Value,
        flat: bool,
    ) -> Result<Value, Unfit> {
        let image = self.image_of(x)?;
        let node = self.plain(image)?;
        let y = self.push(name, Op::GlobalAvgPool, &[node])?;
        Ok(Value { flat, ..y })
    }

    /// Batch normalization, a channel each.
    pub(super) fn batch_norm(
        &mut self,
        name: &str,
        x: Value,
        norm: BatchNorm,
    ) -> Result<Value, Unfit> {
        let x = self.image_of(x)?;
        let node = self.plain(x)?;
        if x.flat {
            return Err("its input was flattened".into());
        }
        self.push(name, Op::BatchNorm(norm), &[node])
    }

    /// `scale·x + shift`, a channel each: of the image a part of its normalization, of a layer a
    /// part of its bias, elsewhere a batch normalization.
    pub(super) fn affine(
        &mut self,
        name: &str,
        x: Value,
        scale: &[f32],
        shift: &[f32],
    ) -> Result<Value, Unfit> {
        let x = self.image_of(x)?;
        let node = self.plain(x)?;
        if [scale.len(), shift.len()] != [x.made[2]; 2] {
            let reason = format!("it has {} constants for {} channels", scale.len(), x.made[2]);
            return Err(reason.into());
        }
        let unread = !self.read[node.0];
        let only_adds = scale.iter().all(|&scale| scale == 1.0);
        match &mut self.nodes[node.0].op {
            Op::Input if unread => {
                for ((a, b), (&scale, &shift)) in self.image.iter_mut().zip(scale.iter().zip(shift))
                {
                    *a *= f64::from(scale);
                    *b = *b * f64::from(scale) + f64::from(shift);
                }
                self.fold("scaling of the image into its normalization");
            }
            Op::FullyConnected(FullyConnected { bias, .. }) if unread && only_adds => {
                bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
                self.fold("addition into the bias before it");
            }
            Op::Conv2d(conv) if unread && only_adds => {
                let bias = conv.bias.get_or_insert_with(|| Array1::zeros(shift.len()));
                bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
                self.fold("addition into the bias before it");
            }
            _ if x.flat => return Err("its input was flattened".into()),
            _ => {
                let norm = BatchNorm {
                    gamma: Array1::from(scale.to_vec()),
                    beta: Array1::from(shift.to_vec()),
                    epsilon: 0.0,
                    ..BatchNorm::identity(scale.len())
                };
                return self.push(name, Op::BatchNorm(norm), &[node]);
            }
        }
        self.versions[node.0] += 1;
        Ok(Value { version: self.versions[node.0], ..x })
    }

    /// Zeros around an image: rows and columns here, channels before and after as shortcut option
    /// A has them.
    pub(super) fn pad(
        &mut self,
        x: Value,
        own: Padding,
        [before, after]: [usize; 2],
    ) -> Result<Value, Unfit> {
        if before == 0 && after == 0 {
            let x = self.image_of(x)?;
            return Ok(Value { padding: sum(own, x.padding)?, ..x });
        }
        let added = before.saturating_add(after);
        if before != added / 2 {
            let reason = format!(
                "it puts {before} channels before and {after} after; \
                 as many on both sides can be imported"
            );
            return Err(reason.into());
        }
        if own != Padding::default() || x.padding != Padding::default() {
            return Err("it pads channels and positions at once".into());
        }
        if x.flat {
            return Err("its input was flattened".into());
        }
        // Steps are part of it: only the rest of what stands before a reader is checked.
        self.current(Value { steps: [1, 1], ..x })?;
        self.stepped(x, x.made[2].saturating_add(added))
    }

    /// Each of so many rows and columns, from the first.
    pub(super) fn step(&mut self, x: Value, steps: [usize; 2]) -> Result<Value, Unfit> {
        if x.flat || x.softmax || x.padding != Padding::default() || steps.contains(&0) {
            return Err("it takes a part of what is no plain image".into());
        }
        let steps = [0, 1].map(|axis: usize| x.steps[axis].saturating_mul(steps[axis]));
        Ok(Value { steps, ..x })
    }

    /// One row of all elements.
    pub(super) fn flatten(&mut self, x: Value) -> Result<Value, Unfit> {
        let softmax = x.softmax;
        let x = self.current(Value { softmax: false, ..x })?;
        if x.padding != Padding::default() {
            return Err("it flattens a padded image".into());
        }
        Ok(Value { flat: true, softmax, ..x })
    }

    /// A row as the image `shape` again.
    pub(super) fn unflatten(&mut self, x: Value, shape: [usize; 3]) -> Result<Value, Unfit> {
        if x.shape() != shape {
            let reason = format!("it makes {shape:?} of {:?}, another image", x.shape());
            return Err(reason.into());
        }
        Ok(Value { flat: false, ..x })
    }

    /// The probabilities of the output, which change no order of the classes.
    pub(super) fn softmax(&mut self, x: Value) -> Result<Value, Unfit> {
        let node = self.plain(x)?;
        if self.nodes[node.0].shape[..2] != [1, 1] {
            return Err("it is not over the classes alone".into());
        }
        Ok(Value { softmax: true, ..x })
    }
}

/// Two paddings, one around the other.
fn sum(a: Padding, b: Padding) -> Result<Padding, Unfit> {
    let side = |a: usize, b: usize| a.checked_add(b);
    let all = || {
        Some(Padding {
            top: side(a.top, b.top)?,
            left: side(a.left, b.left)?,
            bottom: side(a.bottom, b.bottom)?,
            right: side(a.right, b.right)?,
        })
    };
    all().ok_or_else(|| "its padding is too large".into())
}

/// `[O,I,KH,KW]` as `[O,KH,KW,I]`.
pub(super) fn channels_last(weights: Array4<f32>) -> Array4<f32> {
    weights.permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned()
}
