//! The best classes of an output tensor, with a softmax for people to read.
//!
//! Owns the only float arithmetic of the device. Knows nothing of how the logits came to be; their
//! order is the runtime's.

use heapless::Vec;
use micromath::F32Ext;
use resmcu_int8_runtime::model_format::{Dtype, margin};
use resmcu_int8_runtime::{best, logits};
use resmcu_wire_protocol::{TOP_MAX, TopClass};

/// What turns the integers of an output tensor into scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// The integers' type.
    pub dtype: Dtype,
    /// The real size of one step of them.
    pub scale: f32,
    /// The integer that means zero.
    pub zero_point: i16,
    /// They are probabilities already: the model ends in a softmax.
    pub probabilities: bool,
}

impl Output {
    /// The best classes of `bytes`, best first, of equal ones the smaller index first.
    pub fn top(&self, bytes: &[u8]) -> Vec<TopClass, TOP_MAX> {
        let best = best::<TOP_MAX>(self.logits(bytes));
        let [Some((_, max)), ..] = best else { return Vec::new() };
        let sum: f32 = match self.probabilities {
            true => 1.0,
            false => self.logits(bytes).map(|(_, logit)| self.exp(logit, max)).sum(),
        };
        let score = |(class, logit)| {
            let score = match self.probabilities {
                true => self.scale * (logit as f32 - f32::from(self.zero_point)),
                false => self.exp(logit, max) / sum,
            };
            TopClass { class, score }
        };
        let mut top = Vec::new();
        for class in best.into_iter().flatten() {
            if top.push(score(class)).is_err() {
                break; // as many as there are slots, so there is none too many
            }
        }
        top
    }

    /// What the least margin of an answer is compared with: the best integer less the second best.
    pub fn margin(&self, bytes: &[u8]) -> u32 {
        margin(self.logits(bytes).map(|(_, logit)| logit))
    }

    /// `e^(scale * (logit - max))`: at most 1, so nothing overflows.
    fn exp(&self, logit: i32, max: i32) -> f32 {
        let below = (max as f32 - logit as f32) * self.scale;
        // e^-80 is nothing beside the 1 of the best class, and micromath is exact enough above it.
        if below < 80.0 { F32Ext::exp(-below) } else { 0.0 }
    }

    fn logits<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = (u16, i32)> + use<'b> {
        logits(self.dtype, bytes)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn output(dtype: Dtype, scale: f32, zero_point: i16, probabilities: bool) -> Output {
        Output { dtype, scale, zero_point, probabilities }
    }

    #[track_caller]
    fn check(output: Output, bytes: &[u8], expected: &[(u16, f32)]) {
        let top = output.top(bytes);
        assert_eq!(top.len(), expected.len());
        for (got, &(class, score)) in top.iter().zip(expected) {
            assert_eq!(got.class, class);
            assert!((got.score - score).abs() < 1e-3, "{} for {score}", got.score);
        }
    }

    #[test]
    fn order_is_that_of_the_integers_and_then_of_the_index() {
        let tied = output(Dtype::I8, 0.0, 0, false);
        let sixth = 1.0 / 6.0;
        let first_five = [(0, sixth), (1, sixth), (2, sixth), (3, sixth), (4, sixth)];
        check(tied, &[7; 6], &first_five);
        let late = [(5, sixth), (0, sixth), (1, sixth), (2, sixth), (3, sixth)];
        check(tied, &[7, 7, 7, 7, 7, 8], &late);
        check(tied, &[0x80, 0x7F], &[(1, 0.5), (0, 0.5)]); // int8: 127 above -128
    }

    #[test]
    fn scores_are_a_softmax_of_the_real_values() {
        let logits: std::vec::Vec<u8> = [1000i32, 0, -1000].map(i32::to_le_bytes).concat();
        let tops = [(0, 0.665_24), (1, 0.244_73), (2, 0.090_03)];
        check(output(Dtype::I32, 0.001, 0, false), &logits, &tops);
        let far: std::vec::Vec<u8> = [i32::MAX, i32::MIN].map(i32::to_le_bytes).concat();
        check(output(Dtype::I32, 1.0, 0, false), &far, &[(0, 1.0), (1, 0.0)]);
        check(output(Dtype::I16, 1.0, 0, false), &[0, 0, 0, 0], &[(0, 0.5), (1, 0.5)]);
    }

    #[test]
    fn probabilities_are_taken_as_they_are() {
        let softmax = output(Dtype::I8, 1.0 / 256.0, -128, true);
        check(softmax, &[0x80, 0x40, 0xC0], &[(1, 0.75), (2, 0.25), (0, 0.0)]);
    }

    #[test]
    fn no_classes_are_no_top() {
        check(output(Dtype::I32, 1.0, 0, false), &[], &[]);
        check(output(Dtype::I32, 1.0, 0, false), &[1, 2, 3], &[]);
    }
}
