//! The operators of the float graph: what each holds, and the shape that it makes.
//!
//! Owns the operators' attributes, their parameters and shape inference; not arithmetic, which is
//! the engine's, nor names, which the nodes hold.

use ndarray::{Array1, Array2, Array4};
use serde::{Deserialize, Serialize};

use super::fake_quantize::{FakeQuantize, WeightQuantizer};

/// The largest number of elements of one activation, so that sizes and byte counts never overflow.
const ELEMENTS_MAX: usize = 1 << 30;

/// Rows and columns of padding on each side. TensorFlow's `SAME` at stride 2 is asymmetric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns before.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns after.
    pub right: usize,
}

impl Padding {
    /// The same padding on all four sides, as PyTorch has it.
    pub const fn symmetric(pad: usize) -> Self {
        Self { top: pad, left: pad, bottom: pad, right: pad }
    }
}

/// A two-dimensional convolution (cross-correlation) over NHWC; padded positions are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// `[O,KH,KW,I]`.
    pub weights: Array4<f32>,
    /// `[O]`; none where batch normalization follows.
    pub bias: Option<Array1<f32>>,
    /// Step in rows and columns.
    pub stride: usize,
    /// Padding of the input.
    pub padding: Padding,
    /// What the weights are rounded to before they are used, in quantization-aware training.
    pub quantizer: Option<WeightQuantizer>,
}

/// Batch normalization (Ioffe and Szegedy 2015): `gamma * (x - mean) / sqrt(variance + epsilon) +
/// beta`, each `[C]`. Mean and variance are the running averages, used in evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Scale.
    pub gamma: Array1<f32>,
    /// Shift.
    pub beta: Array1<f32>,
    /// Running mean.
    pub mean: Array1<f32>,
    /// Running variance, unbiased.
    pub variance: Array1<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl BatchNorm {
    /// The identity over `channels`: gamma 1, beta 0, mean 0, variance 1, epsilon 1e-5.
    pub fn identity(channels: usize) -> Self {
        Self {
            gamma: Array1::ones(channels),
            beta: Array1::zeros(channels),
            mean: Array1::zeros(channels),
            variance: Array1::ones(channels),
            epsilon: 1e-5,
        }
    }
}

/// A fully connected layer; an input `[H,W,C]` is read as one row in that order.
#[derive(Clone, Debug, PartialEq)]
pub struct FullyConnected {
    /// `[O,I]`.
    pub weights: Array2<f32>,
    /// `[O]`.
    pub bias: Array1<f32>,
    /// As [`Conv2d::quantizer`].
    pub quantizer: Option<WeightQuantizer>,
}

/// One operator of the graph, with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image after [`super::Normalization`].
    Input,
    /// Convolution.
    Conv2d(Conv2d),
    /// Batch normalization.
    BatchNorm(BatchNorm),
    /// `max(x, 0)`.
    Relu,
    /// The sum of two inputs of one shape: the residual connection (paper, equation 1).
    Add,
    /// The maximum over a `kernel` by `kernel` window; padded positions do not take part.
    MaxPool2d {
        /// Rows and columns of the window.
        kernel: usize,
        /// Step in rows and columns.
        stride: usize,
        /// Padding of the input.
        padding: Padding,
    },
    /// The mean over all positions: `[1,1,C]`.
    GlobalAvgPool,
    /// The classifier: `[1,1,O]`.
    FullyConnected(FullyConnected),
    /// Shortcut option A (paper, section 3.3): each `stride`-th position, widened to `channels`
    /// with zeros, `(channels - C) / 2` of them before and the rest after.
    SubsamplePad {
        /// Step in rows and columns.
        stride: usize,
        /// Channels of the output.
        channels: usize,
    },
    /// Values as int8 has them, with a step that is trained.
    FakeQuantize(FakeQuantize),
}

