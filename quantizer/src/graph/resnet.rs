//! Every ResNet of "Deep Residual Learning for Image Recognition" (He et al. 2015), and MLPerf
//! Tiny's ResNet-8, by one builder.
//!
//! Owns the architectures; not training. Padding is PyTorch's: symmetric. Each convolution is
//! followed by batch normalization and carries no bias; projections too (section 3.3, option B).

use ndarray::{Array1, Array2, Array4};

use super::init::Initializer;
use super::{
    BatchNorm, Conv2d, FullyConnected, Graph, GraphBuilder, GraphError, NodeId, Normalization, Op,
    Padding,
};

/// What stands before the first stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// 3x3, stride 1 (section 4.2, CIFAR-10).
    Conv3x3,
    /// 7x7, stride 2, then max pooling 3x3, stride 2, padding 1 (table 1, ImageNet).
    Conv7x7Pool,
}

/// The residual function of a block (figure 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions; the first has the stride.
    Basic,
    /// 1x1, 3x3, and 1x1 to four times the width.
    Bottleneck {
        /// Where a stage's first block has its stride. The paper's table 1 counts the first 1x1
        /// (3.8 GFLOPs for ResNet-50); torchvision and most published weights have it on the 3x3
        /// (4.1 GFLOPs). Parameters are the same.
        stride_on_3x3: bool,
    },
}

/// The shortcut of a block (section 3.3 and table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Option A: identity; where the shape changes, subsampled with zero channels: no parameters.
    Pad,
    /// Option B: 1x1 projections where the shape changes, else identity.
    Project,
    /// Option C: 1x1 projections everywhere.
    ProjectAll,
    /// None: the plain network that the paper compares with.
    Plain,
}

/// What makes a residual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNetSpec {
    /// Name of the graph.
    pub name: String,
    /// `[H,W,C]` of the image.
    pub input: [usize; 3],
    /// Classes.
    pub classes: usize,
    /// What stands before the first stage.
    pub stem: Stem,
    /// The residual function.
    pub block: Block,
    /// Blocks of each stage. Each stage after the first halves the resolution and doubles the
    /// width.
    pub blocks: Vec<usize>,
    /// Width of the stem and of the first stage; a bottleneck puts out four times as much.
    pub width: usize,
    /// The shortcut.
    pub shortcut: Shortcut,
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 12] = [
    "resnet8",
    "resnet8-fashion",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
];

/// The network of that name, to be changed at will before it is built.
///
/// `resnet8` is MLPerf Tiny's shape (32x32x3, 10 classes), `resnet8-fashion` the same on 28x28x1;
/// 20 to 110 are the CIFAR networks with option A; 18 to 152 the ImageNet networks with option B.
pub fn by_name(name: &str) -> Result<ResNetSpec, GraphError> {
    let mut spec = match name {
        "resnet8" | "resnet8-fashion" => ResNetSpec::cifar(1, Shortcut::Project),
        "resnet20" => ResNetSpec::cifar(3, Shortcut::Pad),
        "resnet32" => ResNetSpec::cifar(5, Shortcut::Pad),
        "resnet44" => ResNetSpec::cifar(7, Shortcut::Pad),
        "resnet56" => ResNetSpec::cifar(9, Shortcut::Pad),
        "resnet110" => ResNetSpec::cifar(18, Shortcut::Pad),
        "resnet18" => ResNetSpec::imagenet(Block::Basic, [2, 2, 2, 2]),
        "resnet34" => ResNetSpec::imagenet(Block::Basic, [3, 4, 6, 3]),
        "resnet50" => ResNetSpec::imagenet(BOTTLENECK, [3, 4, 6, 3]),
        "resnet101" => ResNetSpec::imagenet(BOTTLENECK, [3, 4, 23, 3]),
        "resnet152" => ResNetSpec::imagenet(BOTTLENECK, [3, 8, 36, 3]),
        _ => {
            let known = NAMES.join(", ");
            return Err(GraphError::UnknownNetwork { name: name.into(), known });
        }
    };
    if name == "resnet8-fashion" {
        spec.input = [28, 28, 1];
    }
    spec.name = name.into();
    Ok(spec)
}

