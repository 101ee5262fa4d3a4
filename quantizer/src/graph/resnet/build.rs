//! From a specification to a graph with seeded weights.
//!
//! Owns the order and the names of the nodes: `stem.conv`, `stage1.block0.bn1`, `classifier`.

use ndarray::{Array1, Array2, Array4};

use super::{Activation, Block, ResNetSpec, Shortcut, Stem};
use crate::graph::init::Initializer;
use crate::graph::{
    BatchNorm, Conv2d, FullyConnected, Graph, GraphBuilder, GraphError, NodeId, Normalization, Op,
    Padding,
};

impl ResNetSpec {
    /// Builds the graph with weights from `seed` (He initialization, fan-in), gamma 1, biases 0.
    ///
    /// Normalization is the identity and there are no class names: both follow from the data.
    pub fn build(&self, seed: u64) -> Result<Graph, GraphError> {
        self.build_from(Initializer::new(seed))
    }

    /// The same with weights of zero, for whoever sets them all.
    pub fn build_zeroed(&self) -> Result<Graph, GraphError> {
        self.build_from(Initializer::zeros())
    }

    fn build_from(&self, init: Initializer) -> Result<Graph, GraphError> {
        let mut builder = Builder { graph: GraphBuilder::new(&self.name, self.input)?, init };
        let mut x = builder.stem(self)?;
        let mut activated = true;
        for (stage, &blocks) in self.blocks.iter().enumerate() {
            let width = u32::try_from(stage).ok().and_then(|stage| 1_usize.checked_shl(stage));
            let width = width.and_then(|factor| self.width.checked_mul(factor)).unwrap_or(0);
            for index in 0..blocks {
                let name = format!("stage{}.block{index}", stage + 1);
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let place = Place { spec: self, name: &name, x, width, stride };
                x = match self.activation {
                    Activation::After => builder.block_after(&place)?,
                    Activation::Before => builder.block_before(&place, activated)?,
                };
                activated = self.activation == Activation::After;
            }
        }
        if !activated {
            x = builder.norm_relu("final", "", x)?;
        }
        x = builder.graph.push("pool", Op::GlobalAvgPool, &[x])?;
        builder.classifier(x, self.classes)?;
        builder.graph.finish(Normalization::identity(self.input[2]), Vec::new())
    }
}

/// Where a block stands.
struct Place<'a> {
    spec: &'a ResNetSpec,
    name: &'a str,
    /// What it reads.
    x: NodeId,
    /// Of its stage.
    width: usize,
    stride: usize,
}

impl Place<'_> {
    /// Kernel, stride and channels of each convolution.
    fn convs(&self) -> Vec<(usize, usize, usize)> {
        let &Self { width, stride, .. } = self;
        match self.spec.block {
            Block::Basic => vec![(3, stride, width), (3, 1, width)],
            Block::Bottleneck { stride_on_3x3 } => {
                let (first, second) = if stride_on_3x3 { (1, stride) } else { (stride, 1) };
                vec![(1, first, width), (3, second, width), (1, 1, width.saturating_mul(4))]
            }
        }
    }
}

/// What joins the residual function.
enum Skip {
    None,
    Identity,
    Pad,
    Project,
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
        let x = self.conv_norm("stem", "", Graph::INPUT, (kernel, stride, spec.width))?;
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

    /// One block of 2015. The shortcut stands before the last convolution, so that a runtime may
    /// add it there.
    fn block_after(&mut self, place: &Place<'_>) -> Result<NodeId, GraphError> {
        let &Place { name, x, stride, .. } = place;
        let convs = place.convs();
        let (mut y, mut skip) = (x, None);
        for (index, &conv) in convs.iter().enumerate() {
            let (number, last) = ((index + 1).to_string(), index + 1 == convs.len());
            if last {
                skip = match self.skip(place, conv.2) {
                    Skip::None => None,
                    Skip::Identity => Some(x),
                    Skip::Pad => Some(self.pad(place, x, conv.2)?),
                    Skip::Project => {
                        let name = format!("{name}.shortcut");
                        Some(self.conv_norm(&name, "", x, (1, stride, conv.2))?)
                    }
                };
            }
            y = self.conv_norm(name, &number, y, conv)?;
            if !last {
                y = self.graph.push(format!("{name}.relu{number}"), Op::Relu, &[y])?;
            }
        }
        if let Some(skip) = skip {
            y = self.graph.push(format!("{name}.add"), Op::Add, &[y, skip])?;
        }
        self.graph.push(format!("{name}.relu"), Op::Relu, &[y])
    }

