//! `resmcu import`: networks of other tools become checkpoints or models of ours.

use crate::failure::{Failure, Outcome};
use crate::model::Model;
use crate::output::{ModelName, Opening, Report, grouped, size, write_file};
use crate::trust::{Trust, Trusted};
use clap::{Args, ValueEnum};
use resmcu_device_link::wire_protocol::tensor_crc;
use resmcu_quantizer::graph::{Checkpoint, Dtype, Normalization};
use resmcu_quantizer::import::{
    FloatImport, Format, Options, Unfinished, onnx, state_dict, tflite,
};
use resmcu_quantizer::quantization_aware::is_on_grids;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Imports a float network as a checkpoint, an int8 `.tflite` file as a model
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file: `.tflite`, `.onnx`, or a state dict (`.safetensors`, `.pth`, `.th`, `.pt`)
    file: PathBuf,
    /// Where it is written [default: the file's name with `.rmcu` or `.checkpoint.safetensors`]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The network of a state dict [default: what its names and shapes say]
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Height and width of the image where the file leaves it open [state dicts: 224x224 or 32x32]
    #[arg(long, value_name = "HxW", value_parser = sides)]
    input: Option<[usize; 2]>,
    /// What a float network expects of its images
    #[arg(long, value_enum, conflicts_with_all = ["mean", "std"])]
    normalization: Option<Convention>,
    /// Means of `pixel / 255`, a channel each or one for all
    #[arg(long, value_name = "M,..", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Deviations of `pixel / 255`, a channel each or one for all
    #[arg(long, value_name = "S,..", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
    #[command(flatten)]
    pack: super::PackFor,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    json: super::Json,
}

/// What to do where nothing says what the network expects.
const NORMALIZATION_HELP: &str =
    "say it: `--normalization raw` (0 to 255), `unit` (0 to 1), `signed`, `torchvision`, or --mean";

/// Usual normalizations.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Convention {
    /// Mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225 of RGB in 0 to 1
    Torchvision,
    /// 0 to 1
    Unit,
    /// -1 to 1
    Signed,
    /// 0 to 255, the bytes as they are
    Raw,
}

/// Height and width of `32x32`.
fn sides(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    sides.ok_or_else(|| format!("`{text}` is not height and width, as 224x224"))
}

#[derive(Debug, Serialize)]
struct Body {
    arithmetic: &'static str,
    layers: usize,
    parameters: u64,
    macs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    arena: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scratch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    float: Option<FloatBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trust: Option<Trusted>,
    file: String,
    bytes: usize,
}

/// What is known of a float network alone.
#[derive(Debug, Serialize)]
struct FloatBody {
    input: [usize; 3],
    classes: usize,
    mean: Vec<f32>,
    std: Vec<f32>,
    tensors: usize,
    mapped: Vec<String>,
    folded: Vec<String>,
    assumed: Vec<String>,
    left_out: Vec<String>,
}