const BOTTLENECK: Block = Block::Bottleneck { stride_on_3x3: true };

impl ResNetSpec {
    /// The CIFAR form of depth `6n + 2` (section 4.2): 32x32x3, stages of 16, 32 and 64.
    pub fn cifar(n: usize, shortcut: Shortcut) -> Self {
        Self {
            name: format!("resnet{}", n.saturating_mul(6).saturating_add(2)),
            input: [32, 32, 3],
            classes: 10,
            stem: Stem::Conv3x3,
            block: Block::Basic,
            blocks: vec![n; 3],
            width: 16,
            shortcut,
        }
    }

    /// The ImageNet form (table 1): 224x224x3, 1000 classes, four stages from 64, option B.
    pub fn imagenet(block: Block, blocks: [usize; 4]) -> Self {
        let layers = if block == Block::Basic { 2 } else { 3 };
        let blocks_all = blocks.iter().fold(0_usize, |sum, &n| sum.saturating_add(n));
        Self {
            name: format!("resnet{}", blocks_all.saturating_mul(layers).saturating_add(2)),
            input: [224, 224, 3],
            classes: 1000,
            stem: Stem::Conv7x7Pool,
            block,
            blocks: blocks.to_vec(),
            width: 64,
            shortcut: Shortcut::Project,
        }
    }

    /// Builds the graph with weights from `seed` (He initialization, fan-in), gamma 1, biases 0.
    ///
    /// Normalization is the identity and there are no class names: both follow from the data.
    pub fn build(&self, seed: u64) -> Result<Graph, GraphError> {
        let mut builder = Builder {
            graph: GraphBuilder::new(&self.name, self.input)?,
            init: Initializer::new(seed),
        };
        let mut x = builder.stem(self)?;
        for (stage, &blocks) in self.blocks.iter().enumerate() {
            let width = u32::try_from(stage).ok().and_then(|stage| 1_usize.checked_shl(stage));
            let width = width.and_then(|factor| self.width.checked_mul(factor)).unwrap_or(0);
            for index in 0..blocks {
                let name = format!("stage{}.block{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                x = builder.block(self, &name, x, width, stride)?;
            }
        }
        x = builder.graph.push("pool", Op::GlobalAvgPool, &[x])?;
        builder.classifier(x, self.classes)?;
        builder.graph.finish(Normalization::identity(self.input[2]), Vec::new())
    }
}

struct Builder {
    graph: GraphBuilder,
    init: Initializer,
}

impl Builder {
    fn stem(&mut self, spec: &ResNetSpec) -> Result<NodeId, GraphError> {
        let (kernel, stride) = match spec.stem {
            Stem::Conv3x3 => (3, 1),
            Stem::Conv7x7Pool => (7, 2),
        };
        let x = self.conv_bn("stem", "", Graph::INPUT, spec.width, kernel, stride)?;
        let x = self.graph.push("stem.relu", Op::Relu, &[x])?;
        match spec.stem {
            Stem::Conv3x3 => Ok(x),
            Stem::Conv7x7Pool => {
                let padding = Padding::symmetric(1);
                let pool = Op::MaxPool2d { kernel: 3, stride: 2, padding };
                self.graph.push("stem.pool", pool, &[x])
            }
        }
    }

