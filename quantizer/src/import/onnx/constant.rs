//! Constants: the file's own, those behind a `DequantizeLinear`, and small whole numbers that
//! exporters compute shapes with.
//!
//! Values are read when an operator asks for them, against an allowance: nodes may share them.

use super::super::assemble::Unfit;
use super::error::OnnxError;
use super::schema::{Tensor, dtype, dtype_name};
use half::{bf16, f16};

/// The most whole numbers that a constant of shapes may have.
const INTEGERS_MAX: usize = 64;

/// A constant by the name of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Constant<'a> {
    /// As it is in the file.
    Stored(Tensor<'a>),
    /// `(q - zero point) * scale`, along an axis.
    Dequantized(Box<Dequantized<'a>>),
    /// Computed: a list of them, or one.
    Integers { values: Vec<i64>, scalar: bool },
}

/// The parts of a dequantized constant.
#[derive(Clone, Debug)]
pub(super) struct Dequantized<'a> {
    pub(super) values: Tensor<'a>,
    pub(super) scale: Tensor<'a>,
    pub(super) zero: Option<Tensor<'a>>,
    pub(super) axis: i64,
}

impl<'a> Tensor<'a> {
    fn refused(&self, problem: impl Into<String>) -> OnnxError {
        let (name, at) = (shown(self.name), self.at);
        OnnxError::Constant { name, at, problem: problem.into() }
    }

    /// How many values its sides say, which the file has to have.
    fn count(&self) -> Result<usize, OnnxError> {
        if let Some(file) = self.external {
            let (name, at, file) = (shown(self.name), self.at, shown(file));
            return Err(OnnxError::External { name, at, file });
        }
        let count = self.dims.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim));
        count.ok_or_else(|| self.refused(format!("its shape is {:?}", self.dims)))
    }

    /// The bytes of all values, of `N` bytes each.
    fn raw<const N: usize>(&self, raw: &'a [u8]) -> Result<&'a [[u8; N]], OnnxError> {
        let (values, rest) = raw.as_chunks::<N>();
        let count = self.count()?;
        if values.len() != count || !rest.is_empty() {
            let problem = format!("it has {} bytes for {:?} of {N} bytes", raw.len(), self.dims);
            return Err(self.refused(problem));
        }
        Ok(values)
    }

    /// Its whole numbers, of 8, 32 or 64 bits.
    pub(super) fn integers(&self) -> Result<Vec<i64>, OnnxError> {
        let count = self.count()?;
        if let Some(raw) = self.raw {
            return Ok(match self.dtype {
                dtype::INT64 => self.raw(raw)?.iter().map(|&b| i64::from_le_bytes(b)).collect(),
                dtype::INT32 => {
                    self.raw(raw)?.iter().map(|&b| i32::from_le_bytes(b).into()).collect()
                }
                dtype::INT8 => {
                    self.raw(raw)?.iter().map(|&b| i8::from_le_bytes(b).into()).collect()
                }
                dtype::UINT8 => self.raw(raw)?.iter().map(|&[b]: &[u8; 1]| b.into()).collect(),
                found => return Err(self.refused(wrong(found, "INT8, UINT8, INT32 or INT64"))),
            });
        }
        if !matches!(self.dtype, dtype::INT64 | dtype::INT32 | dtype::INT8 | dtype::UINT8) {
            return Err(self.refused(wrong(self.dtype, "INT8, UINT8, INT32 or INT64")));
        }
        if self.integers.len() != count {
            let found = self.integers.len();
            return Err(self.refused(format!("it has {found} values for {:?}", self.dims)));
        }
        Ok(self.integers.clone())
    }

    /// Its floats, of 16 or 32 bits; each is finite.
    pub(super) fn floats(&self) -> Result<Vec<f32>, OnnxError> {
        let count = self.count()?;
        let values: Vec<f32> = match (self.dtype, self.raw, self.floats) {
            (dtype::FLOAT, Some(raw), _) | (dtype::FLOAT, None, Some(raw)) => {
                self.raw(raw)?.iter().map(|&b| f32::from_le_bytes(b)).collect()
            }
            (dtype::FLOAT16, Some(raw), _) => {
                self.raw(raw)?.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect()
            }
            (dtype::BFLOAT16, Some(raw), _) => {
                self.raw(raw)?.iter().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()
            }
            (dtype::FLOAT16 | dtype::BFLOAT16, None, None) if self.integers.len() == count => {
                let wide = |&bits: &i64| match self.dtype {
                    dtype::FLOAT16 => f16::from_bits(bits as u16).to_f32(),
                    _ => bf16::from_bits(bits as u16).to_f32(),
                };
                self.integers.iter().map(wide).collect()
            }
            (dtype::FLOAT | dtype::FLOAT16 | dtype::BFLOAT16, ..) => {
                return Err(self.refused(format!("it has no values for {:?}", self.dims)));
            }
            (found, ..) => return Err(self.refused(wrong(found, "FLOAT, FLOAT16 or BFLOAT16"))),
        };
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(self.refused(format!("it holds {value}"))),
            None => Ok(values),
        }
    }
}

