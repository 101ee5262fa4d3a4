//! The parts of TensorFlow Lite's schema (version 3) that the import reads, as views into the file.
//!
//! Knows field numbers and what a tensor of an int8 model looks like; knows no operator.

use super::super::flatbuffer::{Malformed, Table, Vector};
use super::constants::Quantization;
use super::error::{ModelProblem, TensorProblem, TfliteError};

/// Element types by number, as the schema names them.
const DTYPES: [&str; 18] = [
    "FLOAT32",
    "FLOAT16",
    "INT32",
    "UINT8",
    "INT64",
    "STRING",
    "BOOL",
    "INT16",
    "COMPLEX64",
    "INT8",
    "FLOAT64",
    "COMPLEX128",
    "UINT64",
    "RESOURCE",
    "VARIANT",
    "UINT32",
    "UINT16",
    "INT4",
];

/// Operators by number, those that are likely in such networks.
const OPERATORS: [(i32, &str); 25] = [
    (op::ADD, "ADD"),
    (op::AVERAGE_POOL_2D, "AVERAGE_POOL_2D"),
    (2, "CONCATENATION"),
    (op::CONV_2D, "CONV_2D"),
    (4, "DEPTHWISE_CONV_2D"),
    (op::DEQUANTIZE, "DEQUANTIZE"),
    (op::FULLY_CONNECTED, "FULLY_CONNECTED"),
    (14, "LOGISTIC"),
    (op::MAX_POOL_2D, "MAX_POOL_2D"),
    (op::MUL, "MUL"),
    (op::RELU, "RELU"),
    (21, "RELU6"),
    (op::RESHAPE, "RESHAPE"),
    (op::SOFTMAX, "SOFTMAX"),
    (32, "CUSTOM"),
    (op::PAD, "PAD"),
    (39, "TRANSPOSE"),
    (op::MEAN, "MEAN"),
    (op::SUB, "SUB"),
    (op::DIV, "DIV"),
    (op::SQUEEZE, "SQUEEZE"),
    (op::STRIDED_SLICE, "STRIDED_SLICE"),
    (60, "PADV2"),
    (77, "SHAPE"),
    (op::QUANTIZE, "QUANTIZE"),
];

/// `BuiltinOperator`.
pub(super) mod op {
    pub(crate) const ADD: i32 = 0;
    pub(crate) const AVERAGE_POOL_2D: i32 = 1;
    pub(crate) const CONV_2D: i32 = 3;
    pub(crate) const DEQUANTIZE: i32 = 6;
    pub(crate) const FULLY_CONNECTED: i32 = 9;
    pub(crate) const MAX_POOL_2D: i32 = 17;
    pub(crate) const MUL: i32 = 18;
    pub(crate) const RELU: i32 = 19;
    pub(crate) const RESHAPE: i32 = 22;
    pub(crate) const SOFTMAX: i32 = 25;
    pub(crate) const PAD: i32 = 34;
    pub(crate) const MEAN: i32 = 40;
    pub(crate) const SUB: i32 = 41;
    pub(crate) const DIV: i32 = 42;
    pub(crate) const SQUEEZE: i32 = 43;
    pub(crate) const STRIDED_SLICE: i32 = 45;
    pub(crate) const QUANTIZE: i32 = 114;
}

/// `TensorType`.
pub(super) mod dtype {
    pub(crate) const FLOAT32: i8 = 0;
    pub(crate) const FLOAT16: i8 = 1;
    pub(crate) const INT32: i8 = 2;
    pub(crate) const INT64: i8 = 4;
    pub(crate) const INT8: i8 = 9;
}

/// Tensors and operators that a model file can count.
const COUNT_MAX: usize = 16_384;

/// The longest side of a tensor.
const SIDE_MAX: i32 = 16_384;

pub(super) fn operator_name(code: i32) -> String {
    let known = OPERATORS.iter().find(|(number, _)| *number == code);
    known.map_or_else(|| format!("builtin operator {code}"), |(_, name)| (*name).to_owned())
}

fn dtype_name(dtype: i8) -> String {
    let known = usize::try_from(dtype).ok().and_then(|dtype| DTYPES.get(dtype));
    known.map_or_else(|| format!("number {dtype}"), |name| (*name).to_owned())
}

/// The one subgraph of a file, and what it refers to.
pub(super) struct Model<'a> {
    tensors: Vector<'a>,
    pub(super) operators: Vector<'a>,
    operator_codes: Vector<'a>,
    buffers: Vector<'a>,
    pub(super) input: usize,
    pub(super) output: usize,
}