    /// One block of 2016. The first of the network reads what the stem has `activated`.
    fn block_before(&mut self, place: &Place<'_>, activated: bool) -> Result<NodeId, GraphError> {
        let &Place { name, x, stride, .. } = place;
        let convs = place.convs();
        let (mut y, mut skip, mut first) = (x, None, x);
        for (index, &conv) in convs.iter().enumerate() {
            let (number, last) = ((index + 1).to_string(), index + 1 == convs.len());
            if index > 0 || !activated {
                y = self.norm_relu(name, &number, y)?;
            }
            if index == 0 {
                first = y;
            }
            if last {
                skip = match self.skip(place, conv.2) {
                    Skip::None => None,
                    Skip::Identity => Some(x),
                    Skip::Pad => Some(self.pad(place, first, conv.2)?),
                    Skip::Project => {
                        let name = format!("{name}.shortcut.conv");
                        Some(self.conv(name, first, (1, stride, conv.2))?)
                    }
                };
            }
            y = self.conv(format!("{name}.conv{number}"), y, conv)?;
        }
        match skip {
            Some(skip) => self.graph.push(format!("{name}.add"), Op::Add, &[y, skip]),
            None => Ok(y),
        }
    }

    fn skip(&self, place: &Place<'_>, channels: usize) -> Skip {
        let changes = place.stride != 1 || self.graph.shape(place.x)[2] != channels;
        match place.spec.shortcut {
            Shortcut::Plain => Skip::None,
            Shortcut::Pad if changes => Skip::Pad,
            Shortcut::Project if changes => Skip::Project,
            Shortcut::ProjectAll => Skip::Project,
            Shortcut::Pad | Shortcut::Project => Skip::Identity,
        }
    }

    fn pad(&mut self, place: &Place<'_>, x: NodeId, channels: usize) -> Result<NodeId, GraphError> {
        let pad = Op::SubsamplePad { stride: place.stride, channels };
        self.graph.push(format!("{}.shortcut", place.name), pad, &[x])
    }

    /// `{name}.conv{number}` and `{name}.bn{number}`.
    fn conv_norm(
        &mut self,
        name: &str,
        number: &str,
        x: NodeId,
        conv: (usize, usize, usize),
    ) -> Result<NodeId, GraphError> {
        let y = self.conv(format!("{name}.conv{number}"), x, conv)?;
        self.norm(name, number, y)
    }

    /// `{name}.bn{number}` and `{name}.relu{number}`.
    fn norm_relu(&mut self, name: &str, number: &str, x: NodeId) -> Result<NodeId, GraphError> {
        let y = self.norm(name, number, x)?;
        self.graph.push(format!("{name}.relu{number}"), Op::Relu, &[y])
    }

    fn norm(&mut self, name: &str, number: &str, x: NodeId) -> Result<NodeId, GraphError> {
        let norm = Op::BatchNorm(BatchNorm::identity(self.graph.shape(x)[2]));
        self.graph.push(format!("{name}.bn{number}"), norm, &[x])
    }

    /// A convolution of `(kernel, stride, channels)` with padding `kernel / 2`.
    fn conv(
        &mut self,
        name: String,
        x: NodeId,
        (kernel, stride, channels): (usize, usize, usize),
    ) -> Result<NodeId, GraphError> {
        let inputs = self.graph.shape(x)[2];
        allocatable(&name, "conv2d", &[channels, kernel, kernel, inputs])?;
        let mut weights = Array4::zeros([channels, kernel, kernel, inputs]);
        self.init.he(&mut weights);
        let padding = Padding::symmetric(kernel / 2);
        self.graph.push(
            name,
            Op::Conv2d(Conv2d { weights, bias: None, stride, padding, quantizer: None }),
            &[x],
        )
    }

    fn classifier(&mut self, x: NodeId, classes: usize) -> Result<NodeId, GraphError> {
        let inputs = self.graph.shape(x)[2];
        allocatable("classifier", "fully_connected", &[classes, inputs])?;
        let mut weights = Array2::zeros([classes, inputs]);
        self.init.linear(&mut weights);
        let fc = Op::FullyConnected(FullyConnected {
            weights,
            bias: Array1::zeros(classes),
            quantizer: None,
        });
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
