//! The parameters of a graph by name: for the optimizer, for checkpoints and for importers.
//!
//! Owns the tensors' names and their order; not what is done with them.

use ndarray::{Array, ArrayViewD, Dimension};

use super::{Graph, Node, Op, WeightQuantizer};

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
    /// Step sizes of quantization-aware training.
    Step,
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
            Self::Step => "step",
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
    /// The node's tensors: `Weights` before `Bias` before `Step`, `Gamma` before `Beta`, `Mean`,
    /// `Variance`.
    pub fn parameters(&self) -> Vec<Parameter<'_>> {
        use ParameterKind::{Beta, Bias, Gamma, Mean, Step, Variance, Weights};
        let tensors = match &self.op {
            Op::Conv2d(conv) => {
                let weights = (Weights, conv.weights.view().into_dyn());
                let bias = conv.bias.as_ref().map(|bias| (Bias, bias.view().into_dyn()));
                let step = step_of(conv.quantizer.as_ref());
                std::iter::once(weights).chain(bias).chain(step).collect()
            }
            Op::FullyConnected(fc) => {
                let weights = (Weights, fc.weights.view().into_dyn());
                let bias = (Bias, fc.bias.view().into_dyn());
                [weights, bias].into_iter().chain(step_of(fc.quantizer.as_ref())).collect()
            }
            Op::BatchNorm(norm) => vec![
                (Gamma, norm.gamma.view().into_dyn()),
                (Beta, norm.beta.view().into_dyn()),
                (Mean, norm.mean.view().into_dyn()),
                (Variance, norm.variance.view().into_dyn()),
            ],
            Op::FakeQuantize(quantizer) => vec![(Step, quantizer.step.view().into_dyn())],
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
        let described: Vec<_> = self
            .parameters()
            .into_iter()
            .map(|parameter| (parameter.name, parameter.values.shape().to_vec()))
            .collect();
        let values = self.slices_mut().into_iter().flatten();
        let all = described.into_iter().zip(values);
        all.map(|((name, shape), (kind, values))| ParameterMut { name, kind, shape, values })
            .collect()
    }

    /// The values of the node's tensors in the same order, row-major, without an allocation: for
    /// what runs in every training step.
    pub fn slices_mut(&mut self) -> [Option<(ParameterKind, &mut [f32])>; 4] {
        use ParameterKind::{Beta, Bias, Gamma, Mean, Step, Variance, Weights};
        match &mut self.op {
            Op::Conv2d(conv) => {
                let bias = conv.bias.as_mut().map(|bias| (Bias, row_major(bias)));
                let weights = Some((Weights, row_major(&mut conv.weights)));
                [weights, bias, step_of_mut(conv.quantizer.as_mut()), None]
            }
            Op::FullyConnected(fc) => {
                let bias = Some((Bias, row_major(&mut fc.bias)));
                let weights = Some((Weights, row_major(&mut fc.weights)));
                [weights, bias, step_of_mut(fc.quantizer.as_mut()), None]
            }
            Op::BatchNorm(norm) => [
                Some((Gamma, row_major(&mut norm.gamma))),
                Some((Beta, row_major(&mut norm.beta))),
                Some((Mean, row_major(&mut norm.mean))),
                Some((Variance, row_major(&mut norm.variance))),
            ],
            Op::FakeQuantize(quantizer) => {
                [Some((Step, row_major(&mut quantizer.step))), None, None, None]
            }
            _ => [None, None, None, None],
        }
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

    /// Sets gamma to zero in the last batch normalization of each residual block, so that blocks
    /// begin as the identity (Goyal et al. 2017, section 5.1), and says in how many.
    ///
    /// Of an addition's inputs the first is the residual function, as the builders have it. Blocks
    /// that end otherwise, as those with activations before convolutions, are left alone: a gamma
    /// of zero before a ReLU would never get a gradient.
    pub fn zero_last_gammas(&mut self) -> usize {
        let adds = self.nodes.iter().filter(|node| matches!(node.op, Op::Add));
        let ends: Vec<usize> = adds.filter_map(|add| Some(add.inputs.first()?.0)).collect();
        let mut changed = 0;
        for end in ends {
            if let Op::BatchNorm(norm) = &mut self.nodes[end].op {
                norm.gamma.fill(0.0);
                changed += 1;
            }
        }
        changed
    }
}

fn step_of(quantizer: Option<&WeightQuantizer>) -> Option<(ParameterKind, ArrayViewD<'_, f32>)> {
    quantizer.map(|quantizer| (ParameterKind::Step, quantizer.steps.view().into_dyn()))
}

fn step_of_mut(quantizer: Option<&mut WeightQuantizer>) -> Option<(ParameterKind, &mut [f32])> {
    quantizer.map(|quantizer| (ParameterKind::Step, row_major(&mut quantizer.steps)))
}

/// An importer may have permuted the axes without moving the values; they are moved here.
fn row_major<D: Dimension>(array: &mut Array<f32, D>) -> &mut [f32] {
    if !array.is_standard_layout() {
        *array = array.as_standard_layout().into_owned();
    }
    array.as_slice_mut().unwrap_or_default()
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
    fn zero_gammas_end_the_residual_functions_alone() {
        #[track_caller]
        fn check(name: &str, blocks: usize) {
            let mut graph = resnet::by_name(name).unwrap().build(0).unwrap();
            assert_eq!(graph.zero_last_gammas(), blocks, "{name}");
            let zero = |parameter: &Parameter<'_>| {
                parameter.kind == ParameterKind::Gamma && parameter.values.iter().all(|&v| v == 0.0)
            };
            let names: Vec<_> =
                graph.parameters().into_iter().filter(zero).map(|p| p.name).collect();
            assert_eq!(names.len(), blocks, "{name}");
            let last = if name == "resnet50" { "bn3.gamma" } else { "bn2.gamma" };
            assert!(names.iter().all(|name| name.ends_with(last)), "{names:?}");
        }
        check("resnet8", 3);
        check("resnet20", 9);
        check("resnet50", 16);
        check("plain20", 0);
        check("preact-resnet20", 0);
    }

    #[test]
    fn permuted_weights_are_read_in_row_major_order() {
        let weights = ndarray::Array2::from_shape_fn((2, 3), |(o, i)| (o * 3 + i) as f32);
        let mut permuted = weights.reversed_axes();
        assert_eq!(row_major(&mut permuted), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(permuted.shape(), [3, 2]);
    }
}
