//! The commands, one a file: each turns arguments into one report.

pub(crate) mod analyze;
pub(crate) mod bench;
pub(crate) mod boards;
pub(crate) mod dataset;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod experiment;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod plan;
pub(crate) mod quantize;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod train;
pub(crate) mod validate;

use crate::failure::Outcome;
use crate::model::Model;
use resmcu_device_link::Target;
use resmcu_model_format::Isa;
use resmcu_quantizer::kernels::{Limits, Packing};
use resmcu_quantizer::plan::search::Memory;

/// The choice of every report.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Json {
    /// Print the report as JSON
    #[arg(long = "json")]
    pub(crate) json: bool,
}

/// Which images a command looks at.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Data {
    /// A CIFAR binary file, an IDX pair or folder, a folder of images, or a data set's name
    #[arg(long, value_name = "PATH", default_value = resmcu_quantizer::data::FASHION_MNIST_SMALL)]
    pub(crate) data: String,
    /// Only the first N test images
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) images: Option<usize>,
}

/// What a model's weights are packed for.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Packing")]
pub(crate) struct Pack {
    /// The most bytes of the model file: where the fastest packing takes more, layers get smaller
    /// and slower ones
    #[arg(long, value_name = "BYTES")]
    flash_budget: Option<usize>,
    /// Bytes of working memory beyond which a kernel gets no more than its least
    #[arg(long, value_name = "BYTES", default_value_t = 52 << 10)]
    scratch_budget: usize,
    /// The most bytes of arena and scratch together, or `least`: layers run in rings of rows where
    /// whole tensors take more
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    ram_budget: Option<Memory>,
}

/// A budget of memory.
fn memory(text: &str) -> Result<Memory, String> {
    match text {
        "least" => Ok(Memory::Least),
        bytes => bytes.parse().map(Memory::AtMost).map_err(|_| {
            "neither a number of bytes nor `least`, the smallest that there is".to_owned()
        }),
    }
}

impl Pack {
    /// Whether the model's size is limited.
    pub(crate) fn has_budget(&self) -> bool {
        self.flash_budget.is_some()
    }

    /// For the core of a board, or for every core.
    pub(crate) fn packing(&self, board: Option<&Target>) -> Packing {
        Packing::Fastest(self.limits(board))
    }

    /// The same without the choice of kernels.
    pub(crate) fn limits(&self, board: Option<&Target>) -> Limits {
        let isa = board.map_or(Isa::Generic, crate::device::isa);
        let memory = self.ram_budget.unwrap_or(Memory::Whole);
        let (file_bytes, scratch_bytes) = (self.flash_budget, self.scratch_budget);
        Limits { isa, file_bytes, scratch_bytes, memory }
    }
}

/// Where a command runs a model.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct On {
    /// Where the model runs (`resmcu boards` lists the targets)
    #[arg(long, value_name = "T", default_value = "host")]
    pub(crate) target: String,
    /// Print the device's log on standard error
    #[arg(long)]
    pub(crate) log: bool,
    #[command(flatten)]
    pack: Pack,
}

impl On {
    /// The model of this name, a network of the zoo packed for the target.
    fn load(&self, model: &str) -> Outcome<Model> {
        let target = crate::device::target(&self.target)?;
        Model::load_for(model, self.pack.packing(target))
    }
}
