//! The integers that stand for a layer's weights, and how they follow from real ones.
//!
//! Owns the rows and their units, the scales of output channels and rounding to nearest; what
//! else rounds (`reconstruct`) hands its choice in as [`LayerWeights`]. The constants that go with
//! the integers are `channel`'s.

use super::fuse::Layer;
use super::grid::{Grids, Stored};
use super::{MULTIPLIER_MIN, QuantizeError};
use crate::graph::{Graph, Op};
use serde::{Deserialize, Serialize};

/// Shares of a channel's largest weight that are tried as the end of its grid.
const CANDIDATES: usize = 80;

/// The smallest share that is tried.
const SHARE_MIN: f64 = 0.2;

/// Bits of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum WeightBits {
    /// -7 to 7. Symmetric as eight bits are: no bound of an accumulator is worse for one sign, and
    /// a scale of one sixteenth more range would be worth it only for channels whose largest
    /// weight is negative.
    Four,
    /// -127 to 127.
    #[default]
    Eight,
}

impl WeightBits {
    /// The largest integer; the smallest is its negative.
    #[must_use]
    pub const fn limit(self) -> i8 {
        match self {
            Self::Four => 7,
            Self::Eight => 127,
        }
    }

    /// The number.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// How the scale of an output channel's weights is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightScale {
    /// The largest weight is the largest integer.
    #[default]
    Largest,
    /// The least squared error of the weights, each weighed by the mean square of what it is
    /// multiplied with.
    MeanSquaredError,
}

/// A layer's integers.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWeights {
    /// Bits of all of them.
    pub bits: WeightBits,
    /// The real size of a step, one an output channel; at least the layer's floor.
    pub scales: Vec<f64>,
    /// `[O, ..]`, in the order of the float weights.
    pub values: Vec<i8>,
}

/// A layer's real weights, as the integer pipeline multiplies them.
#[derive(Clone, Debug)]
pub(crate) struct RealWeights {
    /// Output channel to its row of weights, divided by the units.
    pub(crate) rows: Vec<Vec<f64>>,
    /// What a weight of the float graph is worth in the rows, by input channel: the division by
    /// `255 std` where the layer reads the image's bytes, else 1.
    pub(crate) units: Vec<f64>,
    /// The smallest scale of a channel.
    pub(crate) scale_min: f64,
}

impl RealWeights {
    /// Of a convolution or a fully connected layer; nothing of others.
    ///
    /// # Errors
    /// Where a weight is not finite, or the layer reads what none makes.
    pub(crate) fn of(
        graph: &Graph,
        layer: &Layer,
        grids: &Grids,
    ) -> Result<Option<Self>, QuantizeError> {
        let node = graph.node(layer.node);
        let mut rows: Vec<Vec<f64>> = match &node.op {
            Op::Conv2d(conv) => conv.weights.outer_iter().map(|row| wide(&row)).collect(),
            Op::FullyConnected(fc) => fc.weights.outer_iter().map(|row| wide(&row)).collect(),
            _ => return Ok(None),
        };
        if !rows.iter().flatten().all(|weight| weight.is_finite()) {
            let layer = node.name.clone();
            return Err(QuantizeError::NotFinite { layer, what: "weight" });
        }
        let units = match layer.input {
            Graph::INPUT => {
                graph.normalization.std.iter().map(|&std| 255.0 * f64::from(std)).collect()
            }
            _ => vec![1.0],
        };
        for row in &mut rows {
            row.iter_mut().zip(units.iter().cycle()).for_each(|(w, unit)| *w /= unit);
        }
        let scale_min = scale_min(graph, layer, grids)?;
        Ok(Some(Self { rows, units, scale_min }))
    }

    /// The nearest integers.
    ///
    /// `powers` are the mean squares of the inputs, by input channel, in the units of the rows.
    pub(crate) fn nearest(
        &self,
        bits: WeightBits,
        scale: WeightScale,
        powers: &[f64],
    ) -> LayerWeights {
        let limit = f64::from(bits.limit());
        let chosen = self.rows.iter().map(|row| {
            let largest = row.iter().fold(0.0, |largest: f64, w| largest.max(w.abs()));
            let scale = match scale {
                WeightScale::Largest => largest / limit,
                WeightScale::MeanSquaredError => least_error(row, largest / limit, limit, powers),
            };
            scale.max(self.scale_min)
        });
        let scales: Vec<f64> = chosen.collect();
        let round = |(row, &scale): (&Vec<f64>, &f64)| {
            row.iter().map(|w| round(w / scale, limit) as i8).collect::<Vec<_>>()
        };
        let values = self.rows.iter().zip(&scales).flat_map(round).collect();
        LayerWeights { bits, scales, values }
    }

    /// The unit, where all input channels have the same.
    pub(crate) fn unit(&self) -> Option<f64> {
        let first = *self.units.first()?;
        self.units.iter().all(|&unit| unit == first).then_some(first)
    }

    /// The float graph's weights that the integers stand for, `[O, ..]`.
    pub(crate) fn dequantize(&self, weights: &LayerWeights) -> Vec<f32> {
        let length = self.rows.first().map_or(1, Vec::len);
        let rows = weights.values.chunks_exact(length).zip(&weights.scales);
        rows.flat_map(|(row, &scale)| {
            let real = move |(&q, unit): (&i8, &f64)| (f64::from(q) * scale * unit) as f32;
            row.iter().zip(self.units.iter().cycle()).map(real)
        })
        .collect()
    }
}

