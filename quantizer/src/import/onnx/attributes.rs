//! Which attributes of an operator are understood, so that none is passed over.

use super::constant::shown;
use super::convert::Refusal;
use super::schema::Node;

/// Attributes that are read, or that say nothing about evaluation.
const KNOWN: [(&str, &[&str]); 28] = [
    ("Conv", &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]),
    ("BatchNormalization", &["epsilon", "momentum", "spatial", "training_mode"]),
    ("Clip", &["max", "min"]),
    (
        "MaxPool",
        &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"],
    ),
    (
        "AveragePool",
        &[
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "strides",
        ],
    ),
    ("ReduceMean", &["axes", "keepdims", "noop_with_empty_axes"]),
    ("Flatten", &["axis"]),
    ("Reshape", &["allowzero"]),
    ("Squeeze", &["axes"]),
    ("Unsqueeze", &["axes"]),
    ("Gemm", &["alpha", "beta", "transA", "transB"]),
    ("Pad", &["mode", "pads", "value"]),
    ("Slice", &["axes", "ends", "starts"]),
    ("Softmax", &["axis"]),
    ("Dropout", &["ratio", "seed"]),
    ("Cast", &["saturate", "to"]),
    ("Transpose", &["perm"]),
    ("Constant", &["value"]),
    ("Concat", &["axis"]),
    ("ConstantOfShape", &["value"]),
    ("Gather", &["axis"]),
    ("DequantizeLinear", &["axis", "block_size", "output_dtype"]),
    ("QuantizeLinear", &["axis", "block_size", "output_dtype", "precision", "saturate"]),
    ("Relu", &[]),
    ("MatMul", &[]),
    ("GlobalAveragePool", &[]),
    ("Identity", &[]),
    ("Shape", &[]),
];

/// Refuses a node with an attribute that is not understood. Operators that are not listed take
/// none, or are refused by name.
pub(super) fn check(node: &Node<'_>) -> Result<(), Refusal> {
    let known = KNOWN.iter().find(|(operator, _)| *operator == node.operator);
    let Some((_, known)) = known else { return Ok(()) };
    match node.attributes().find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!("its attribute `{}` is not understood", shown(name)).into()),
    }
}
