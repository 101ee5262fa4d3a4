//! The parts of ONNX's schema that the import reads, as views into the file.
//!
//! Knows field numbers; knows no operator.

use super::super::flatbuffer::Malformed;
use super::super::protobuf::{Field, Message};
use super::error::OnnxError;

/// Nodes, tensors and dimensions that a file may have.
const COUNT_MAX: usize = 65_536;

/// Sides of a constant that are read.
const DIMS_MAX: usize = 8;

/// `TensorProto.DataType`.
pub(super) mod dtype {
    pub(crate) const FLOAT: u64 = 1;
    pub(crate) const UINT8: u64 = 2;
    pub(crate) const INT8: u64 = 3;
    pub(crate) const INT32: u64 = 6;
    pub(crate) const INT64: u64 = 7;
    pub(crate) const FLOAT16: u64 = 10;
    pub(crate) const BFLOAT16: u64 = 16;
}

const DTYPES: [&str; 17] = [
    "UNDEFINED",
    "FLOAT",
    "UINT8",
    "INT8",
    "UINT16",
    "INT16",
    "INT32",
    "INT64",
    "STRING",
    "BOOL",
    "FLOAT16",
    "DOUBLE",
    "UINT32",
    "UINT64",
    "COMPLEX64",
    "COMPLEX128",
    "BFLOAT16",
];

pub(super) fn dtype_name(dtype: u64) -> String {
    let known = usize::try_from(dtype).ok().and_then(|dtype| DTYPES.get(dtype));
    known.map_or_else(|| format!("number {dtype}"), |name| (*name).to_owned())
}

/// A name; what is no UTF-8 is none.
fn text<'a>(field: Field<'a>, what: &'static str) -> Result<&'a str, Malformed> {
    match field {
        Field::Bytes(message) => {
            let wrong = Malformed { at: message.at, what };
            std::str::from_utf8(message.bytes()).map_err(|_| wrong)
        }
        _ => Err(Malformed { at: 0, what }),
    }
}

fn message<'a>(field: Field<'a>, what: &'static str) -> Result<Message<'a>, Malformed> {
    match field {
        Field::Bytes(message) => Ok(message),
        _ => Err(Malformed { at: 0, what }),
    }
}

/// Numbers, packed or one by one.
fn integers(field: Field<'_>, into: &mut Vec<i64>) -> Result<(), Malformed> {
    let what = "whole numbers";
    match field {
        Field::Varint(value) => into.push(value as i64),
        Field::Bytes(message) => {
            for value in message.varints() {
                into.push(value? as i64);
            }
        }
        _ => return Err(Malformed { at: 0, what }),
    }
    Ok(())
}

/// Appends to a list, which stays shorter than a hostile file could make it.
fn push<T>(what: &'static str, values: &mut Vec<T>, value: T) -> Result<(), OnnxError> {
    if values.len() >= COUNT_MAX {
        return Err(OnnxError::TooMany { what, limit: COUNT_MAX });
    }
    values.push(value);
    Ok(())
}

/// The graph of a file.
pub(super) struct Model<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) constants: Vec<Tensor<'a>>,
    /// Inputs that are no constants.
    pub(super) inputs: Vec<Image<'a>>,
    pub(super) outputs: Vec<&'a str>,
    /// Version of the standard operators.
    pub(super) opset: u64,
}

/// An input of the graph.
#[derive(Clone, Debug)]
pub(super) struct Image<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: u64,
    /// None where it is left to the run.
    pub(super) dims: Vec<Option<usize>>,
}