impl Op {
    /// The operator's word in checkpoints and reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv2d(_) => "conv2d",
            Self::BatchNorm(_) => "batch_norm",
            Self::Relu => "relu",
            Self::Add => "add",
            Self::MaxPool2d { .. } => "max_pool2d",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::FullyConnected(_) => "fully_connected",
            Self::SubsamplePad { .. } => "subsample_pad",
            Self::FakeQuantize(_) => "fake_quantize",
        }
    }

    /// What the operator's weights are rounded to, if anything.
    pub fn weight_quantizer(&self) -> Option<&WeightQuantizer> {
        match self {
            Self::Conv2d(conv) => conv.quantizer.as_ref(),
            Self::FullyConnected(fc) => fc.quantizer.as_ref(),
            _ => None,
        }
    }

    /// The same, to be changed; none for operators without weights.
    pub fn weight_quantizer_mut(&mut self) -> Option<&mut Option<WeightQuantizer>> {
        match self {
            Self::Conv2d(conv) => Some(&mut conv.quantizer),
            Self::FullyConnected(fc) => Some(&mut fc.quantizer),
            _ => None,
        }
    }

    /// How many inputs the operator takes.
    pub fn arity(&self) -> usize {
        match self {
            Self::Input => 0,
            Self::Add => 2,
            _ => 1,
        }
    }

    /// The output shape `[H,W,C]` for inputs of these shapes, or what does not fit.
    ///
    /// An `Input` has no shape of its own, so it is refused here; the builder gives it one.
    pub fn output_shape(&self, inputs: &[[usize; 3]]) -> Result<[usize; 3], String> {
        let shape = match (self, inputs) {
            (Self::Conv2d(conv), [x]) => conv.output_shape(*x)?,
            (Self::BatchNorm(norm), [x]) => norm.output_shape(*x)?,
            (Self::Relu, [x]) => *x,
            (Self::Add, [a, b]) if a == b => *a,
            (Self::Add, [a, b]) => return Err(format!("adds {a:?} and {b:?}")),
            (Self::MaxPool2d { kernel, stride, padding }, [x]) => {
                if padding.top.max(padding.left).max(padding.bottom).max(padding.right) >= *kernel {
                    return Err(format!("padding {padding:?} leaves windows of {kernel} empty"));
                }
                windows(*x, [*kernel; 2], *stride, *padding, x[2])?
            }
            (Self::GlobalAvgPool, [x]) => [1, 1, x[2]],
            (Self::FullyConnected(fc), [x]) => fc.output_shape(*x)?,
            (Self::SubsamplePad { stride, channels }, [x]) => {
                if *channels < x[2] {
                    return Err(format!("pads {} channels to {channels}", x[2]));
                }
                windows(*x, [1; 2], *stride, Padding::default(), *channels)?
            }
            (Self::FakeQuantize(quantizer), [x]) => {
                quantizer.check()?;
                *x
            }
            _ => return Err(format!("takes {} inputs, has {}", self.arity(), inputs.len())),
        };
        check_elements(shape)
    }
}

impl Conv2d {
    fn output_shape(&self, x: [usize; 3]) -> Result<[usize; 3], String> {
        let (o, kh, kw, i) = self.weights.dim();
        if i != x[2] {
            return Err(format!(
                "weights [{o},{kh},{kw},{i}] take {i} channels, input has {}",
                x[2]
            ));
        }
        bias_fits(self.bias.as_ref().map_or(o, Array1::len), o)?;
        self.quantizer.as_ref().map_or(Ok(()), |quantizer| quantizer.check(o))?;
        windows(x, [kh, kw], self.stride, self.padding, o)
    }
}

impl BatchNorm {
    fn output_shape(&self, x: [usize; 3]) -> Result<[usize; 3], String> {
        for (name, values) in [
            ("gamma", &self.gamma),
            ("beta", &self.beta),
            ("mean", &self.mean),
            ("variance", &self.variance),
        ] {
            if values.len() != x[2] {
                return Err(format!("{name} has {} values, input {} channels", values.len(), x[2]));
            }
        }
        if !(self.epsilon >= 0.0 && self.epsilon.is_finite()) {
            return Err(format!("epsilon is {}", self.epsilon));
        }
        Ok(x)
    }
}

impl FullyConnected {
    fn output_shape(&self, x: [usize; 3]) -> Result<[usize; 3], String> {
        let (o, i) = self.weights.dim();
        let found: usize = x.iter().product();
        if i != found {
            return Err(format!("weights [{o},{i}] take {i} values, input {x:?} has {found}"));
        }
        bias_fits(self.bias.len(), o)?;
        self.quantizer.as_ref().map_or(Ok(()), |quantizer| quantizer.check(o))?;
        Ok([1, 1, o])
    }
}

fn bias_fits(found: usize, expected: usize) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("bias has {found} values for {expected} output channels"))
}

