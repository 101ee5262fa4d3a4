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
pub(crate) mod run;
pub(crate) mod train;
pub(crate) mod validate;

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

/// Where a command runs a model.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct On {
    /// Where the model runs (`resmcu boards` lists the targets)
    #[arg(long, value_name = "T", default_value = "host")]
    pub(crate) target: String,
    /// Print the device's log on standard error
    #[arg(long)]
    pub(crate) log: bool,
}