/// An operator, not yet understood.
pub(super) struct Operator<'a> {
    pub(super) code: i32,
    /// Indices of tensors; none for an optional one that is left out.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    /// Type of the options, and they.
    pub(super) options: (u8, Option<Table<'a>>),
    pub(super) at: usize,
}

impl<'a> Model<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, TfliteError> {
        const SCHEMA: i32 = 3;
        if bytes.get(4..8) != Some(b"TFL3") {
            return Err(TfliteError::Model(ModelProblem::Magic));
        }
        let root = Table::root(bytes)?;
        let version = root.i32(0, 0, "the schema version")?;
        if version != SCHEMA {
            return Err(TfliteError::Model(ModelProblem::Version(version)));
        }
        let subgraphs = root.vector(2, 4, "the subgraphs")?;
        one("subgraphs", subgraphs.len())?;
        let graph = subgraphs.table(0)?;
        let end = |number, plural, what| {
            let ends = graph.vector(number, 4, what)?;
            one(plural, ends.len())?;
            let first = ends.scalars().next().map(i32::from_le_bytes);
            Ok::<_, TfliteError>(first.and_then(|index| usize::try_from(index).ok()))
        };
        let missing = usize::MAX; // which no tensor has: refused where it is looked up
        Ok(Self {
            tensors: limited("tensors", graph.vector(0, 4, "the tensors")?)?,
            operators: limited("operators", graph.vector(3, 4, "the operators")?)?,
            operator_codes: root.vector(1, 4, "the operator codes")?,
            buffers: root.vector(4, 4, "the buffers")?,
            input: end(1, "inputs", "the inputs")?.unwrap_or(missing),
            output: end(2, "outputs", "the outputs")?.unwrap_or(missing),
        })
    }

    pub(super) fn operator(&self, index: usize) -> Result<Operator<'a>, Malformed> {
        let table = self.operators.table(index)?;
        let code = table.index(0, "the operator's code")?;
        let code = self.operator_codes.table(code)?;
        // Numbers above 127 are in the new field, the others in the old one or in both.
        let old = code.i8(0, "the operator's number")?.max(0);
        let new = code.i32(3, 0, "the operator's number")?;
        let tensors = |number, what| {
            let indices = table.vector(number, 4, what)?.scalars().map(i32::from_le_bytes);
            // No operator here has more than a handful.
            Ok::<_, Malformed>(indices.take(16).map(|index| usize::try_from(index).ok()).collect())
        };
        Ok(Operator {
            code: new.max(old.into()),
            inputs: tensors(1, "the operator's inputs")?,
            outputs: tensors(2, "the operator's outputs")?,
            options: (
                table.i8(3, "the type of the operator's options")? as u8,
                table.table(4, "the operator's options")?,
            ),
            at: table.at,
        })
    }

    pub(super) fn tensor(&self, index: usize) -> Result<Tensor<'a>, TfliteError> {
        let count = self.tensors.len();
        if index >= count {
            let problem = TensorProblem::Missing(count);
            return Err(TfliteError::Tensor { index, name: String::new(), at: 0, problem });
        }
        let table = self.tensors.table(index)?;
        let name = table.string(3, "a tensor's name")?;
        let tensor = Tensor { index, name, table, buffers: self.buffers };
        let kinds = [(5, "a variable"), (6, "sparse"), (10, "in an external buffer")];
        for (field, kind) in kinds {
            let set = match field {
                5 => table.i8(field, "a tensor's kind")? != 0,
                _ => table.has(field, "a tensor's kind")?,
            };
            if set {
                return Err(tensor.refused(TensorProblem::Kind(kind)));
            }
        }
        Ok(tensor)
    }
}

fn one(what: &'static str, found: usize) -> Result<(), TfliteError> {
    let problem = ModelProblem::NotOne { what, found };
    if found == 1 { Ok(()) } else { Err(TfliteError::Model(problem)) }
}

fn limited<'a>(what: &'static str, vector: Vector<'a>) -> Result<Vector<'a>, TfliteError> {
    let (found, limit) = (vector.len(), COUNT_MAX);
    let problem = ModelProblem::TooMany { what, found, limit };
    if found <= limit { Ok(vector) } else { Err(TfliteError::Model(problem)) }
}

/// A tensor, read as it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Tensor<'a> {
    pub(super) index: usize,
    name: &'a [u8],
    table: Table<'a>,
    buffers: Vector<'a>,
}

/// The scales and the data of a layer's weights.
pub(super) struct Weights {
    /// `[O, ...]`.
    pub(super) data: Vec<i8>,
    /// One for all channels, or one a channel.
    pub(super) scales: Vec<f32>,
}

