//! How often a network is right, on images that it has not learnt from.

use crate::failure::{Failure, Outcome};
use crate::host::{integers, outputs, top, top_integers};
use crate::images::batch;
use crate::model::Model;
use crate::progress::bar;
use crate::statistics::wilson95;
use resmcu_model_format::margin;
use resmcu_quantizer::data::Dataset;
use resmcu_quantizer::engine::Executor;
use resmcu_quantizer::graph::Graph;
use resmcu_quantizer::trust::Judged;
use serde::Serialize;
use std::time::Instant;

/// Images that the float network sees at once.
const BATCH: usize = 64;

/// What a network said of each image.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// The five best classes of each image, best first.
    pub(crate) top5: Vec<Vec<usize>>,
    /// How far each best class is ahead of the second, in integers; none of a float network.
    margins: Vec<u32>,
    /// Wall time.
    pub(crate) seconds: f64,
}

/// Accuracy with its interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Accuracy {
    /// Number of images.
    pub(crate) images: usize,
    /// Share whose best class is right.
    pub(crate) top1: f64,
    /// Share whose class is among the five best.
    pub(crate) top5: f64,
    /// Wilson's interval of `top1`.
    pub(crate) ci95: [f64; 2],
}

impl Answers {
    /// Of a float network.
    pub(crate) fn float(graph: &Graph, data: &Dataset) -> Outcome<Self> {
        let (executor, start) = (Executor::new(), Instant::now());
        let bar = bar(data.len(), "float");
        let mut top5 = Vec::with_capacity(data.len());
        for first in (0..data.len()).step_by(BATCH) {
            let range = first..(first + BATCH).min(data.len());
            let images = batch(data, range.clone(), &graph.normalization)?;
            let logits = executor.forward_eval(graph, images.view()).map_err(Failure::input)?;
            top5.extend(logits.outer_iter().map(|row| top(&row.to_vec(), 5)));
            bar.inc(range.len() as u64);
        }
        bar.finish_and_clear();
        Ok(Self { top5, margins: Vec::new(), seconds: start.elapsed().as_secs_f64() })
    }

    /// Of a quantized model on the host.
    pub(crate) fn int8(model: &Model, data: &Dataset) -> Outcome<Self> {
        let start = Instant::now();
        let bar = bar(data.len(), "int8");
        let outputs = outputs(model, data, &|| bar.inc(1))?;
        bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        let file = model.file()?;
        let tensor = file.tensors().last();
        let tensor = tensor.ok_or_else(|| Failure::input("the model has no output"))?;
        let of = |bytes: &Vec<u8>| {
            let classes = integers(tensor.dtype, bytes);
            (top_integers(&classes, 5), margin(classes.into_iter()))
        };
        let (top5, margins) = outputs.iter().map(of).unzip();
        Ok(Self { top5, margins, seconds })
    }

    /// Image by image, whether the best class is right.
    pub(crate) fn hits(&self, data: &Dataset) -> Vec<bool> {
        let right = |(index, top): (usize, &Vec<usize>)| {
            top.first() == Some(&usize::from(data.label(index)))
        };
        self.top5.iter().enumerate().map(right).collect()
    }

    /// Image by image, the margin and whether the best class is right; none of a float network.
    pub(crate) fn judged(&self, data: &Dataset) -> Vec<Judged> {
        let judged = |(&margin, is_right)| Judged { margin, is_right };
        self.margins.iter().zip(self.hits(data)).map(judged).collect()
    }

    /// The share of images to which both give the same class.
    pub(crate) fn agreement(&self, other: &Self) -> f64 {
        let same = self.top5.iter().zip(&other.top5).filter(|(a, b)| a.first() == b.first());
        same.count() as f64 / self.top5.len().max(1) as f64
    }

    /// The share of right answers.
    pub(crate) fn accuracy(&self, data: &Dataset) -> Accuracy {
        let images = self.top5.len();
        let hits = self.hits(data).into_iter().filter(|&hit| hit).count();
        let labels = (0..images).map(|index| usize::from(data.label(index)));
        let top5 = self.top5.iter().zip(labels).filter(|(top, label)| top.contains(label)).count();
        let share = |count: usize| count as f64 / images.max(1) as f64;
        Accuracy { images, top1: share(hits), top5: share(top5), ci95: wilson95(hits, images) }
    }

    /// Rows are labels, columns answers.
    pub(crate) fn confusion(&self, data: &Dataset, classes: usize) -> Vec<Vec<usize>> {
        let mut matrix = vec![vec![0; classes]; classes];
        for (index, top) in self.top5.iter().enumerate() {
            let row = matrix.get_mut(usize::from(data.label(index)));
            if let (Some(row), Some(&answer)) = (row, top.first()) {
                row[answer] += 1;
            }
        }
        matrix
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { images, top1, ci95: [low, high], .. } = self;
        let [top1, low, high] = [top1, low, high].map(|share| 100.0 * share);
        write!(f, "{top1:.2} % of {images} images (95 %: {low:.2} to {high:.2})")
    }
}
