//! The whole graph, and the account of its file.
//!
//! Guarantees that nothing is left over: each node is read, or is the output.

use super::super::{FloatImport, Options};
use super::{Assembler, Unfit, Value};
use crate::graph::{Graph, GraphError, Normalization, Op};
use std::collections::BTreeMap;

/// Why a network whose operators all fit is none of this project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// Something is computed for nothing.
    #[error("`{0}` is computed, and neither read nor the output")]
    Unread(String),
    /// The output is no more than the image, or was changed after it was made.
    #[error("the output: {0}")]
    Output(Unfit),
    /// Nothing is known of the image.
    #[error("how the image is normalized is not known: the file does not say")]
    Normalization,
    /// A normalization after which the image would be upside down.
    #[error("channel {0} of the image is scaled by a factor that is not above zero")]
    Factor(usize),
    /// The graph as a whole.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What an importer says of its file.
#[derive(Clone, Debug, Default)]
pub(in crate::import) struct Account {
    /// Constants that became parameters.
    pub(in crate::import) tensors: usize,
    /// Operators by name.
    pub(in crate::import) operators: BTreeMap<String, usize>,
    /// What was taken for granted.
    pub(in crate::import) assumed: Vec<String>,
}

impl Assembler {
    /// The whole, with `output` as its last node.
    pub(in crate::import) fn finish(
        mut self,
        output: Value,
        options: &Options,
        account: Account,
    ) -> Result<FloatImport, Unfinished> {
        if output.softmax {
            self.left_out.push("softmax: the network gives its logits, in the same order".into());
        }
        let output = Value { softmax: false, ..output };
        let last = self.plain(output).map_err(Unfinished::Output)?;
        let unread = self.read.iter().enumerate().find(|&(node, &read)| !read && node != last.0);
        if let Some((node, _)) = unread {
            return Err(Unfinished::Unread(self.nodes[node].name.clone()));
        }
        if last == Graph::INPUT || last.0 + 1 != self.nodes.len() {
            return Err(Unfinished::Output("it is no layer, or not the last".into()));
        }
        // Weights that are rounded alone are float weights: where activations are float too, the
        // quantizer chooses its own grids.
        if !self.nodes.iter().any(|node| matches!(node.op, Op::FakeQuantize(_))) {
            let slots = self.nodes.iter_mut().filter_map(|node| node.op.weight_quantizer_mut());
            slots.for_each(|slot| *slot = None);
        }
        let given = options.normalization(self.image.len()).ok_or(Unfinished::Normalization)?;
        let normalization = scaled(given, &self.image)?;
        let graph = Graph {
            name: options.name.clone(),
            nodes: self.nodes,
            normalization,
            class_names: Vec::new(),
        };
        graph.validate()?;
        let folded = self.folded.iter().map(|(what, count)| format!("{count} x {what}"));
        let mapped = account.operators.iter().map(|(what, count)| format!("{count} x {what}"));
        Ok(FloatImport {
            graph,
            tensors: account.tensors,
            mapped: mapped.collect(),
            folded: folded.collect(),
            assumed: account.assumed,
            left_out: self.left_out,
        })
    }
}

/// `a·x + b` after `x = (pixel / 255 - mean) / std`.
fn scaled(given: Normalization, image: &[(f64, f64)]) -> Result<Normalization, Unfinished> {
    let mut normalization = given;
    let both = normalization.mean.iter_mut().zip(&mut normalization.std);
    for (channel, ((mean, std), &(a, b))) in both.zip(image).enumerate() {
        if !(a > 0.0 && a.is_finite() && b.is_finite()) {
            return Err(Unfinished::Factor(channel));
        }
        if (a, b) != (1.0, 0.0) {
            *mean = (f64::from(*mean) - b * f64::from(*std) / a) as f32;
            *std = (f64::from(*std) / a) as f32;
        }
    }
    Ok(normalization)
}
