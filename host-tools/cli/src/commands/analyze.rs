//! `resmcu analyze`: what a model needs, against what a board has.

mod kernels;
mod ledger;

use crate::device::{BoardData, find_board};
use crate::failure::{Failure, Outcome};
use crate::layers::{Layer, layers};
use crate::model::Model;
use crate::output::{Opening, Report, grouped, percent, size, table};
use clap::Args;
use kernels::Choices;
use ledger::Ledger;
use serde::Serialize;
use std::fmt;

/// Reports MACs, weights, memory and kernels by layer, against a board
#[derive(Debug, Args)]
pub(crate) struct Analyze {
    /// A model file, or a network of the zoo
    model: String,
    /// The board whose flash and RAM it shall fit (`resmcu boards` lists them)
    #[arg(long, value_name = "B")]
    board: Option<String>,
    /// Show what each layer costs by every kernel of the board's core: of a network of the zoo, or
    /// of a checkpoint
    #[arg(long)]
    kernels: bool,
    #[command(flatten)]
    pack: super::Pack,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    origin: Option<String>,
    macs: u64,
    params: u64,
    layers: Vec<Layer>,
    arena: u32,
    lower_bound: u32,
    scratch: u32,
    flash: u64,
    board: Option<Fit>,
}

/// Used against there.
#[derive(Debug, Serialize)]
struct Fit {
    name: String,
    ram: u64,
    ram_share: f64,
    flash: u64,
    flash_share: f64,
    ledger: Option<Ledger>,
}

impl Analyze {
    pub(crate) fn run(&self) -> Outcome {
        let board = self.board.as_deref().map(find_board).transpose()?;
        if self.kernels {
            let target = self.board.as_deref().unwrap_or("every core");
            let body = Choices::of(&self.model, target, &self.pack.packing(board))?;
            return Report { opening: body.opening(), body }.print(self.json.json);
        }
        let model = Model::load_for(&self.model, &self.pack.packing(board))?;
        let file = model.file()?;
        let header = file.header();
        let layers = layers(&file)?;
        let (flash, ram) = (model.bytes().len() as u64, header.arena_bytes + header.scratch_bytes);
        let fit = |board: BoardData| -> Outcome<Fit> {
            Ok(Fit {
                name: board.name.to_owned(),
                ram: board.ram_bytes,
                ram_share: f64::from(ram) / board.ram_bytes as f64,
                flash: board.flash_bytes,
                flash_share: flash as f64 / board.flash_bytes as f64,
                ledger: Ledger::of(board, header)?,
            })
        };
        let fit = board.map(fit).transpose()?;
        let over = fit.as_ref().and_then(Fit::excess);
        let body = Body {
            origin: model.origin.clone(),
            macs: header.macs,
            params: layers.iter().map(|layer| layer.params).sum(),
            layers,
            arena: header.arena_bytes,
            lower_bound: header.arena_lower_bound,
            scratch: header.scratch_bytes,
            flash,
            board: fit,
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)?;
        match over {
            Some(excess) => Err(Failure::check(format!(
                "the model does not fit the board: {excess}"
            ))
            .help("a smaller --ram-budget or --flash-budget, a smaller network, a larger board")),
            None => Ok(()),
        }
    }
}

impl Fit {
    /// What does not fit, and by how much.
    fn excess(&self) -> Option<String> {
        let share = |share: f64, what: &str| {
            (share > 1.0).then(|| format!("it takes {} of its {what}", percent(share)))
        };
        let shares = share(self.flash_share, "flash").or_else(|| share(self.ram_share, "RAM"));
        shares.or_else(|| self.ledger.as_ref().and_then(Ledger::excess))
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles =
            [">step", "layer", "op", "output", "kernel", ">MACs", ">weights", ">live bytes"];
        let mut rows = table(&titles);
        for (index, layer) in self.layers.iter().enumerate() {
            let [height, width, channels] = layer.output;
            rows.add_row([
                index.to_string(),
                layer.name.clone(),
                layer.op.clone(),
                format!("{height}x{width}x{channels}"),
                layer.kernel.to_owned(),
                grouped(layer.macs),
                grouped(layer.weight_bytes),
                grouped(layer.live),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        if let Some(origin) = &self.origin {
            writeln!(f, "weights      {origin}")?;
        }
        writeln!(f, "MACs         {}", grouped(self.macs))?;
        writeln!(f, "parameters   {}", grouped(self.params))?;
        let bound = grouped(self.lower_bound);
        writeln!(f, "arena        {}, lower bound {bound}", size(self.arena))?;
        writeln!(f, "scratch      {}", size(self.scratch))?;
        writeln!(f, "model file   {}", size(self.flash))?;
        if let Some(fit) = &self.board {
            let (ram, flash) = (percent(fit.ram_share), percent(fit.flash_share));
            writeln!(
                f,
                "{}: arena and scratch are {ram} of its RAM of {}",
                fit.name,
                size(fit.ram)
            )?;
            writeln!(f, "  and the model {flash} of its flash of {}", size(fit.flash))?;
            match &fit.ledger {
                Some(ledger) => write!(f, "{ledger}")?,
                None => {
                    writeln!(f, "  (`cargo xtask boards` builds what the rest is read from)")?;
                }
            }
        }
        Ok(())
    }
}
