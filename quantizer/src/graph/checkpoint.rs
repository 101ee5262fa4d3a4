//! The checkpoint: a graph, its parameters and, while training, the trainer's state, in one file.
//!
//! A safetensors file. Its metadata has one key, `resmcu`: JSON of the topology and, optionally,
//! of a training state that is opaque here. Its tensors are the parameters by name
//! (`stage1.block0.conv1.weights`) and the training state's own. Owns that layout and the checks
//! on reading; not what a training state means. Bad files give errors, never a panic.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::{ArrayD, Ix1, Ix2, Ix4};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::topology::{self, Tensors, Topology};
use super::{Graph, GraphError, ParameterKind};
use crate::write_whole::write_whole;

/// The key of the metadata.
const KEY: &str = "resmcu";
/// Version of the metadata's layout.
const FORMAT: u32 = 1;

/// How parameters are stored. All three are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Exact.
    #[default]
    F32,
    /// 11 bits of precision, up to 65504.
    F16,
    /// 8 bits of precision, the range of f32.
    Bf16,
}

/// A tensor that is not a parameter: momentum, or the best epoch's parameters. Always f32.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraTensor {
    /// Unique, and not a parameter's name.
    pub name: String,
    /// The values in row-major order.
    pub values: ArrayD<f32>,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The network.
    pub graph: Graph,
    /// The trainer's state, where training is to be resumed.
    pub training: Option<serde_json::Value>,
    /// The trainer's tensors, by name.
    pub extra: Vec<ExtraTensor>,
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, Error)]
#[error("{}: {problem}", path.display())]
pub struct CheckpointError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: CheckpointProblem,
}

/// What is wrong with a checkpoint.
#[derive(Debug, Error)]
pub enum CheckpointProblem {
    /// The file system's answer.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Not a safetensors file, or a broken one.
    #[error("not a safetensors file: {0}")]
    Container(#[from] safetensors::SafeTensorError),
    /// A safetensors file of another origin.
    #[error("the metadata has no key `{KEY}`: not a checkpoint of this project")]
    NoTopology,
    /// The metadata's JSON does not say what it should.
    #[error("metadata `{KEY}`: {0}")]
    Topology(#[from] serde_json::Error),
    /// Written by a newer version.
    #[error("metadata `{KEY}`: format {found}, this version reads {FORMAT}")]
    Format {
        /// The version of the file.
        found: u32,
    },
    /// The topology and the tensors do not make a graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// One tensor is not what the topology or the type wants.
    #[error("tensor `{name}`: {found}, expected {expected}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is there.
        found: String,
        /// What would fit.
        expected: String,
    },
}

/// The metadata's JSON.
#[derive(Serialize, Deserialize)]
struct Metadata {
    format: u32,
    topology: Topology,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    training: Option<serde_json::Value>,
}

impl From<Graph> for Checkpoint {
    fn from(graph: Graph) -> Self {
        Self { graph, training: None, extra: Vec::new() }
    }
}

impl Checkpoint {
    /// Reads a file and checks it whole.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let at = |problem| CheckpointError { path: path.into(), problem };
        let bytes = std::fs::read(path).map_err(|error| at(error.into()))?;
        Self::from_bytes(&bytes).map_err(at)
    }

    /// Writes the file whole or not at all. With [`Dtype::F32`], [`Self::load`] gives it back to
    /// the bit.
    pub fn save(&self, path: &Path, dtype: Dtype) -> Result<(), CheckpointError> {
        let at = |problem| CheckpointError { path: path.into(), problem };
        let bytes = self.to_bytes(dtype).map_err(at)?;
        write_whole(path, &bytes).map_err(|error| at(error.into()))
    }

