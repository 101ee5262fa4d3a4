//! A histogram of a stream of values, in memory that does not grow.
//!
//! Bins are as wide as a power of two and begin at its multiples. Where a value lies beyond the
//! last bin, pairs of bins become one. So the counts depend on the values alone, not on their
//! order, nor on how they were divided among threads. Owns the counts; what range is best for them
//! is `method`'s.

/// Bins on each side of zero: at least half of them are used by the larger side.
pub(super) const HALF: usize = 8192;

/// Bins are at least `2^EXPONENT_MIN` wide: zero is all that lies below.
const EXPONENT_MIN: i32 = -60;

/// How often values were where.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Bins are `2^exponent` wide; the first begins at `-HALF`.
    exponent: i32,
    /// Empty before the first value that is not zero.
    counts: Vec<u64>,
    /// Values that are exactly zero, which are in no bin.
    zeros: u64,
    low: f32,
    high: f32,
    is_finite: bool,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            exponent: EXPONENT_MIN,
            counts: Vec::new(),
            zeros: 0,
            low: f32::INFINITY,
            high: f32::NEG_INFINITY,
            is_finite: true,
        }
    }
}

impl Histogram {
    /// Counts `values`.
    pub fn add(&mut self, values: &[f32]) {
        let (mut low, mut high, mut is_finite) = (self.low, self.high, self.is_finite);
        for &value in values {
            (low, high) = (low.min(value), high.max(value));
            is_finite &= value.is_finite();
        }
        (self.low, self.high, self.is_finite) = (low, high, is_finite);
        if !is_finite {
            return; // there is no range for such values
        }
        self.widen(low.abs().max(high.abs()));
        let per_width = 2_f64.powi(-self.exponent);
        for &value in values {
            if value == 0.0 {
                self.zeros += 1;
            } else {
                let bin = (f64::from(value) * per_width).floor() as isize + HALF as isize;
                self.counts[bin as usize] += 1;
            }
        }
    }

    /// Counts what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
        self.is_finite &= other.is_finite;
        self.zeros += other.zeros;
        if other.counts.is_empty() || !self.is_finite {
            return;
        }
        self.widen(other.low.abs().max(other.high.abs()));
        let shift = (self.exponent - other.exponent).cast_unsigned();
        for (bin, &count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.counts[coarser(bin, shift)] += count;
        }
    }

    /// Makes bins wide enough for values up to `magnitude`, on either side.
    fn widen(&mut self, magnitude: f32) {
        if magnitude == 0.0 || !magnitude.is_finite() {
            return;
        }
        let mut exponent = self.exponent;
        // `-magnitude` lies in the first bin if it is exactly its begin; `magnitude` would not
        // lie in the last.
        while f64::from(magnitude) >= HALF as f64 * 2_f64.powi(exponent) {
            exponent += 1;
        }
        let shift = (exponent - self.exponent).cast_unsigned();
        self.exponent = exponent;
        if self.counts.is_empty() {
            self.counts = vec![0; 2 * HALF];
        } else if shift > 0 {
            let mut counts = vec![0; 2 * HALF];
            for (bin, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                counts[coarser(bin, shift)] += count;
            }
            self.counts = counts;
        }
    }

    /// Smallest and largest value; zeros before any, not finite where a value was not.
    #[must_use]
    pub fn range(&self) -> (f32, f32) {
        match (self.is_finite, self.low <= self.high) {
            (false, _) => (f32::NEG_INFINITY, f32::INFINITY),
            (_, false) => (0.0, 0.0),
            _ => (self.low, self.high),
        }
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Whether no value was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The centres and the counts of the bins that are not empty, in order, each of `2^coarser`
    /// bins in one; zeros are not among them.
    pub(super) fn bins(&self, coarseness: u32) -> Vec<(f64, u64)> {
        let width = 2_f64.powi(self.exponent + coarseness.cast_signed());
        let centre = |bin: usize| (bin as f64 - (HALF >> coarseness) as f64 + 0.5) * width;
        let groups = self.counts.chunks(1 << coarseness).map(|group| group.iter().sum());
        let bins = groups.enumerate().filter(|(_, count)| *count > 0);
        bins.map(|(bin, count)| (centre(bin), count)).collect()
    }

    /// The share of values outside of `[low, high]`, to the width of a bin.
    #[must_use]
    pub fn share_outside(&self, low: f64, high: f64) -> f64 {
        let outside = self.bins(0).into_iter().filter(|(centre, _)| !(low..=high).contains(centre));
        outside.map(|(_, count)| count).sum::<u64>() as f64 / self.len().max(1) as f64
    }
}

/// The bin that holds bin `bin` after `shift` doublings of the width.
fn coarser(bin: usize, shift: u32) -> usize {
    let from_zero = bin.cast_signed() - HALF.cast_signed();
    // All bins of one side are one after as many doublings as an index has bits.
    ((from_zero >> shift.min(31)) + HALF.cast_signed()).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Each value lies in the bin whose centre is nearest; in whatever order and parts.
    #[track_caller]
    fn check(values: &mut [f32]) {
        let whole = of(values);
        assert_eq!(whole.len(), values.len() as u64);
        let width = 2_f64.powi(whole.exponent);
        for (centre, count) in whole.bins(0) {
            let inside = |v: &&f32| {
                **v != 0.0 && (f64::from(**v) / width).floor() == (centre / width).floor()
            };
            assert_eq!(values.iter().filter(inside).count() as u64, count, "at {centre}");
        }
        values.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
        for parts in [1, 2, 7] {
            let mut merged = Histogram::default();
            let size = values.len().div_ceil(parts).max(1);
            values.chunks(size).for_each(|part| merged.merge(&of(part)));
            assert_eq!(merged, whole, "{parts} parts merged");
            let mut streamed = Histogram::default();
            values.chunks(size).for_each(|part| streamed.add(part));
            assert_eq!(streamed, whole, "{parts} parts streamed");
        }
    }

    #[test]
    fn counts_do_not_depend_on_order_or_parts() {
        check(&mut []);
        check(&mut [0.0, 0.0, -0.0]);
        check(&mut [1.0]);
        check(&mut [-1.0, 1.0, 0.0]);
        check(&mut [-8192.0, 8192.0, -8191.0, 1e-30, -1e-30]);
        check(&mut [f32::MAX, f32::MIN, f32::MIN_POSITIVE, 0.0]);
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut values: Vec<f32> =
            (0..2000).map(|_| 2_f32.powf(rng.random_range(-9.0..3.0)) - 0.2).collect();
        check(&mut values);
    }

    #[test]
    fn a_value_that_is_not_finite_leaves_no_range() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut histogram = of(&[1.0, bad, 2.0]);
            assert!(!histogram.range().0.is_finite());
            histogram.add(&[1.0]);
            histogram.merge(&of(&[3.0]));
            assert!(!histogram.range().1.is_finite());
        }
        assert_eq!(of(&[]).range(), (0.0, 0.0));
        assert_eq!(of(&[-1.5, 7.0]).range(), (-1.5, 7.0));
    }

    #[test]
    fn the_share_outside_is_counted() {
        let histogram = of(&[0.0, 1.0, 2.0, 3.0]);
        assert_eq!(histogram.share_outside(0.0, 2.5), 0.25);
        assert_eq!(histogram.share_outside(1.5, 2.5), 0.5); // zeros are inside of every grid
    }
}
