//! `QuantizeLinear` and `DequantizeLinear`: activations on grids, as the network was quantized.
//!
//! A pair of both becomes a node that rounds. A grid that begins at zero takes away what is below,
//! and tools leave out the `ReLU` before it: it is put back, so that the float network is one.

use super::super::assemble::{Assembler, Value};
use super::constant::{Constant, shown};
use super::convert::{Entry, Importer, Refusal};
use super::layer::name;
use super::scales::{Dequantized, Quantized, Scales, Whole};
use super::schema::{Node, Tensor, dtype, dtype_name};
use crate::graph::{STEP_MIN, WeightQuantizer};
use ndarray::Array1;
use std::rc::Rc;

impl<'a> Importer<'a> {
    /// The scales of a node, which are constants of the file.
    fn scales(&self, node: &Node<'a>) -> Result<Scales<'a>, Refusal> {
        if node.integer("block_size", 0)? != 0 {
            return Err("its scales are of blocks".into());
        }
        let zero = if node.inputs.len() > 2 { Some(self.stored(node, 2)?) } else { None };
        let dtype = u64::try_from(node.integer("output_dtype", 0)?).unwrap_or(u64::MAX);
        let dtype = if dtype == 0 { dtype::UINT8 } else { dtype };
        let axis = node.integer("axis", 1)?;
        Ok(Scales { scale: self.stored(node, 1)?, zero, axis, dtype })
    }

    fn stored(&self, node: &Node<'a>, index: usize) -> Result<Tensor<'a>, Refusal> {
        match &*self.constant(node, index)? {
            Constant::Stored(tensor) => Ok(tensor.clone()),
            _ => Err("its inputs are computed".into()),
        }
    }

    /// `QuantizeLinear` of a constant.
    pub(super) fn quantized_constant(&self, node: &Node<'a>) -> Result<Constant<'a>, Refusal> {
        let (values, scales) = (self.stored(node, 0)?, self.scales(node)?);
        Ok(Constant::Quantized(Box::new(Quantized { values, scales })))
    }

    /// `DequantizeLinear` of a constant.
    pub(super) fn dequantized_constant(&self, node: &Node<'a>) -> Result<Constant<'a>, Refusal> {
        let scales = self.scales(node)?;
        let values = match &*self.constant(node, 0)? {
            Constant::Stored(tensor) => Whole::Stored(tensor.clone()),
            Constant::Quantized(quantized) => {
                if !quantized.scales.equal(&scales)? {
                    return Err("its scale or zero point is not that of its QuantizeLinear".into());
                }
                Whole::Rounded(quantized.clone())
            }
            _ => return Err("its inputs are computed".into()),
        };
        Ok(Constant::Dequantized(Box::new(Dequantized { values, scales })))
    }

    /// `QuantizeLinear` of what is computed of the image.
    pub(super) fn quantize(
        &mut self,
        graph: &mut Assembler,
        node: &Node<'a>,
    ) -> Result<Entry<'a>, Refusal> {
        let (x, scales) = (self.value(node, 0)?, self.scales(node)?);
        let [step] = scales.scale.floats()?[..] else {
            return Err("its activation has a scale a channel; one for all is understood".into());
        };
        if !(step >= STEP_MIN && step.is_finite()) {
            return Err(format!("its scale is {step}").into());
        }
        let lowest = match scales.dtype() {
            dtype::INT8 => i64::from(i8::MIN),
            dtype::UINT8 => 0,
            found => {
                let found = dtype_name(found);
                return Err(format!("it rounds to {found}; INT8 and UINT8 are understood").into());
            }
        };
        let zero = scales.zero.as_ref().map_or_else(|| Ok(vec![0]), Tensor::integers)?;
        let [zero] = zero[..] else {
            return Err("it has a zero point a channel; one for all is understood".into());
        };
        let zero = i8::try_from(zero.saturating_sub(lowest) - 128);
        let zero = zero.map_err(|_| "its zero point is outside of its integers")?;
        let value = graph.round(&name(node, None), x, step, zero)?;
        Ok(Entry::Quantized(value, Rc::new(scales)))
    }

    /// `DequantizeLinear` of what a `QuantizeLinear` made.
    pub(super) fn dequantize(&mut self, node: &Node<'a>) -> Result<Value, Refusal> {
        let scales = self.scales(node)?;
        match self.entry(node, 0)? {
            Some(Entry::Quantized(value, of)) if of.equal(&scales)? => Ok(value),
            Some(Entry::Quantized(..)) => {
                Err("its scale or zero point is not that of its QuantizeLinear".into())
            }
            _ => Err("it is not of what a QuantizeLinear made of the image".into()),
        }
    }

    /// The grid of a layer's weights, with `outputs` along `axis`; none where they have none, or
    /// one that is not symmetric.
    pub(super) fn weight_grid(
        &mut self,
        weights: &Constant<'a>,
        axis: usize,
        outputs: usize,
    ) -> Result<Option<WeightQuantizer>, Refusal> {
        let Constant::Dequantized(parts) = weights else { return Ok(None) };
        let Some(steps) = parts.steps(axis, outputs)? else {
            let name = shown(parts.name());
            let note = format!("`{name}` is not symmetric around zero, and is rounded again");
            self.account.assumed.push(note);
            return Ok(None);
        };
        if let Some(step) = steps.iter().find(|&&step| step.is_nan() || step < STEP_MIN) {
            return Err(format!("its weights have a step of {step}").into());
        }
        Ok(Some(WeightQuantizer { steps: Array1::from(steps), bits: 8 }))
    }
}