fn wide<D: ndarray::Dimension>(row: &ndarray::ArrayView<'_, f32, D>) -> Vec<f64> {
    row.iter().map(|&w| f64::from(w)).collect()
}

/// The nearest integer from `-limit` to `limit`. A scale of zero is that of a row of zeros.
fn round(steps: f64, limit: f64) -> f64 {
    if steps.is_nan() { 0.0 } else { steps.round().clamp(-limit, limit) }
}

/// The scale of `row`, at most `whole`, with the least weighted squared error.
fn least_error(row: &[f64], whole: f64, limit: f64, powers: &[f64]) -> f64 {
    let error = |scale: f64| -> f64 {
        let each = row.iter().zip(powers.iter().cycle());
        each.map(|(w, power)| power * (round(w / scale, limit) * scale - w).powi(2)).sum()
    };
    let step = (1.0 - SHARE_MIN) / CANDIDATES as f64;
    let shares = (0..CANDIDATES).map(|n| 1.0 - n as f64 * step);
    // Of equal errors the largest scale, which comes first.
    let best = shares.map(|share| (error(share * whole), share * whole));
    best.fold((f64::INFINITY, whole), |best, new| if new.0 < best.0 { new } else { best }).1
}

/// A channel that hardly matters gets at least this scale, so that zero point and residual fit
/// its accumulator.
fn scale_min(graph: &Graph, layer: &Layer, grids: &Grids) -> Result<f64, QuantizeError> {
    let scale = |stored| match stored {
        Stored::Int8(grid) => grid.scale,
        Stored::Sums(grid, positions) => f64::from((grid.scale / positions as f64) as f32),
        Stored::Logits(scale) => scale,
    };
    let input = scale(grids.of(graph, layer.input)?);
    let output = scale(grids.of(graph, layer.output)?);
    let skip = layer.skip.map(|skip| grids.of(graph, skip)).transpose()?.map_or(0.0, scale);
    Ok((MULTIPLIER_MIN * output / input).max(skip / 32_767.0 / input))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(row: &[f64], scale_min: f64) -> RealWeights {
        RealWeights { rows: vec![row.to_vec()], units: vec![1.0], scale_min }
    }

    #[test]
    fn nearest_integers_are_symmetric_and_end_at_the_largest() {
        let nearest =
            |row: &[f64], bits| real(row, 0.0).nearest(bits, WeightScale::Largest, &[1.0]);
        let eight = nearest(&[-1.27, 0.004, 0.006, 1.0], WeightBits::Eight);
        assert_eq!(eight.values, [-127, 0, 1, 100]);
        let four = nearest(&[-0.7, 0.04, 0.06, 0.7], WeightBits::Four);
        assert_eq!(four.values, [-7, 0, 1, 7]);
        assert_eq!(nearest(&[0.0, 0.0], WeightBits::Four).values, [0, 0]);
        let raised =
            real(&[0.1, 0.2], 0.2).nearest(WeightBits::Eight, WeightScale::Largest, &[1.0]);
        assert_eq!((raised.values, raised.scales), (vec![1, 1], vec![0.2]));
    }

    #[test]
    fn the_least_error_is_that_of_all_scales() {
        // One outlier that hardly matters: a grid for the others is better.
        let row = [0.11, -0.23, 0.31, 0.05, -0.17, 2.0];
        let powers = [1.0, 1.0, 1.0, 1.0, 1.0, 1e-3];
        let error = |weights: &LayerWeights| -> f64 {
            let real = weights.values.iter().map(|&q| f64::from(q) * weights.scales[0]);
            let each = real.zip(row).zip(powers);
            each.map(|((q, w), power)| power * (q - w).powi(2)).sum()
        };
        let choose = |scale| real(&row, 0.0).nearest(WeightBits::Four, scale, &powers);
        let (largest, chosen) =
            (choose(WeightScale::Largest), choose(WeightScale::MeanSquaredError));
        assert!(error(&chosen) < 0.2 * error(&largest));
        for n in 1..=1000 {
            let scales = vec![2.0 / 7.0 * f64::from(n) / 1000.0];
            let values: Vec<i8> = row.iter().map(|w| round(w / scales[0], 7.0) as i8).collect();
            let other = LayerWeights { bits: WeightBits::Four, scales, values };
            if other.scales[0] >= 0.2 * 2.0 / 7.0 {
                assert!(error(&chosen) <= 1.1 * error(&other), "{:?}", other.scales);
            }
        }
    }

    #[test]
    fn integers_stand_for_the_float_weights() {
        let real = RealWeights {
            rows: vec![vec![1.0, 2.0], vec![-3.0, 0.0]],
            units: vec![2.0, 4.0],
            scale_min: 0.0,
        };
        let nearest = real.nearest(WeightBits::Eight, WeightScale::Largest, &[1.0]);
        let float = real.dequantize(&nearest);
        for (float, expected) in float.iter().zip([2.0, 8.0, -6.0, 0.0]) {
            assert!((float - expected).abs() < 0.02, "{float}, expected {expected}");
        }
    }
}
