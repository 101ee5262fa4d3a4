//! Which network a file's tensors are, and which tensor is which parameter.
//!
//! Owns the recognition from names and shapes, and the comparison with what the network needs;
//! nothing is allocated for parameters before that comparison has passed.

use super::error::{MappingProblem, StateDictError};
use super::names::{self, Meaning};
use super::tensor::{StateDict, Tensor};
use crate::graph::resnet::{self, Activation, Block, ResNetSpec, Shortcut, Stem};
use crate::import::Options;
use std::collections::{BTreeMap, HashMap};

/// Networks have three or four.
const STAGES_MAX: usize = 8;

/// How a file becomes a network.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) spec: ResNetSpec,
    /// For each of our parameters, the position of its tensor.
    pub(super) sources: HashMap<String, usize>,
    /// Tensors that only count batches.
    pub(super) counters: usize,
    pub(super) assumed: Vec<String>,
}

/// The tensors of a file by what they mean.
struct Sorted<'f> {
    tensors: &'f [Tensor<'f>],
    /// By our name.
    parameters: BTreeMap<String, usize>,
    counters: usize,
    problems: Vec<MappingProblem>,
}

impl Plan {
    /// Recognizes the network, or takes the one that the caller names, and compares.
    pub(super) fn new(file: &StateDict<'_>, options: &Options) -> Result<Self, StateDictError> {
        let sorted = Sorted::new(&file.tensors);
        let mut assumed = Vec::new();
        let mut spec = match &options.network {
            Some(name) => {
                let mut spec = resnet::by_name(name)?;
                sorted.adopt(&mut spec);
                spec
            }
            None => sorted.recognize(&options.name, &mut assumed)?,
        };
        match options.input {
            Some([height, width]) => spec.input = [height, width, spec.input[2]],
            None => {
                let [height, width, _] = spec.input;
                assumed.push(format!("images are {height}x{width}, the size for this stem"));
            }
        }
        if matches!(spec.block, Block::Bottleneck { .. }) {
            assumed.push("bottlenecks have their stride on the 3x3, as torchvision's".to_owned());
        }
        let counters = sorted.counters;
        let sources = sorted.compare(&spec)?;
        Ok(Self { spec, sources, counters, assumed })
    }
}

