//! Models on the host: the device's own runtime, over many images, on all cores.

use crate::failure::Outcome;
use crate::model::Model;
use rayon::prelude::*;
use resmcu_model_format::{Dtype, Tensor};
use resmcu_quantizer::data::{Dataset, Decoder};
use std::cmp::Ordering;

/// Images that one arena runs before another thread may take over: at least as many as are worth
/// reading the model for, at most as many as keep all threads busy to the end.
fn chunk(images: usize) -> usize {
    images.div_ceil(8 * rayon::current_num_threads()).clamp(16, 1024)
}

/// The output bytes of each image of `data`, in its order. `progress` is told of every image.
pub(crate) fn outputs(
    model: &Model,
    data: &Dataset,
    progress: &(dyn Fn() + Sync),
) -> Outcome<Vec<Vec<u8>>> {
    let indices: Vec<usize> = (0..data.len()).collect();
    let chunks: Vec<Outcome<Vec<Vec<u8>>>> = indices
        .par_chunks(chunk(data.len()))
        .map(|chunk| {
            let mut memory = model.memory();
            let (mut executor, mut decoder) = (model.executor(&mut memory)?, Decoder::new());
            let mut outputs = Vec::with_capacity(chunk.len());
            for &index in chunk {
                let image = data.image(index, &mut decoder)?;
                debug_assert_eq!(image.len(), executor.input_bytes(), "shapes were compared");
                outputs.push(executor.infer_image(image, &mut ()).to_vec());
                progress();
            }
            Ok(outputs)
        })
        .collect();
    let mut outputs = Vec::with_capacity(data.len());
    for chunk in chunks {
        outputs.extend(chunk?);
    }
    Ok(outputs)
}

/// The integers of a tensor's bytes.
pub(crate) fn integers(dtype: Dtype, bytes: &[u8]) -> Vec<i32> {
    match dtype {
        Dtype::I8 => bytes.iter().map(|&byte| i32::from(byte as i8)).collect(),
        Dtype::I16 => {
            bytes.as_chunks().0.iter().map(|&two| i16::from_le_bytes(two).into()).collect()
        }
        Dtype::I32 => bytes.as_chunks().0.iter().map(|&four| i32::from_le_bytes(four)).collect(),
    }
}

/// The real values of a tensor's bytes.
pub(crate) fn dequantize(tensor: &Tensor<'_>, bytes: &[u8]) -> Vec<f32> {
    let real = |q: i32| tensor.scale * (q - i32::from(tensor.zero_point)) as f32;
    integers(tensor.dtype, bytes).into_iter().map(real).collect()
}

/// The classes with the highest scores, best first; of equal scores the lower class.
pub(crate) fn top(scores: &[f32], count: usize) -> Vec<usize> {
    ranked(scores, count, f32::total_cmp)
}

/// The same of integers, as a device ranks its classes: large ones are not told apart as floats.
pub(crate) fn top_integers(scores: &[i32], count: usize) -> Vec<usize> {
    ranked(scores, count, i32::cmp)
}

fn ranked<T>(scores: &[T], count: usize, order: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..scores.len()).collect();
    classes.sort_by(|&a, &b| order(&scores[b], &scores[a]));
    classes.truncate(count);
    classes
}

/// Probabilities of scores.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f32> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let sum: f32 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_lower_class_is_first() {
        assert_eq!(top(&[1.0, 3.0, 3.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(top(&[], 5), Vec::<usize>::new());
        assert_eq!(top_integers(&[5, 1 << 24, (1 << 24) + 1, 5], 3), [2, 1, 0]);
    }

    #[test]
    fn probabilities_add_up_to_one() {
        let probabilities = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }
}
