//! Every ResNet of "Deep Residual Learning for Image Recognition" (He et al. 2015) and of
//! "Identity Mappings in Deep Residual Networks" (He et al. 2016), and MLPerf Tiny's ResNet-8.
//!
//! Owns what a network is made of; `names` what the papers call it, `build` how it becomes a graph;
//! not training. Padding is PyTorch's: symmetric. Convolutions carry no bias.

mod build;
mod names;

pub use names::{NAMES, by_name};

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
        /// (3.8 GFLOPs for ResNet-50), and so does the code of 2016; torchvision and most published
        /// weights have it on the 3x3 (4.1 GFLOPs). Parameters are the same.
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

/// Where a block has its batch normalizations and `ReLU`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// After its convolutions, the last ReLU after the add (2015): `relu(F(x) + x)`. A projection
    /// is normalized.
    After,
    /// Before its convolutions (2016, figure 1 b): `x + F(relu(bn(x)))`, so that the identity runs
    /// through the whole network. As that paper's section 4.2 and code have it: the stem's ReLU is
    /// the first block's, which has none of its own; where the shape changes, the shortcut reads
    /// the activated signal, and is not normalized; the last block is followed by one more batch
    /// normalization and ReLU.
    Before,
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
    /// Where the normalizations and `ReLU`s are.
    pub activation: Activation,
}

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
            activation: Activation::After,
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
            activation: Activation::After,
        }
    }
}

#[cfg(test)]
mod tests;