impl<'a> Tensor<'a> {
    /// Its name, at most so long as a message can be.
    pub(super) fn name(&self) -> String {
        const SHOWN: usize = 200;
        String::from_utf8_lossy(&self.name[..self.name.len().min(SHOWN)]).into_owned()
    }

    pub(super) fn refused(&self, problem: TensorProblem) -> TfliteError {
        let (index, at) = (self.index, self.table.at);
        TfliteError::Tensor { index, name: self.name(), at, problem }
    }

    pub(super) fn dtype(&self) -> Result<i8, TfliteError> {
        Ok(self.table.i8(1, "a tensor's type")?)
    }

    pub(super) fn wrong_dtype(&self, found: i8, expected: &'static str) -> TfliteError {
        self.refused(TensorProblem::Dtype { found: dtype_name(found), expected })
    }

    pub(super) fn require_int8(&self) -> Result<(), TfliteError> {
        let found = self.dtype()?;
        if found == dtype::INT8 { Ok(()) } else { Err(self.wrong_dtype(found, "INT8")) }
    }

    /// At most a handful of sides, of which an image has four.
    pub(super) fn sides(&self, field: usize) -> Result<Vec<i32>, TfliteError> {
        let sides = self.table.vector(field, 4, "a tensor's shape")?.scalars();
        Ok(sides.take(8).map(i32::from_le_bytes).collect())
    }

    /// `[H,W,C]` of an int8 activation of one image.
    pub(super) fn activation_shape(&self) -> Result<[usize; 3], TfliteError> {
        self.require_int8()?;
        self.image_shape()
    }

    /// `[H,W,C]` of an activation of one image.
    pub(super) fn image_shape(&self) -> Result<[usize; 3], TfliteError> {
        let (shape, signature) = (self.sides(0)?, self.sides(7)?);
        if signature.iter().skip(1).any(|&side| side < 0) {
            return Err(self.refused(TensorProblem::Dynamic(signature)));
        }
        let sides = match shape[..] {
            [1, h, w, c] => Some([h, w, c]),
            [1, c] => Some([1, 1, c]),
            _ => None,
        };
        let sides = sides.filter(|sides| sides.iter().all(|side| (1..=SIDE_MAX).contains(side)));
        let sides = sides.ok_or_else(|| self.refused(TensorProblem::Shape(shape)))?;
        Ok(sides.map(|side| usize::try_from(side).unwrap_or(0)))
    }

