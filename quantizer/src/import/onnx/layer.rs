//! The operators, one after another.

use super::super::assemble::{Assembler, Order, Unfit, Value, channels_last};
use super::constant::Constant;
use super::convert::{Entry, Importer, Refusal};
use super::schema::Node;
use super::shape::{axis, cast, dims};
use crate::graph::{BatchNorm, Conv2d, FullyConnected, Padding, WeightQuantizer};
use ndarray::{Array1, Array2, Array4};

const SUPPORTED: &str = "this operator cannot be imported; Conv, BatchNormalization, Relu, Add, \
    Sub, Mul, Div, MaxPool, AveragePool, GlobalAveragePool, ReduceMean, Flatten, Reshape, Squeeze, \
    Gemm, MatMul, Pad, Slice, Softmax, QuantizeLinear, DequantizeLinear and Identity can";

const QDQ: &str = "it computes with whole numbers; export the quantized network in QDQ format, \
    with QuantizeLinear and DequantizeLinear around float operators";

/// Whether ONNX's operator reads quantized activations.
fn is_on_integers(operator: &str) -> bool {
    operator.starts_with("QLinear") || ["ConvInteger", "MatMulInteger"].contains(&operator)
}

impl<'a> Importer<'a> {
    /// A node that computes of the image.
    pub(super) fn layer(
        &mut self,
        graph: &mut Assembler,
        node: &Node<'a>,
    ) -> Result<Value, Refusal> {
        match node.operator {
            "Conv" => self.conv(graph, node),
            "BatchNormalization" => self.batch_norm(graph, node),
            "Relu" => Ok(graph.relu(&name(node, None), self.value(node, 0)?)?),
            "Clip" => self.clip(graph, node),
            "Add" | "Sub" | "Mul" | "Div" => self.arithmetic(graph, node),
            "MaxPool" => self.max_pool(graph, node),
            "AveragePool" => {
                let x = self.value(node, 0)?;
                let window = Window::of(node, None, &x)?;
                let whole = window.size == [x.shape()[0], x.shape()[1]];
                if !whole || window.padding != Padding::default() {
                    return Err("it is no mean over all positions".into());
                }
                Ok(graph.global_average(&name(node, None), x, false)?)
            }
            "GlobalAveragePool" => {
                let x = self.value(node, 0)?;
                Ok(graph.global_average(&name(node, None), x, false)?)
            }
            "ReduceMean" => self.reduce_mean(graph, node),
            "Flatten" => {
                let x = self.value(node, 0)?;
                let rank = dims(&x).len();
                if axis(node.integer("axis", 1)?, rank) != 1 {
                    return Err("its axis is not 1".into());
                }
                Ok(graph.flatten(x)?)
            }
            "Reshape" => self.reshape(graph, node),
            "Squeeze" => self.squeeze(graph, node),
            "Gemm" => self.gemm(graph, node),
            "MatMul" => self.matmul(graph, node),
            "Pad" => self.pad(graph, node),
            "Slice" => self.slice(graph, node),
            "Softmax" => {
                let x = self.value(node, 0)?;
                let default = if self.opset < 13 { 1 } else { -1 };
                let rank = dims(&x).len();
                if rank != 2 || axis(node.integer("axis", default)?, rank) != 1 {
                    return Err("it is not over the classes of [N,C]".into());
                }
                Ok(graph.softmax(x)?)
            }
            // In evaluation it drops nothing.
            "Identity" | "Dropout" => self.value(node, 0),
            "Cast" => {
                cast(node)?;
                self.narrow = true;
                self.value(node, 0)
            }
            "Transpose" => self.transpose(node),
            quantized if is_on_integers(quantized) => Err(QDQ.into()),
            _ => Err(SUPPORTED.into()),
        }
    }

    /// Of the image alone, from `[N,H,W,C]`.
    fn transpose(&mut self, node: &Node<'a>) -> Result<Value, Refusal> {
        let order = node.integers("perm")?;
        match self.entry(node, 0)? {
            Some(Entry::ChannelsLast(image)) if order.as_deref() == Some(&[0, 3, 1, 2]) => {
                Ok(image)
            }
            _ => Err("only the image can be transposed, from [N,H,W,C] to [N,C,H,W]".into()),
        }
    }

