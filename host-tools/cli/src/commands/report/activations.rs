//! How the integers of each activation spread over their range.

use crate::failure::Outcome;
use crate::model::Model;
use resmcu_int8_runtime::Observer;
use resmcu_model_format::Dtype;
use resmcu_quantizer::data::{Dataset, Decoder};

/// Parts of a histogram, four integers each.
const BINS: usize = 64;

/// An int8 activation over some images.
pub(super) struct Activation {
    /// The tensor.
    pub(super) name: String,
    /// Of equal parts of the range.
    pub(super) counts: Vec<u64>,
    /// The real values of -128 and 127.
    pub(super) ends: [f64; 2],
    /// Share of the values that are -128 and 127.
    pub(super) at_ends: [f64; 2],
}

/// Counts each step's integers.
struct Counter {
    /// By step, by integer.
    counts: Vec<[u64; 256]>,
}

impl Observer for Counter {
    fn step_end(&mut self, step: usize, _at: usize, output: &[u8]) {
        if let Some(counts) = self.counts.get_mut(step) {
            output.iter().for_each(|&byte| counts[usize::from(byte ^ 0x80)] += 1);
        }
    }
}

/// The int8 activations of a model over `images`, in the order in which they are made.
pub(super) fn activations(model: &Model, images: &Dataset) -> Outcome<Vec<Activation>> {
    let file = model.file()?;
    let tensors: Vec<_> = file.tensors().skip(1).collect();
    let mut counter = Counter { counts: vec![[0; 256]; tensors.len()] };
    let mut memory = model.memory();
    let (mut executor, mut decoder) = (model.executor(&mut memory)?, Decoder::new());
    for index in 0..images.len() {
        executor.infer_image(images.image(index, &mut decoder)?, &mut counter);
    }
    let int8 = tensors.iter().zip(counter.counts).filter(|(t, _)| t.dtype == Dtype::I8);
    let activation = |(tensor, counts): (&resmcu_model_format::Tensor<'_>, [u64; 256])| {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let real = |q: i32| f64::from(tensor.scale) * f64::from(q - i32::from(tensor.zero_point));
        Activation {
            name: tensor.name.to_owned(),
            counts: counts.chunks(256 / BINS).map(|part| part.iter().sum()).collect(),
            ends: [real(-128), real(127)],
            at_ends: [0, 255].map(|index: usize| counts[index] as f64 / total),
        }
    };
    Ok(int8.map(activation).collect())
}
