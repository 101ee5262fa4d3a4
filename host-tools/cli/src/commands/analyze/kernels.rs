//! `resmcu analyze --kernels`: what each layer would cost by every kernel of a core, and which one
//! the planner picks.

use crate::commands::PackedFor;
use crate::failure::{Failure, Outcome};
use crate::model::shape_of;
use crate::output::{ModelName, Opening, grouped, size, table};
use resmcu_model_format::ModelFile;
use resmcu_quantizer::kernels::candidates;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;

/// Every layer that has a choice.
#[derive(Debug, Serialize)]
pub(super) struct Choices {
    #[serde(skip)]
    network: String,
    target: String,
    flash_budget: Option<usize>,
    flash_wait_states: u32,
    layers: Vec<Choice>,
}

/// One kernel for one layer, with whole tensors.
#[derive(Debug, Serialize)]
struct Choice {
    layer: String,
    kernel: &'static str,
    /// Whether the planner takes it, within its limits.
    picked: bool,
    modelled_instructions: u64,
    /// Where the core has a table of them, waiting for flash included.
    modelled_cycles: Option<u64>,
    /// Words of weights from flash.
    flash_loads: u64,
    per_mac: f64,
    weight_bytes: usize,
    scratch: usize,
}

impl Choices {
    /// Of a network of the zoo, or of a checkpoint; the kernel of least cost of each layer first.
    pub(super) fn of(network: &str, target: &str, packing: &PackedFor) -> Outcome<Self> {
        let (graph, _) = shape_of(network)?;
        let lowered = packing.lower(&graph)?;
        let file = ModelFile::parse(&lowered.file).map_err(Failure::input)?;
        let picked: HashMap<_, _> = file.steps().map(|step| (step.name, step.kernel)).collect();
        let limits = packing.limits;
        let of_layer = |index: usize| {
            let (layer, macs) = (graph.nodes[index].name.as_str(), graph.macs(index));
            let picked = picked.get(layer).copied();
            candidates(&graph, index, &limits).into_iter().map(move |candidate| Choice {
                layer: layer.to_owned(),
                kernel: candidate.kernel.map_or("generic", |kernel| kernel.name()),
                picked: picked.is_some_and(|number| candidate.is(number)),
                modelled_instructions: candidate.time.instructions,
                modelled_cycles: candidate.time.cycles,
                flash_loads: candidate.time.flash_loads,
                per_mac: candidate.time.instructions as f64 / macs.max(1) as f64,
                weight_bytes: candidate.weight_bytes,
                scratch: candidate.scratch_bytes,
            })
        };
        Ok(Self {
            network: network.to_owned(),
            target: target.to_owned(),
            flash_budget: limits.file_bytes,
            flash_wait_states: limits.flash_wait_states,
            layers: (0..graph.nodes.len()).flat_map(of_layer).collect(),
        })
    }

    /// The network's name; there is no model file with a hash.
    pub(super) fn opening(&self) -> Opening {
        Opening::of(ModelName { name: self.network.clone(), hash: "not written".to_owned() })
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cycles = self.layers.iter().all(|choice| choice.modelled_cycles.is_some());
        let mut titles = vec!["layer", "kernel", "", ">instructions (modelled)", ">per MAC"];
        titles.extend(cycles.then_some(">cycles (modelled)"));
        titles.extend([">words from flash", ">weights", ">scratch"]);
        let mut rows = table(&titles);
        let mut last = "";
        for choice in &self.layers {
            let name = if choice.layer == last { "" } else { &choice.layer };
            last = &choice.layer;
            let mut row = vec![
                name.to_owned(),
                choice.kernel.to_owned(),
                if choice.picked { "picked" } else { "" }.to_owned(),
                grouped(choice.modelled_instructions),
                format!("{:.3}", choice.per_mac),
            ];
            row.extend(choice.modelled_cycles.map(grouped));
            let bytes = [choice.weight_bytes, choice.scratch].map(|bytes| grouped(bytes as u64));
            row.push(grouped(choice.flash_loads));
            row.extend(bytes);
            rows.add_row(row);
        }
        writeln!(f, "{rows}\n")?;
        writeln!(f, "target       {}", self.target)?;
        if let Some(bytes) = self.flash_budget {
            writeln!(f, "flash        {} at most", size(bytes as u64))?;
        }
        if self.flash_wait_states > 0 {
            writeln!(f, "flash waits  {} cycles for a word of weights", self.flash_wait_states)?;
        }
        Ok(())
    }
}