    fn conv(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let weights = self.constant(node, 1)?;
        let [outputs, inputs, height, width] = weights.dims()[..] else {
            return Err(format!("its weights are {:?}, and no [O,I,KH,KW]", weights.dims()).into());
        };
        let groups = node.integer("group", 1)?;
        if groups != 1 {
            return Err(format!("it has {groups} groups, and has to have one").into());
        }
        let window = Window::of(node, Some([height, width]), &x)?;
        let values = self.floats(&weights)?;
        let quantizer = self.weight_grid(&weights, 0, outputs)?;
        let values = Array4::from_shape_vec([outputs, inputs, height, width], values);
        let bias = match self.optional(node, 2)? {
            Some(_) => Some(Array1::from(self.vector(node, 2, outputs)?)),
            None => None,
        };
        let weights = channels_last(values.map_err(|error| Unfit::from(error.to_string()))?);
        let stride = window.stride()?;
        let layer = Conv2d { weights, bias, stride, padding: window.padding, quantizer };
        Ok(graph.conv(&name(node, node.inputs.get(1).copied()), x, layer)?)
    }

    fn batch_norm(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        if node.integer("training_mode", 0)? != 0 {
            return Err("it is in training mode; export the network for evaluation".into());
        }
        if node.integer("spatial", 1)? != 1 {
            return Err("it is not a channel each".into());
        }
        let x = self.value(node, 0)?;
        let channels = x.shape()[2];
        let mut vector =
            |index| Ok::<_, Refusal>(Array1::from(self.vector(node, index, channels)?));
        let norm = BatchNorm {
            gamma: vector(1)?,
            beta: vector(2)?,
            mean: vector(3)?,
            variance: vector(4)?,
            epsilon: node.float("epsilon", 1e-5)?,
        };
        if let Some(variance) = norm.variance.iter().find(|&&v| v + norm.epsilon <= 0.0) {
            return Err(format!("it has a variance of {variance}").into());
        }
        Ok(graph.batch_norm(&name(node, node.inputs.get(1).copied()), x, norm)?)
    }

    /// `max(x, 0)` in other words.
    fn clip(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let bound = |index: usize, attribute: &str, open: f32| {
            if let Some(bound) = self.optional(node, index)? {
                return Ok::<_, Refusal>(bound.floats()?.first().copied().unwrap_or(open));
            }
            Ok(node.float(attribute, open)?)
        };
        let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
        if low != 0.0 || high < f32::MAX {
            let reason = format!("it clips to {low} to {high}; ReLU is understood, ReLU6 is not");
            return Err(reason.into());
        }
        Ok(graph.relu(&name(node, None), x)?)
    }

    /// The sum of two values, or a value and a constant a channel.
    fn arithmetic(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let name = name(node, None);
        let (a, b) = (self.entry(node, 0)?, self.entry(node, 1)?);
        let (x, constant, swapped) = match (a, b) {
            (Some(Entry::Value(a)), Some(Entry::Value(b))) if node.operator == "Add" => {
                return Ok(graph.sum(&name, a, b)?);
            }
            (Some(Entry::Value(x)), Some(Entry::Constant(c))) => (x, c, false),
            (Some(Entry::Constant(c)), Some(Entry::Value(x))) => (x, c, true),
            _ => return Err("it is of two values of the image, and only Add can be".into()),
        };
        let channels = x.shape()[2];
        if x.is_flat() && x.shape()[..2] != [1, 1] {
            return Err("its input was flattened".into());
        }
        let values = self.a_channel(&constant, channels, x.is_flat())?;
        let each = |f: fn(f32) -> f32| values.iter().map(|&v| f(v)).collect::<Vec<f32>>();
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let (scale, shift) = match (node.operator, swapped) {
            ("Add", _) => (ones, values),
            ("Sub", false) => (ones, each(|v| -v)),
            ("Mul", _) => (values, zeros),
            ("Div", false) => (each(f32::recip), zeros),
            _ => return Err("it takes the image from a constant".into()),
        };
        if scale.iter().any(|scale| !scale.is_finite()) {
            return Err("it divides by zero".into());
        }
        Ok(graph.affine(&name, x, &scale, &shift)?)
    }

