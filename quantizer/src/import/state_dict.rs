//! Import of weights without a graph: safetensors files and what PyTorch's `torch.save` writes.
//!
//! The network is recognized from the names and shapes of the tensors, or named by the caller, and
//! built by this project. Guarantees that every tensor of the file is either a parameter of the
//! graph or accounted for, and that what does not fit is refused by name. A pickle is read by a
//! small reader that runs nothing (`pickle`). Any bytes at all may be given to it.

mod error;
mod names;
mod opcode;
mod pickle;
mod recognize;
mod tensor;
mod torch;
mod zip;

pub use error::{
    ArchiveProblem, Fault, MappingProblem, PickleProblem, StateDictError, TensorProblem,
};

use super::{FloatImport, Options};
use crate::graph::{Graph, Normalization, ParameterKind};
use recognize::Plan;
use tensor::Tensor;

/// Whether the bytes begin as a file that [`read`] understands.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    torch::is_one(bytes) || tensor::is_safetensors(bytes)
}

/// Reads a safetensors file, or one of PyTorch (`.pth`, `.th`, `.pt`; zip archive or legacy
/// pickle), with the weights of a residual network: names as torchvision, timm or akamaster's
/// `pytorch_resnet_cifar10` have them, in f32, f16 or bf16.
///
/// # Errors
/// Where the file is broken, holds anything but plain tensors, or its tensors are not those of the
/// network: the error lists all that is missing, left over or of another shape.
pub fn read(bytes: &[u8], options: &Options) -> Result<FloatImport, StateDictError> {
    let file = if torch::is_one(bytes) { torch::read(bytes)? } else { tensor::safetensors(bytes)? };
    let plan = Plan::new(&file, options)?;
    let mut assumed = plan.assumed.clone();
    let channels = plan.spec.input[2];
    let normalization = match options.normalization(channels) {
        Some(normalization) => normalization,
        None if channels == 3 => {
            assumed.push("images are normalized by torchvision's mean and deviation".to_owned());
            Normalization::torchvision()
        }
        None => return Err(StateDictError::Normalization { channels }),
    };
    let mut graph = plan.spec.build_zeroed()?;
    for parameter in graph.parameters_mut() {
        let tensor = &file.tensors[plan.sources[&parameter.name]];
        fill(tensor, parameter.kind, &parameter.shape, parameter.values)?;
    }
    let graph = Graph { normalization, ..graph };
    graph.validate()?;
    let mut left_out = file.left_out;
    if plan.counters > 0 {
        let reason = "evaluation does not read how many batches were counted";
        left_out.push(format!("{} x `num_batches_tracked`: {reason}", plan.counters));
    }
    let (mapped, folded) = (Vec::new(), Vec::new());
    Ok(FloatImport { graph, tensors: plan.sources.len(), mapped, folded, assumed, left_out })
}

/// Copies a tensor whose shape was checked: `[O,I,KH,KW]` becomes `[O,KH,KW,I]`.
fn fill(
    tensor: &Tensor<'_>,
    kind: ParameterKind,
    shape: &[usize],
    out: &mut [f32],
) -> Result<(), StateDictError> {
    let values = tensor.values()?;
    let (ParameterKind::Weights, &[_, height, width, inputs]) = (kind, shape) else {
        out.copy_from_slice(&values);
        return Ok(());
    };
    let window = height * width;
    let rows = values.chunks_exact(inputs * window).zip(out.chunks_exact_mut(inputs * window));
    for (from, to) in rows {
        for (position, to) in to.chunks_exact_mut(inputs).enumerate() {
            to.iter_mut().enumerate().for_each(|(i, to)| *to = from[i * window + position]);
        }
    }
    Ok(())
}
