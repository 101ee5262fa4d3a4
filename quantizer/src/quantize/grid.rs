//! What integers stand for: the scale and the zero point of every activation.
//!
//! Owns the step from ranges to grids, for the quantizer and for all that predicts what it will
//! do; the choice of ranges is `calibrate`'s.

use super::fuse::Layer;
use super::{QuantizeError, SUM_POSITIONS_MAX};
use crate::calibrate::Ranges;
use crate::graph::{Graph, NodeId, Op};

/// Steps of the int32 logits over their calibrated range.
const LOGIT_STEPS: f64 = 1_048_576.0;

/// The smallest range of an activation: one that is always zero has any scale.
const RANGE_MIN: f64 = 1e-6;

/// An int8 grid: `real = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// The real size of a step. The file holds it as f32, and it is one.
    pub scale: f64,
    /// The integer of real zero, -128 to 127.
    pub zero_point: f64,
}

impl Grid {
    /// The image's: raw bytes less 128.
    pub(crate) const IMAGE: Self = Self { scale: 1.0, zero_point: -128.0 };

    /// The grid of 256 values over `[low, high]`, which holds zero.
    #[must_use]
    pub fn of_range(low: f64, high: f64) -> Self {
        let scale = f64::from(((high - low).max(RANGE_MIN) / 255.0) as f32);
        Self { scale, zero_point: (-128.0 - low / scale).round().clamp(-128.0, 127.0) }
    }

    /// The real value of the integer that is nearest to `value`.
    #[must_use]
    pub fn nearest(self, value: f64) -> f64 {
        let q = (value / self.scale + self.zero_point).round().clamp(-128.0, 127.0);
        self.scale * (q - self.zero_point)
    }

    /// The smallest and the largest real value.
    #[must_use]
    pub fn ends(self) -> (f64, f64) {
        let real = |q: f64| self.scale * (q - self.zero_point);
        (real(-128.0), real(127.0))
    }
}

/// How an activation is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stored {
    /// As int8.
    Int8(Grid),
    /// As int16 sums of int8 over this many positions: the mean is not rounded.
    Sums(Grid, usize),
    /// As int32 of this scale.
    Logits(f64),
}

/// How every activation is stored that a layer makes.
#[derive(Clone, Debug)]
pub(crate) struct Grids(Vec<Option<Stored>>);

impl Grids {
    /// Of `layers` in their order.
    ///
    /// # Errors
    /// Where a range is not finite, or a layer reads what none makes.
    pub(crate) fn new(
        graph: &Graph,
        layers: &[Layer],
        ranges: &Ranges,
    ) -> Result<Self, QuantizeError> {
        let mut grids = Self(vec![None; graph.nodes.len()]);
        grids.0[Graph::INPUT.0] = Some(Stored::Int8(Grid::IMAGE));
        for layer in layers {
            let stored = grids.layer(graph, layer, ranges)?;
            grids.0[layer.output.0] = Some(stored);
        }
        Ok(grids)
    }

    fn layer(
        &self,
        graph: &Graph,
        layer: &Layer,
        ranges: &Ranges,
    ) -> Result<Stored, QuantizeError> {
        let (low, high) = ranges.of(layer.output);
        let not_finite = || {
            let layer = graph.node(layer.node).name.clone();
            Err(QuantizeError::NotFinite { layer, what: "range" })
        };
        match &graph.node(layer.node).op {
            Op::FullyConnected(_) => {
                let range = f64::from(low.abs().max(high.abs())).max(RANGE_MIN);
                if !range.is_finite() {
                    return not_finite();
                }
                Ok(Stored::Logits(f64::from((range / LOGIT_STEPS) as f32)))
            }
            Op::Conv2d(_) => {
                let (low, high) = (f64::from(low).min(0.0), f64::from(high).max(0.0));
                let low = if layer.relu { 0.0 } else { low };
                if !(low.is_finite() && high.is_finite()) {
                    return not_finite();
                }
                Ok(Stored::Int8(Grid::of_range(low, high)))
            }
            Op::GlobalAvgPool => {
                let Stored::Int8(grid) = self.of(graph, layer.input)? else {
                    return Err(unsupported(graph, layer.node, "its input is not int8"));
                };
                let [height, width, _] = graph.node(layer.input).shape;
                let positions = height * width;
                Ok(match positions <= SUM_POSITIONS_MAX && sums_fit(graph, layer, positions) {
                    true => Stored::Sums(grid, positions),
                    false => Stored::Int8(grid),
                })
            }
            _ => self.of(graph, layer.input),
        }
    }

    /// How the activation of `node` is stored.
    ///
    /// # Errors
    /// Where no layer makes it.
    pub(crate) fn of(&self, graph: &Graph, node: NodeId) -> Result<Stored, QuantizeError> {
        self.0[node.0].ok_or_else(|| unsupported(graph, node, "no layer makes its result"))
    }
}

pub(super) fn unsupported(graph: &Graph, node: NodeId, problem: &str) -> QuantizeError {
    let node = graph.node(node);
    QuantizeError::Unsupported {
        layer: node.name.clone(),
        operator: node.op.kind(),
        problem: problem.to_owned(),
    }
}

/// Whether only classifiers read a pooling, and their accumulators hold sums instead of means.
fn sums_fit(graph: &Graph, layer: &Layer, positions: usize) -> bool {
    let readers = graph.consumers()[layer.output.0].clone();
    readers.iter().all(|&id| {
        let Op::FullyConnected(fc) = &graph.node(id).op else { return false };
        // A row's largest weight becomes 127; half of the limit is left to the bias.
        fc.weights.outer_iter().all(|row| {
            let largest = row.iter().fold(f32::MIN_POSITIVE, |l, w| l.max(w.abs()));
            let sum: f64 = row.iter().map(|w| f64::from(w.abs() / largest) * 127.0 + 0.5).sum();
            sum * 128.0 * positions as f64 <= f64::from(1 << 29)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_holds_zero_and_its_range() {
        for (low, high) in [(0.0, 1.0), (-1.0, 1.0), (-3.0, 0.0), (-0.1, 7.3), (0.0, 0.0)] {
            let grid = Grid::of_range(low, high);
            assert_eq!(grid.nearest(0.0), 0.0);
            let (least, most) = grid.ends();
            // The zero point is rounded, so that an end moves by half a step.
            assert!((least - low).abs() <= 0.51 * grid.scale + 1e-6, "{low} {high}");
            assert!((most - high).abs() <= 0.51 * grid.scale + 1e-6, "{low} {high}");
            assert_eq!(grid.nearest(1e9), most);
            assert_eq!(grid.nearest(-1e9), least);
        }
        assert_eq!(Grid::of_range(-128.0, 127.0).nearest(2.4), 2.0);
    }
}
