//! When an answer is to be trusted: the least margin below which a device says «unknown».
//!
//! Owns the choice of the margin from held-out images. Guarantees, with the confidence of
//! [`CONFIDENCE`] and for images drawn like those it was chosen on, the share of right answers
//! among those that are given (Geifman & El-Yaniv 2017, «Selective Classification for Deep Neural
//! Networks», algorithm 1). Knows no network: it sees margins, and whether answers were right.

/// How sure the promised share is.
pub const CONFIDENCE: f64 = 0.95;

/// An answer to a held-out image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The best class's integer less the second best's.
    pub margin: u32,
    /// Whether the best class is the label.
    pub is_right: bool,
}

/// Answers that are given at a margin, and those among them that are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Images in all.
    pub images: usize,
    /// Images whose answer is given.
    pub given: usize,
    /// Images whose answer is given and right.
    pub right: usize,
}

impl Given {
    /// Of the answers whose margin is at least `margin_min`.
    pub fn at(margin_min: u32, answers: &[Judged]) -> Self {
        let given = answers.iter().filter(|answer| answer.margin >= margin_min);
        let right = given.clone().filter(|answer| answer.is_right).count();
        Self { images: answers.len(), given: given.count(), right }
    }

    /// The share of images that get an answer.
    pub fn coverage(&self) -> f64 {
        self.given as f64 / self.images.max(1) as f64
    }

    /// The share of given answers that are right; 1 where none is given.
    pub fn precision(&self) -> f64 {
        if self.given == 0 { 1.0 } else { self.right as f64 / self.given as f64 }
    }
}

/// The least margin at which a share `precision` of the given answers is right, as far as
/// `answers` can promise it; none where they cannot, however few answers are given.
///
/// The margins at hand are searched by bisection, and each of its tests may be wrong with an
/// equal part of what [`CONFIDENCE`] leaves.
pub fn least_margin(answers: &[Judged], precision: f64) -> Option<u32> {
    let mut margins: Vec<u32> = answers.iter().map(|answer| answer.margin).collect();
    margins.sort_unstable();
    margins.dedup();
    let tests = (usize::BITS - margins.len().leading_zeros()).max(1);
    let error = (1.0 - CONFIDENCE) / f64::from(tests);
    let holds = |margin: u32| {
        let Given { given, right, .. } = Given::at(margin, answers);
        // Were the share `precision` or less, so few wrong answers would be as rare as this.
        at_most(given - right, given, 1.0 - precision) <= error
    };
    let (mut low, mut high, mut found) = (0, margins.len(), None);
    while low < high {
        let middle = low.midpoint(high);
        if holds(margins[middle]) {
            (found, high) = (Some(margins[middle]), middle);
        } else {
            low = middle + 1;
        }
    }
    found
}

/// The probability of at most `count` events among `trials`, each of probability `p`: the
/// binomial distribution function.
fn at_most(count: usize, trials: usize, p: f64) -> f64 {
    if p <= 0.0 || count >= trials {
        return 1.0;
    }
    // By logarithms: (1 - p)^trials alone may be below the smallest float.
    let (hit, miss) = (p.ln(), (-p).ln_1p());
    let mut term = trials as f64 * miss;
    let mut sum = term.exp();
    for k in 0..count {
        term += hit - miss + ((trials - k) as f64).ln() - ((k + 1) as f64).ln();
        sum += term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_is_the_binomial_distribution() {
        // Values of scipy.stats.binom.cdf(count, trials, p).
        for (count, trials, p, expected) in [
            (0, 10, 0.1, 0.348_678_440_1),
            (3, 10, 0.5, 0.171_875),
            (20, 1000, 0.05, 7.658_846e-7),
            (1000, 100_000, 0.02, 8.443_486e-138),
        ] {
            let found = at_most(count, trials, p);
            assert!((found / expected - 1.0).abs() < 1e-4, "{count} of {trials}: {found:e}");
        }
        assert_eq!(at_most(5, 5, 0.3), 1.0);
        assert_eq!(at_most(0, 0, 0.3), 1.0);
        assert_eq!(at_most(0, 9, 0.0), 1.0);
    }

    /// `count` answers for each margin from 0 on, of which the first `wrong` are wrong.
    fn answers(count: usize, wrong: &[usize]) -> Vec<Judged> {
        let of = |(margin, &wrong): (usize, &usize)| {
            (0..count).map(move |i| Judged { margin: margin as u32, is_right: i >= wrong })
        };
        wrong.iter().enumerate().flat_map(of).collect()
    }

    #[test]
    fn the_least_margin_that_can_be_promised_is_found() {
        let check = |wrong: &[usize], precision, expected| {
            let answers = answers(200, wrong);
            assert_eq!(least_margin(&answers, precision), expected, "{wrong:?} {precision}");
        };
        check(&[0, 0, 0, 0], 0.9, Some(0));
        check(&[100, 20, 0, 0], 0.9, Some(1));
        check(&[100, 50, 20, 0], 0.9, Some(2));
        check(&[100, 50, 20, 0], 0.96, Some(3));
        // A share of exactly what is asked proves nothing.
        check(&[20, 20, 20, 20], 0.9, None);
        // 200 right ones do not promise 99 %: 0.99^200 is 13 %.
        check(&[200, 200, 200, 0], 0.99, None);
        check(&[0, 0, 0, 0], 1.0, None);
        check(&[], 0.5, None);
    }

    #[test]
    fn given_answers_are_counted() {
        let answers = answers(10, &[5, 1]);
        let check = |margin, given, right| {
            assert_eq!(Given::at(margin, &answers), Given { images: 20, given, right });
        };
        check(0, 20, 14);
        check(1, 10, 9);
        check(2, 0, 0);
        let none = Given::at(2, &answers);
        assert_eq!((none.coverage(), none.precision()), (0.0, 1.0));
    }
}
