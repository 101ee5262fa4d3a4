//! Models and networks as commands name them: a path, or a name of the zoo.

use crate::commands::PackedFor;
use crate::failure::{Failure, OrFail, Outcome};
use crate::output::ModelName;
use ndarray::Array4;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use resmcu_int8_runtime::{Block, Executor, Step};
use resmcu_model_format::ModelFile;
use resmcu_quantizer::calibrate::Ranges;
use resmcu_quantizer::fold_batch_norm::fold;
use resmcu_quantizer::graph::{Checkpoint, Graph, resnet};
use resmcu_quantizer::pack_for_host::pack_for_host;
use resmcu_quantizer::quantize::quantize;
use resmcu_quantizer::quantized::QuantizedGraph;
use std::path::Path;
use zerocopy::IntoBytes;

/// What reports say of weights that nobody trained.
const SEEDED: &str = "weights seeded with 0, not trained";

/// Memory that a model runs in: its arena, and its decoded plan.
#[derive(Debug)]
pub(crate) struct Memory {
    arena: Vec<Block>,
    plan: Vec<Step>,
}

/// A file in memory, aligned as in flash.
#[derive(Clone, Debug)]
struct Aligned {
    blocks: Vec<Block>,
    bytes: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let mut blocks = vec![Block::ZERO; bytes.len().div_ceil(Block::BYTES)];
        blocks.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Self { blocks, bytes: bytes.len() }
    }

    fn bytes(&self) -> &[u8] {
        &self.blocks.as_bytes()[..self.bytes]
    }

    /// Memory of the size that this model needs.
    fn memory(&self) -> Memory {
        let header = ModelFile::parse(self.bytes()).map(|file| *file.header());
        let bytes = header.map_or(0, |h| h.arena_bytes as usize + h.scratch_bytes as usize);
        let tensors = header.map_or(0, |h| h.tensors.into());
        Memory {
            arena: vec![Block::ZERO; bytes / Block::BYTES + 2],
            plan: vec![Step::VACANT; tensors],
        }
    }
}

/// A model file in memory, and the same packed for this host.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    file: Aligned,
    host: Aligned,
    /// What the report says of the weights, where they are not a file's.
    pub(crate) origin: Option<String>,
}

/// What a path or a name stands for.
pub(crate) enum Named {
    /// A quantized model.
    Model(Model),
    /// A float network.
    Float(Box<Checkpoint>),
}

impl Model {
    /// A model file's bytes, checked whole as a device checks them.
    pub(crate) fn new(bytes: &[u8]) -> Outcome<Self> {
        let help = "write it again with `resmcu quantize` or `resmcu import`";
        let file = Aligned::new(bytes);
        ModelFile::parse(file.bytes()).or_fail(help)?;
        let mut memory = file.memory();
        Executor::new(file.bytes(), &mut memory.arena, &mut memory.plan)
            .map(|_| ())
            .or_fail(help)?;
        let host = Aligned::new(&pack_for_host(file.bytes()).or_fail(help)?);
        let model = Self { file, host, origin: None };
        model.executor(&mut model.memory()).map(|_| ()).or_fail(help)?;
        Ok(model)
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// The parsed file.
    pub(crate) fn file(&self) -> Outcome<ModelFile<'_>> {
        ModelFile::parse(self.bytes()).map_err(Failure::input)
    }

    /// The parsed file as this host runs it.
    pub(crate) fn host_file(&self) -> Outcome<ModelFile<'_>> {
        ModelFile::parse(self.host.bytes()).map_err(Failure::input)
    }

    /// Memory of the size that the model needs on this host.
    pub(crate) fn memory(&self) -> Memory {
        self.host.memory()
    }

    /// The executor of this model in `memory`: the device's own, with this host's kernel in place
    /// of the file's, which gives the same bytes.
    pub(crate) fn executor<'m, 'a>(&'m self, memory: &'a mut Memory) -> Outcome<Executor<'m, 'a>> {
        let Memory { arena, plan } = memory;
        Executor::new(self.host.bytes(), arena, plan).map_err(Failure::input)
    }

    /// Name and hash for reports.
    pub(crate) fn name(&self) -> Outcome<ModelName> {
        let file = self.file()?;
        Ok(ModelName { name: file.header().name.to_owned(), hash: format!("{:08x}", file.crc()) })
    }

    /// `[H,W,C]` of the input and the number of classes.
    pub(crate) fn input_and_classes(&self) -> Outcome<([usize; 3], usize)> {
        let file = self.file()?;
        let (first, last) = (file.tensors().next(), file.tensors().last());
        let (first, last) = first.zip(last).ok_or_else(|| Failure::input("no tensors"))?;
        Ok((first.shape.map(usize::from), usize::from(last.shape[2])))
    }

    /// The model of `name`: a model file, or a network of the zoo with seeded weights.
    pub(crate) fn load(name: &str) -> Outcome<Self> {
        Self::load_for(name, &PackedFor::ANY)
    }

    /// The same, a network of the zoo with its weights packed as `packing` says.
    pub(crate) fn load_for(name: &str, packing: &PackedFor) -> Outcome<Self> {
        match load_for(name, packing)? {
            Named::Model(model) => Ok(model),
            Named::Float(_) => Err(Failure::input("this is a float checkpoint, not a model file")
                .at(name)
                .help(format!("`resmcu quantize {name} -o model.rmcu` makes one"))),
        }
    }
}

