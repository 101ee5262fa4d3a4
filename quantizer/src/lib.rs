//! Trains residual networks in float and turns them into int8 models.

pub mod accumulator;
pub mod calibrate;
pub mod data;
pub mod engine;
pub mod equalize;
pub mod experiment;
pub mod export;
pub mod fold_batch_norm;
pub mod graph;
pub mod import;
pub mod kernels;
pub mod lower;
pub mod pack_for_host;
pub mod plan;
pub mod post_training;
pub mod quantization_aware;
pub mod quantize;
pub mod quantized;
pub mod train;
pub mod trust;
pub mod write_whole;
