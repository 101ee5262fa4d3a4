//! Whether a run has diverged, and where.
//!
//! A loss that is not finite is the end. So is one that explodes: for sixteen steps in a row above
//! sixteen times the loss of guessing, `ln classes`, which no batch normalized network comes back
//! from; a single bad batch, or the first steps of a deep network, are not.

use super::TrainError;
use super::optimizer::sum_of_squares;
use crate::graph::Graph;

/// How many times the loss of guessing is too much.
const TIMES: f64 = 16.0;
/// For how many steps in a row.
const STEPS: usize = 16;

/// Whether the loss of a step means the end. `high` counts the steps in a row that were too high.
pub(super) fn diverged(loss: f64, classes: usize, high: &mut usize) -> bool {
    let guessing = (classes as f64).ln().max(1.0);
    *high = if loss > TIMES * guessing { *high + 1 } else { 0 };
    !loss.is_finite() || *high >= STEPS
}

/// The error that says where: `first` is the first layer with a value that is not finite; where
/// all are, the layer with the largest gradient is named.
pub(super) fn describe(
    (epoch, step): (usize, usize),
    loss: f64,
    first: Option<&str>,
    graph: &Graph,
    gradients: &[Vec<f32>],
) -> TrainError {
    let (sign, layer) = match first {
        Some(layer) => ("the first layer with a value that is not finite is", layer),
        None => ("the layer with the largest gradient is", steepest(graph, gradients)),
    };
    TrainError::Diverged { epoch, step, loss, sign, layer: layer.to_owned() }
}

fn steepest<'g>(graph: &'g Graph, gradients: &[Vec<f32>]) -> &'g str {
    let trained = graph.nodes.iter().flat_map(|node| {
        let count = node.parameters().iter().filter(|p| p.kind.is_trained()).count();
        std::iter::repeat_n(node.name.as_str(), count)
    });
    let sized = trained.zip(gradients.iter().map(|gradient| sum_of_squares(gradient)));
    sized.max_by(|a, b| a.1.total_cmp(&b.1)).map_or("the loss", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::resnet;

    /// The step, from 1, with which a run of these losses ends.
    #[track_caller]
    fn check(losses: impl IntoIterator<Item = f64>, expected: Option<usize>) {
        let mut high = 0;
        let end = losses.into_iter().position(|loss| diverged(loss, 10, &mut high));
        assert_eq!(end.map(|step| step + 1), expected);
    }

    #[test]
    fn losses_that_do_not_come_back_are_the_end() {
        check([2.3, 0.1, 30.0, 36.0], None);
        check([2.3, f64::NAN], Some(2));
        check([f64::INFINITY], Some(1));
        check([100.0; 15], None);
        check([100.0; 16], Some(16));
        // Up and down again.
        check([[100.0; 15].as_slice(), &[2.0], &[100.0; 15]].concat(), None);
    }

    #[test]
    fn the_steepest_layer_is_named() {
        let graph = resnet::by_name("resnet8").unwrap().build(0).unwrap();
        let mut gradients: Vec<Vec<f32>> = graph
            .parameters()
            .iter()
            .filter(|p| p.kind.is_trained())
            .map(|p| vec![1e-3; p.values.len()])
            .collect();
        // After the stem's weights, gamma and beta.
        gradients[3][7] = 1e9;
        let error = describe((1, 2), 99.0, None, &graph, &gradients).to_string();
        assert!(error.contains("largest gradient is `stage1.block0.conv1`"), "{error}");
        let error = describe((1, 2), 99.0, Some("pool"), &graph, &gradients).to_string();
        assert!(error.contains("not finite is `pool`"), "{error}");
    }
}