impl Import {
    pub(crate) fn run(&self) -> Outcome {
        let bytes = std::fs::read(&self.file).map_err(|error| {
            Failure::input(format!("the file could not be read: {error}"))
                .in_file(&self.file)
                .help("name a file of PyTorch, safetensors, ONNX or TensorFlow Lite")
        })?;
        let name = self.file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into());
        match Format::of(&bytes) {
            Some(Format::Tflite) => self.int8(&bytes, &name),
            Some(Format::FloatTflite) => {
                let imported = tflite::read_float(&bytes, &self.options(name.clone()));
                self.float(&name, imported.map_err(|error| self.refused_graph(&error))?)
            }
            Some(Format::StateDict) => {
                let imported = state_dict::read(&bytes, &self.options(name.clone()));
                self.float(&name, imported.map_err(|error| self.refused(&error))?)
            }
            Some(Format::Onnx) => {
                let imported = onnx::read(&bytes, &self.options(name.clone()));
                self.float(&name, imported.map_err(|error| self.refused_onnx(&error))?)
            }
            None => Err(Failure::input("neither a .tflite nor an ONNX file, nor a state dict")
                .in_file(&self.file)
                .help(
                    "PyTorch: `torch.save(model.state_dict(), FILE)`, or safetensors' save_file",
                )),
        }
    }

    fn options(&self, name: String) -> Options {
        // A single value is of all channels.
        let all = |mean, std| Normalization { mean: vec![mean], std: vec![std] };
        let normalization = self.normalization.map(|convention| match convention {
            Convention::Torchvision => Normalization::torchvision(),
            Convention::Unit => all(0.0, 1.0),
            Convention::Signed => all(0.5, 0.5),
            Convention::Raw => all(0.0, 1.0 / 255.0),
        });
        let given = self.mean.clone().zip(self.std.clone());
        let given = given.map(|(mean, std)| Normalization { mean, std });
        let normalization = normalization.or(given);
        Options { name, network: self.network.clone(), input: self.input, normalization }
    }

    fn refused(&self, error: &state_dict::StateDictError) -> Failure {
        use state_dict::StateDictError as Error;
        let help = match error {
            Error::Pickle(_) | Error::Kind(_) | Error::Archive(_) | Error::NoStateDict(_) => {
                "save the weights alone: `torch.save(model.state_dict(), FILE)`"
            }
            Error::Own => "go on with `resmcu quantize`",
            Error::Normalization { .. } => NORMALIZATION_HELP,
            Error::Mapping { .. } => {
                "networks with torchvision's names and CIFAR networks are known, not their variants"
            }
            _ => "tensors of f32, f16 or bf16 with torchvision's names can be imported",
        };
        Failure::input(error).in_file(&self.file).help(help)
    }

    fn refused_graph(&self, error: &tflite::TfliteError) -> Failure {
        let help = match error {
            tflite::TfliteError::Unfinished(Unfinished::Normalization) => NORMALIZATION_HELP,
            _ => {
                "convolutions without groups, ReLU, adds, poolings, full connections are supported"
            }
        };
        Failure::input(error).in_file(&self.file).help(help)
    }

    fn refused_onnx(&self, error: &onnx::OnnxError) -> Failure {
        use onnx::OnnxError as Error;
        let help = match error {
            Error::Unfinished(Unfinished::Normalization) => NORMALIZATION_HELP,
            Error::External { .. } => {
                "write one file: `onnx.save(onnx.load(FILE), NEW, save_as_external_data=False)`"
            }
            Error::End { .. } => "say height and width with --input HxW; the batch is of one image",
            _ => {
                "convolutions without groups, ReLU, adds, poolings, full connections are supported"
            }
        };
        Failure::input(error).in_file(&self.file).help(help)
    }

    fn int8(&self, bytes: &[u8], name: &str) -> Outcome {
        let graph = tflite::read(bytes, name).map_err(|error| {
            Failure::input(error).in_file(&self.file).help(
                "int8 convolutions, fully connected layers, adds, poolings, softmax are supported",
            )
        })?;
        let lowered = self.pack.packing()?.lower(&graph)?;
        let (model, trust) = self.trust.annotate(&Model::new(&lowered.file)?, None)?;
        let path = self.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.rmcu")));
        write_file(&path, model.bytes())?;
        let file = model.file()?;
        let layers = crate::layers::layers(&file)?;
        let body = Body {
            arithmetic: "int8",
            layers: layers.len(),
            parameters: layers.iter().map(|layer| layer.params).sum(),
            macs: file.header().macs,
            arena: Some(file.header().arena_bytes),
            scratch: Some(file.header().scratch_bytes),
            float: None,
            trust,
            file: path.display().to_string(),
            bytes: model.bytes().len(),
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }

    fn float(&self, name: &str, imported: FloatImport) -> Outcome {
        if self.trust.is_asked() {
            return Err(Failure::input("a float network has no integers to choose a margin of")
                .in_file(&self.file)
                .help("import it without `--trust`, and give that to `resmcu quantize`"));
        }
        let FloatImport { graph, tensors, mapped, folded, assumed, left_out } = imported;
        let default = || PathBuf::from(format!("{name}.checkpoint.safetensors"));
        let path = self.output.clone().unwrap_or_else(default);
        if same_file(&path, &self.file) {
            return Err(Failure::input("the file would be written over itself")
                .in_file(&self.file)
                .help("name another with -o"));
        }
        let float = FloatBody {
            input: graph.input_shape(),
            classes: graph.classes(),
            mean: graph.normalization.mean.clone(),
            std: graph.normalization.std.clone(),
            tensors,
            mapped,
            folded,
            assumed,
            left_out,
        };
        let arithmetic = if is_on_grids(&graph) { "float on int8 grids" } else { "float" };
        let (layers, parameters, macs) =
            (graph.nodes.len() - 1, graph.parameter_count(), graph.macs());
        let checkpoint = Checkpoint::from(graph);
        let bytes = checkpoint.to_bytes(Dtype::F32).map_err(Failure::input)?;
        write_file(&path, &bytes)?;
        let hash = format!("{:08x}", tensor_crc(&bytes));
        let body = Body {
            arithmetic,
            layers,
            parameters,
            macs,
            arena: None,
            scratch: None,
            float: Some(float),
            trust: None,
            file: path.display().to_string(),
            bytes: bytes.len(),
        };
        let opening = Opening::of(ModelName { name: checkpoint.graph.name, hash });
        Report { opening, body }.print(self.json.json)
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(float) = &self.float {
            let [height, width, channels] = float.input;
            writeln!(f, "input        {height}x{width}x{channels}")?;
            writeln!(f, "mean         {:?} of pixel / 255", float.mean)?;
            writeln!(f, "deviation    {:?} of pixel / 255", float.std)?;
            writeln!(f, "classes      {}", float.classes)?;
            writeln!(f, "tensors      {} read", float.tensors)?;
        }
        writeln!(f, "layers       {}, {}", self.layers, self.arithmetic)?;
        writeln!(f, "parameters   {}", grouped(self.parameters))?;
        writeln!(f, "MACs         {}", grouped(self.macs))?;
        if let Some(arena) = self.arena {
            writeln!(f, "arena        {}", size(arena))?;
        }
        if let Some(scratch) = self.scratch {
            writeln!(f, "scratch      {}", size(scratch))?;
        }
        for (title, lines) in self.float.iter().flat_map(FloatBody::notes) {
            for (index, line) in lines.iter().enumerate() {
                writeln!(f, "{:<12} {line}", if index == 0 { title } else { "" })?;
            }
        }
        self.trust.iter().try_for_each(|trusted| write!(f, "{trusted}"))?;
        writeln!(f, "written      {}, {}", self.file, size(self.bytes as u64))
    }
}

impl FloatBody {
    fn notes(&self) -> [(&'static str, &[String]); 4] {
        [
            ("mapped", &self.mapped),
            ("folded", &self.folded),
            ("assumed", &self.assumed),
            ("left out", &self.left_out),
        ]
    }
}
