//! `resmcu bench`: what each layer costs on a target.

use crate::device::{Board, Place, input, plugin};
use crate::failure::{Failure, Outcome};
use crate::layers::{Layer, layers};
use crate::model::Model;
use crate::output::{Opening, Report, grouped, percent, size, table};
use clap::Args;
use comfy_table::Table;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use resmcu_device_link::wire_protocol::{CounterUnit, line_bytes};
use resmcu_device_link::{Core, CycleModel, FunctionCount};
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
    /// On emulated boards, say in which functions the instructions were executed
    #[arg(long)]
    profile: bool,
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
    /// The core whose cycles are modelled, and the document of its timing.
    modelled_core: Option<&'static str>,
    modelled_source: Option<&'static str>,
    modelled_cycles: Option<u64>,
    /// What of these cycles is waiting.
    flash_waits: Option<FlashWaits>,
    layers: Vec<Row>,
    functions: Vec<Function>,
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
    modelled_cycles: Option<u64>,
}

/// How the core waits for its flash.
#[derive(Clone, Copy, Debug, Serialize)]
struct FlashWaits {
    /// Words of data that are loaded from there.
    loads: u64,
    /// Cycles that each of them waits.
    wait_states: u32,
}

/// Instructions that were executed in one function.
#[derive(Debug, Serialize)]
struct Function {
    name: String,
    instructions: u64,
    modelled_cycles: Option<u64>,
}

/// Where the RAM goes, in bytes.
#[derive(Debug, Serialize)]
struct Ram {
    /// Rings and whole tensors.
    arena: u32,
    scratch: u32,
    plan: u32,
    statics: u32,
    /// The deepest that it was.
    stack: u32,
    /// Of the stack, the buffers of the serial line.
    serial: u32,
    total: u32,
    /// What the board has, where that is known.
    available: Option<u64>,
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
        let on_host = self.on.target == "host";
        let layers = layers(&if on_host { model.host_file()? } else { model.file()? })?;
        let measured = Measured::of(&model, &self.on, self.profile)?;
        let Measured { unit, counts, total, core, cycles, flash_waits, functions, ram, flash } =
            measured;
        let macs = layers.iter().map(|layer| layer.macs).sum::<u64>();
        let body = Body {
            target: self.on.target.clone(),
            origin: model.origin.clone(),
            unit,
            macs,
            total,
            per_mac: total as f64 / macs.max(1) as f64,
            modelled_core: core.map(Core::name),
            modelled_source: core.map(Core::source),
            modelled_cycles: cycles.as_ref().map(|cycles| cycles.iter().sum()),
            flash_waits,
            layers: Row::all(layers, &counts, cycles.as_deref()),
            functions: if self.profile { functions } else { vec![] },
            ram,
            flash,
        };
        Report { opening: Opening::of(model.name()?), body }.print(self.json.json)
    }
}

/// Whether the emulator shall count by address: where it is asked for, or where cycles can be
/// modelled.
fn wants_profile(place: &Place, is_asked: bool) -> Outcome<bool> {
    if !matches!(place, Place::Emulated(_)) {
        let failure = Failure::input("functions are counted on emulated boards only");
        let failure = failure.help("`--target qemu-...`, or leave out `--profile`");
        return if is_asked { Err(failure) } else { Ok(false) };
    }
    Ok(is_asked || modelled_core(place).is_some() && plugin().is_file())
}

impl From<FunctionCount> for Function {
    fn from(FunctionCount { name, instructions, cycles }: FunctionCount) -> Self {
        Self { name, instructions, modelled_cycles: cycles }
    }
}

impl Row {
    fn all(layers: Vec<Layer>, counts: &[u64], cycles: Option<&[u64]>) -> Vec<Self> {
        let rows = layers.into_iter().zip(counts).enumerate();
        let row = |(index, (layer, &count)): (usize, (Layer, &u64))| {
            let Layer { name, op, kernel, macs, .. } = layer;
            let modelled_cycles = cycles.and_then(|cycles| cycles.get(index).copied());
            Self { name, op, kernel, macs, count, modelled_cycles }
        };
        rows.map(row).collect()
    }
}

