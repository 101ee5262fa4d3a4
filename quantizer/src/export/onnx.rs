//! Float networks as ONNX files; those on grids in QDQ format, with their integer weights.
//!
//! The image of the file is `pixel / 255` as `[N,C,H,W]`: what normalizes it is in the graph. Owns
//! how each operator is written; the schema's field numbers are those of `onnx.proto`.

use super::protobuf::Message;
use crate::graph::{
    BatchNorm, Conv2d, FakeQuantize, FullyConnected, Graph, Node, Op, Padding, WeightQuantizer,
};

/// `TensorProto.DataType`.
const FLOAT: i64 = 1;
const INT8: i64 = 3;
const INT64: i64 = 7;

/// The version of the file's layout, and of its operators.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;

/// The bytes of a file of `graph`.
#[must_use]
pub fn write(graph: &Graph) -> Vec<u8> {
    let mut writer = Writer { nodes: Vec::new(), constants: Vec::new() };
    let mut made: Vec<String> = vec![writer.image(graph)];
    for node in graph.nodes.iter().skip(1) {
        let inputs: Vec<&str> = node.inputs.iter().map(|input| made[input.0].as_str()).collect();
        let output = writer.layer(graph, node, &inputs);
        made.push(output);
    }
    let [height, width, channels] = graph.input_shape().map(|side| side as i64);
    let open = Message::default().text(2, "n");
    let sides = [channels, height, width].map(|side| Message::default().int(1, side));
    let image = value("image", [open.clone()].into_iter().chain(sides));
    let classes = Message::default().int(1, graph.classes() as i64);
    let output = value(made.last().map_or("image", String::as_str), [open, classes].into_iter());
    let mut whole = Message::default();
    for node in writer.nodes {
        whole = whole.message(1, &node);
    }
    whole = whole.text(2, &graph.name);
    for constant in writer.constants {
        whole = whole.message(5, &constant);
    }
    whole = whole.message(11, &image).message(12, &output);
    let operators = Message::default().text(1, "").int(2, OPSET);
    Message::default()
        .int(1, IR_VERSION)
        .text(2, "resmcu")
        .message(7, &whole)
        .message(8, &operators)
        .bytes()
}

/// A graph's input or output of floats.
fn value(name: &str, sides: impl Iterator<Item = Message>) -> Message {
    let shape = sides.fold(Message::default(), |shape, side| shape.message(1, &side));
    let tensor = Message::default().int(1, FLOAT).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

/// What an attribute holds.
enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
}

struct Writer {
    nodes: Vec<Message>,
    constants: Vec<Message>,
}

