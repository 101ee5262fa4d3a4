//! A whole quantized graph, operator by operator.

use super::conv2d::Conv2d;
use super::{Tensor, add, average_pool2d, conv2d, fully_connected_native, fully_connected_tflite};
use super::{global_mean, global_sum, max_pool2d, mean_of_sums, softmax, subsample_pad};
use resmcu_quantizer::quantized::{Channels, QuantizedGraph, QuantizedOp, TensorId};

/// A tensor of any type that a graph has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    I8(Tensor<i8>),
    I16(Tensor<i16>),
    I32(Tensor<i32>),
}

impl Value {
    /// Its elements in memory, little-endian.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::I8(tensor) => tensor.elements.iter().map(|&q| q as u8).collect(),
            Self::I16(tensor) => tensor.elements.iter().flat_map(|q| q.to_le_bytes()).collect(),
            Self::I32(tensor) => tensor.elements.iter().flat_map(|q| q.to_le_bytes()).collect(),
        }
    }

    fn shape(&self) -> [usize; 3] {
        match self {
            Self::I8(tensor) => tensor.shape,
            Self::I16(tensor) => tensor.shape,
            Self::I32(tensor) => tensor.shape,
        }
    }

    #[track_caller]
    fn i8(&self) -> &Tensor<i8> {
        let Self::I8(tensor) = self else { panic!("int8 is needed") };
        tensor
    }

    fn wide(&self) -> Vec<i64> {
        match self {
            Self::I8(tensor) => tensor.elements.iter().map(|&q| q.into()).collect(),
            Self::I16(tensor) => tensor.elements.iter().map(|&q| q.into()).collect(),
            Self::I32(tensor) => tensor.elements.iter().map(|&q| q.into()).collect(),
        }
    }
}

/// The output of each node for one input tensor.
pub(crate) fn outputs(graph: &QuantizedGraph, input: &[i8]) -> Vec<Value> {
    let mut values = vec![Value::I8(Tensor::new(graph.tensors[0].shape, input.to_vec()))];
    for index in 0..graph.nodes.len() {
        let value = node(graph, index, &values);
        assert_eq!(value.shape(), graph.tensors[index + 1].shape, "node {index}");
        values.push(value);
    }
    values.split_off(1)
}

fn node(graph: &QuantizedGraph, index: usize, values: &[Value]) -> Value {
    let value = |id: &TensorId| &values[id.0];
    let y = &graph.tensors[index + 1];
    match &graph.nodes[index].op {
        QuantizedOp::Conv2d { input, sliding, pad_value, weights, channels, clamp, skip } => {
            let (clamp, zero_point) = (*clamp, y.zero_point);
            let layer = Conv2d { sliding, pad_value, weights, channels, clamp, zero_point };
            let skip = skip.as_ref().map(|skip| value(skip).i8());
            Value::I8(conv2d(value(input).i8(), &layer, skip))
        }
        QuantizedOp::MaxPool2d { input, sliding, clamp } => {
            Value::I8(max_pool2d(value(input).i8(), sliding, *clamp))
        }
        QuantizedOp::AveragePool2d { input, sliding, clamp } => match value(input) {
            Value::I16(sums) => Value::I8(mean_of_sums(sums, sliding, *clamp)),
            x => Value::I8(average_pool2d(x.i8(), sliding, *clamp)),
        },
        QuantizedOp::GlobalSum { input } => Value::I16(global_sum(value(input).i8())),
        QuantizedOp::GlobalMean { input, constants, clamp } => {
            let (shape, x) = (value(input).shape(), value(input).wide());
            Value::I8(global_mean(&Tensor::new(shape, x), constants, y.zero_point, *clamp))
        }
        QuantizedOp::FullyConnected { input, weights, channels, clamp } => {
            let x = value(input).wide();
            match channels {
                Channels::Native(c) => {
                    let logits = fully_connected_native(&x, weights, c);
                    Value::I32(Tensor::new([1, 1, c.len()], logits))
                }
                Channels::Tflite(c) => {
                    let scores = fully_connected_tflite(&x, weights, c, y.zero_point, *clamp);
                    Value::I8(Tensor::new([1, 1, c.len()], scores))
                }
            }
        }
        QuantizedOp::Add { inputs, constants, clamp } => {
            let [a, b] = inputs.each_ref().map(|input| value(input).i8());
            Value::I8(add(a, b, constants, *clamp))
        }
        QuantizedOp::Softmax { input, scale } => {
            Value::I8(Tensor::new(y.shape, softmax(&value(input).i8().elements, scale)))
        }
        QuantizedOp::SubsamplePad { input, stride, channels_before } => {
            let zero = i8::try_from(y.zero_point).unwrap();
            let x = value(input).i8();
            Value::I8(subsample_pad(x, *stride, *channels_before, y.shape[2], zero))
        }
    }
}