    /// One block. The shortcut stands before the last convolution, so that a runtime may add it
    /// there.
    fn block(
        &mut self,
        spec: &ResNetSpec,
        name: &str,
        x: NodeId,
        width: usize,
        stride: usize,
    ) -> Result<NodeId, GraphError> {
        // (kernel, stride, channels) of each convolution.
        let convs = match spec.block {
            Block::Basic => vec![(3, stride, width), (3, 1, width)],
            Block::Bottleneck { stride_on_3x3 } => {
                let (first, second) = if stride_on_3x3 { (1, stride) } else { (stride, 1) };
                vec![(1, first, width), (3, second, width), (1, 1, width.saturating_mul(4))]
            }
        };
        let channels = convs.last().map_or(width, |conv| conv.2);
        let (mut y, mut skip) = (x, None);
        for (index, &(kernel, stride_conv, channels_conv)) in convs.iter().enumerate() {
            let (number, last) = ((index + 1).to_string(), index + 1 == convs.len());
            if last {
                skip = self.shortcut(spec.shortcut, name, x, channels, stride)?;
            }
            y = self.conv_bn(name, &number, y, channels_conv, kernel, stride_conv)?;
            if !last {
                y = self.graph.push(format!("{name}.relu{number}"), Op::Relu, &[y])?;
            }
        }
        if let Some(skip) = skip {
            y = self.graph.push(format!("{name}.add"), Op::Add, &[y, skip])?;
        }
        self.graph.push(format!("{name}.relu"), Op::Relu, &[y])
    }

    fn shortcut(
        &mut self,
        shortcut: Shortcut,
        name: &str,
        x: NodeId,
        channels: usize,
        stride: usize,
    ) -> Result<Option<NodeId>, GraphError> {
        let changes = stride != 1 || self.graph.shape(x)[2] != channels;
        let project = match shortcut {
            Shortcut::Plain => return Ok(None),
            Shortcut::Pad if changes => {
                let pad = Op::SubsamplePad { stride, channels };
                return self.graph.push(format!("{name}.shortcut"), pad, &[x]).map(Some);
            }
            Shortcut::Pad => false,
            Shortcut::Project => changes,
            Shortcut::ProjectAll => true,
        };
        if !project {
            return Ok(Some(x));
        }
        self.conv_bn(&format!("{name}.shortcut"), "", x, channels, 1, stride).map(Some)
    }

    /// `{name}.conv{number}` with padding `kernel / 2`, and `{name}.bn{number}`.
    fn conv_bn(
        &mut self,
        name: &str,
        number: &str,
        x: NodeId,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<NodeId, GraphError> {
        let name_conv = format!("{name}.conv{number}");
        let inputs = self.graph.shape(x)[2];
        let kind = "conv2d";
        allocatable(&name_conv, kind, &[channels, kernel, kernel, inputs])?;
        let mut weights = Array4::zeros([channels, kernel, kernel, inputs]);
        self.init.he(&mut weights);
        let padding = Padding::symmetric(kernel / 2);
        let conv = Op::Conv2d(Conv2d { weights, bias: None, stride, padding });
        let y = self.graph.push(name_conv, conv, &[x])?;
        let norm = Op::BatchNorm(BatchNorm::identity(channels));
        self.graph.push(format!("{name}.bn{number}"), norm, &[y])
    }

    fn classifier(&mut self, x: NodeId, classes: usize) -> Result<NodeId, GraphError> {
        let inputs = self.graph.shape(x)[2];
        allocatable("classifier", "fully_connected", &[classes, inputs])?;
        let mut weights = Array2::zeros([classes, inputs]);
        self.init.linear(&mut weights);
        let fc = Op::FullyConnected(FullyConnected { weights, bias: Array1::zeros(classes) });
        self.graph.push("classifier", fc, &[x])
    }
}

/// Refuses weights that no network has, before memory for them is asked for.
fn allocatable(name: &str, kind: &'static str, shape: &[usize]) -> Result<(), GraphError> {
    let elements = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    if matches!(elements, Some(1..=0x1000_0000)) {
        return Ok(());
    }
    let problem = format!("weights {shape:?} are empty or have over 2^28 values");
    Err(GraphError::Shape { name: name.into(), kind, problem })
}

#[cfg(test)]
#[path = "resnet_tests.rs"]
mod tests;
