//! Constants: the file's own, those behind a `DequantizeLinear`, and small whole numbers that
//! exporters compute shapes with.
//!
//! Values are read when an operator asks for them, against an allowance: nodes may share them.

use super::super::assemble::Unfit;
use super::error::OnnxError;
use super::scales::{Dequantized, Quantized};
use super::schema::{Tensor, dtype, dtype_name};
use half::{bf16, f16};

/// The most whole numbers that a constant of shapes may have.
const INTEGERS_MAX: usize = 64;

/// Why rounded floats are no constant of an operator.
const UNREAD: &str = "it is rounded, and read by another operator than a DequantizeLinear";

/// A constant by the name of a tensor.
#[derive(Clone, Debug)]
pub(super) enum Constant<'a> {
    /// As it is in the file.
    Stored(Tensor<'a>),
    /// `(q - zero point) * scale`, along an axis.
    Dequantized(Box<Dequantized<'a>>),
    /// The `q` of floats.
    Quantized(Box<Quantized<'a>>),
    /// Computed, with their sides.
    Integers { values: Vec<i64>, dims: Vec<usize> },
}

impl<'a> Tensor<'a> {
    pub(super) fn refused(&self, problem: impl Into<String>) -> OnnxError {
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
            Self::Dequantized(parts) => parts.dims().to_vec(),
            Self::Quantized(parts) => parts.values.dims.clone(),
            Self::Integers { dims, .. } => dims.clone(),
        }
    }

    /// Its floats in row-major order.
    pub(super) fn floats(&self) -> Result<Vec<f32>, OnnxError> {
        match self {
            Self::Stored(tensor) => tensor.floats(),
            Self::Integers { values, .. } => Ok(values.iter().map(|&v| v as f32).collect()),
            Self::Dequantized(parts) => parts.floats(),
            Self::Quantized(parts) => Err(parts.values.refused(UNREAD)),
        }
    }

    /// A few whole numbers.
    pub(super) fn integers(&self) -> Result<Vec<i64>, OnnxError> {
        match self {
            Self::Integers { values, .. } => Ok(values.clone()),
            Self::Dequantized(parts) => {
                Err(parts.refused("it is of floats where whole numbers belong"))
            }
            Self::Quantized(parts) => Err(parts.values.refused(UNREAD)),
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

/// What exporters compute of shapes, on whole numbers alone.
pub(super) mod shapes {
    use super::{Constant, INTEGERS_MAX, Unfit};

    /// Whole numbers with their sides.
    pub(crate) type Whole = (Vec<i64>, Vec<usize>);

    fn made<'a>(values: Vec<i64>, dims: Vec<usize>) -> Result<Constant<'a>, Unfit> {
        if values.len() > INTEGERS_MAX {
            return Err("it makes too many whole numbers".into());
        }
        Ok(Constant::Integers { values, dims })
    }

    fn require_list(dims: &[usize]) -> Result<(), Unfit> {
        if dims.len() == 1 { Ok(()) } else { Err("it is not of a list".into()) }
    }

    /// Sides of no values may be of any length, and no exporter has them.
    fn require_some(values: &[i64]) -> Result<(), Unfit> {
        if values.is_empty() { Err("it is of no values".into()) } else { Ok(()) }
    }

    /// `Gather` of one list.
    pub(crate) fn gather<'a>(
        (values, dims): &Whole,
        (indices, shape): &Whole,
    ) -> Result<Constant<'a>, Unfit> {
        require_list(dims)?;
        let length = values.len() as i64;
        let at = |&index: &i64| {
            let index = if index < 0 { index.saturating_add(length) } else { index };
            usize::try_from(index).ok().and_then(|index| values.get(index).copied())
        };
        let taken: Option<Vec<i64>> = indices.iter().map(at).collect();
        made(taken.ok_or("it takes an index that is not there")?, shape.clone())
    }

    /// `Concat` of lists.
    pub(crate) fn concat<'a>(lists: &[Whole]) -> Result<Constant<'a>, Unfit> {
        lists.iter().try_for_each(|(_, dims)| require_list(dims))?;
        let values: Vec<i64> = lists.iter().flat_map(|(values, _)| values).copied().collect();
        let count = values.len();
        made(values, vec![count])
    }

    /// `Unsqueeze` of a single number.
    pub(crate) fn unsqueeze<'a>((values, dims): Whole) -> Result<Constant<'a>, Unfit> {
        if dims.is_empty() { made(values, vec![1]) } else { Err("it is not of a number".into()) }
    }

    /// `ConstantOfShape` of a list.
    pub(crate) fn filled<'a>((shape, dims): &Whole, value: i64) -> Result<Constant<'a>, Unfit> {
        require_list(dims)?;
        let [count] = shape[..] else { return Err("it makes no list".into()) };
        let count = usize::try_from(count).ok().filter(|&count| count <= INTEGERS_MAX);
        let count = count.ok_or("it makes too many whole numbers")?;
        made(vec![value; count], vec![count])
    }

    /// `Reshape`, with at most one open side.
    pub(crate) fn reshape<'a>(
        (values, _): Whole,
        (target, _): &Whole,
    ) -> Result<Constant<'a>, Unfit> {
        let product = |sides: &[usize]| sides.iter().fold(1, |n: usize, &s| n.saturating_mul(s));
        let known: Vec<usize> =
            target.iter().filter_map(|&side| usize::try_from(side).ok()).collect();
        let open = values.len() / product(&known).max(1);
        let side = |&side: &i64| usize::try_from(side).unwrap_or(open);
        let dims: Vec<usize> = target.iter().map(side).collect();
        if known.len() + 1 < target.len() || product(&dims) != values.len() {
            return Err("it moves whole numbers to other sides than they have".into());
        }
        made(values, dims)
    }

    /// `Transpose` of two sides.
    pub(crate) fn transpose<'a>((values, dims): &Whole) -> Result<Constant<'a>, Unfit> {
        let [rows, columns] = dims[..] else { return Err("it is not of a matrix".into()) };
        require_some(values)?;
        let column = |c: usize| (0..rows).map(move |r| r * columns + c);
        let order = (0..columns).flat_map(column);
        let moved: Option<Vec<i64>> = order.map(|at| values.get(at).copied()).collect();
        made(moved.ok_or("its sides are not those of its values")?, vec![columns, rows])
    }

    /// `Slice` along the first side.
    pub(crate) fn slice<'a>(
        (values, dims): &Whole,
        [start, end, step]: [i64; 3],
    ) -> Result<Constant<'a>, Unfit> {
        let Some((&length, others)) = dims.split_first() else {
            return Err("it is of a single number".into());
        };
        require_some(values)?;
        let row = others.iter().product::<usize>().max(1);
        let rows: Vec<&[i64]> = values.chunks_exact(row).collect();
        let length = length as i64;
        let counted = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
        let taken: Vec<usize> = match step {
            1.. => {
                let (start, end) = (counted(start).clamp(0, length), counted(end).clamp(0, length));
                (start..end).step_by(step as usize).map(|at| at as usize).collect()
            }
            -1 => {
                let start = counted(start).clamp(-1, length - 1);
                let end = counted(end).clamp(-1, length - 1);
                (end + 1..=start).rev().map(|at| at as usize).collect()
            }
            _ => return Err("its step is neither above zero nor -1".into()),
        };
        let count = taken.len();
        let kept: Option<Vec<&[i64]>> = taken.iter().map(|&at| rows.get(at).copied()).collect();
        let kept = kept.ok_or("its sides are not those of its values")?.concat();
        made(kept, [&[count], others].concat())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[track_caller]
        fn check(found: Result<Constant<'_>, Unfit>, expected: Option<(&[i64], &[usize])>) {
            let found = match found {
                Ok(Constant::Integers { values, dims }) => Some((values, dims)),
                _ => None,
            };
            let found = found.as_ref().map(|(values, dims)| (&values[..], &dims[..]));
            assert_eq!(found, expected);
        }

        #[test]
        fn the_sides_of_a_padding_are_turned_around_as_pytorch_does() {
            let matrix = ((1..=6).collect(), vec![3, 2]);
            let rows = slice(&matrix, [-1, i64::MIN, -1]);
            check(rows, Some((&[5, 6, 3, 4, 1, 2], &[3, 2])));
            check(transpose(&matrix), Some((&[1, 3, 5, 2, 4, 6], &[2, 3])));
            check(slice(&matrix, [1, i64::MAX, 1]), Some((&[3, 4, 5, 6], &[2, 2])));
            check(slice(&matrix, [0, 3, -2]), None);
            check(reshape(matrix.clone(), &(vec![-1], vec![1])), Some((&[1, 2, 3, 4, 5, 6], &[6])));
            check(reshape(matrix.clone(), &(vec![-1, 4], vec![2])), None);
            check(gather(&matrix, &(vec![0], vec![])), None);
            check(concat(&[matrix]), None);
            check(filled(&(vec![2], vec![1]), 7), Some((&[7, 7], &[2])));
            check(transpose(&(vec![], vec![0, usize::MAX])), None);
            check(slice(&(vec![], vec![usize::MAX, 0]), [0, i64::MAX, 1]), None);
            check(filled(&(vec![1 << 40], vec![1]), 7), None);
        }
    }
}
