//! Adaptive rounding, a block at a time: the block's output on integer inputs comes as near as
//! it can to the float network's (`BRECQ`, Li et al. 2021, section 3.2, with the rounding of
//! `AdaRound`).
//!
//! Owns the descent over one block; not what is done with its answer, which `sequence` compares
//! with rounding to nearest. Deterministic: a seed draws the images, and the engine's sums do not
//! depend on threads.

use super::blocks::Block;
use super::rounding::{Pressure, SoftRounding};
use crate::engine::{EngineError, TrainStep};
use crate::graph::{Graph, NodeId, ParameterKind};
use crate::quantize::{LayerWeights, RealWeights};
use ndarray::{Array4, ArrayView4};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Share of the iterations that feel no pressure yet (`AdaRound`'s warm start).
const WARM_START: f64 = 0.2;

/// The exponent of the pressure falls from the first to the second along a cosine.
const EXPONENT: (f64, f64) = (20.0, 2.0);

/// How adaptive rounding descends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Iterations over each block.
    pub iterations: usize,
    /// Images of an iteration.
    pub batch: usize,
    /// Adam's rate for the variables, whose way from one end to the other is about five.
    pub rate: f64,
    /// Weight of the pressure beside the block's error, which is one for rounding to nearest.
    pub pressure: f64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { iterations: 2000, batch: 32, rate: 0.01, pressure: 0.01 }
    }
}

/// One block to be reconstructed.
pub(super) struct Task<'a> {
    pub(super) graph: &'a Graph,
    pub(super) block: &'a Block,
    /// The block's input as integers make it, and the output that it should have.
    pub(super) input: &'a Array4<f32>,
    pub(super) goal: &'a Array4<f32>,
    /// For each layer that has weights its node, their real values and the grid.
    pub(super) layers: &'a [(NodeId, RealWeights, LayerWeights)],
    /// Mean squared error of the block's output with rounding to nearest.
    pub(super) error: f64,
    pub(super) seed: u64,
}

/// A layer's variables, and where its weights are.
struct Variables {
    soft: SoftRounding,
    /// In the block's graph.
    node: NodeId,
    /// Position of the weights' gradient.
    gradient: usize,
}

/// The integers of each layer after the descent. `tick` is called after every iteration.
///
/// # Errors
/// Where the block does not run.
pub(super) fn reconstruct(
    task: &Task<'_>,
    adaptive: &Adaptive,
    tick: &dyn Fn(),
) -> Result<Vec<LayerWeights>, EngineError> {
    let mut block = task.block.graph(task.graph)?;
    let mut variables = variables(task, &block);
    let mut rng = ChaCha8Rng::seed_from_u64(task.seed);
    let mut step = TrainStep::new();
    let images = task.input.dim().0;
    let count = adaptive.batch.clamp(1, images.max(1));
    let (mut batch, mut goal) = (Vec::new(), Vec::new());
    for iteration in 0..adaptive.iterations {
        let drawn: Vec<usize> = (0..count).map(|_| rng.random_range(0..images)).collect();
        gather(task.input, &drawn, &mut batch);
        gather(task.goal, &drawn, &mut goal);
        for Variables { soft, node, .. } in &variables {
            if let Some((_, weights)) = &mut block.nodes[node.0].slices_mut()[0] {
                soft.write(weights);
            }
        }
        let (_, height, width, channels) = task.input.dim();
        let Ok(view) = ArrayView4::from_shape([count, height, width, channels], &batch) else {
            break; // it was gathered in this shape
        };
        step.run_towards(&mut block, view, &goal)?;
        let pressure = pressure(iteration as f64 / adaptive.iterations as f64, adaptive);
        // The rate falls to nothing, so that what is decided stays decided.
        let done = iteration as f64 / adaptive.iterations as f64;
        let rate = adaptive.rate * (1.0 - done).min(0.5) * 2.0;
        for variables in &mut variables {
            let gradient = &step.gradients()[variables.gradient];
            let scaled: Vec<f32> =
                gradient.iter().map(|g| (f64::from(*g) / task.error) as f32).collect();
            variables.soft.step(&scaled, rate, pressure);
        }
        tick();
    }
    let hard = variables.iter().zip(task.layers);
    Ok(hard
        .map(|(variables, (_, _, weights))| LayerWeights {
            values: variables.soft.harden(),
            ..weights.clone()
        })
        .collect())
}

/// The pressure after a share of the iterations.
fn pressure(done: f64, adaptive: &Adaptive) -> Option<Pressure> {
    let done = (done - WARM_START) / (1.0 - WARM_START);
    let exponent = || {
        let cosine = 0.5 * (1.0 + (done * std::f64::consts::PI).cos());
        EXPONENT.1 + (EXPONENT.0 - EXPONENT.1) * cosine
    };
    (done >= 0.0).then(|| Pressure { weight: adaptive.pressure, exponent: exponent() })
}

fn variables(task: &Task<'_>, block: &Graph) -> Vec<Variables> {
    let parameters = block.parameters();
    let trained = || parameters.iter().filter(|parameter| parameter.kind.is_trained());
    let variables = task.layers.iter().filter_map(|(node, real, weights)| {
        let name = &task.graph.node(*node).name;
        let tensor = format!("{name}.{}", ParameterKind::Weights.suffix());
        let gradient = trained().position(|parameter| parameter.name == tensor)?;
        Some(Variables {
            soft: SoftRounding::new(real, weights),
            node: block.find(name)?,
            gradient,
        })
    });
    variables.collect()
}

/// The images of `drawn`, one after the other.
fn gather(images: &Array4<f32>, drawn: &[usize], out: &mut Vec<f32>) {
    let values = images.as_slice().unwrap_or_default();
    let size = values.len() / images.dim().0.max(1);
    out.clear();
    drawn.iter().for_each(|&image| out.extend_from_slice(&values[image * size..][..size]));
}
