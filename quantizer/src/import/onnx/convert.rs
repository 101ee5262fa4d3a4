//! Walks the nodes of a file, and keeps account of its tensors.

use super::super::assemble::{Account, Assembler, Unfit, Value};
use super::super::{FloatImport, Options};
use super::constant::{Constant, shown};
use super::error::OnnxError;
use super::scales::Scales;
use super::schema::{Image, Model, Node, dtype, dtype_name};
use std::collections::HashMap;
use std::rc::Rc;

/// The oldest version of the operators whose meaning is the present one.
const OPSET_MIN: u64 = 7;

/// The longest side of an image.
const SIDE_MAX: usize = 16_384;

/// Why a node was refused: itself, or what it refers to.
pub(super) enum Refusal {
    Node(Unfit),
    Elsewhere(OnnxError),
}

impl<T: Into<Unfit>> From<T> for Refusal {
    fn from(problem: T) -> Self {
        Self::Node(problem.into())
    }
}

impl From<OnnxError> for Refusal {
    fn from(error: OnnxError) -> Self {
        Self::Elsewhere(error)
    }
}

impl From<super::super::flatbuffer::Malformed> for Refusal {
    fn from(error: super::super::flatbuffer::Malformed) -> Self {
        Self::Elsewhere(error.into())
    }
}

/// What a name stands for.
#[derive(Clone)]
pub(super) enum Entry<'a> {
    /// `[1,C,H,W]`, or `[1,K]` where it is flat.
    Value(Value),
    /// The image as `[1,H,W,C]`, before its `Transpose`.
    ChannelsLast(Value),
    /// A value of a `QuantizeLinear`, which rounded it so.
    Quantized(Value, Rc<Scales<'a>>),
    /// A constant.
    Constant(Rc<Constant<'a>>),
}

/// A graph as far as it is imported.
pub(super) struct Importer<'a> {
    nodes: Vec<Node<'a>>,
    image: Image<'a>,
    output: &'a str,
    pub(super) opset: u64,
    entries: HashMap<&'a str, Entry<'a>>,
    /// Values that may still be copied out of the file: nodes may share a constant.
    values_left: usize,
    pub(super) account: Account,
    /// Whether floats of 16 bits are computed with.
    pub(super) narrow: bool,
}