impl<'a> Model<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, OnnxError> {
        let (mut graph, mut opset) = (None, 0);
        for field in Message::new(bytes).fields() {
            match field? {
                (7, field) => graph = Some(message(field, "the graph")?),
                (8, field) => {
                    let (mut domain, mut version) = ("", 0);
                    for field in message(field, "an operator set")?.fields() {
                        match field? {
                            (1, field) => domain = text(field, "a domain")?,
                            (2, Field::Varint(number)) => version = number,
                            _ => {}
                        }
                    }
                    if is_standard(domain) {
                        opset = version;
                    }
                }
                _ => {}
            }
        }
        let mut model =
            Self { nodes: vec![], constants: vec![], inputs: vec![], outputs: vec![], opset };
        for field in graph.ok_or(OnnxError::Model("it has no graph"))?.fields() {
            model.graph_field(field?)?;
        }
        let constants: std::collections::HashSet<&str> =
            model.constants.iter().map(|tensor| tensor.name).collect();
        model.inputs.retain(|input| !constants.contains(input.name));
        Ok(model)
    }

    fn graph_field(&mut self, (number, field): (u64, Field<'a>)) -> Result<(), OnnxError> {
        match number {
            1 => push("nodes", &mut self.nodes, Node::read(message(field, "a node")?)?)?,
            5 => {
                let tensor = Tensor::read(message(field, "a constant")?)?;
                push("constants", &mut self.constants, tensor)?;
            }
            11 => push("inputs", &mut self.inputs, Image::read(message(field, "an input")?)?)?,
            12 => {
                let output = Image::read(message(field, "an output")?)?;
                push("outputs", &mut self.outputs, output.name)?;
            }
            15 => return Err(OnnxError::Model("it has sparse constants")),
            _ => {}
        }
        Ok(())
    }
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

impl<'a> Image<'a> {
    fn read(message_: Message<'a>) -> Result<Self, OnnxError> {
        let mut image = Self { name: "", dtype: 0, dims: Vec::new() };
        for field in message_.fields() {
            match field? {
                (1, field) => image.name = text(field, "a name")?,
                (2, field) => image.read_type(message(field, "a type")?)?,
                _ => {}
            }
        }
        Ok(image)
    }

    fn read_type(&mut self, kind: Message<'a>) -> Result<(), OnnxError> {
        for field in kind.fields() {
            let (1, field) = field? else { continue };
            for field in message(field, "a tensor's type")?.fields() {
                match field? {
                    (1, Field::Varint(dtype)) => self.dtype = dtype,
                    (2, field) => {
                        for dim in message(field, "a shape")?.fields() {
                            let (1, dim) = dim? else { continue };
                            let mut size = None;
                            for field in message(dim, "a dimension")?.fields() {
                                if let (1, Field::Varint(value)) = field? {
                                    size = usize::try_from(value).ok();
                                }
                            }
                            push("dimensions", &mut self.dims, size)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// An operator, not yet understood.
pub(super) struct Node<'a> {
    pub(super) at: usize,
    pub(super) name: &'a str,
    pub(super) operator: &'a str,
    domain: &'a str,
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    attributes: Vec<(&'a str, Message<'a>)>,
}

impl<'a> Node<'a> {
    fn read(node: Message<'a>) -> Result<Self, OnnxError> {
        let mut read = Self {
            at: node.at,
            name: "",
            operator: "",
            domain: "",
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Vec::new(),
        };
        for field in node.fields() {
            match field? {
                (1, field) => push("inputs", &mut read.inputs, text(field, "an input")?)?,
                (2, field) => push("outputs", &mut read.outputs, text(field, "an output")?)?,
                (3, field) => read.name = text(field, "a name")?,
                (4, field) => read.operator = text(field, "an operator")?,
                (5, field) => {
                    let attribute = message(field, "an attribute")?;
                    let mut name = "";
                    for field in attribute.fields() {
                        if let (1, field) = field? {
                            name = text(field, "an attribute's name")?;
                        }
                    }
                    push("attributes", &mut read.attributes, (name, attribute))?;
                }
                (7, field) => read.domain = text(field, "a domain")?,
                _ => {}
            }
        }
        Ok(read)
    }

    pub(super) fn is_standard(&self) -> bool {
        is_standard(self.domain)
    }

    /// The names of its attributes.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().map(|(name, _)| *name)
    }

    fn attribute(&self, name: &str) -> Option<Message<'a>> {
        let found = self.attributes.iter().find(|(found, _)| *found == name);
        found.map(|(_, attribute)| *attribute)
    }

    /// A number, or its default.
    pub(super) fn integer(&self, name: &str, default: i64) -> Result<i64, Malformed> {
        let Some(attribute) = self.attribute(name) else { return Ok(default) };
        for field in attribute.fields() {
            if let (3, Field::Varint(value)) = field? {
                return Ok(value as i64);
            }
        }
        Ok(0)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, Malformed> {
        let Some(attribute) = self.attribute(name) else { return Ok(default) };
        for field in attribute.fields() {
            if let (2, Field::Fixed32(value)) = field? {
                return Ok(f32::from_le_bytes(value));
            }
        }
        Ok(0.0)
    }

    /// Numbers, none where the attribute is left out.
    pub(super) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        let mut values = Vec::new();
        for field in attribute.fields() {
            if let (8, field) = field? {
                integers(field, &mut values)?;
            }
        }
        Ok(Some(values))
    }

    pub(super) fn word(&self, name: &str, default: &'static str) -> Result<&'a str, Malformed> {
        let Some(attribute) = self.attribute(name) else { return Ok(default) };
        for field in attribute.fields() {
            if let (4, field) = field? {
                return text(field, "a word");
            }
        }
        Ok("")
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<Tensor<'a>>, OnnxError> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        for field in attribute.fields() {
            if let (5, field) = field? {
                return Tensor::read(message(field, "a constant")?).map(Some);
            }
        }
        Ok(None)
    }
}

/// A constant, whose values are read as they are asked for.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    pub(super) dims: Vec<usize>,
    pub(super) dtype: u64,
    /// Little-endian values.
    pub(super) raw: Option<&'a [u8]>,
    /// Values in fields of their own type: packed floats, and whole numbers.
    pub(super) floats: Option<&'a [u8]>,
    pub(super) integers: Vec<i64>,
    /// The file that its values are in.
    pub(super) external: Option<&'a str>,
}

impl<'a> Tensor<'a> {
    fn read(tensor: Message<'a>) -> Result<Self, OnnxError> {
        let mut read = Self {
            name: "",
            at: tensor.at,
            dims: Vec::new(),
            dtype: 0,
            raw: None,
            floats: None,
            integers: Vec::new(),
            external: None,
        };
        let mut dims = Vec::new();
        for field in tensor.fields() {
            match field? {
                (1, field) => integers(field, &mut dims)?,
                (2, Field::Varint(dtype)) => read.dtype = dtype,
                (4, field) => read.floats = Some(message(field, "packed values")?.bytes()),
                // Numbers of up to 64 bits take more memory than in the file, though not much.
                (5 | 7, field) => integers(field, &mut read.integers)?,
                (8, field) => read.name = text(field, "a name")?,
                (9, field) => read.raw = Some(message(field, "values")?.bytes()),
                (13, field) => {
                    let file = location(message(field, "a place")?)?;
                    read.external = file.or(read.external).or(Some(""));
                }
                (14, Field::Varint(1)) if read.external.is_none() => read.external = Some(""),
                _ => {}
            }
        }
        // As many sides as an image has, and a few more.
        dims.truncate(DIMS_MAX);
        read.dims = dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
        Ok(read)
    }
}

/// The file of external data: the value of the key `location`.
fn location(entry: Message<'_>) -> Result<Option<&str>, Malformed> {
    let (mut key, mut value) = ("", "");
    for field in entry.fields() {
        match field? {
            (1, field) => key = text(field, "a key")?,
            (2, field) => value = text(field, "a value")?,
            _ => {}
        }
    }
    Ok((key == "location").then_some(value))
}
