//! Trains residual networks in float and turns them into int8 models.

pub mod data;
pub mod engine;
pub mod graph;
