//! `resmcu plan`: where a model's tensors lie, and when.

mod curve;

use crate::device::{BoardData, find_board};
use crate::failure::Outcome;
use crate::layers::{Life, lives};
use crate::model::Model;
use crate::output::{Opening, Report, grouped, size, table};
use clap::Args;
use resmcu_model_format::Tensor;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Rows of the memory map.
const MAP_ROWS: u64 = 16;

/// Shows the memory plan: tensors with offset and life, a map, peak and lower bound
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A model file, or a network of the zoo
    model: String,
    /// The core that a network of the zoo is planned for (`resmcu boards` lists the targets)
    #[arg(long, visible_alias = "board", value_name = "T", default_value = "host")]
    target: String,
    /// Show which plans there are between the fastest and the smallest, of a network of the zoo or
    /// a checkpoint
    #[arg(long)]
    curve: bool,
    /// Draw the curve as SVG
    #[arg(long, value_name = "FILE", requires = "curve")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    pack: super::Pack,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    origin: Option<String>,
    arena: u32,
    lower_bound: u32,
    scratch: u32,
    steps: u16,
    buffers: Vec<Buffer>,
}

#[derive(Debug, Serialize)]
struct Buffer {
    name: String,
    offset: u64,
    bytes: u64,
    rows: u16,
    height: u16,
    first: u16,
    last: u16,
}

impl Plan {
    pub(crate) fn run(&self) -> Outcome {
        let board = (self.target != "host").then(|| find_board(&self.target)).transpose()?;
        if self.curve {
            return self.draw_curve(board);
        }
        let model = Model::load_for(&self.model, &self.pack.packing(board))?;
        let file = model.file()?;
        let header = file.header();
        let (arena, scratch) = (header.arena_bytes, header.scratch_bytes);
        let body = Body {
            origin: model.origin.clone(),
            arena,
            lower_bound: header.arena_lower_bound,
            scratch,
            steps: header.steps,
            buffers: file.tensors().zip(lives(&file)).map(Buffer::new).collect(),
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }

    fn draw_curve(&self, target: Option<BoardData>) -> Outcome {
        let packing = self.pack.packing(target);
        let body = curve::Curve::find(&self.model, &self.target, &packing)?;
        if let Some(path) = &self.svg {
            body.draw(path, &self.model)?;
        }
        Report { opening: body.opening(), body }.print(self.json.json)
    }
}

impl Buffer {
    fn new((tensor, life): (Tensor<'_>, Life)) -> Self {
        Self {
            name: tensor.name.to_owned(),
            offset: tensor.offset.into(),
            bytes: tensor.memory_bytes(),
            rows: tensor.rows,
            height: tensor.shape[0],
            first: life.first,
            last: life.last,
        }
    }
}

/// The letter of a buffer in the map.
fn letter(index: usize) -> char {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char::from(LETTERS[index % LETTERS.len()])
}

impl Body {
    /// Memory upwards, steps to the right; a cell shows the tensor that holds its middle.
    fn map(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arena = u64::from(self.arena);
        for row in (0..MAP_ROWS).rev() {
            let (low, high) = (row * arena / MAP_ROWS, (row + 1) * arena / MAP_ROWS);
            write!(f, "{:>10} ", grouped(high))?;
            let middle = low.midpoint(high);
            for step in 0..self.steps {
                let holds = |b: &Buffer| {
                    let lives = b.first <= step && step <= b.last;
                    lives && (b.offset..b.offset + b.bytes).contains(&middle)
                };
                // Of a tensor and the one that takes it over, the later shows.
                let found = self.buffers.iter().rposition(holds);
                write!(f, "{}", found.map_or('·', letter))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "{:>10} step 0 to {}", "bytes", self.steps.saturating_sub(1))
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            writeln!(f, "weights      {origin}")?;
        }
        let ratio = f64::from(self.arena) / f64::from(self.lower_bound.max(1));
        writeln!(f, "arena        {}", size(self.arena))?;
        writeln!(f, "lower bound  {} of this schedule: {ratio:.3}", size(self.lower_bound))?;
        writeln!(f, "scratch      {}\n", size(self.scratch))?;
        let mut tensors = table(&["", "tensor", ">offset", ">bytes", ">rows", ">steps"]);
        for (index, buffer) in self.buffers.iter().enumerate() {
            tensors.add_row([
                letter(index).to_string(),
                buffer.name.clone(),
                grouped(buffer.offset),
                grouped(buffer.bytes),
                format!("{}/{}", buffer.rows, buffer.height),
                format!("{}-{}", buffer.first, buffer.last),
            ]);
        }
        writeln!(f, "{tensors}\n")?;
        self.map(f)
    }
}
