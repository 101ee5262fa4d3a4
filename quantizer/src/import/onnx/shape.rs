//! Nodes that compute with constants, and those that only rename or reshape.

use super::super::assemble::{Assembler, Value};
use super::constant::{Constant, shapes};
use super::convert::{Entry, Importer, Refusal};
use super::schema::{Node, dtype};
use crate::graph::Padding;

/// The sides of a value as ONNX has them, its batch one image.
pub(super) fn dims(value: &Value) -> Vec<i64> {
    let [height, width, channels] = value.shape().map(|side| side as i64);
    if value.is_flat() {
        vec![1, value.elements() as i64]
    } else {
        vec![1, channels, height, width]
    }
}

/// An axis counted from the front.
pub(super) fn axis(axis: i64, rank: usize) -> i64 {
    if axis < 0 { axis.saturating_add(rank as i64) } else { axis }
}

/// Whether this element type is a float of 16 or 32 bits.
fn is_float(kind: i64) -> bool {
    [dtype::FLOAT, dtype::FLOAT16, dtype::BFLOAT16].iter().any(|&float| float as i64 == kind)
}

/// Checks that a `Cast` of floats is to floats.
pub(super) fn cast(node: &Node<'_>) -> Result<(), Refusal> {
    let to = node.integer("to", 0)?;
    if is_float(to) { Ok(()) } else { Err("it makes something else of floats".into()) }
}

impl<'a> Importer<'a> {
    /// A node that reads constants alone, or the shape of a value.
    pub(super) fn computed(&mut self, node: &Node<'a>) -> Result<Constant<'a>, Refusal> {
        let whole = |index| {
            let constant = self.constant(node, index)?;
            Ok::<_, Refusal>((constant.integers()?, constant.dims()))
        };
        match node.operator {
            "Constant" => {
                let tensor = node.tensor("value")?;
                Ok(Constant::Stored(tensor.ok_or("its value is no tensor")?))
            }
            "Identity" => Ok((*self.constant(node, 0)?).clone()),
            "QuantizeLinear" => self.quantized_constant(node),
            "DequantizeLinear" => self.dequantized_constant(node),
            "Shape" => match self.entry(node, 0)? {
                Some(Entry::Value(value)) => {
                    let values = dims(&value);
                    Ok(Constant::Integers { dims: vec![values.len()], values })
                }
                _ => Err("it is not of what is computed of the image".into()),
            },
            "Gather" => Ok(shapes::gather(&whole(0)?, &whole(1)?)?),
            "Concat" => {
                let lists: Result<Vec<_>, _> = (0..node.inputs.len()).map(whole).collect();
                Ok(shapes::concat(&lists?)?)
            }
            "Cast" => match &*self.constant(node, 0)? {
                // Floats are read as f32 whatever they are stored as.
                Constant::Stored(tensor) if is_float(tensor.dtype as i64) => {
                    cast(node)?;
                    Ok(Constant::Stored(tensor.clone()))
                }
                _ => {
                    let (values, dims) = whole(0)?;
                    Ok(Constant::Integers { values, dims })
                }
            },
            "Unsqueeze" => Ok(shapes::unsqueeze(whole(0)?)?),
            "ConstantOfShape" => {
                let value = match node.tensor("value")? {
                    Some(value) => value.integers()?.first().copied(),
                    None => Some(0),
                };
                Ok(shapes::filled(&whole(0)?, value.ok_or("its value is empty")?)?)
            }
            "Reshape" => Ok(shapes::reshape(whole(0)?, &whole(1)?)?),
            "Transpose" => Ok(shapes::transpose(&whole(0)?)?),
            "Slice" if self.opset >= 10 => self.slice_of_constant(node),
            _ => Err("it computes with constants in a way that cannot be imported".into()),
        }
    }

    /// A part of whole numbers, along their first side.
    fn slice_of_constant(&self, node: &Node<'a>) -> Result<Constant<'a>, Refusal> {
        let integers = |index| Ok::<_, Refusal>(self.constant(node, index)?.integers()?);
        let one = |index: usize, default: i64| {
            let given = node.inputs.get(index).is_some_and(|name| !name.is_empty());
            let values = if given { integers(index)? } else { vec![default] };
            let [value] = values[..] else {
                return Err(Refusal::from("it is along several sides"));
            };
            Ok(value)
        };
        if one(3, 0)? != 0 {
            return Err("it is not along the first side".into());
        }
        let along = [one(1, 0)?, one(2, i64::MAX)?, one(4, 1)?];
        Ok(shapes::slice(&(integers(0)?, self.constant(node, 0)?.dims()), along)?)
    }

    pub(super) fn reshape(
        &mut self,
        graph: &mut Assembler,
        node: &Node<'a>,
    ) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let (mut target, found) = (self.constant(node, 1)?.integers()?, dims(&x));
        let wanted = format!("it makes {target:?} of {found:?}");
        for (index, side) in target.iter_mut().enumerate() {
            if *side == 0 && node.integer("allowzero", 0)? == 0 {
                *side = found.get(index).copied().unwrap_or(0);
            }
        }
        let count: i64 = found.iter().product();
        let known = target.iter().filter(|&&side| side != -1);
        let known = known.fold(1_i64, |product, &side| product.saturating_mul(side));
        if let Some(open) = target.iter().position(|&side| side == -1) {
            target[open] = if known > 0 { count / known } else { 0 };
        }
        reshaped(graph, x, &target, &wanted)
    }

    pub(super) fn squeeze(
        &mut self,
        graph: &mut Assembler,
        node: &Node<'a>,
    ) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let found = dims(&x);
        let given = match self.optional(node, 1)? {
            Some(axes) => Some(axes.integers()?),
            None => node.integers("axes")?,
        };
        let axes = given.ok_or("it does not say which sides")?;
        let mut target = found.clone();
        let mut axes: Vec<i64> = axes.iter().map(|&a| axis(a, found.len())).collect();
        axes.sort_unstable();
        axes.dedup();
        for axis in axes.into_iter().rev() {
            let at = usize::try_from(axis).ok().filter(|&at| found.get(at) == Some(&1));
            target.remove(at.ok_or("it drops a side that is not 1")?);
        }
        let wanted = format!("it makes {target:?} of {found:?}");
        reshaped(graph, x, &target, &wanted)
    }