/// What `name` stands for, by the content of the file, or by the zoo.
pub(crate) fn load(name: &str) -> Outcome<Named> {
    load_for(name, &PackedFor::ANY)
}

fn load_for(name: &str, packing: &PackedFor) -> Outcome<Named> {
    let path = Path::new(name);
    if !path.exists() && !looks_like_a_path(name) {
        return seeded(name, packing).map(Named::Model);
    }
    let bytes = std::fs::read(path).map_err(|error| {
        Failure::input(format!("the file could not be read: {error}"))
            .in_file(path)
            .help("name a file that `resmcu train`, `quantize` or `import` wrote")
    })?;
    if bytes.starts_with(b"RMCU") {
        return Model::new(&bytes).map(Named::Model).map_err(|failure| failure.in_file(path));
    }
    let checkpoint = Checkpoint::load(path).map_err(|error| {
        Failure::input(error)
            .in_file(path)
            .help("models begin with `RMCU`; checkpoints are safetensors files of `resmcu train`")
    })?;
    Ok(Named::Float(Box::new(checkpoint)))
}

/// The float checkpoint at `path`.
pub(crate) fn load_checkpoint(path: &str) -> Outcome<Checkpoint> {
    match load(path)? {
        Named::Float(checkpoint) => Ok(*checkpoint),
        Named::Model(_) => Err(Failure::input("this is a quantized model, not a float checkpoint")
            .at(path)
            .help("name the checkpoint that `resmcu train` wrote")),
    }
}

fn looks_like_a_path(name: &str) -> bool {
    name.contains(['/', '\\', '.'])
}

/// A network of the zoo with weights from seed 0, calibrated on noise: right in shape, memory and
/// cost, and without any accuracy.
fn seeded(name: &str, packing: &PackedFor) -> Outcome<Model> {
    let graph = resnet::by_name(name)
        .and_then(|spec| spec.build(0))
        .or_fail("name a model file, a checkpoint, or one of these networks")?;
    let lowered = packing.lower(&on_noise(&graph)?)?;
    let mut model = Model::new(&lowered.file)?;
    model.origin = Some(SEEDED.to_owned());
    Ok(model)
}

/// The integers of a network of the zoo, with seeded weights, or of a checkpoint, calibrated on
/// noise: right in shape, memory and cost. And what the report says of it.
pub(crate) fn shape_of(name: &str) -> Outcome<(QuantizedGraph, Option<String>)> {
    let path = Path::new(name);
    if !path.exists() && !looks_like_a_path(name) {
        let spec = resnet::by_name(name).and_then(|spec| spec.build(0));
        let graph = spec.or_fail("name a checkpoint, or one of these networks")?;
        return Ok((on_noise(&graph)?, Some(SEEDED.to_owned())));
    }
    let checkpoint = load_checkpoint(name)?;
    Ok((on_noise(&checkpoint.graph)?, Some("ranges calibrated on noise".to_owned())))
}

fn on_noise(graph: &Graph) -> Outcome<QuantizedGraph> {
    let graph = fold(graph).map_err(Failure::input)?;
    let [height, width, channels] = graph.input_shape();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let noise =
        Array4::from_shape_simple_fn([2, height, width, channels], || rng.random_range(-2.0..2.0));
    let mut ranges = Ranges::new(&graph);
    ranges
        .observe(&graph, &resmcu_quantizer::engine::Executor::new(), &noise.view())
        .map_err(Failure::input)?;
    quantize(&graph, &ranges).map_err(Failure::input)
}