    fn quantization_table(&self) -> Result<Option<Table<'a>>, TfliteError> {
        Ok(self.table.table(4, "a tensor's quantization")?)
    }

    /// Its scales and zero points, as many of each.
    pub(super) fn scales(&self) -> Result<(Vec<f32>, Vec<i64>, i32), TfliteError> {
        let none = || self.refused(TensorProblem::Quantization("no scale".to_owned()));
        let table = self.quantization_table()?.ok_or_else(none)?;
        let scales = table.vector(2, 4, "a tensor's scales")?;
        let zero_points = table.vector(3, 8, "a tensor's zero points")?;
        let [found, zeros] = [scales.len(), zero_points.len()];
        if found == 0 {
            return Err(none());
        }
        let limit = usize::try_from(SIDE_MAX).unwrap_or(0);
        if found > limit || (zeros != found && zeros != 0) {
            let problem = format!("{found} scales and {zeros} zero points");
            return Err(self.refused(TensorProblem::Quantization(problem)));
        }
        let scales: Vec<f32> = scales.scalars().map(f32::from_le_bytes).collect();
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            let problem = format!("a scale of {scale}");
            return Err(self.refused(TensorProblem::Quantization(problem)));
        }
        let zero_points = zero_points.scalars().map(i64::from_le_bytes).collect();
        Ok((scales, zero_points, table.i32(6, 0, "a tensor's quantized dimension")?))
    }

    /// Scale and zero point of an activation.
    pub(super) fn quantization(&self) -> Result<Quantization, TfliteError> {
        let (scales, zero_points, _) = self.scales()?;
        let refused = |problem| self.refused(TensorProblem::Quantization(problem));
        let [scale] = scales[..] else {
            return Err(refused(format!("{} scales, and an activation has one", scales.len())));
        };
        let zero_point = zero_points.first().copied().unwrap_or(0);
        let zero_point = i8::try_from(zero_point)
            .map_err(|_| refused(format!("a zero point of {zero_point}, which is no int8")))?;
        Ok(Quantization { scale, zero_point })
    }

    /// The scale of a bias, zero where it has none.
    pub(super) fn bias_scale(&self) -> Result<f32, TfliteError> {
        let Some(table) = self.quantization_table()? else { return Ok(0.0) };
        let scales = table.vector(2, 4, "a tensor's scales")?;
        Ok(scales.scalars().next().map_or(0.0, f32::from_le_bytes))
    }

    /// The bytes of a constant of `count` elements.
    pub(super) fn constant(
        &self,
        count: usize,
        element_bytes: usize,
    ) -> Result<&'a [u8], TfliteError> {
        let buffer = self.table.index(2, "a tensor's buffer")?;
        let no_data = || self.refused(TensorProblem::NoData(buffer));
        if buffer >= self.buffers.len() {
            return Err(no_data());
        }
        let table = self.buffers.table(buffer)?;
        if table.has(1, "a buffer's offset")?
            && table.scalar(1, [0; 8], "a buffer's offset")? != [0; 8]
        {
            return Err(self.refused(TensorProblem::Kind("outside of the flatbuffer")));
        }
        let data = table.vector(0, 1, "a buffer's data")?.bytes();
        if data.is_empty() {
            return Err(no_data());
        }
        let (found, expected) = (data.len(), count.saturating_mul(element_bytes));
        let problem = TensorProblem::DataSize { buffer, found, expected };
        if found == expected { Ok(data) } else { Err(self.refused(problem)) }
    }

    fn constant_shape(&self, fits: bool, expected: &str) -> Result<(), TfliteError> {
        let found = self.sides(0)?;
        let problem = TensorProblem::ConstantShape { found, expected: expected.to_owned() };
        if fits { Ok(()) } else { Err(self.refused(problem)) }
    }

    /// The same of int8 weights.
    pub(super) fn weight_sides(&self, rank: usize) -> Result<Vec<usize>, TfliteError> {
        self.require_int8()?;
        self.constant_sides(rank)
    }

    /// The sides of a constant of `rank` dimensions, all of which are inside the limits.
    pub(super) fn constant_sides(&self, rank: usize) -> Result<Vec<usize>, TfliteError> {
        let sides = self.sides(0)?;
        let fits = sides.len() == rank && sides.iter().all(|side| (1..=SIDE_MAX).contains(side));
        self.constant_shape(fits, &format!("{rank} sides of 1 to {SIDE_MAX}"))?;
        Ok(sides.into_iter().filter_map(|side| usize::try_from(side).ok()).collect())
    }

    /// Refuses weights of another shape than `[O, ...]` with this length a channel.
    pub(super) fn require_shape(&self, fits: bool, expected: &str) -> Result<(), TfliteError> {
        self.constant_shape(fits, expected)
    }

    /// Symmetric int8 weights, `channels` rows of `row` elements.
    pub(super) fn weights(&self, channels: usize, row: usize) -> Result<Weights, TfliteError> {
        let refused = |problem| self.refused(TensorProblem::Quantization(problem));
        let (scales, zero_points, dimension) = self.scales()?;
        if scales.len() != 1 && (scales.len() != channels || dimension != 0) {
            let found = scales.len();
            return Err(refused(format!(
                "{found} scales along dimension {dimension}, not one or {channels} along 0"
            )));
        }
        if let Some(zero_point) = zero_points.iter().find(|zero_point| **zero_point != 0) {
            return Err(refused(format!("a zero point of {zero_point}, and weights have 0")));
        }
        let data = self.constant(channels.saturating_mul(row), 1)?;
        Ok(Weights { data: data.iter().map(|&byte| byte as i8).collect(), scales })
    }

    /// An int32 bias of `channels` elements.
    pub(super) fn bias(&self, channels: usize) -> Result<Vec<i32>, TfliteError> {
        let found = self.dtype()?;
        if found != dtype::INT32 {
            return Err(self.wrong_dtype(found, "INT32"));
        }
        let data = self.constant(channels, 4)?;
        Ok(data.as_chunks().0.iter().copied().map(i32::from_le_bytes).collect())
    }

    /// A constant of `count` whole numbers, int32 or int64.
    pub(super) fn integers(&self, count: usize) -> Result<Vec<i64>, TfliteError> {
        match self.dtype()? {
            dtype::INT32 => {
                let data = self.constant(count, 4)?.as_chunks().0.iter().copied();
                Ok(data.map(i32::from_le_bytes).map(i64::from).collect())
            }
            dtype::INT64 => {
                let data = self.constant(count, 8)?.as_chunks().0.iter().copied();
                Ok(data.map(i64::from_le_bytes).collect())
            }
            found => Err(self.wrong_dtype(found, "INT32 or INT64")),
        }
    }
}