impl<'a> Importer<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        const SHARED_MAX: usize = 4;
        let Model { nodes, constants, mut inputs, outputs, opset } = Model::read(bytes)?;
        let (Some(image), []) = (inputs.pop(), &inputs[..]) else {
            return Err(OnnxError::Model("it has another number of inputs than one"));
        };
        let [output] = outputs[..] else {
            return Err(OnnxError::Model("it has another number of outputs than one"));
        };
        if opset < OPSET_MIN {
            return Err(OnnxError::Model("its operators are older than version 7"));
        }
        let mut entries = HashMap::new();
        for tensor in constants {
            let (name, at) = (tensor.name, tensor.at);
            let constant = Entry::Constant(Rc::new(Constant::Stored(tensor)));
            if entries.insert(name, constant).is_some() {
                let (name, problem) = (shown(name), "its name is that of another".to_owned());
                return Err(OnnxError::Constant { name, at, problem });
            }
        }
        let values_left = bytes.len().saturating_mul(SHARED_MAX);
        let account = Account::default();
        Ok(Self { nodes, image, output, opset, entries, values_left, account, narrow: false })
    }

    pub(super) fn run(mut self, options: &Options) -> Result<FloatImport, OnnxError> {
        let name = self.image.name;
        let end = |what, name, problem| OnnxError::End { what, name: shown(name), problem };
        let nodes = std::mem::take(&mut self.nodes);
        let channels_last = nodes.iter().any(|node| {
            let reads = node.operator == "Transpose" && node.inputs.first() == Some(&name);
            reads && self.image.dims.len() == 4
        });
        let shape = image_shape(&self.image, channels_last, options.input);
        let shape = shape.map_err(|problem| end("input", name, problem))?;
        let (mut graph, image) =
            Assembler::new(shape).map_err(|problem| end("input", name, problem.to_string()))?;
        let entry = if channels_last { Entry::ChannelsLast(image) } else { Entry::Value(image) };
        self.entries.insert(name, entry);
        for (index, node) in nodes.iter().enumerate() {
            self.node(&mut graph, node).map_err(|refusal| match refusal {
                Refusal::Elsewhere(error) => error,
                Refusal::Node(problem) => refused(index, node, problem),
            })?;
            *self.account.operators.entry(shown(node.operator)).or_default() += 1;
        }
        let Some(&Entry::Value(output)) = self.entries.get(self.output) else {
            let problem = "no node makes it of the image".to_owned();
            return Err(end("output", self.output, problem));
        };
        if self.narrow || self.image.dtype != dtype::FLOAT {
            let note = "arithmetic of 16 bits in the file is of 32 here";
            self.account.assumed.push(note.to_owned());
        }
        Ok(graph.finish(output, options, self.account)?)
    }

    fn node(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<(), Refusal> {
        if !node.is_standard() {
            return Err("it is of another set of operators than the standard one".into());
        }
        super::attributes::check(node)?;
        let constant = node.inputs.iter().all(|name| {
            name.is_empty() || matches!(self.entries.get(name), Some(Entry::Constant(_)))
        });
        let entry = if constant || node.operator == "Shape" {
            Entry::Constant(Rc::new(self.computed(node)?))
        } else {
            match node.operator {
                "QuantizeLinear" => self.quantize(graph, node)?,
                "DequantizeLinear" => Entry::Value(self.dequantize(node)?),
                _ => Entry::Value(self.layer(graph, node)?),
            }
        };
        // Of several outputs the first is the one that evaluation has.
        let name = *node.outputs.first().ok_or("it has no output")?;
        match self.entries.insert(name, entry) {
            None => Ok(()),
            Some(_) => Err(format!("it makes `{}` a second time", shown(name)).into()),
        }
    }

    /// Input number `index`, if the node has it.
    pub(super) fn entry(
        &self,
        node: &Node<'a>,
        index: usize,
    ) -> Result<Option<Entry<'a>>, Refusal> {
        let Some(&name) = node.inputs.get(index).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let entry = self.entries.get(name).cloned();
        let missing = || format!("it reads `{}` before a node makes it", shown(name));
        Ok(Some(entry.ok_or_else(missing)?))
    }

    /// Input number `index`, which is computed of the image.
    pub(super) fn value(&self, node: &Node<'a>, index: usize) -> Result<Value, Refusal> {
        match self.entry(node, index)? {
            Some(Entry::Value(value)) => Ok(value),
            Some(Entry::ChannelsLast(_)) => {
                Err("it reads the image before its Transpose to [N,C,H,W]".into())
            }
            Some(Entry::Quantized(..)) => {
                Err("it reads whole numbers; only a DequantizeLinear can read those".into())
            }
            _ => Err(format!("its input {index} is not computed of the image").into()),
        }
    }

    /// Input number `index`, a constant, if the node has it.
    pub(super) fn optional(
        &self,
        node: &Node<'a>,
        index: usize,
    ) -> Result<Option<Rc<Constant<'a>>>, Refusal> {
        match self.entry(node, index)? {
            None => Ok(None),
            Some(Entry::Constant(constant)) => Ok(Some(constant)),
            Some(_) => Err(format!("its input {index} is no constant").into()),
        }
    }

    /// Input number `index`, a constant.
    pub(super) fn constant(
        &self,
        node: &Node<'a>,
        index: usize,
    ) -> Result<Rc<Constant<'a>>, Refusal> {
        let constant = self.optional(node, index)?;
        Ok(constant.ok_or_else(|| format!("it has no input {index}"))?)
    }

    /// The floats of a constant, against the allowance.
    pub(super) fn floats(&mut self, constant: &Constant<'a>) -> Result<Vec<f32>, Refusal> {
        let count = constant.dims().iter().fold(1_usize, |count, &dim| count.saturating_mul(dim));
        let left = self.values_left.checked_sub(count);
        self.values_left = left.ok_or("its constants have more values than the file")?;
        let values = constant.floats()?;
        self.account.tensors += 1;
        Ok(values)
    }

    /// Floats of a constant of `count` values.
    pub(super) fn vector(
        &mut self,
        node: &Node<'a>,
        index: usize,
        count: usize,
    ) -> Result<Vec<f32>, Refusal> {
        let constant = self.constant(node, index)?;
        let dims = constant.dims();
        if dims != [count] {
            return Err(format!("its input {index} is {dims:?}, and has to be [{count}]").into());
        }
        self.floats(&constant)
    }
}

fn refused(index: usize, node: &Node<'_>, problem: Unfit) -> OnnxError {
    let name = if node.name.is_empty() { node.outputs.first() } else { Some(&node.name) };
    let name = shown(name.copied().unwrap_or_default());
    OnnxError::Node { index, operator: shown(node.operator), name, at: node.at, problem }
}

/// `[H,W,C]` of the image.
fn image_shape(
    image: &Image<'_>,
    channels_last: bool,
    given: Option<[usize; 2]>,
) -> Result<[usize; 3], String> {
    if ![dtype::FLOAT, dtype::FLOAT16, dtype::BFLOAT16].contains(&image.dtype) {
        let found = dtype_name(image.dtype);
        return Err(format!("its type is {found}, and has to be FLOAT, FLOAT16 or BFLOAT16"));
    }
    let [batch, a, b, c] = image.dims[..] else {
        return Err(format!("it has {} sides, and an image has [N,C,H,W]", image.dims.len()));
    };
    // Exporters write an open side as one of 0 too.
    let known = |side: Option<usize>| side.filter(|&side| side > 0);
    if known(batch).is_some_and(|batch| batch != 1) {
        return Err("its batch is fixed; export it with a batch of one or an open one".to_owned());
    }
    let [height, width, channels] = if channels_last { [a, b, c] } else { [b, c, a] };
    let [height, width] = [(height, 0), (width, 1)]
        .map(|(side, index): (_, usize)| known(side).or(given.map(|given| given[index])));
    let (Some(height), Some(width)) = (height, width) else {
        return Err("height or width are open; say them with the image's size".to_owned());
    };
    let channels = known(channels).ok_or("its channels are open")?;
    if height.max(width).max(channels) > SIDE_MAX {
        return Err(format!("{height}x{width}x{channels} is longer than {SIDE_MAX} on a side"));
    }
    Ok([height, width, channels])
}
