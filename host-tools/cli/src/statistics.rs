//! Intervals for shares of images: how sure an accuracy is.

use serde::Serialize;

/// The two-sided 95 % quantile of the normal distribution.
const Z95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval for `hits` of `images` (Wilson 1927).
pub(crate) fn wilson95(hits: usize, images: usize) -> [f64; 2] {
    if images == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (images as f64, hits as f64 / images as f64);
    let z2 = Z95 * Z95;
    let center = p + z2 / (2.0 * n);
    let spread = Z95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let bound = |sign: f64| ((center + sign * spread) / (1.0 + z2 / n)).clamp(0.0, 1.0);
    [bound(-1.0), bound(1.0)]
}

/// How two networks differ on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Paired {
    /// The second's accuracy less the first's.
    pub(crate) difference: f64,
    /// Its 95 % interval (Wald, paired, with the variance of the test of McNemar).
    pub(crate) ci95: [f64; 2],
    /// Images that only the first knows.
    pub(crate) only_first: usize,
    /// Images that only the second knows.
    pub(crate) only_second: usize,
}

impl Paired {
    /// Of two networks' hits, image by image.
    pub(crate) fn new(first: &[bool], second: &[bool]) -> Self {
        let count = |which: (bool, bool)| {
            first.iter().zip(second).filter(|&(&a, &b)| (a, b) == which).count()
        };
        let (only_first, only_second) = (count((true, false)), count((false, true)));
        let (b, c) = (only_first as f64, only_second as f64);
        let n = first.len().max(1) as f64;
        let difference = (c - b) / n;
        let spread = Z95 * ((b + c - (b - c).powi(2) / n).max(0.0)).sqrt() / n;
        Self {
            difference,
            ci95: [difference - spread, difference + spread],
            only_first,
            only_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_the_textbooks() {
        // Values of R's `binom::binom.confint(x, n, methods = "wilson")`.
        for (hits, images, [low, high]) in [
            (0, 10, [0.0, 0.277_533]),
            (8, 10, [0.490_162, 0.943_318]),
            (881, 1000, [0.859_46, 0.899_63]),
        ] {
            let [found_low, found_high] = wilson95(hits, images);
            assert!(
                (found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4,
                "{hits}/{images}: {found_low} {found_high}"
            );
        }
    }

    #[test]
    fn paired_counts_what_only_one_knows() {
        let first = [true, true, false, false];
        let second = [true, false, true, true];
        let paired = Paired::new(&first, &second);
        assert_eq!((paired.only_first, paired.only_second, paired.difference), (1, 2, 0.25));
        assert!(paired.ci95[0] < 0.25 && 0.25 < paired.ci95[1]);
        assert_eq!(Paired::new(&first, &first).ci95, [0.0, 0.0]);
    }
}
