//! Softmax and cross-entropy in one, forward and backward.
//!
//! Owns the loss; not its mean over the batch, which the training step takes.

/// What one group of images adds to the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Loss {
    /// The sum of `-ln softmax(logits)[label]`.
    pub(super) sum: f64,
    /// Images whose largest logit is their label's; of equal logits the first counts.
    pub(super) correct: usize,
}

/// The loss of `logits` (`[N,classes]`), and its gradient times `weight` in `dlogits`.
///
/// `labels` are below `classes`. `weight` is one over the batch's images.
pub(super) fn forward_backward(
    logits: &[f32],
    labels: &[usize],
    weight: f32,
    dlogits: &mut [f32],
) -> Loss {
    let classes = logits.len() / labels.len().max(1);
    let mut loss = Loss::default();
    let rows = logits.chunks_exact(classes.max(1)).zip(dlogits.chunks_exact_mut(classes.max(1)));
    for ((logits, dlogits), &label) in rows.zip(labels) {
        let best = argmax(logits);
        let peak = logits[best];
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - peak).exp()).sum();
        loss.sum += sum.ln() - f64::from(logits[label] - peak);
        loss.correct += usize::from(best == label);
        for (class, (dlogit, &logit)) in dlogits.iter_mut().zip(logits).enumerate() {
            let probability = (f64::from(logit - peak).exp() / sum) as f32;
            *dlogit = weight * (probability - f32::from(u8::from(class == label)));
        }
    }
    loss
}

/// The first position of the largest value.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::numeric::{check_gradient, noise};
    use super::*;

    #[test]
    fn gradient_is_numeric() {
        let (logits, labels) = (noise(1, 15), [4, 0, 2]);
        let mut dlogits = vec![f32::NAN; 15];
        let loss = forward_backward(&logits, &labels, 1.0, &mut dlogits);
        check_gradient(&logits, &[1.0], &dlogits, |logits| {
            vec![forward_backward(logits, &labels, 1.0, &mut [0.0; 15]).sum as f32]
        });
        assert!(loss.sum > 0.0 && loss.correct <= 3);
    }

    #[test]
    fn large_logits_do_not_overflow_and_ties_go_to_the_first() {
        let loss = forward_backward(&[1e30, 1e30], &[0], 1.0, &mut [0.0; 2]);
        assert!((loss.sum - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(loss.correct, 1);
        assert!(forward_backward(&[f32::NAN, 0.0], &[0], 1.0, &mut [0.0; 2]).sum.is_nan());
    }
}