    /// The file's bytes: the same for the same checkpoint.
    pub fn to_bytes(&self, dtype: Dtype) -> Result<Vec<u8>, CheckpointProblem> {
        self.graph.validate()?;
        let metadata = Metadata {
            format: FORMAT,
            topology: topology::describe(&self.graph),
            training: self.training.clone(),
        };
        let mut tensors = Vec::new();
        for parameter in self.graph.parameters() {
            let bytes = encode(&parameter.name, parameter.values.iter(), dtype)?;
            tensors.push((parameter.name, dtype, parameter.values.shape().to_vec(), bytes));
        }
        for ExtraTensor { name, values } in &self.extra {
            let bytes = encode(name, values.iter(), Dtype::F32)?;
            tensors.push((name.clone(), Dtype::F32, values.shape().to_vec(), bytes));
        }
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(stored(*dtype), shape.clone(), bytes)?;
            Ok((name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        let metadata = [(KEY.to_string(), serde_json::to_string(&metadata)?)].into();
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads a file's bytes and checks them whole.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointProblem> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let json = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let json = json.ok_or(CheckpointProblem::NoTopology)?;
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_str(json)?;
        if format != FORMAT {
            return Err(CheckpointProblem::Format { found: format });
        }
        let metadata: Metadata = serde_json::from_str(json)?;
        let mut reader = Reader { file: SafeTensors::deserialize(bytes)?, used: Vec::new() };
        let graph = topology::build(metadata.topology, &mut reader)?;
        let extra = reader.rest()?;
        Ok(Self { graph, training: metadata.training, extra })
    }
}

/// The tensors of a file, and which of them were parameters.
struct Reader<'a> {
    file: SafeTensors<'a>,
    used: Vec<String>,
}

impl Reader<'_> {
    fn read(&self, name: &str) -> Result<ArrayD<f32>, CheckpointProblem> {
        let missing = |_| refuse(name, "missing", "a tensor of that name");
        let view = self.file.tensor(name).map_err(missing)?;
        let bytes = view.data();
        let values = match view.dtype() {
            safetensors::Dtype::F32 => decode(bytes, f32::from_le_bytes),
            safetensors::Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            safetensors::Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            other => return Err(refuse(name, format!("{other:?}"), "F32, F16 or BF16")),
        };
        let (shape, len) = (view.shape().to_vec(), values.len());
        ArrayD::from_shape_vec(shape.clone(), values)
            .map_err(|_| refuse(name, format!("{len} values"), format!("shape {shape:?}")))
    }

    /// What no node asked for.
    fn rest(&self) -> Result<Vec<ExtraTensor>, CheckpointProblem> {
        let used: std::collections::HashSet<&str> = self.used.iter().map(String::as_str).collect();
        let mut names = self.file.names();
        names.sort_unstable();
        let rest = names.into_iter().filter(|name| !used.contains(name));
        rest.map(|name| Ok(ExtraTensor { name: name.into(), values: self.read(name)? })).collect()
    }

    fn parameter<D: ndarray::Dimension>(
        &mut self,
        node: &str,
        kind: ParameterKind,
    ) -> Result<ndarray::Array<f32, D>, CheckpointProblem> {
        let name = format!("{node}.{}", kind.suffix());
        let values = self.read(&name)?;
        let shape = values.shape().to_vec();
        let expected = D::NDIM.unwrap_or_default();
        let values = values.into_dimensionality().map_err(|_| {
            refuse(&name, format!("shape {shape:?}"), format!("{expected} dimensions"))
        })?;
        self.used.push(name);
        Ok(values)
    }
}

impl Tensors for Reader<'_> {
    type Error = CheckpointProblem;

    fn one(
        &mut self,
        node: &str,
        kind: ParameterKind,
    ) -> Result<ndarray::Array1<f32>, Self::Error> {
        self.parameter::<Ix1>(node, kind)
    }

    fn two(
        &mut self,
        node: &str,
        kind: ParameterKind,
    ) -> Result<ndarray::Array2<f32>, Self::Error> {
        self.parameter::<Ix2>(node, kind)
    }

    fn four(
        &mut self,
        node: &str,
        kind: ParameterKind,
    ) -> Result<ndarray::Array4<f32>, Self::Error> {
        self.parameter::<Ix4>(node, kind)
    }
}

fn refuse(name: &str, found: impl Into<String>, expected: impl Into<String>) -> CheckpointProblem {
    CheckpointProblem::Tensor { name: name.into(), found: found.into(), expected: expected.into() }
}

fn stored(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
    }
}

/// Little-endian values; refuses a finite value that the type has no room for.
fn encode<'a>(
    name: &str,
    values: impl Iterator<Item = &'a f32>,
    dtype: Dtype,
) -> Result<Vec<u8>, CheckpointProblem> {
    let mut bytes = Vec::new();
    for &value in values {
        let rounded = match dtype {
            Dtype::F32 => {
                bytes.extend_from_slice(&value.to_le_bytes());
                value
            }
            Dtype::F16 => {
                bytes.extend_from_slice(&f16::from_f32(value).to_le_bytes());
                f16::from_f32(value).to_f32()
            }
            Dtype::Bf16 => {
                bytes.extend_from_slice(&bf16::from_f32(value).to_le_bytes());
                bf16::from_f32(value).to_f32()
            }
        };
        if value.is_finite() && !rounded.is_finite() {
            return Err(refuse(name, value.to_string(), format!("a value that {dtype:?} holds")));
        }
    }
    Ok(bytes)
}

fn decode<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| value(bytes)).collect()
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