/// What one inference costs.
pub(super) struct Measured {
    /// Of the counts.
    pub(super) unit: &'static str,
    /// Of each step.
    pub(super) counts: Vec<u64>,
    /// Of the whole.
    pub(super) total: u64,
    /// The core, where it has a model.
    core: Option<Core>,
    /// By step, as it models them.
    cycles: Option<Vec<u64>>,
    flash_waits: Option<FlashWaits>,
    functions: Vec<Function>,
    ram: Option<Ram>,
    flash: Option<Flash>,
}

/// The core that this target's code is for, if its cycles can be modelled; a chip counts its own.
fn modelled_core(place: &Place) -> Option<Core> {
    match place {
        Place::Emulated(target) => Core::named(target.core),
        _ => None,
    }
}

/// Times every step, all its rows together.
struct Stopwatch {
    start: Instant,
    nanoseconds: Vec<u64>,
}

impl Observer for Stopwatch {
    fn step_begin(&mut self, _step: usize) {
        self.start = Instant::now();
    }

    fn step_end(&mut self, step: usize, _at: usize, _output: &[u8]) {
        let nanoseconds = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(sum) = self.nanoseconds.get_mut(step) {
            *sum = sum.saturating_add(nanoseconds);
        }
    }
}

impl Measured {
    /// Of `model` where `on` says; by function too if `profile`.
    pub(super) fn of(model: &Model, on: &super::On, profile: bool) -> Outcome<Self> {
        let (shape, _) = model.input_and_classes()?;
        // The cost does not depend on the picture; noise shows it where it did.
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let image: Vec<u8> = (0..shape.iter().product()).map(|_| rng.random()).collect();
        let place = on.place()?;
        let profile = wants_profile(&place, profile)?;
        match on.start_profiled(model, profile)? {
            None => Self::on_host(model, &image),
            Some(board) => Self::on(board, model, &image, (&place, on.wait_states()?)),
        }
    }

    fn on_host(model: &Model, image: &[u8]) -> Outcome<Self> {
        let mut memory = model.memory();
        let mut executor = model.executor(&mut memory)?;
        let steps = usize::from(executor.header().steps);
        let mut fastest = Vec::new();
        for _ in 0..HOST_RUNS {
            let mut watch = Stopwatch { start: Instant::now(), nanoseconds: vec![0; steps] };
            executor.infer_image(image, &mut watch);
            if fastest.is_empty() {
                fastest = watch.nanoseconds;
            } else {
                fastest.iter_mut().zip(watch.nanoseconds).for_each(|(f, n)| *f = n.min(*f));
            }
        }
        Ok(Self {
            unit: "nanoseconds",
            total: fastest.iter().sum(),
            counts: fastest,
            core: None,
            cycles: None,
            flash_waits: None,
            functions: vec![],
            ram: None,
            flash: None,
        })
    }

