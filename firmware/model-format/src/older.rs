//! The records of the format versions 1 and 2, which knew whole tensors only.

use crate::records::{self, Dtype, Op};
use serde::Deserialize;

/// A tensor without rows.
#[derive(Deserialize)]
pub(crate) struct Tensor<'a> {
    name: &'a str,
    shape: [u16; 3],
    dtype: Dtype,
    scale: f32,
    zero_point: i16,
    offset: u32,
    first: u16,
    last: u16,
}

impl<'a> From<Tensor<'a>> for records::Tensor<'a> {
    fn from(old: Tensor<'a>) -> Self {
        let Tensor { name, shape, dtype, scale, zero_point, offset, first, last } = old;
        Self { name, shape, dtype, scale, zero_point, offset, first, last, rows: shape[0] }
    }
}

/// A step that makes all rows at once.
#[derive(Deserialize)]
pub(crate) struct Step<'a> {
    name: &'a str,
    kernel: u16,
    output: u16,
    macs: u64,
    op: Op,
}

impl<'a> From<Step<'a>> for records::Step<'a> {
    fn from(old: Step<'a>) -> Self {
        let Step { name, kernel, output, macs, op } = old;
        Self { name, kernel, output, macs, op, rows: u16::MAX, on_demand: false }
    }
}
