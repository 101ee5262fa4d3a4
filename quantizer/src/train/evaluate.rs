//! A graph's answers on a data set, and how many are right.

use ndarray::{Array2, Array4, s};

use super::TrainError;
use super::augment::{Table, fill_plain};
use crate::data::Dataset;
use crate::engine::{Executor, argmax};
use crate::graph::Graph;

/// Images that are normalized at a time, at most.
const CHUNK_IMAGES_MAX: usize = 256;
/// Values of images that are normalized at a time, where an image has no more: 16 MiB.
const CHUNK_VALUES: usize = 1 << 22;

/// What a graph makes of a data set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Images judged.
    pub images: usize,
    /// Images whose label has the largest logit; of equal logits the first counts.
    pub correct: usize,
    /// Mean cross-entropy.
    pub loss: f64,
}

impl Evaluation {
    /// Judges logits (`[N,classes]`) by the labels of their images.
    pub fn of(logits: &Array2<f32>, dataset: &Dataset) -> Self {
        let (mut correct, mut loss) = (0, 0.0);
        for (logits, &label) in logits.rows().into_iter().zip(dataset.labels()) {
            let (logits, label) = (logits.to_vec(), usize::from(label));
            let best = argmax(&logits);
            let sum: f64 = logits.iter().map(|&logit| f64::from(logit - logits[best]).exp()).sum();
            loss += sum.ln() - f64::from(logits[label] - logits[best]);
            correct += usize::from(best == label);
        }
        let images = dataset.len();
        Self { images, correct, loss: loss / images.max(1) as f64 }
    }

    /// The fraction of images that are right.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }
}

/// The logits of every image, `[N,classes]`, normalized as the graph says.
pub fn logits(
    executor: &Executor,
    graph: &Graph,
    dataset: &Dataset,
) -> Result<Array2<f32>, TrainError> {
    check_fits(graph, dataset)?;
    let [h, w, c] = dataset.shape;
    let mut logits = Array2::zeros([dataset.len(), graph.classes()]);
    let table = Table::new(&graph.normalization);
    let chunk = (CHUNK_VALUES / dataset.image_bytes()).clamp(1, CHUNK_IMAGES_MAX);
    let mut batch = Array4::zeros([chunk.min(dataset.len()), h, w, c]);
    for start in (0..dataset.len()).step_by(chunk) {
        let end = (start + chunk).min(dataset.len());
        let pixels = batch.as_slice_mut().unwrap_or_default();
        fill_plain(dataset, start..end, &table, pixels)?;
        let found = executor.forward_eval(graph, batch.slice(s![..end - start, .., .., ..]))?;
        logits.slice_mut(s![start..end, ..]).assign(&found);
    }
    Ok(logits)
}

/// Refuses images or classes that the network was not made for.
pub(super) fn check_fits(graph: &Graph, dataset: &Dataset) -> Result<(), TrainError> {
    graph.validate()?;
    let mismatch =
        |what, found: String, expected: String| Err(TrainError::Mismatch { what, found, expected });
    if dataset.shape != graph.input_shape() {
        let expected = format!("{:?}", graph.input_shape());
        return mismatch("images of shape", format!("{:?}", dataset.shape), expected);
    }
    let (found, expected) = (dataset.class_count(), graph.classes());
    if found != expected {
        return mismatch("classes:", found.to_string(), expected.to_string());
    }
    Ok(())
}
