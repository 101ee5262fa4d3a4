//! `resmcu bench`: what each layer costs on a target.

use crate::device::{Board, input, target};
use crate::failure::{Failure, Outcome};
use crate::layers::{Layer, layers};
use crate::model::Model;
use crate::output::{Opening, Report, grouped, percent, size, table};
use clap::Args;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use resmcu_device_link::wire_protocol::CounterUnit;
use resmcu_int8_runtime::Observer;
use serde::Serialize;
use std::fmt;
use std::time::Instant;

/// Runs on the host, of which the fastest counts.
const HOST_RUNS: usize = 10;

/// Counts what each layer costs: instructions on emulated boards, nanoseconds on the host
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// A model file, or a network of the zoo
    model: String,
    #[command(flatten)]
    on: super::On,
    #[command(flatten)]
    json: super::Json,
}

#[derive(Debug, Serialize)]
struct Body {
    target: String,
    origin: Option<String>,
    unit: &'static str,
    macs: u64,
    total: u64,
    per_mac: f64,
    modelled_cycles: Option<u64>,
    layers: Vec<Row>,
    ram: Option<Ram>,
    flash: Option<Flash>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    op: String,
    kernel: &'static str,
    macs: u64,
    count: u64,
}

/// Where the RAM goes, in bytes.
#[derive(Debug, Serialize)]
struct Ram {
    arena: u32,
    scratch: u32,
    plan: u32,
    statics: u32,
    stack: u32,
    total: u32,
}

/// Where the flash goes, in bytes.
#[derive(Debug, Serialize)]
struct Flash {
    code: u64,
    model: u64,
    total: u64,
}

impl Bench {
    pub(crate) fn run(&self) -> Outcome {
        let model = self.on.load(&self.model)?;
        let layers = layers(&model.file()?)?;
        let (shape, _) = model.input_and_classes()?;
        // The cost does not depend on the picture; noise shows it where it did.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let image: Vec<u8> = (0..shape.iter().product()).map(|_| rng.random()).collect();
        let measured = match target(&self.on.target)? {
            None => Measured::on_host(&model, &image)?,
            Some(target) => {
                let board = Board::start(target, &model, self.on.log)?;
                Measured::on(board, &model, &image)?
            }
        };
        let Measured { unit, counts, total, ram, flash } = measured;
        let macs = layers.iter().map(|layer| layer.macs).sum::<u64>();
        let body = Body {
            target: self.on.target.clone(),
            origin: model.origin.clone(),
            unit,
            macs,
            total,
            per_mac: total as f64 / macs.max(1) as f64,
            modelled_cycles: None,
            layers: layers.into_iter().zip(counts).map(Row::new).collect(),
            ram,
            flash,
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }
}

impl Row {
    fn new((layer, count): (Layer, u64)) -> Self {
        let Layer { name, op, kernel, macs, .. } = layer;
        Self { name, op, kernel, macs, count }
    }
}

struct Measured {
    unit: &'static str,
    counts: Vec<u64>,
    total: u64,
    ram: Option<Ram>,
    flash: Option<Flash>,
}

/// Times every step.
struct Stopwatch {
    start: Instant,
    nanoseconds: Vec<u64>,
}

impl Observer for Stopwatch {
    fn step_begin(&mut self, _step: usize) {
        self.start = Instant::now();
    }

    fn step_end(&mut self, _step: usize, _output: &[u8]) {
        let nanoseconds = self.start.elapsed().as_nanos();
        self.nanoseconds.push(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
    }
}

impl Measured {
    fn on_host(model: &Model, image: &[u8]) -> Outcome<Self> {
        let mut arena = model.arena();
        let mut executor = model.executor(&mut arena)?;
        let mut fastest = Vec::new();
        for _ in 0..HOST_RUNS {
            if !executor.write_image(0, image) {
                return Err(Failure::input("the image is larger than the network's input"));
            }
            let mut watch = Stopwatch { start: Instant::now(), nanoseconds: Vec::new() };
            executor.run(&mut watch);
            if fastest.is_empty() {
                fastest = watch.nanoseconds;
            } else {
                fastest.iter_mut().zip(watch.nanoseconds).for_each(|(f, n)| *f = n.min(*f));
            }
        }
        let total = fastest.iter().sum();
        Ok(Self { unit: "nanoseconds", counts: fastest, total, ram: None, flash: None })
    }

    fn on(mut board: Board, model: &Model, image: &[u8]) -> Outcome<Self> {
        let counted = board.client.bench(&input(image))?;
        let memory = board.client.memory()?;
        let unit = match board.client.summary().unit {
            CounterUnit::Instructions => "instructions",
            CounterUnit::Cycles => "cycles",
        };
        let plan = memory.plan;
        let (arena, scratch) = (memory.arena, memory.scratch);
        let (statics, stack) = (memory.statics, memory.stack);
        let total = arena + scratch + plan + statics + stack;
        let ram = Some(Ram { arena, scratch, plan, statics, stack, total });
        let (code, file) = (board.sizes.flash, model.bytes().len() as u64);
        let flash = Some(Flash { code, model: file, total: code + file });
        board.client.stop()?;
        Ok(Self { unit, counts: counted.steps, total: counted.total, ram, flash })
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = format!(">{}", self.unit);
        let titles =
            [">step", "layer", "op", "kernel", ">MACs", &count, ">share", ">sum", ">per MAC"];
        let mut rows = table(&titles);
        let mut sum = 0;
        for (index, row) in self.layers.iter().enumerate() {
            sum += row.count;
            let share = |part: u64| percent(part as f64 / self.total.max(1) as f64);
            let per_mac = match row.macs {
                0 => "-".to_owned(),
                macs => format!("{:.3}", row.count as f64 / macs as f64),
            };
            rows.add_row([
                index.to_string(),
                row.name.clone(),
                row.op.clone(),
                row.kernel.to_owned(),
                grouped(row.macs),
                grouped(row.count),
                share(row.count),
                share(sum),
                per_mac,
            ]);
        }
        writeln!(f, "{rows}\n")?;
        if let Some(origin) = &self.origin {
            writeln!(f, "weights      {origin}")?;
        }
        writeln!(f, "target       {}", self.target)?;
        writeln!(f, "total        {} {}", grouped(self.total), self.unit)?;
        writeln!(f, "per MAC      {:.3} of {} MACs", self.per_mac, grouped(self.macs))?;
        if let Some(Ram { arena, scratch, plan, statics, stack, total }) = &self.ram {
            writeln!(f, "RAM          {}", size(*total))?;
            let parts = [("arena", arena), ("scratch", scratch), ("plan", plan)];
            for (name, bytes) in parts.into_iter().chain([("statics", statics), ("stack", stack)]) {
                writeln!(f, "  {name:<10} {:>10}", grouped(*bytes))?;
            }
        }
        if let Some(Flash { code, model, total }) = &self.flash {
            writeln!(f, "flash        {}", size(*total))?;
            writeln!(f, "  {:<10} {:>10}", "code", grouped(*code))?;
            writeln!(f, "  {:<10} {:>10}", "model", grouped(*model))?;
        }
        Ok(())
    }
}
