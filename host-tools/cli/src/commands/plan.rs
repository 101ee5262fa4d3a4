//! `resmcu plan`: where a model's tensors lie, and when.

use crate::failure::Outcome;
use crate::model::Model;
use crate::output::{Opening, Report, grouped, size, table};
use clap::Args;
use resmcu_model_format::Tensor;
use serde::Serialize;
use std::fmt;

/// Rows of the memory map.
const MAP_ROWS: u64 = 16;

/// Shows the memory plan: tensors with offset and life, a map, peak and lower bound
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// A model file, or a network of the zoo
    model: String,
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
    curve: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Buffer {
    name: String,
    offset: u64,
    bytes: u64,
    first: u16,
    last: u16,
}

/// One plan of the trade between memory and time.
#[derive(Debug, Serialize)]
struct Point {
    arena: u32,
    scratch: u32,
    mode: &'static str,
}

impl Plan {
    pub(crate) fn run(&self) -> Outcome {
        let model = Model::load(&self.model)?;
        let file = model.file()?;
        let header = file.header();
        let (arena, scratch) = (header.arena_bytes, header.scratch_bytes);
        let body = Body {
            origin: model.origin.clone(),
            arena,
            lower_bound: header.arena_lower_bound,
            scratch,
            steps: header.steps,
            buffers: file.tensors().map(|tensor| Buffer::new(&tensor)).collect(),
            curve: vec![Point { arena, scratch, mode: "whole tensors" }],
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }
}

impl Buffer {
    fn new(tensor: &Tensor<'_>) -> Self {
        Self {
            name: tensor.name.to_owned(),
            offset: tensor.offset.into(),
            bytes: tensor.bytes(),
            first: tensor.first,
            last: tensor.last,
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
        writeln!(f, "lower bound  {} of whole-tensor plans: {ratio:.3}", size(self.lower_bound))?;
        writeln!(f, "scratch      {}\n", size(self.scratch))?;
        let mut tensors = table(&["", "tensor", ">offset", ">bytes", ">steps"]);
        for (index, buffer) in self.buffers.iter().enumerate() {
            tensors.add_row([
                letter(index).to_string(),
                buffer.name.clone(),
                grouped(buffer.offset),
                grouped(buffer.bytes),
                format!("{}-{}", buffer.first, buffer.last),
            ]);
        }
        writeln!(f, "{tensors}\n")?;
        self.map(f)
    }
}
