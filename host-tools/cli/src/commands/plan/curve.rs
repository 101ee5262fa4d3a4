//! `resmcu plan --curve`: which plans there are between the fastest and the smallest.

use crate::commands::PackedFor;
use crate::failure::Outcome;
use crate::model::shape_of;
use crate::output::{ModelName, Opening, grouped, size, table};
use crate::plot::{self, Chart, Line, Scale};
use resmcu_quantizer::lower;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Most plans of a curve.
const POINTS: usize = 256;

#[derive(Debug, Serialize)]
pub(super) struct Curve {
    #[serde(skip)]
    network: String,
    origin: Option<String>,
    target: String,
    flash_budget: Option<usize>,
    flash_wait_states: u32,
    curve: Vec<Point>,
}

/// One plan, which no other one beats in both memory and time.
#[derive(Debug, Serialize)]
struct Point {
    ram: usize,
    arena: usize,
    lower_bound: usize,
    scratch: usize,
    modelled_instructions: u64,
    /// Where the core has a table of them.
    modelled_cycles: Option<u64>,
    model_file: usize,
    streamed_segments: usize,
}

impl Curve {
    /// The curve of a network of the zoo, or of a checkpoint.
    pub(super) fn find(network: &str, target: &str, packing: &PackedFor) -> Outcome<Self> {
        let (graph, origin) = shape_of(network)?;
        let points = lower::curve(&graph, packing.limits, POINTS);
        let points = points.map_err(|error| packing.failure(error))?;
        let point = |point: lower::Point| Point {
            ram: point.arena + point.scratch,
            arena: point.arena,
            lower_bound: point.lower_bound,
            scratch: point.scratch,
            modelled_instructions: point.time.instructions,
            modelled_cycles: point.time.cycles,
            model_file: point.file,
            streamed_segments: point.streamed,
        };
        Ok(Self {
            network: network.to_owned(),
            origin,
            target: target.to_owned(),
            flash_budget: packing.limits.file_bytes,
            flash_wait_states: packing.limits.flash_wait_states,
            curve: points.into_iter().map(point).collect(),
        })
    }

    /// The network's name; there is no model file with a hash.
    pub(super) fn opening(&self) -> Opening {
        Opening::of(ModelName { name: self.network.clone(), hash: "not written".to_owned() })
    }

    /// Whether time is in cycles.
    fn has_cycles(&self) -> bool {
        self.curve.iter().all(|point| point.modelled_cycles.is_some())
    }

    /// Draws memory against time.
    pub(super) fn draw(&self, path: &Path, network: &str) -> Outcome {
        let time = |p: &Point| p.modelled_cycles.unwrap_or(p.modelled_instructions);
        let at = |p: &Point| (p.ram as f64 / 1024.0, time(p) as f64 / 1e6);
        let mut points: Vec<(f64, f64)> = self.curve.iter().map(at).collect();
        points.reverse(); // by rising memory
        let name = match self.flash_budget {
            Some(bytes) => format!("model file of {} bytes at most", grouped(bytes as u64)),
            None => "any model file".to_owned(),
        };
        let chart = Chart {
            x: "arena and scratch, KiB".to_owned(),
            y: format!(
                "modelled {}, millions",
                if self.has_cycles() { "cycles" } else { "instructions" }
            ),
            scale: Scale::Log,
            lines: vec![Line { name, color: 0, faint: false, points }],
            mark: None,
        };
        plot::write(path, &format!("{network} on {}: memory and time", self.target), &[chart])
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut titles = vec![">RAM", ">arena", ">bound", ">scratch", ">instructions (modelled)"];
        titles.extend(self.has_cycles().then_some(">cycles (modelled)"));
        titles.push(">model file");
        let mut rows = table(&titles);
        for point in &self.curve {
            let bytes = [point.ram, point.arena, point.lower_bound, point.scratch];
            let mut row: Vec<String> = bytes.iter().map(|&bytes| grouped(bytes as u64)).collect();
            row.push(grouped(point.modelled_instructions));
            row.extend(point.modelled_cycles.map(grouped));
            row.push(grouped(point.model_file as u64));
            rows.add_row(row);
        }
        writeln!(f, "{rows}\n")?;
        if let Some(origin) = &self.origin {
            writeln!(f, "weights      {origin}")?;
        }
        writeln!(f, "target       {}", self.target)?;
        if let Some(bytes) = self.flash_budget {
            writeln!(f, "flash        {} at most", size(bytes as u64))?;
        }
        if self.flash_wait_states > 0 {
            writeln!(f, "flash waits  {} cycles for a word of weights", self.flash_wait_states)?;
        }
        writeln!(f, "any of them: `--ram-budget` with its RAM")
    }
}