    /// A constant of one value, or of one a channel where it is broadcast.
    fn a_channel(
        &mut self,
        constant: &Constant<'a>,
        channels: usize,
        flat: bool,
    ) -> Result<Vec<f32>, Refusal> {
        let dims = constant.dims();
        let single = dims.iter().all(|&dim| dim == 1);
        // From the right: [.., C, 1, 1] of an image, [.., C] of a row.
        let from_right = if flat { 0 } else { 2 };
        let along = dims.iter().rev().position(|&dim| dim != 1);
        let fits = along == Some(from_right)
            && dims.iter().rev().nth(from_right) == Some(&channels)
            && dims.iter().filter(|&&dim| dim != 1).count() == 1;
        if !(single || fits) {
            let reason = format!("its constant is {dims:?}, and no value a channel");
            return Err(reason.into());
        }
        let values = self.floats(constant)?;
        Ok(values.iter().copied().cycle().take(channels).collect())
    }

    fn max_pool(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let window = Window::of(node, None, &x)?;
        let [kernel, across] = window.size;
        if kernel != across {
            return Err(format!("its window is {kernel} by {across}, not square").into());
        }
        let sizes = [kernel, window.stride()?];
        Ok(graph.max_pool(&name(node, None), x, sizes, window.padding)?)
    }

    fn reduce_mean(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        let rank = dims(&x).len();
        let axes = match self.optional(node, 1)? {
            Some(axes) => Some(axes.integers()?),
            None => node.integers("axes")?,
        };
        let axes = axes.unwrap_or_default();
        let mut axes: Vec<i64> = axes.iter().map(|&a| axis(a, rank)).collect();
        axes.sort_unstable();
        if rank != 4 || axes != [2, 3] {
            return Err("it is no mean over all positions".into());
        }
        let flat = node.integer("keepdims", 1)? == 0;
        Ok(graph.global_average(&name(node, None), x, flat)?)
    }

    fn gemm(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let transposed = node.integer("transB", 0)? != 0;
        if node.integer("transA", 0)? != 0 {
            return Err("it transposes its input".into());
        }
        let [alpha, beta] = [node.float("alpha", 1.0)?, node.float("beta", 1.0)?];
        let (mut weights, mut quantizer) = self.matrix(node, transposed)?;
        if alpha != 1.0 {
            weights.mapv_inplace(|weight| weight * alpha);
            quantizer = None;
        }
        let outputs = weights.dim().0;
        let bias = match self.optional(node, 2)? {
            Some(bias) => {
                let values = self.a_channel(&bias, outputs, true)?;
                values.iter().map(|value| value * beta).collect()
            }
            None => Array1::zeros(outputs),
        };
        self.dense(graph, node, FullyConnected { weights, bias, quantizer })
    }

    fn matmul(&mut self, graph: &mut Assembler, node: &Node<'a>) -> Result<Value, Refusal> {
        let (weights, quantizer) = self.matrix(node, false)?;
        let bias = Array1::zeros(weights.dim().0);
        self.dense(graph, node, FullyConnected { weights, bias, quantizer })
    }

    /// The weights of a full connection as `[O,I]`, of which the file has the transpose unless it
    /// is `transposed` already, and their grid.
    fn matrix(
        &mut self,
        node: &Node<'a>,
        transposed: bool,
    ) -> Result<(Array2<f32>, Option<WeightQuantizer>), Refusal> {
        let constant = self.constant(node, 1)?;
        let [rows, columns] = constant.dims()[..] else {
            return Err(format!("its weights are {:?}, no matrix", constant.dims()).into());
        };
        let values = Array2::from_shape_vec([rows, columns], self.floats(&constant)?);
        let values = values.map_err(|error| Unfit::from(error.to_string()))?;
        let (axis, outputs) = if transposed { (0, rows) } else { (1, columns) };
        let quantizer = self.weight_grid(&constant, axis, outputs)?;
        if transposed {
            return Ok((values, quantizer));
        }
        Ok((values.reversed_axes().as_standard_layout().into_owned(), quantizer))
    }

    fn dense(
        &mut self,
        graph: &mut Assembler,
        node: &Node<'a>,
        layer: FullyConnected,
    ) -> Result<Value, Refusal> {
        let x = self.value(node, 0)?;
        if !x.is_flat() {
            return Err("its input is an image that was not flattened".into());
        }
        let name = name(node, node.inputs.get(1).copied());
        Ok(graph.fully_connected(&name, x, layer, Order::ChannelsFirst)?)
    }
}

