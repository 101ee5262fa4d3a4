//! `resmcu analyze --kernels`: what each layer would cost by every kernel of a core.

use crate::failure::Outcome;
use crate::model::shape_of;
use crate::output::{ModelName, Opening, grouped, table};
use resmcu_quantizer::kernels::{Limits, candidates};
use serde::Serialize;
use std::fmt;

/// Every layer that has a choice.
#[derive(Debug, Serialize)]
pub(super) struct Choices {
    #[serde(skip)]
    network: String,
    target: String,
    layers: Vec<Choice>,
}

/// One kernel for one layer, with whole tensors.
#[derive(Debug, Serialize)]
struct Choice {
    layer: String,
    kernel: &'static str,
    modelled_instructions: u64,
    per_mac: f64,
    weight_bytes: usize,
    scratch: usize,
}

impl Choices {
    /// Of a network of the zoo, or of a checkpoint; the fastest kernel of each layer first.
    pub(super) fn of(network: &str, target: &str, limits: &Limits) -> Outcome<Self> {
        let (graph, _) = shape_of(network)?;
        let of_layer = |index: usize| {
            let (layer, macs) = (graph.nodes[index].name.clone(), graph.macs(index));
            candidates(&graph, index, limits).into_iter().map(move |candidate| Choice {
                layer: layer.clone(),
                kernel: candidate.kernel.map_or("generic", |kernel| kernel.name()),
                modelled_instructions: candidate.instructions,
                per_mac: candidate.instructions as f64 / macs.max(1) as f64,
                weight_bytes: candidate.weight_bytes,
                scratch: candidate.scratch_bytes,
            })
        };
        let layers = (0..graph.nodes.len()).flat_map(of_layer).collect();
        Ok(Self { network: network.to_owned(), target: target.to_owned(), layers })
    }

    /// The network's name; there is no model file with a hash.
    pub(super) fn opening(&self) -> Opening {
        Opening::of(ModelName { name: self.network.clone(), hash: "not written".to_owned() })
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles =
            ["layer", "kernel", ">instructions (modelled)", ">per MAC", ">weights", ">scratch"];
        let mut rows = table(&titles);
        let mut last = "";
        for choice in &self.layers {
            let name = if choice.layer == last { "" } else { &choice.layer };
            last = &choice.layer;
            rows.add_row([
                name.to_owned(),
                choice.kernel.to_owned(),
                grouped(choice.modelled_instructions),
                format!("{:.3}", choice.per_mac),
                grouped(choice.weight_bytes as u64),
                grouped(choice.scratch as u64),
            ]);
        }
        writeln!(f, "{rows}\n")?;
        writeln!(f, "target       {}", self.target)
    }
}