fn wrong(found: u64, expected: &str) -> String {
    format!("its type is {}, and has to be {expected}", dtype_name(found))
}

/// A name, at most so long as a message can be.
pub(super) fn shown(name: &str) -> String {
    const SHOWN: usize = 200;
    name.chars().take(SHOWN).collect()
}

impl<'a> Constant<'a> {
    /// Its sides.
    pub(super) fn dims(&self) -> Vec<usize> {
        match self {
            Self::Stored(tensor) => tensor.dims.clone(),
            Self::Dequantized(parts) => parts.values.dims.clone(),
            Self::Integers { scalar: true, .. } => Vec::new(),
            Self::Integers { values, .. } => vec![values.len()],
        }
    }

    /// Its floats in row-major order.
    pub(super) fn floats(&self) -> Result<Vec<f32>, OnnxError> {
        match self {
            Self::Stored(tensor) => tensor.floats(),
            Self::Integers { values, .. } => Ok(values.iter().map(|&v| v as f32).collect()),
            Self::Dequantized(parts) => parts.floats(),
        }
    }

    /// A few whole numbers.
    pub(super) fn integers(&self) -> Result<Vec<i64>, OnnxError> {
        match self {
            Self::Integers { values, .. } => Ok(values.clone()),
            Self::Dequantized(parts) => {
                Err(parts.values.refused("it is of floats where whole numbers belong"))
            }
            Self::Stored(tensor) => {
                let count = tensor.count()?;
                if count > INTEGERS_MAX {
                    return Err(tensor.refused(format!("it has {count} whole numbers")));
                }
                tensor.integers()
            }
        }
    }
}

impl Dequantized<'_> {
    /// `(q - zero) * scale`, each of one value or of as many as the axis has.
    fn floats(&self) -> Result<Vec<f32>, OnnxError> {
        let Self { values, scale, zero, axis } = self;
        let (axis, zero) = (*axis, zero.as_ref());
        let dims = &values.dims;
        let quantized = values.integers()?;
        let scales = scale.floats()?;
        let zeros = zero.map_or_else(|| Ok(vec![0; scales.len()]), Tensor::integers)?;
        let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
        let axis = usize::try_from(axis).unwrap_or(usize::MAX);
        let along = if scales.len() == 1 { 1 } else { dims.get(axis).copied().unwrap_or(0) };
        if scales.len() != along || zeros.len() != along {
            let problem = format!(
                "it has {} scales and {} zero points along axis {axis} of {dims:?}",
                scales.len(),
                zeros.len()
            );
            return Err(values.refused(problem));
        }
        let inner: usize = dims.iter().skip(axis.saturating_add(1)).product();
        let at = |index: usize| if along == 1 { 0 } else { index / inner.max(1) % along };
        let values = quantized.iter().enumerate();
        Ok(values.map(|(i, &q)| (q.saturating_sub(zeros[at(i)])) as f32 * scales[at(i)]).collect())
    }
}

/// What exporters compute of shapes, on whole numbers alone.
pub(super) mod shapes {
    use super::{Constant, INTEGERS_MAX, Unfit};

    fn list<'a>(values: Vec<i64>) -> Result<Constant<'a>, Unfit> {
        if values.len() > INTEGERS_MAX {
            return Err("it makes too many whole numbers".into());
        }
        Ok(Constant::Integers { values, scalar: false })
    }

    /// `Gather` of one list.
    pub(crate) fn gather<'a>(
        values: &[i64],
        indices: &[i64],
        scalar: bool,
    ) -> Result<Constant<'a>, Unfit> {
        let length = values.len() as i64;
        let at = |&index: &i64| {
            let index = if index < 0 { index.saturating_add(length) } else { index };
            usize::try_from(index).ok().and_then(|index| values.get(index).copied())
        };
        let taken: Option<Vec<i64>> = indices.iter().map(at).collect();
        let values = taken.ok_or("it takes an index that is not there")?;
        if scalar { Ok(Constant::Integers { values, scalar }) } else { list(values) }
    }

    /// `Concat` of lists.
    pub(crate) fn concat<'a>(lists: &[Vec<i64>]) -> Result<Constant<'a>, Unfit> {
        list(lists.concat())
    }

    /// `Slice` of one list, forwards.
    pub(crate) fn slice<'a>(
        values: &[i64],
        start: i64,
        end: i64,
        step: i64,
    ) -> Result<Constant<'a>, Unfit> {
        let length = values.len() as i64;
        let clamp = |at: i64| if at < 0 { at.saturating_add(length) } else { at }.clamp(0, length);
        let (start, end) = (clamp(start) as usize, clamp(end) as usize);
        let step = usize::try_from(step).ok().filter(|&step| step > 0).ok_or("its step")?;
        list(values.get(start..end).unwrap_or_default().iter().step_by(step).copied().collect())
    }
}
