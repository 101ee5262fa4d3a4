//! Whole numbers with scales and zero points: what `QuantizeLinear` and `DequantizeLinear` make of
//! constants.
//!
//! Guarantees the values that ONNX specifies, half to even included; what is not 8 bits wide is
//! refused. Which grid a layer's weights have is told too, where it is symmetric.

use super::error::OnnxError;
use super::schema::{Tensor, dtype};

/// Scales and zero points: one for all, or one for each index along an axis.
#[derive(Clone, Debug)]
pub(super) struct Scales<'a> {
    pub(super) scale: Tensor<'a>,
    pub(super) zero: Option<Tensor<'a>>,
    pub(super) axis: i64,
    /// The type of the whole numbers, where there are no zero points that say it.
    pub(super) dtype: u64,
}

/// Floats that are rounded.
#[derive(Clone, Debug)]
pub(super) struct Quantized<'a> {
    pub(super) values: Tensor<'a>,
    pub(super) scales: Scales<'a>,
}

/// Where a dequantized constant's whole numbers come from.
#[derive(Clone, Debug)]
pub(super) enum Whole<'a> {
    /// The file.
    Stored(Tensor<'a>),
    /// Its floats.
    Rounded(Box<Quantized<'a>>),
}

/// The parts of a dequantized constant.
#[derive(Clone, Debug)]
pub(super) struct Dequantized<'a> {
    pub(super) values: Whole<'a>,
    pub(super) scales: Scales<'a>,
}

/// Scales and zero points as numbers.
struct Grid {
    scales: Vec<f32>,
    zeros: Vec<i64>,
    /// Values from one index along the axis to the next.
    inner: usize,
}

impl Grid {
    /// Of the value at a place.
    fn at(&self, index: usize) -> (f32, i64) {
        let along = index / self.inner.max(1) % self.scales.len().max(1);
        (self.scales[along], self.zeros[along])
    }
}

impl<'a> Scales<'a> {
    /// The type of the whole numbers.
    pub(super) fn dtype(&self) -> u64 {
        self.zero.as_ref().map_or(self.dtype, |zero| zero.dtype)
    }

    /// Whether both say the same.
    pub(super) fn equal(&self, other: &Self) -> Result<bool, OnnxError> {
        let zeros = |scales: &Self| scales.zero.as_ref().map_or(Ok(vec![0]), Tensor::integers);
        let same = self.scale.floats()? == other.scale.floats()?;
        Ok(same && zeros(self)? == zeros(other)?)
    }

    /// The axis as a place among these sides; none where all values share one scale.
    fn axis(&self, dims: &[usize]) -> Option<usize> {
        let rank = dims.len() as i64;
        let axis = if self.axis < 0 { self.axis.saturating_add(rank) } else { self.axis };
        let single = self.scale.dims.iter().all(|&dim| dim == 1);
        (!single).then(|| usize::try_from(axis).unwrap_or(usize::MAX))
    }

    /// For a tensor of these sides.
    fn grid(&self, of: &Tensor<'a>) -> Result<Grid, OnnxError> {
        let dims = &of.dims;
        let axis = self.axis(dims);
        let scales = self.scale.floats()?;
        let zeros = self.zero.as_ref();
        let zeros = zeros.map_or_else(|| Ok(vec![0; scales.len()]), Tensor::integers)?;
        let along = axis.map_or(1, |axis| dims.get(axis).copied().unwrap_or(0));
        if scales.len() != along || zeros.len() != along {
            let (scales, zeros) = (scales.len(), zeros.len());
            let axis = axis.unwrap_or(0);
            let problem = format!(
                "it has {scales} scales and {zeros} zero points along axis {axis} of {dims:?}"
            );
            return Err(of.refused(problem));
        }
        let after = axis.map_or(dims.len(), |axis| axis.saturating_add(1));
        let inner = if axis.is_some() { dims.iter().skip(after).product() } else { usize::MAX };
        Ok(Grid { scales, zeros, inner })
    }
}

impl Quantized<'_> {
    /// `saturate(round(x / scale) + zero)`.
    fn integers(&self) -> Result<Vec<i64>, OnnxError> {
        let (low, high) = match self.scales.dtype() {
            dtype::INT8 => (i8::MIN.into(), i8::MAX.into()),
            dtype::UINT8 => (0, u8::MAX.into()),
            _ => return Err(self.values.refused("it is rounded to other than INT8 or UINT8")),
        };
        let grid = self.scales.grid(&self.values)?;
        let values = self.values.floats()?.into_iter().enumerate();
        let round = |(index, value): (usize, f32)| {
            let (scale, zero) = grid.at(index);
            let steps = (value / scale).round_ties_even();
            // What is no number is at the lower end, as a saturating cast has it.
            (steps as i64).saturating_add(zero).clamp(low, high)
        };
        Ok(values.map(round).collect())
    }
}

impl<'a> Dequantized<'a> {
    fn tensor(&self) -> &Tensor<'a> {
        match &self.values {
            Whole::Stored(values) => values,
            Whole::Rounded(quantized) => &quantized.values,
        }
    }

    pub(super) fn dims(&self) -> &[usize] {
        &self.tensor().dims
    }

    pub(super) fn name(&self) -> &'a str {
        self.tensor().name
    }

    pub(super) fn refused(&self, problem: &str) -> OnnxError {
        self.tensor().refused(problem)
    }

    fn integers(&self) -> Result<Vec<i64>, OnnxError> {
        match &self.values {
            Whole::Stored(values) => values.integers(),
            Whole::Rounded(quantized) => quantized.integers(),
        }
    }

    /// `(q - zero) * scale`.
    pub(super) fn floats(&self) -> Result<Vec<f32>, OnnxError> {
        let grid = self.scales.grid(self.tensor())?;
        let values = self.integers()?.into_iter().enumerate();
        let real = |(index, q): (usize, i64)| {
            let (scale, zero) = grid.at(index);
            q.saturating_sub(zero) as f32 * scale
        };
        Ok(values.map(real).collect())
    }

    /// The step of each of `outputs` along `axis`, where the grid is that of integers of 8 bits
    /// which are symmetric around zero.
    pub(super) fn steps(&self, axis: usize, outputs: usize) -> Result<Option<Vec<f32>>, OnnxError> {
        let grid = self.scales.grid(self.tensor())?;
        let dtype = match &self.values {
            Whole::Stored(values) => values.dtype,
            Whole::Rounded(quantized) => quantized.scales.dtype(),
        };
        let middle = match dtype {
            dtype::INT8 => 0,
            dtype::UINT8 => 128,
            _ => return Ok(None),
        };
        let along = self.scales.axis(self.dims());
        let fits = along.is_none_or(|along| along == axis);
        let symmetric = grid.zeros.iter().all(|&zero| zero == middle);
        let steps = grid.scales.iter().copied().cycle().take(outputs);
        Ok((fits && symmetric).then(|| steps.collect()))
    }
}
