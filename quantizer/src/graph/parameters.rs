//! The parameters of a graph by name: for the optimizer, for checkpoints and for importers.
//!
//! Owns the tensors' names and their order; not what is done with them.

use ndarray::{Array, ArrayViewD, Dimension};

use super::{Graph, Node, Op};

/// What a tensor is to its operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// Weights of a convolution or a fully connected layer: the only ones with weight decay.
    Weights,
    /// Bias of either.
    Bias,
    /// Scale of batch normalization.
    Gamma,
    /// Shift of batch normalization.
    Beta,
    /// Running mean of batch normalization.
    Mean,
    /// Running variance of batch normalization.
    Variance,
}

impl ParameterKind {
    /// The last part of the tensor's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Bias => "bias",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::Mean => "mean",
            Self::Variance => "variance",
        }
    }

    /// Whether the optimizer changes it; running averages follow the batches instead.
    pub const fn is_trained(self) -> bool {
        !matches!(self, Self::Mean | Self::Variance)
    }
}

/// One parameter tensor.
#[derive(Clone, Debug)]
pub struct Parameter<'a> {
    /// `stage1.block0.conv1.weights`.
    pub name: String,
    /// What it is.
    pub kind: ParameterKind,
    /// The values, in the shape of their field.
    pub values: ArrayViewD<'a, f32>,
}

/// One parameter tensor, to be changed.
#[derive(Debug)]
pub struct ParameterMut<'a> {
    /// `stage1.block0.conv1.weights`.
    pub name: String,
    /// What it is.
    pub kind: ParameterKind,
    /// The shape of the field.
    pub shape: Vec<usize>,
    /// The values in row-major order.
    pub values: &'a mut [f32],
}

impl Node {
    /// The node's tensors; `Weights` before `Bias`, `Gamma`, `Beta`, `Mean`, `Variance`.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        use ParameterKind::{Beta, Bias, Gamma, Mean, Variance, Weights};
        let tensors = match &self.op {
            Op::Conv2d(conv) => {
                let weights = (Weights, conv.weights.view().into_dyn());
                let bias = conv.bias.as_ref().map(|bias| (Bias, bias.view().into_dyn()));
                std::iter::once(weights).chain(bias).collect()
            }
            Op::FullyConnected(fc) => {
                vec![(Weights, fc.weights.view().into_dyn()), (Bias, fc.bias.view().into_dyn())]
            }
            Op::BatchNorm(norm) => vec![
                (Gamma, norm.gamma.view().into_dyn()),
                (Beta, norm.beta.view().into_dyn()),
                (Mean, norm.mean.view().into_dyn()),
                (Variance, norm.variance.view().into_dyn()),
            ],
            _ => Vec::new(),
        };
        let name = |kind: ParameterKind| format!("{}.{}", self.name, kind.suffix());
        tensors
            .into_iter()
            .map(|(kind, values)| Parameter { name: name(kind), kind, values })
            .collect()
    }

    /// The node's tensors in the same order, to be changed.
    pub fn parameters_mut(&mut self) -> Vec<ParameterMut<'_>> {
        use ParameterKind::{Beta, Bias, Gamma, Mean, Variance, Weights};
        let tensors = match &mut self.op {
            Op::Conv2d(conv) => {
                let weights = (Weights, row_major(&mut conv.weights));
                let bias = conv.bias.as_mut().map(|bias| (Bias, row_major(bias)));
                std::iter::once(weights).chain(bias).collect()
            }
            Op::FullyConnected(fc) => {
                vec![(Weights, row_major(&mut fc.weights)), (Bias, row_major(&mut fc.bias))]
            }
            Op::BatchNorm(norm) => vec![
                (Gamma, row_major(&mut norm.gamma)),
                (Beta, row_major(&mut norm.beta)),
                (Mean, row_major(&mut norm.mean)),
                (Variance, row_major(&mut norm.variance)),
            ],
            _ => Vec::new(),
        };
        let prefix = &self.name;
        tensors
            .into_iter()
            .map(|(kind, (shape, values))| ParameterMut {
                name: format!("{prefix}.{}", kind.suffix()),
                kind,
                shape,
                values,
            })
            .collect()
    }
}

impl Graph {
    /// All tensors in the order of the nodes.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        self.nodes.iter().flat_map(Node::parameters).collect()
    }

    /// All tensors in the order of the nodes, to be changed.
    pub fn parameters_mut(&mut self) -> Vec<ParameterMut<'_>> {
        self.nodes.iter_mut().flat_map(Node::parameters_mut).collect()
    }
}

/// An importer may have permuted the axes without moving the values; they are moved here.
fn row_major<D: Dimension>(array: &mut Array<f32, D>) -> (Vec<usize>, &mut [f32]) {
    if !array.is_standard_layout() {
        *array = array.as_standard_layout().into_owned();
    }
    (array.shape().to_vec(), array.as_slice_mut().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::resnet;
    use super::*;

    #[test]
    fn tensors_are_named_and_in_one_order() {
        let mut graph = resnet::by_name("resnet8").unwrap().build(0).unwrap();
        let views: Vec<_> = graph
            .parameters()
            .iter()
            .map(|p| (p.name.clone(), p.kind, p.values.shape().to_vec(), p.values.len()))
            .collect();
        let found = graph.parameters_mut();
        assert_eq!(views.len(), found.len());
        for (view, found) in views.into_iter().zip(found) {
            assert_eq!(view, (found.name, found.kind, found.shape, found.values.len()));
        }
        let names: Vec<_> = graph.parameters().into_iter().map(|p| p.name).collect();
        assert_eq!(names[0], "stem.conv.weights");
        assert!(names.contains(&"stage1.block0.bn1.gamma".into()));
        assert!(names.contains(&"stage2.block0.shortcut.conv.weights".into()));
        assert_eq!(names[names.len() - 1], "classifier.bias");
    }

    #[test]
    fn permuted_weights_are_read_in_row_major_order() {
        let weights = ndarray::Array2::from_shape_fn((2, 3), |(o, i)| (o * 3 + i) as f32);
        let mut permuted = weights.reversed_axes();
        let (shape, values) = row_major(&mut permuted);
        assert_eq!((shape, values.to_vec()), (vec![3, 2], vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    }
}