/// Floor convention of PyTorch: windows that stand wholly inside the padded input.
fn windows(
    x: [usize; 3],
    kernel: [usize; 2],
    stride: usize,
    padding: Padding,
    channels: usize,
) -> Result<[usize; 3], String> {
    let Padding { top, left, bottom, right } = padding;
    if stride == 0 || kernel.contains(&0) {
        return Err(format!("kernel {kernel:?} with stride {stride}"));
    }
    let axis = |size: usize, before: usize, after: usize, kernel: usize| {
        let padded = size.checked_add(before)?.checked_add(after)?;
        Some(padded.checked_sub(kernel)? / stride + 1)
    };
    match (axis(x[0], top, bottom, kernel[0]), axis(x[1], left, right, kernel[1])) {
        (Some(rows), Some(columns)) => {
            check_elements([x[0] + top + bottom, x[1] + left + right, x[2]])?;
            Ok([rows, columns, channels])
        }
        _ => Err(format!("kernel {kernel:?} does not fit input {x:?} with {padding:?}")),
    }
}

/// Refuses empty shapes and those past the limit of elements.
pub(crate) fn check_elements(shape: [usize; 3]) -> Result<[usize; 3], String> {
    match shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)) {
        Some(1..=ELEMENTS_MAX) => Ok(shape),
        _ => Err(format!("shape {shape:?} is empty or has over {ELEMENTS_MAX} elements")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(weights: [usize; 4], stride: usize, padding: Padding) -> Op {
        let weights = Array4::zeros(weights);
        Op::Conv2d(Conv2d { weights, bias: None, stride, padding, quantizer: None })
    }

    #[track_caller]
    fn check(op: &Op, inputs: &[[usize; 3]], expected: Result<[usize; 3], &str>) {
        match (op.output_shape(inputs), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn output_shapes_follow_the_floor_convention() {
        let same = Padding { top: 0, left: 0, bottom: 1, right: 1 };
        let pad = Padding::symmetric(1);
        check(&conv([8, 3, 3, 3], 1, pad), &[[5, 7, 3]], Ok([5, 7, 8]));
        check(&conv([8, 3, 3, 3], 2, pad), &[[5, 7, 3]], Ok([3, 4, 8]));
        check(&conv([8, 3, 3, 3], 2, same), &[[32, 32, 3]], Ok([16, 16, 8]));
        check(&conv([8, 1, 1, 3], 2, Padding::default()), &[[5, 7, 3]], Ok([3, 4, 8]));
        check(&conv([8, 7, 7, 3], 2, Padding::symmetric(3)), &[[224, 224, 3]], Ok([112, 112, 8]));
        let pool = |kernel, padding| Op::MaxPool2d { kernel, stride: 2, padding };
        check(&pool(3, pad), &[[112, 112, 64]], Ok([56, 56, 64]));
        check(&Op::SubsamplePad { stride: 2, channels: 8 }, &[[5, 5, 3]], Ok([3, 3, 8]));
        check(&Op::Add, &[[2, 2, 1], [2, 2, 1]], Ok([2, 2, 1]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let pad = Padding::default();
        check(&conv([8, 3, 3, 3], 1, pad), &[[5, 5, 4]], Err("take 3 channels, input has 4"));
        check(&conv([8, 3, 3, 3], 1, pad), &[[2, 5, 3]], Err("does not fit"));
        check(&conv([8, 3, 3, 3], 0, pad), &[[5, 5, 3]], Err("stride 0"));
        check(&conv([8, 3, 3, 3], 1, pad), &[], Err("takes 1 inputs, has 0"));
        check(&Op::Add, &[[2, 2, 1], [2, 1, 1]], Err("adds"));
        let huge = Padding::symmetric(usize::MAX / 2);
        check(&conv([8, 3, 3, 3], 1, huge), &[[5, 5, 3]], Err("does not fit"));
        let empty = Op::MaxPool2d { kernel: 2, stride: 1, padding: Padding::symmetric(2) };
        check(&empty, &[[4, 4, 1]], Err("empty"));
        let norm = Op::BatchNorm(BatchNorm::identity(3));
        check(&norm, &[[4, 4, 1]], Err("gamma has 3 values"));
        check(&Op::SubsamplePad { stride: 1, channels: 2 }, &[[4, 4, 3]], Err("pads 3"));
    }
}
