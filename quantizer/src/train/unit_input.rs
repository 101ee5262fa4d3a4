//! Networks of other tools on inputs of the size that gradient descent expects.
//!
//! Owns an equivalent form of a network whose normalized images are far from unit size, as those
//! of networks that take bytes: the same answers, from inputs divided by a number and first
//! weights multiplied by it. Without it the gradient of these weights is as many times too large,
//! against weights that are as many times smaller, and one learning rate suits no two layers.

use super::TrainError;
use crate::data::Dataset;
use crate::graph::{Graph, Op};

/// Root mean squares of an input that is left as it is.
const UNIT: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// The network with its input divided by its root mean square over `dataset`, where that is not
/// about one, and where the input enters convolutions alone. The padding of these, zero, stays
/// what it was.
///
/// # Errors
/// Where an image cannot be read.
pub fn unit_input(mut graph: Graph, dataset: &Dataset) -> Result<Graph, TrainError> {
    let size = input_size(&graph, dataset)?;
    let readers: Vec<usize> = (0..graph.nodes.len())
        .filter(|&node| graph.nodes[node].inputs.iter().any(|input| input.0 == 0))
        .collect();
    let is_conv = |&node: &usize| match &graph.nodes[node].op {
        Op::Conv2d(conv) => conv.quantizer.is_none(),
        _ => false,
    };
    if UNIT.contains(&size) || !size.is_normal() || !readers.iter().all(is_conv) {
        return Ok(graph);
    }
    let factor = size as f32;
    graph.normalization.std.iter_mut().for_each(|std| *std *= factor);
    for node in readers {
        if let Op::Conv2d(conv) = &mut graph.nodes[node].op {
            conv.weights *= factor;
        }
    }
    Ok(graph)
}

/// The root mean square of the normalized images over all channels.
fn input_size(graph: &Graph, dataset: &Dataset) -> Result<f64, TrainError> {
    let (means, stds) = dataset.channel_mean_and_std()?;
    let own = graph.normalization.mean.iter().zip(&graph.normalization.std);
    let channels = means.iter().zip(&stds).zip(own);
    let square = |((&mean, &std), (&own_mean, &own_std)): ((&f32, &f32), (&f32, &f32))| {
        let offset = f64::from(mean) - f64::from(own_mean);
        (f64::from(std).powi(2) + offset.powi(2)) / f64::from(own_std).powi(2)
    };
    Ok((channels.map(square).sum::<f64>() / means.len().max(1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Executor;
    use crate::graph::Normalization;
    use crate::train::tests::{dataset, graph};
    use ndarray::Array4;

    /// The network on images normalized by `mean` and `std`, as it comes out, and its answers.
    #[track_caller]
    fn check(mean: f32, std: f32, expected_std: f32) {
        let (mut graph, dataset) = (graph(), dataset(30));
        graph.normalization = Normalization { mean: vec![mean], std: vec![std] };
        let answers = |graph: &Graph| {
            let mut images = Array4::zeros([3, 9, 9, 1]);
            let mut decoder = crate::data::Decoder::new();
            for (image, out) in images.as_slice_mut().unwrap().chunks_exact_mut(81).enumerate() {
                graph.normalization.apply(dataset.image(image, &mut decoder).unwrap(), out);
            }
            Executor::new().forward_eval(graph, images.view()).unwrap()
        };
        let before = answers(&graph);
        let unit = unit_input(graph.clone(), &dataset).unwrap();
        let found = unit.normalization.std[0];
        assert!((found / expected_std - 1.0).abs() < 0.01, "{found} for {expected_std}");
        assert_eq!(unit.normalization.mean, graph.normalization.mean);
        let difference = (&answers(&unit) - &before).mapv(f32::abs).sum();
        assert!(difference < 1e-4 * before.mapv(f32::abs).sum(), "{difference}");
        assert_eq!(unit == graph, found == std, "what has about unit size stays as it is");
    }

    #[test]
    fn inputs_come_to_unit_size_and_answers_stay() {
        // The images' mean and deviation, of which the mean square is the sum of the squares.
        let (mean, std) = dataset(30).channel_mean_and_std().unwrap();
        let size = mean[0].hypot(std[0]);
        check(0.0, 1.0 / 255.0, size); // bytes as they are
        check(0.0, 20.0, size);
        check(mean[0], std[0], std[0]);
        check(mean[0], std[0] / 1.9, std[0] / 1.9);
    }
}
