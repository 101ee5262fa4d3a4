//! Tensors by name, as views into the bytes of a file, and the safetensors container.
//!
//! Guarantees that a view stays inside its storage and repeats no element, so that reading a
//! tensor takes no more memory than it has in the file.

use super::error::{StateDictError, TensorProblem};
use half::{bf16, f16};
use safetensors::SafeTensors;

/// The metadata key of this project's checkpoints.
const OWN_KEY: &str = "resmcu";

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F32,
    F16,
    Bf16,
    /// A type that no parameter has: its name and bytes an element.
    Other(&'static str, usize),
}

impl Dtype {
    /// Bytes of one element.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Other(_, bytes) => bytes,
        }
    }
}

/// One tensor: a strided view of a storage.
#[derive(Clone, Debug)]
pub(super) struct Tensor<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Elements from one to the next in each dimension.
    strides: Vec<usize>,
    /// The view's first element.
    offset: usize,
    dtype: Dtype,
    storage: &'a [u8],
}

/// The tensors of a file in its order, and what else is in it.
#[derive(Clone, Debug, Default)]
pub(super) struct StateDict<'a> {
    pub(super) tensors: Vec<Tensor<'a>>,
    pub(super) left_out: Vec<String>,
}

/// A view as a file describes it.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) offset: usize,
}

impl<'a> Tensor<'a> {
    /// The view `view` of `storage`, checked.
    pub(super) fn new(
        name: &str,
        view: View,
        dtype: Dtype,
        storage: &'a [u8],
    ) -> Result<Self, StateDictError> {
        let elements = storage.len() / dtype.bytes().max(1);
        let View { shape, strides, offset } = view;
        let inside = || {
            let count = shape.iter().try_fold(1_usize, |n, &side| n.checked_mul(side))?;
            if count == 0 {
                return Some(true);
            }
            let mut last = offset;
            for (side, stride) in shape.iter().zip(&strides) {
                last = last.checked_add(stride.checked_mul(side - 1)?)?;
            }
            Some(last < elements && count <= elements)
        };
        if shape.len() != strides.len() || inside() != Some(true) {
            let problem = TensorProblem::View { shape, strides, offset, elements };
            return Err(StateDictError::Tensor { name: name.to_owned(), problem });
        }
        Ok(Self { name: name.to_owned(), shape, strides, offset, dtype, storage })
    }

    /// All elements in row-major order; each has to be finite.
    pub(super) fn values(&self) -> Result<Vec<f32>, StateDictError> {
        let read: fn(&[u8]) -> f32 = match self.dtype {
            Dtype::F32 => |b| f32::from_le_bytes(b.try_into().unwrap_or_default()),
            Dtype::F16 => |b| f16::from_le_bytes(b.try_into().unwrap_or_default()).to_f32(),
            Dtype::Bf16 => |b| bf16::from_le_bytes(b.try_into().unwrap_or_default()).to_f32(),
            Dtype::Other(name, _) => return Err(self.refused(TensorProblem::Dtype(name))),
        };
        let bytes = self.dtype.bytes();
        let count = self.shape.iter().product();
        let mut values = Vec::with_capacity(count);
        let mut position = vec![0_usize; self.shape.len()];
        for index in 0..count {
            let steps = position.iter().zip(&self.strides).map(|(p, stride)| p * stride);
            let at = (self.offset + steps.sum::<usize>()) * bytes;
            let value = self.storage.get(at..at + bytes).map_or(f32::NAN, read);
            if !value.is_finite() {
                let value = value.to_string();
                return Err(self.refused(TensorProblem::NotFinite { index, value }));
            }
            values.push(value);
            for (position, &side) in position.iter_mut().zip(&self.shape).rev() {
                *position += 1;
                if *position < side {
                    break;
                }
                *position = 0;
            }
        }
        Ok(values)
    }

    fn refused(&self, problem: TensorProblem) -> StateDictError {
        StateDictError::Tensor { name: self.name.clone(), problem }
    }
}

/// The strides of a tensor without gaps.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for index in (1..shape.len()).rev() {
        strides[index - 1] = strides[index].saturating_mul(shape[index]);
    }
    strides
}

/// Whether the bytes begin as a safetensors file: a length, then JSON.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length < bytes.len() as u64) && bytes.get(8) == Some(&b'{')
}

/// Reads a safetensors file.
pub(super) fn safetensors(bytes: &[u8]) -> Result<StateDict<'_>, StateDictError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    if metadata.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(OWN_KEY)) {
        return Err(StateDictError::Own);
    }
    let mut dict = StateDict::default();
    let mut tensors = SafeTensors::deserialize(bytes)?.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, view) in tensors {
        let shape = view.shape().to_vec();
        let layout = View { strides: row_major(&shape), shape, offset: 0 };
        // A storage is as long as its shape says: the crate has checked it.
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            safetensors::Dtype::F64 => Dtype::Other("f64", 8),
            safetensors::Dtype::I64 => Dtype::Other("i64", 8),
            safetensors::Dtype::I32 => Dtype::Other("i32", 4),
            safetensors::Dtype::U8 => Dtype::Other("u8", 1),
            safetensors::Dtype::I8 => Dtype::Other("i8", 1),
            safetensors::Dtype::BOOL => Dtype::Other("bool", 1),
            _ => {
                let problem = TensorProblem::Dtype("none of the usual ones");
                return Err(StateDictError::Tensor { name, problem });
            }
        };
        dict.tensors.push(Tensor::new(&name, layout, dtype, view.data())?);
    }
    Ok(dict)
}