    /// Zeros around, of rows and columns, or of channels.
    pub(super) fn pad(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let mode = node.word("mode", "constant")?;
        if mode != "constant" {
            return Err(format!("its mode is `{mode}`, and has to be `constant`").into());
        }
        let (sides, value) = match self.optional(node, 1)? {
            Some(sides) => {
                let value = self.optional(node, 2)?.map(|value| value.floats()).transpose()?;
                (sides.integers()?, value.and_then(|value| value.first().copied()))
            }
            None => {
                let sides = node.integers("pads")?.ok_or("it does not say how much")?;
                (sides, Some(node.float("value", 0.0)?))
            }
        };
        if value.is_some_and(|value| value != 0.0) {
            return Err("it pads with another value than 0".into());
        }
        if node.inputs.get(3).is_some_and(|name| !name.is_empty()) {
            return Err("it names its axes, where all four are understood alone".into());
        }
        let sides: Option<Vec<usize>> =
            sides.iter().map(|&side| usize::try_from(side).ok()).collect();
        let x = self.value(node, 0)?;
        let Some([0, before, top, left, 0, after, bottom, right]) = sides.as_deref() else {
            return Err("its sides are not those of an image, or below 0".into());
        };
        let (top, left, bottom, right) = (*top, *left, *bottom, *right);
        let padding = Padding { top, left, bottom, right };
        Ok(graph.pad(x, padding, [*before, *after])?)
    }

    /// Each of so many rows or columns, from the first to the last.
    pub(super) fn slice(
        &mut self,
        graph: &mut Assembler,
        node: &Node<'a>,
    ) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let given = |index: usize, name: &str| match self.optional(node, index)? {
            Some(values) => Ok::<_, Refusal>(Some(values.integers()?)),
            None => Ok(node.integers(name)?),
        };
        let starts = given(1, "starts")?.ok_or("it does not say where it starts")?;
        let ends = given(2, "ends")?.ok_or("it does not say where it ends")?;
        let axes = given(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let strides = given(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        let count = starts.len();
        if [ends.len(), axes.len(), strides.len()] != [count; 3] {
            return Err("its starts, ends, axes and steps are not as many".into());
        }
        let found = dims(&x);
        let mut steps = [1, 1];
        for index in 0..count {
            let along = axis(axes[index], found.len());
            let side = usize::try_from(along).ok().and_then(|along| found.get(along).copied());
            let side = side.ok_or("it has an axis that is not there")?;
            if starts[index] != 0 || ends[index] < side {
                return Err("it takes a part; each second position from the first can be".into());
            }
            match (along, usize::try_from(strides[index])) {
                (_, Ok(1)) => {}
                (2 | 3, Ok(stride)) => steps[along as usize - 2] = stride,
                _ => return Err("it has a step that is not of rows or columns".into()),
            }
        }
        if steps == [1, 1] { Ok(x) } else { Ok(graph.step(x, steps)?) }
    }
}

/// `x` with other sides, which may not move its elements.
fn reshaped(
    graph: &mut Assembler,
    x: Value,
    target: &[i64],
    wanted: &str,
) -> Result<Value, Refusal> {
    let found = dims(&x);
    if target == found {
        return Ok(x);
    }
    let elements = x.elements() as i64;
    match *target {
        [1, count] if count == elements => Ok(graph.flatten(x)?),
        [1, channels, height, width] => {
            let sides = [height, width, channels].map(|side| usize::try_from(side).unwrap_or(0));
            Ok(graph.unflatten(x, sides)?)
        }
        _ => Err(format!("{wanted}; only rows of a whole image are understood").into()),
    }
}