impl Writer {
    /// Adds a node, which makes a value of its own name.
    fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        let mut node = Message::default();
        for input in inputs {
            node = node.text(1, input);
        }
        node = node.text(2, name).text(3, name).text(4, operator);
        for (name, value) in attributes {
            let attribute = Message::default().text(1, name);
            let attribute = match value {
                Attribute::Float(value) => attribute.float(2, *value).int(20, 1),
                Attribute::Int(value) => attribute.int(3, *value).int(20, 2),
                Attribute::Ints(values) => {
                    values.iter().fold(attribute, |a, &value| a.int(8, value)).int(20, 7)
                }
            };
            node = node.message(5, &attribute);
        }
        self.nodes.push(node);
        name.to_owned()
    }

    fn constant(&mut self, name: &str, kind: i64, dims: &[usize], bytes: &[u8]) -> String {
        let dims = dims.iter().fold(Message::default(), |m, &side| m.int(1, side as i64));
        self.constants.push(dims.int(2, kind).text(8, name).data(9, bytes));
        name.to_owned()
    }

    fn floats(&mut self, name: &str, dims: &[usize], values: impl Iterator<Item = f32>) -> String {
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        self.constant(name, FLOAT, dims, &bytes)
    }

    fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT64, &[values.len()], &bytes)
    }

    /// `(pixel / 255 - mean) / std`.
    fn image(&mut self, graph: &Graph) -> String {
        let normalization = &graph.normalization;
        let sides = [normalization.mean.len(), 1, 1];
        let mean = self.floats("image.mean", &sides, normalization.mean.iter().copied());
        let std = self.floats("image.std", &sides, normalization.std.iter().copied());
        let centred = self.node("Sub", "image.centred", &["image", &mean], &[]);
        self.node("Div", "image.normalized", &[&centred, &std], &[])
    }

    fn layer(&mut self, graph: &Graph, node: &Node, inputs: &[&str]) -> String {
        let name = &node.name;
        let shape = node.inputs.first().map_or([0; 3], |&input| graph.node(input).shape);
        match &node.op {
            Op::Conv2d(conv) => self.conv2d(name, conv, inputs[0]),
            Op::BatchNorm(norm) => self.batch_norm(name, norm, inputs[0]),
            Op::Relu => self.node("Relu", name, inputs, &[]),
            Op::Add => self.node("Add", name, inputs, &[]),
            Op::MaxPool2d { kernel, stride, padding } => {
                let (sides, strides) = ([*kernel as i64; 2], [*stride as i64; 2]);
                let attributes = [
                    ("kernel_shape", Attribute::Ints(&sides)),
                    ("strides", Attribute::Ints(&strides)),
                    ("pads", Attribute::Ints(&around(padding))),
                ];
                self.node("MaxPool", name, inputs, &attributes)
            }
            Op::GlobalAvgPool => self.node("GlobalAveragePool", name, inputs, &[]),
            Op::FullyConnected(layer) => self.fully_connected(name, layer, inputs[0], shape),
            Op::SubsamplePad { stride, channels } => {
                self.subsample_pad(name, [*stride, *channels], inputs[0], shape)
            }
            Op::FakeQuantize(grid) => self.fake_quantize(name, grid, inputs[0]),
            Op::Input => inputs.first().map_or_else(|| "image".to_owned(), |&x| x.to_owned()),
        }
    }

    /// Weights in the file's order, `[O, ..]`: floats, or integers with a node that scales them.
    fn weights(
        &mut self,
        name: &str,
        dims: &[usize],
        values: &[f32],
        quantizer: Option<&WeightQuantizer>,
    ) -> String {
        let weights = format!("{name}.weight");
        let Some(quantizer) = quantizer else {
            return self.floats(&weights, dims, values.iter().copied());
        };
        let row = (values.len() / quantizer.steps.len().max(1)).max(1);
        let bound = quantizer.bound();
        let rows = values.chunks_exact(row).zip(&quantizer.steps);
        let round = |w: &f32, step: f32| (w / step).round().clamp(-bound, bound) as i8;
        let whole: Vec<u8> = rows
            .flat_map(|(row, &step)| row.iter().map(move |w| round(w, step).cast_unsigned()))
            .collect();
        let outputs = quantizer.steps.len();
        let whole = self.constant(&format!("{weights}.int8"), INT8, dims, &whole);
        let steps =
            self.floats(&format!("{weights}.scale"), &[outputs], quantizer.steps.iter().copied());
        let zeros = self.constant(&format!("{weights}.zero"), INT8, &[outputs], &vec![0; outputs]);
        let axis = [("axis", Attribute::Int(0))];
        self.node("DequantizeLinear", &weights, &[&whole, &steps, &zeros], &axis)
    }

    fn conv2d(&mut self, name: &str, conv: &Conv2d, x: &str) -> String {
        let (outputs, height, width, inputs) = conv.weights.dim();
        let dims = [outputs, inputs, height, width];
        let values: Vec<f32> =
            conv.weights.view().permuted_axes([0, 3, 1, 2]).iter().copied().collect();
        let weights = self.weights(name, &dims, &values, conv.quantizer.as_ref());
        let bias = conv
            .bias
            .as_ref()
            .map(|bias| self.floats(&format!("{name}.bias"), &[outputs], bias.iter().copied()));
        let mut read = vec![x, weights.as_str()];
        read.extend(bias.as_deref());
        let strides = [conv.stride as i64; 2];
        let pads = around(&conv.padding);
        let attributes = [("strides", Attribute::Ints(&strides)), ("pads", Attribute::Ints(&pads))];
        self.node("Conv", name, &read, &attributes)
    }

    fn batch_norm(&mut self, name: &str, norm: &BatchNorm, x: &str) -> String {
        let BatchNorm { gamma, beta, mean, variance, epsilon } = norm;
        let parts = [("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)];
        let parts = parts.map(|(part, values)| {
            self.floats(&format!("{name}.{part}"), &[values.len()], values.iter().copied())
        });
        let [gamma, beta, mean, variance] = parts.each_ref().map(String::as_str);
        let epsilon = [("epsilon", Attribute::Float(*epsilon))];
        self.node("BatchNormalization", name, &[x, gamma, beta, mean, variance], &epsilon)
    }

    /// A row of the image in the file's order, `[C,H,W]`.
    fn fully_connected(
        &mut self,
        name: &str,
        layer: &FullyConnected,
        x: &str,
        [height, width, channels]: [usize; 3],
    ) -> String {
        let (outputs, inputs) = layer.weights.dim();
        let positions = (height * width).max(1);
        let here = |i: usize| i % positions * channels + i / positions;
        let rows = layer.weights.outer_iter();
        let values: Vec<f32> =
            rows.flat_map(|row| (0..inputs).map(move |i| row[here(i)])).collect();
        let weights = self.weights(name, &[outputs, inputs], &values, layer.quantizer.as_ref());
        let bias = self.floats(&format!("{name}.bias"), &[outputs], layer.bias.iter().copied());
        let flat = self.node("Flatten", &format!("{name}.flat"), &[x], &[]);
        let transposed = [("transB", Attribute::Int(1))];
        self.node("Gemm", name, &[&flat, &weights, &bias], &transposed)
    }

    fn subsample_pad(
        &mut self,
        name: &str,
        [stride, channels]: [usize; 2],
        x: &str,
        [height, width, inputs]: [usize; 3],
    ) -> String {
        let of = |part: &str| format!("{name}.{part}");
        let (sides, stride) = ([height as i64, width as i64], stride as i64);
        let starts = self.integers(&of("starts"), &[0, 0]);
        let ends = self.integers(&of("ends"), &sides);
        let axes = self.integers(&of("axes"), &[2, 3]);
        let steps = self.integers(&of("steps"), &[stride; 2]);
        let x = self.node("Slice", &of("slice"), &[x, &starts, &ends, &axes, &steps], &[]);
        let added = channels - inputs;
        let (before, after) = (added / 2, added - added / 2);
        let pads = [0, before as i64, 0, 0, 0, after as i64, 0, 0];
        let pads = self.integers(&of("pads"), &pads);
        self.node("Pad", name, &[&x, &pads], &[])
    }

    fn fake_quantize(&mut self, name: &str, grid: &FakeQuantize, x: &str) -> String {
        let step = self.floats(&format!("{name}.scale"), &[], grid.step.iter().copied().take(1));
        let zero = [grid.zero_point.cast_unsigned()];
        let zero = self.constant(&format!("{name}.zero"), INT8, &[], &zero);
        let whole = self.node("QuantizeLinear", &format!("{name}.int8"), &[x, &step, &zero], &[]);
        self.node("DequantizeLinear", name, &[&whole, &step, &zero], &[])
    }
}

/// As ONNX orders the sides: top, left, bottom, right.
fn around(padding: &Padding) -> [i64; 4] {
    let Padding { top, left, bottom, right } = *padding;
    [top, left, bottom, right].map(|side| side as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Method;
    use crate::engine::Executor;
    use crate::fold_batch_norm::fold;
    use crate::graph::resnet::Shortcut;
    use crate::import::{Options, onnx};
    use crate::post_training::tests::{four_bits, network, run};
    use crate::post_training::{Calibration, Settings};
    use crate::quantization_aware::on_grids;
    use ndarray::Array4;

    /// The same network after it was written and read.
    #[track_caller]
    fn check(graph: &Graph, images: &Array4<f32>) {
        let unit = crate::graph::Normalization { mean: vec![0.0], std: vec![1.0] };
        let options = Options { normalization: Some(unit), ..Options::default() };
        let read = onnx::read(&write(graph), &options).unwrap().graph;
        assert_eq!(read.normalization, graph.normalization);
        let run = |graph: &Graph| Executor::new().forward_eval(graph, images.view()).unwrap();
        for (found, expected) in run(&read).iter().zip(&run(graph)) {
            assert!(
                (found - expected).abs() <= 1e-5 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
        let grids = |graph: &Graph| {
            let is_grid = |node: &&Node| matches!(node.op, Op::FakeQuantize(_));
            let weights = graph.nodes.iter().filter_map(|node| node.op.weight_quantizer());
            (graph.nodes.iter().filter(is_grid).count(), weights.count())
        };
        assert_eq!(grids(&read), grids(graph));
    }

    #[test]
    fn written_files_are_read_as_the_same_networks() {
        for shortcut in [Shortcut::Pad, Shortcut::Project] {
            let (graph, images) = network(shortcut);
            let batch = images.batch(0..4, &graph.normalization);
            check(&graph, &batch);
            let calibration = Calibration::Fixed(Method::MinMax);
            let eight = run(&graph, &images, &Settings { calibration, ..Settings::default() });
            check(&on_grids(&eight).unwrap(), &batch);
            let rounding = crate::post_training::Rounding::Nearest;
            let four = run(&graph, &images, &Settings { rounding, ..four_bits() });
            check(&fold(&on_grids(&four).unwrap()).unwrap(), &batch);
        }
        let unfolded = crate::graph::resnet::ResNetSpec {
            input: [12, 12, 3],
            width: 6,
            classes: 5,
            ..crate::graph::resnet::ResNetSpec::cifar(1, Shortcut::Project)
        };
        let (_, images) = network(Shortcut::Project);
        let graph = unfolded.build(3).unwrap();
        check(&graph, &images.batch(0..4, &graph.normalization));
    }
}
