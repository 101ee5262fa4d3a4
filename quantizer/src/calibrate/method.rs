//! From a histogram to the range that int8 shall have: four ways to weigh what is cut off against
//! the steps of what is not.
//!
//! Owns the choice for one tensor by itself; which of the ways is best for a network is
//! `choose`'s. Grids are those that the quantizer makes of a range.

use super::histogram::Histogram;
use crate::quantize::Grid;
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What is kept of the values by [`Method::Percentile`] where nothing else is asked for, percent.
const PERCENT: f64 = 99.99;

/// Shares of the largest value that are tried as ends of the range.
const CANDIDATES: usize = 128;

/// Coarseness at which entropies are taken: bins of `2^1`, so that 2048 to 4096 remain to a side,
/// as the method's author has it. The finest ones would hold single values.
const ENTROPY_COARSENESS: u32 = 1;

/// How the range of a tensor is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// The smallest and the largest value that were seen.
    MinMax,
    /// The smallest range that holds this percentage of the values, as much cut off at each end.
    Percentile(f64),
    /// The least mean squared error of the quantized values.
    MeanSquaredError,
    /// The least Kullback-Leibler divergence between the values and the quantized values (Migacz,
    /// 8-bit Inference with `TensorRT`, 2017).
    Entropy,
}

impl Method {
    /// One of each.
    pub const ALL: [Self; 4] =
        [Self::MinMax, Self::Percentile(PERCENT), Self::MeanSquaredError, Self::Entropy];

    /// The range of a histogram's values, which holds zero; not finite where a value was not.
    /// `relu` says that the tensor has no values below zero.
    #[must_use]
    pub fn range(self, histogram: &Histogram, relu: bool) -> (f64, f64) {
        let (low, high) = histogram.range();
        let whole = (if relu { 0.0 } else { f64::from(low).min(0.0) }, f64::from(high).max(0.0));
        if !(whole.0.is_finite() && whole.1.is_finite()) || whole.0 == whole.1 {
            return whole;
        }
        match self {
            Self::MinMax => whole,
            Self::Percentile(percent) => percentile(histogram, percent, relu),
            Self::MeanSquaredError => {
                let bins = histogram.bins(0);
                search(whole, |grid| squared_error(&bins, grid))
            }
            Self::Entropy => {
                let bins = histogram.bins(ENTROPY_COARSENESS);
                search(whole, |grid| divergence(&bins, grid))
            }
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("min-max"),
            Self::Percentile(percent) if *percent == PERCENT => f.write_str("percentile"),
            Self::Percentile(percent) => write!(f, "percentile={percent}"),
            Self::MeanSquaredError => f.write_str("mse"),
            Self::Entropy => f.write_str("entropy"),
        }
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(method) = Self::ALL.into_iter().find(|method| method.to_string() == text) {
            return Ok(method);
        }
        let percent = text.strip_prefix("percentile=").map(str::parse::<f64>);
        match percent {
            Some(Ok(percent)) if percent > 50.0 && percent <= 100.0 => {
                Ok(Self::Percentile(percent))
            }
            Some(_) => Err("a percentile is above 50 and at most 100".to_owned()),
            None => Err("known: min-max, percentile, percentile=P, mse, entropy".to_owned()),
        }
    }
}

/// `percent` of the values are inside.
fn percentile(histogram: &Histogram, percent: f64, relu: bool) -> (f64, f64) {
    let (low, high) = histogram.range();
    let ends = if relu { 1.0 } else { 2.0 };
    let cut = histogram.len() as f64 * (1.0 - percent / 100.0) / ends;
    // The end of the first bin with which more than `cut` values are passed.
    let end = |bins: &[(f64, u64)]| {
        let mut passed = 0.0;
        let past = bins.iter().find(|(_, count)| {
            passed += *count as f64;
            passed > cut
        });
        past.map_or(0.0, |(centre, _)| *centre)
    };
    let bins = histogram.bins(0);
    let (below, above) = bins.split_at(bins.partition_point(|(centre, _)| *centre < 0.0));
    let above = end(&above.iter().rev().copied().collect::<Vec<_>>());
    let below = end(below);
    // A bin's centre may lie beyond the last value.
    let high = above.min(f64::from(high).max(0.0));
    (if relu { 0.0 } else { below.max(f64::from(low).min(0.0)) }, high)
}

/// The ends inside of `whole` with the least cost: both ends shortened alike, then each alone.
fn search(whole: (f64, f64), cost: impl Fn(Grid) -> f64) -> (f64, f64) {
    let shares = || (1..=CANDIDATES).map(|n| n as f64 / CANDIDATES as f64);
    let best = |candidates: &mut dyn Iterator<Item = (f64, f64)>| {
        let costs = candidates.map(|ends| (cost(Grid::of_range(ends.0, ends.1)), ends));
        // Of equal costs the widest range, which comes last.
        costs.fold((f64::INFINITY, whole), |best, new| if new.0 <= best.0 { new } else { best }).1
    };
    let (low, high) = whole;
    let alike = best(&mut shares().map(|share| (low * share, high * share)));
    if low == 0.0 || high == 0.0 {
        return alike;
    }
    let upper = best(&mut shares().map(|share| (alike.0, high * share)));
    best(&mut shares().map(|share| (low * share, upper.1)))
}

/// The sum of squared errors of `bins` on `grid`. Zeros have none.
fn squared_error(bins: &[(f64, u64)], grid: Grid) -> f64 {
    let error = |&(value, count): &(f64, u64)| count as f64 * (grid.nearest(value) - value).powi(2);
    bins.iter().map(error).sum()
}

/// `Σ p ln(p / q)`, where `p` are the bins with what lies outside in the last bins inside, and `q`
/// the bins inside, as if all of one step of the grid were alike. Zeros are left out: they are
/// exact on every grid, and after a `ReLU` they would outweigh all else.
fn divergence(bins: &[(f64, u64)], grid: Grid) -> f64 {
    let (low, high) = grid.ends();
    let first = bins.partition_point(|(value, _)| *value < low);
    let end = bins.partition_point(|(value, _)| *value <= high);
    let inside = &bins[first..end];
    let (Some(kept), Some(all)) = (total(inside), total(bins)) else { return f64::INFINITY };
    let [below, above] = [&bins[..first], &bins[end..]].map(|part| total(part).unwrap_or(0.0));
    let mut sum = 0.0;
    let (mut at, last) = (0, inside.len() - 1);
    while at < inside.len() {
        let level = grid.nearest(inside[at].0);
        let same = inside[at..].iter().take_while(|(value, _)| grid.nearest(*value) == level);
        let step = &inside[at..at + same.count()];
        let q = total(step).unwrap_or(0.0) / step.len() as f64 / kept;
        for (index, &(_, count)) in step.iter().enumerate() {
            let clipped = if at + index == 0 { below } else { 0.0 }
                + if at + index == last { above } else { 0.0 };
            let p = (count as f64 + clipped) / all;
            sum += p * (p / q).ln();
        }
        at += step.len();
    }
    sum
}

/// All counts; none where there are no bins.
fn total(bins: &[(f64, u64)]) -> Option<f64> {
    let sum: u64 = bins.iter().map(|(_, count)| count).sum();
    (sum > 0).then_some(sum as f64)
}
