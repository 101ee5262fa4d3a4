//! The commands, one a file: each turns arguments into one report.

pub(crate) mod analyze;
pub(crate) mod bench;
pub(crate) mod boards;
pub(crate) mod dataset;
pub(crate) mod doctor;
pub(crate) mod evaluate;
pub(crate) mod experiment;
pub(crate) mod export;
pub(crate) mod flash;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod monitor;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod quantize;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod train;
pub(crate) mod validate;
pub(crate) mod watch;

use crate::device::{Board, BoardData, Place, Wishes, find_board};
use crate::failure::{Failure, Outcome};
use crate::model::Model;
use crate::output::grouped;
use resmcu_model_format::Isa;
use resmcu_quantizer::kernels::{Core, Limits, Packing};
use resmcu_quantizer::lower::{LowerError, Lowered, lower_for};
use resmcu_quantizer::plan::search::Memory;
use resmcu_quantizer::quantized::QuantizedGraph;

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
    /// A CIFAR binary file, an IDX pair or folder, a folder of images, or a data set's name;
    /// `noise` is seeded noise of the network's own shape
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
    /// and slower ones [default: what a model slot of the board holds]
    #[arg(long, value_name = "BYTES")]
    flash_budget: Option<usize>,
    /// Cycles that the core waits for a word of weights from flash: where it waits long, kernels
    /// that read fewer of them are faster [default: the board's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000))]
    flash_wait_states: Option<u32>,
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
    /// For a board, whose slot the model has to fit into where no budget says more, or for every
    /// core.
    pub(crate) fn packing(&self, board: Option<BoardData>) -> PackedFor {
        let slot = |board: BoardData| usize::try_from(board.slot_bytes).unwrap_or(usize::MAX);
        let limits = Limits {
            isa: board.map_or(Isa::Generic, |board| board.isa),
            core: board.map_or(Core::Any, |board| board.core),
            file_bytes: self.flash_budget.or(board.map(slot)),
            scratch_bytes: self.scratch_budget,
            memory: self.ram_budget.unwrap_or(Memory::Whole),
            flash_wait_states: self.wait_states(board),
        };
        let slot_of = board.filter(|_| self.flash_budget.is_none()).map(|board| board.name);
        PackedFor { limits, slot_of }
    }

    /// What loads of weights wait for flash.
    fn wait_states(&self, board: Option<BoardData>) -> u32 {
        let of_board = board.map_or(0, |board| board.flash_wait_states);
        self.flash_wait_states.unwrap_or(of_board)
    }
}

/// What a model is packed for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedFor {
    pub(crate) limits: Limits,
    /// The board whose slot limits the file.
    slot_of: Option<&'static str>,
}

impl PackedFor {
    /// Every core, by the generic kernels.
    pub(crate) const ANY: Self = Self { limits: Limits::none(Isa::Generic), slot_of: None };

    /// The model file of a graph.
    pub(crate) fn lower(&self, graph: &QuantizedGraph) -> Outcome<Lowered> {
        let lowered = lower_for(graph, Packing::Fastest(self.limits));
        lowered.map_err(|error| self.failure(error))
    }

    /// Why there is no model file, and what helps.
    pub(crate) fn failure(&self, error: LowerError) -> Failure {
        const SMALLER: &str = "a larger --flash-budget or --ram-budget, or a smaller network";
        match (self.slot_of, error) {
            (Some(board), LowerError::Budget { found, limit }) => {
                let [found, limit] = [found, limit].map(|bytes| grouped(bytes as u64));
                let failure = format!(
                    "the model file takes {found} bytes at least, and a model slot of {board} \
                     holds {limit}"
                );
                Failure::input(failure).help(
                    "a smaller network, or a board with larger slots; `--flash-budget` plans for \
                     more than this board has",
                )
            }
            (Some(board), error @ LowerError::Budgets { .. }) => {
                let help = format!(
                    "a larger --ram-budget, a smaller network, or a board with larger model slots \
                     than {board}"
                );
                Failure::input(error).help(help)
            }
            (_, error) => Failure::input(error).help(SMALLER),
        }
    }
}

/// The core and the budgets that a model is packed for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PackFor {
    /// The board for whose core the weights are packed (`resmcu boards` lists them); such a model
    /// runs on every core, elsewhere only slower [default: the generic kernels]
    #[arg(long, value_name = "B", help_heading = "Packing")]
    board: Option<String>,
    #[command(flatten)]
    pack: Pack,
}

impl PackFor {
    /// For the board, or for every core.
    pub(crate) fn packing(&self) -> Outcome<PackedFor> {
        Ok(self.pack.packing(self.board.as_deref().map(find_board).transpose()?))
    }
}

/// Where a command runs a model.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct On {
    /// Where the model runs: `host`, an emulated board, `serial:PORT[@BAUD]`, `probe` or
    /// `probe:SERIAL` (`resmcu boards` and `resmcu probe` list what there is)
    #[arg(long, value_name = "T", default_value = "host")]
    pub(crate) target: String,
    /// The board behind a probe or a serial port
    #[arg(long, value_name = "B")]
    board: Option<String>,
    /// Write the model to the board first, where that runs another
    #[arg(long)]
    update: bool,
    /// Print the device's log on standard error
    #[arg(long)]
    log: bool,
    #[command(flatten)]
    pack: Pack,
}

impl On {
    /// The model of this name, a network of the zoo packed for the target.
    fn load(&self, model: &str) -> Outcome<Model> {
        Model::load_for(model, &self.pack.packing(self.board_data()?))
    }

    /// The board that runs it, where that is known.
    fn board_data(&self) -> Outcome<Option<BoardData>> {
        match (self.place()?, &self.board) {
            (Place::Emulated(target), _) => Ok(Some(target.into())),
            (_, board) => board.as_deref().map(find_board).transpose(),
        }
    }

    /// What loads from flash wait there.
    fn wait_states(&self) -> Outcome<u32> {
        Ok(self.pack.wait_states(self.board_data()?))
    }

    /// Where that is.
    fn place(&self) -> Outcome<Place> {
        let place = Place::find(&self.target)?;
        let is_real = matches!(place, Place::Serial { .. } | Place::Probe { .. });
        if !is_real && (self.board.is_some() || self.update) {
            let failure = "`--board` and `--update` are for boards on a serial port or a probe";
            return Err(Failure::input(failure).help("leave them out, or change `--target`"));
        }
        Ok(place)
    }

    /// The board there, with `model`; `None` for the host itself.
    fn start(&self, model: &Model) -> Outcome<Option<Board>> {
        self.start_profiled(model, false)
    }

    /// The same, with counts by address if `profile` asks for them.
    fn start_profiled(&self, model: &Model, profile: bool) -> Outcome<Option<Board>> {
        let (board, log, update) = (self.board.as_deref(), self.log, self.update);
        Board::start(&self.place()?, model, Wishes { board, log, update, profile })
    }
}