impl<'f> Sorted<'f> {
    fn new(tensors: &'f [Tensor<'f>]) -> Self {
        let names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let prefix = names::prefix_bytes(&names);
        let (parameters, problems) = (BTreeMap::new(), Vec::new());
        let mut sorted = Self { tensors, parameters, counters: 0, problems };
        for (index, tensor) in tensors.iter().enumerate() {
            match names::meaning(tensor.name.get(prefix..).unwrap_or_default()) {
                Meaning::Counter => sorted.counters += 1,
                Meaning::Unknown => sorted.unexpected(index),
                Meaning::Parameter(ours) => {
                    if let Some(first) = sorted.parameters.insert(ours, index) {
                        let names = [first, index].map(|index| tensors[index].name.clone());
                        let [first, second] = names;
                        sorted.problems.push(MappingProblem::Twice(first, second));
                    }
                }
            }
        }
        sorted
    }

    fn unexpected(&mut self, index: usize) {
        let name = self.tensors[index].name.clone();
        self.problems.push(MappingProblem::Unexpected(name));
    }

    /// The shape of a parameter in the file.
    fn shape(&self, ours: &str) -> Option<&'f [usize]> {
        self.parameters.get(ours).map(|&index| self.tensors[index].shape.as_slice())
    }

    /// What a named network takes from the file: classes and the image's channels.
    fn adopt(&self, spec: &mut ResNetSpec) {
        if let Some(&[_, channels, _, _]) = self.shape("stem.conv.weights") {
            spec.input[2] = channels;
        }
        if let Some(&[classes, _]) = self.shape("classifier.weights") {
            spec.classes = classes;
        }
    }

    /// The network that these names and shapes are of, as far as they tell.
    fn recognize(
        &self,
        file_name: &str,
        assumed: &mut Vec<String>,
    ) -> Result<ResNetSpec, StateDictError> {
        let missing = |ours: &str| StateDictError::Mapping {
            network: "a residual network".to_owned(),
            problems: [MappingProblem::Missing(names::theirs(ours))]
                .into_iter()
                .chain(self.problems.iter().cloned())
                .collect(),
        };
        let stem = "stem.conv.weights";
        let Some(&[width, _, kernel, _]) = self.shape(stem) else { return Err(missing(stem)) };
        let blocks = self.blocks();
        if blocks.is_empty() {
            return Err(missing("stage1.block0.conv1.weights"));
        }
        let bottleneck = self.shape("stage1.block0.conv3.weights").is_some();
        let large = kernel == 7;
        let mut spec = ResNetSpec {
            name: file_name.to_owned(),
            input: if large { [224, 224, 3] } else { [32, 32, 3] },
            classes: 0,
            stem: if large { Stem::Conv7x7Pool } else { Stem::Conv3x3 },
            block: match bottleneck {
                true => Block::Bottleneck { stride_on_3x3: true },
                false => Block::Basic,
            },
            width,
            shortcut: self.shortcut(&blocks, assumed),
            activation: Activation::After,
            blocks,
        };
        self.adopt(&mut spec);
        if let Some(known) = resnet::NAMES.iter().find(|name| is_named(&spec, name)) {
            spec.name = (*known).to_owned();
        }
        Ok(spec)
    }

    /// How many blocks each stage has; a gap shows as missing names later.
    fn blocks(&self) -> Vec<usize> {
        let mut blocks: BTreeMap<usize, usize> = BTreeMap::new();
        for (stage, block) in self.parameters.keys().filter_map(|ours| names::block_of(ours)) {
            let count = blocks.entry(stage).or_default();
            *count = (*count).max(block.saturating_add(1));
        }
        // More than that would only be a long list of what is missing.
        let limit = self.tensors.len();
        let stages = blocks.keys().next_back().copied().unwrap_or(0).min(STAGES_MAX);
        (1..=stages).map(|stage| blocks.get(&stage).map_or(0, |&n| n.min(limit))).collect()
    }

    fn shortcut(&self, blocks: &[usize], assumed: &mut Vec<String>) -> Shortcut {
        let projections = self.parameters.keys().filter(|n| n.ends_with("shortcut.conv.weights"));
        match projections.count() {
            0 => {
                let option = "option A (subsampled, padded with zero channels)";
                assumed.push(format!("shortcuts without parameters are {option}"));
                Shortcut::Pad
            }
            n if n == blocks.iter().sum::<usize>() && n > blocks.len() => Shortcut::ProjectAll,
            _ => Shortcut::Project,
        }
    }

    /// Compares with what the network needs; what it does not is left over.
    fn compare(mut self, spec: &ResNetSpec) -> Result<HashMap<String, usize>, StateDictError> {
        let mut sources = HashMap::new();
        let mut problems = Vec::new();
        for names::Expected { ours, shape } in names::expected(spec) {
            let Some(index) = self.parameters.remove(&ours) else {
                problems.push(MappingProblem::Missing(names::theirs(&ours)));
                continue;
            };
            let tensor = &self.tensors[index];
            if tensor.shape != shape {
                let (name, found) = (tensor.name.clone(), tensor.shape.clone());
                problems.push(MappingProblem::Shape { name, found, expected: shape });
            }
            sources.insert(ours, index);
        }
        for index in std::mem::take(&mut self.parameters).into_values() {
            self.unexpected(index);
        }
        problems.append(&mut self.problems);
        let network = spec.name.clone();
        if problems.is_empty() {
            Ok(sources)
        } else {
            Err(StateDictError::Mapping { network, problems })
        }
    }
}

/// Whether the network is a known one, but for its classes and the image's channels.
fn is_named(spec: &ResNetSpec, name: &str) -> bool {
    resnet::by_name(name).is_ok_and(|mut known| {
        known.name.clone_from(&spec.name);
        known.classes = spec.classes;
        known.input = spec.input;
        known == *spec
    })
}