    /// On a board whose loads wait so many cycles for flash.
    fn on(
        mut board: Board,
        model: &Model,
        image: &[u8],
        (place, wait_states): (&Place, u32),
    ) -> Outcome<Self> {
        let counted = board.client.bench(&input(image))?;
        let memory = board.client.memory()?;
        let summary = board.client.summary();
        let serial = u32::try_from(line_bytes(summary.frame_bytes_max)).unwrap_or(u32::MAX);
        let unit = match summary.unit {
            CounterUnit::Instructions => "instructions",
            CounterUnit::Cycles => "cycles",
        };
        let plan = memory.plan;
        let (arena, scratch) = (memory.arena, memory.scratch);
        let (statics, stack) = (memory.statics, memory.stack);
        let total = arena + scratch + plan + statics + stack;
        let available = match place {
            Place::Emulated(target) => Some(target.ram_bytes),
            _ => None,
        };
        let ram = Some(Ram { arena, scratch, plan, statics, stack, serial, total, available });
        let file = model.bytes().len() as u64;
        let flash = board.sizes.map(|sizes| {
            let code = sizes.flash;
            Flash { code, model: file, total: code + file }
        });
        let profiler = board.end()?;
        let profile = profiler.map(|profiler| profiler.finish(&counted)).transpose()?;
        let core = modelled_core(place).filter(|_| profile.is_some());
        let model = core.map(|core| CycleModel::new(core).waiting(wait_states));
        let functions = profile.as_ref().map(|profile| profile.functions(model));
        let functions = functions.unwrap_or_default().into_iter().map(Function::from).collect();
        let profile = profile.filter(|_| core.is_some());
        let cycles = profile.as_ref().zip(model).map(|(profile, model)| profile.cycles(model));
        let loads = profile.map(|profile| profile.flash_loads.iter().sum());
        let flash_waits = loads.map(|loads| FlashWaits { loads, wait_states });
        Ok(Self {
            unit,
            counts: counted.steps,
            total: counted.total,
            core,
            cycles,
            flash_waits,
            functions,
            ram,
            flash,
        })
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.layer_table())?;
        if let Some(origin) = &self.origin {
            writeln!(f, "weights      {origin}")?;
        }
        writeln!(f, "target       {}", self.target)?;
        writeln!(f, "total        {} {}", grouped(self.total), self.unit)?;
        writeln!(f, "per MAC      {:.3} of {} MACs", self.per_mac, grouped(self.macs))?;
        if let Some(cycles) = self.modelled_cycles {
            let (all, per_mac) = (grouped(cycles), cycles as f64 / self.macs.max(1) as f64);
            write!(f, "cycles       {all} modelled ({per_mac:.3} per MAC)")?;
            if let Some((core, source)) = self.modelled_core.zip(self.modelled_source) {
                write!(f, " for {core} by {source}, ")?;
            }
            match self.flash_waits {
                Some(FlashWaits { loads, wait_states }) if wait_states > 0 => {
                    let loads = grouped(loads);
                    writeln!(f, "{wait_states} of them for each of {loads} words from flash")?;
                }
                _ => writeln!(f, "no waiting for flash")?,
            }
        }
        if let Some(ram) = &self.ram {
            write!(f, "RAM          {}", size(ram.total))?;
            match ram.available {
                Some(available) => writeln!(f, " of {}", size(available))?,
                None => writeln!(f)?,
            }
            let stack = ram.stack.saturating_sub(ram.serial);
            let parts = [("arena", ram.arena), ("scratch", ram.scratch), ("plan", ram.plan)];
            let parts = parts.into_iter().chain([("serial", ram.serial), ("statics", ram.statics)]);
            for (name, bytes) in parts.chain([("stack", stack)]) {
                writeln!(f, "  {name:<10} {:>10}", grouped(bytes))?;
            }
        }
        if let Some(Flash { code, model, total }) = &self.flash {
            writeln!(f, "flash        {}", size(*total))?;
            writeln!(f, "  {:<10} {:>10}", "code", grouped(*code))?;
            writeln!(f, "  {:<10} {:>10}", "model", grouped(*model))?;
        }
        if !self.functions.is_empty() {
            write!(f, "\n{}", self.function_table())?;
        }
        Ok(())
    }
}

impl Body {
    fn layer_table(&self) -> Table {
        let count = format!(">{}", self.unit);
        let mut titles =
            vec![">step", "layer", "op", "kernel", ">MACs", &count, ">share", ">sum", ">per MAC"];
        titles.extend(self.modelled_cycles.map(|_| ">cycles"));
        let mut rows = table(&titles);
        let mut sum = 0;
        for (index, row) in self.layers.iter().enumerate() {
            sum += row.count;
            let per_mac = match row.macs {
                0 => "-".to_owned(),
                macs => format!("{:.3}", row.count as f64 / macs as f64),
            };
            let mut cells = vec![
                index.to_string(),
                row.name.clone(),
                row.op.clone(),
                row.kernel.to_owned(),
                grouped(row.macs),
                grouped(row.count),
                self.share(row.count),
                self.share(sum),
                per_mac,
            ];
            cells.extend(row.modelled_cycles.map(grouped));
            rows.add_row(cells);
        }
        rows
    }

    fn function_table(&self) -> Table {
        let has_cycles = self.functions.iter().all(|function| function.modelled_cycles.is_some());
        let mut titles = vec![">instructions", ">share"];
        titles.extend(has_cycles.then_some(">cycles"));
        titles.push("function");
        let mut rows = table(&titles);
        for Function { name, instructions, modelled_cycles } in &self.functions {
            let mut cells = vec![grouped(*instructions), self.share(*instructions)];
            cells.extend(modelled_cycles.map(grouped));
            cells.push(name.clone());
            rows.add_row(cells);
        }
        rows
    }

    fn share(&self, part: u64) -> String {
        percent(part as f64 / self.total.max(1) as f64)
    }
}