/// A name for what a node makes: that of its parameters' module, else its own.
pub(super) fn name(node: &Node<'_>, parameters: Option<&str>) -> String {
    let made_up = |name: &&str| !name.starts_with("onnx::") && name.contains('.');
    let module = parameters.filter(made_up).and_then(|name| name.rsplit_once('.'));
    if let Some((module, _)) = module {
        return module.to_owned();
    }
    let own = if node.name.is_empty() { node.outputs.first() } else { Some(&node.name) };
    let own = own.copied().unwrap_or_default().trim_matches('/');
    // `/layer1/layer1.0/conv1/Conv`: the innermost module and the operator.
    let mut parts = own.rsplit('/');
    let (last, module) = (parts.next().unwrap_or(own), parts.next());
    module.map_or_else(|| last.to_owned(), |module| format!("{module}.{last}"))
}

/// The attributes of what slides over an image.
struct Window {
    size: [usize; 2],
    strides: [usize; 2],
    padding: Padding,
}

impl Window {
    /// The longest side, stride and padding.
    const MAX: i64 = 16_384;

    fn of(node: &Node<'_>, weights: Option<[usize; 2]>, x: &Value) -> Result<Self, Refusal> {
        let pair = |name: &str, default: Option<[usize; 2]>| {
            let Some(values) = node.integers(name)? else {
                return default.ok_or_else(|| Refusal::from(format!("it has no {name}")));
            };
            let inside = values.iter().all(|value| (1..=Self::MAX).contains(value));
            match values[..] {
                [a, b] if inside => Ok([a as usize, b as usize]),
                _ => Err(format!("its {name} are {values:?}").into()),
            }
        };
        let size = pair("kernel_shape", weights)?;
        if weights.is_some_and(|weights| weights != size) {
            return Err("its kernel_shape is not that of its weights".into());
        }
        let strides = pair("strides", Some([1, 1]))?;
        if pair("dilations", Some([1, 1]))? != [1, 1] {
            return Err("it is dilated".into());
        }
        let shape = x.shape();
        let same = |upper: bool| {
            let total = |axis: usize| {
                let (side, size, stride) = (shape[axis], size[axis], strides[axis]);
                let last = (side.div_ceil(stride).saturating_sub(1)) * stride + size;
                last.saturating_sub(side)
            };
            let [rows, columns] = [total(0), total(1)];
            let before = |total: usize| if upper { total / 2 } else { total - total / 2 };
            let (top, left) = (before(rows), before(columns));
            Padding { top, left, bottom: rows - top, right: columns - left }
        };
        let padding = match node.word("auto_pad", "NOTSET")? {
            "NOTSET" => explicit(node)?,
            "VALID" => Padding::default(),
            "SAME_UPPER" => same(true),
            "SAME_LOWER" => same(false),
            other => return Err(format!("its auto_pad is `{other}`").into()),
        };
        if node.integer("ceil_mode", 0)? != 0 {
            let sides =
                [shape[0] + padding.top + padding.bottom, shape[1] + padding.left + padding.right];
            let rest = |axis: usize| sides[axis].saturating_sub(size[axis]) % strides[axis];
            if [rest(0), rest(1)] != [0, 0] {
                return Err("its ceil_mode makes windows that leave the image".into());
            }
        }
        Ok(Self { size, strides, padding })
    }

    /// One stride for rows and columns.
    fn stride(&self) -> Result<usize, Refusal> {
        let [rows, columns] = self.strides;
        let reason = || format!("its stride is {rows} by {columns}, and has to be square");
        Ok((rows == columns).then_some(rows).ok_or_else(reason)?)
    }
}

fn explicit(node: &Node<'_>) -> Result<Padding, Refusal> {
    let values = node.integers("pads")?.unwrap_or_else(|| vec![0; 4]);
    let inside = values.iter().all(|value| (0..=Window::MAX).contains(value));
    match values[..] {
        [top, left, bottom, right] if inside => {
            let [top, left, bottom, right] = [top, left, bottom, right].map(|side| side as usize);
            Ok(Padding { top, left, bottom, right })
        }
        _ => Err(format!("its pads are {values:?}").into()),
    }
}
