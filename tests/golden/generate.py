#!/usr/bin/env python3
"""Makes the golden files: what TensorFlow Lite Micro's interpreter answers.

Versions that made the files in this folder:
    Python 3.11.7, tflite-micro 0.dev20261023182759, numpy 2.4.6, flatbuffers 25.12.19

    pip install tflite-micro==0.dev20261023182759 numpy==2.4.6
    RESMCU_TEST_DATA=<folder> python3 tests/golden/generate.py

The folder is the one that holds `mlperf-tiny/` and `cifar10-lossless/`; without it only the files
of single operators are made. The tests read what is written here and need no Python. Each file
has a header with the version of tflite-micro; the layout is in README.md.
"""

import gzip
import importlib.metadata
import os
import pathlib
import sys
import zlib

import flatbuffers
import numpy as np
from tflite_micro.python.tflite_micro import runtime
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from golden import splitmix64, write

JUDGE = "tflite-micro " + importlib.metadata.version("tflite-micro")


def answer(model: bytes, inputs: np.ndarray) -> np.ndarray:
    """The interpreter's int8 answers, one row an input."""
    interpreter = runtime.Interpreter.from_bytes(model)
    answers = []
    for x in inputs:
        interpreter.set_input(np.ascontiguousarray(x), 0)
        interpreter.invoke()
        answers.append(interpreter.get_output(0).reshape(-1).copy())
    return np.stack(answers)


def mlperf_resnet8(data: pathlib.Path) -> None:
    """MLPerf Tiny's int8 ResNet-8 on random bytes and on CIFAR-10's first test images."""
    model = (data / "mlperf-tiny/pretrainedResnet_int8.tflite").read_bytes()
    with gzip.open(data / "cifar10-lossless/test_batch_first1000.bin.gz") as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    images = (images.astype(np.int16) - 128).astype(np.int8)
    seeds, indices = list(range(1, 33)), list(range(32))
    random = np.stack([splitmix64(seed, 3072).reshape(1, 32, 32, 3) for seed in seeds])
    scores = answer(model, images[:, None])
    correct = int((scores.argmax(axis=1) == records[:, 0]).sum())  # ties: the first index
    golden = {
        "judge": JUDGE,
        "model": "mlperf-tiny/pretrainedResnet_int8.tflite",
        "random": [
            {"seed": seed, "output": row.tolist()}
            for seed, row in zip(seeds, answer(model, random))
        ],
        "cifar10_test": [{"index": i, "output": scores[i].tolist()} for i in indices],
        "cifar10_test_images": len(scores),
        "cifar10_test_correct": correct,
        "cifar10_test_outputs_crc32": zlib.crc32(scores.tobytes()),
    }
    write("mlperf_resnet8/answers.json", golden)


# Operators: a small .tflite file each, built with the schema that comes with tflite-micro.


class Model:
    """One int8 subgraph as it is put together."""

    def __init__(self, shape, scale, zero_point):
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "golden"
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.graph.inputs = [self.tensor("input", shape, scale, zero_point)]

    def tensor(self, name, shape, scale, zero_point, data=None, dtype=schema.TensorType.INT8):
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), dtype, 0
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = scales.tolist()
            t.quantization.zeroPoint = [zero_point] * len(scales)
            t.quantization.quantizedDimension = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def operator(self, code, version, inputs, output, kind=0, options=None):
        c = schema.OperatorCodeT()
        c.builtinCode = c.deprecatedBuiltinCode = code
        c.version = version
        o = schema.OperatorT()
        o.opcodeIndex = len(self.model.operatorCodes)
        o.inputs, o.outputs = inputs, [output]
        o.builtinOptionsType, o.builtinOptions = kind, options
        self.model.operatorCodes.append(c)
        self.graph.operators.append(o)
        self.graph.outputs = [output]

    def bytes(self):
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind, **fields):
    made = getattr(schema, kind + "OptionsT")()
    for name, value in fields.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return getattr(schema.BuiltinOptions, kind + "Options"), made


def some_scale(rng, low=0.002, high=0.2):
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def some_zero(rng):
    return int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))


def window(size, kernel, stride, padding):
    return -(-size // stride) if padding == 0 else (size - kernel) // stride + 1


def conv2d(rng):
    h, w, i, o = (int(v) for v in rng.integers([1, 1, 1, 1], [10, 10, 8, 11]))
    padding = int(rng.integers(0, 2))
    limit = [6, 6] if padding == 0 else [min(h, 5) + 1, min(w, 5) + 1]
    kh, kw = (int(v) for v in rng.integers([1, 1], limit))
    sh, sw = (int(v) for v in rng.integers(1, 4, 2))
    x_scale, w_scale = some_scale(rng), np.exp(rng.uniform(-7, -3, o if rng.integers(0, 3) else 1))
    weights = rng.integers(-127, 128, (o, kh, kw, i)).astype(np.int8)
    spread = 74 * 74 * np.sqrt(kh * kw * i) * x_scale * float(np.mean(w_scale)) / 40
    y_scale, bias = float(np.float32(spread)), rng.integers(-20000, 20000, o).astype(np.int32)
    m = Model((1, h, w, i), x_scale, some_zero(rng))
    inputs = [0, m.tensor("w", weights.shape, w_scale, 0, weights)]
    if rng.integers(0, 4):
        bias_scale = x_scale * w_scale
        inputs.append(m.tensor("b", (o,), bias_scale, 0, bias, schema.TensorType.INT32))
    shape = (1, window(h, kh, sh, padding), window(w, kw, sw, padding), o)
    y = m.tensor("y", shape, y_scale, some_zero(rng))
    activation = int(rng.choice([0, 1, 2, 3]))
    made = options(
        "Conv2D",
        padding=padding,
        strideH=sh,
        strideW=sw,
        dilationWFactor=1,
        dilationHFactor=1,
        fusedActivationFunction=activation,
    )
    m.operator(schema.BuiltinOperator.CONV_2D, 3, inputs, y, *made)
    return m


def fully_connected(rng):
    i, o = (int(v) for v in rng.integers([1, 1], [80, 20]))
    x_scale, w_scale = some_scale(rng), np.float32(np.exp(rng.uniform(-7, -3)))
    if rng.integers(0, 3) == 0:
        w_scale = np.exp(rng.uniform(-7, -3, o)).astype(np.float32)
    weights = rng.integers(-127, 128, (o, i)).astype(np.int8)
    y_scale = float(np.float32(74 * 74 * np.sqrt(i) * x_scale * float(np.mean(w_scale)) / 40))
    m = Model((1, i), x_scale, some_zero(rng))
    inputs = [0, m.tensor("w", weights.shape, w_scale, 0, weights)]
    if rng.integers(0, 4):
        bias = rng.integers(-20000, 20000, o).astype(np.int32)
        inputs.append(m.tensor("b", (o,), x_scale * w_scale, 0, bias, schema.TensorType.INT32))
    y = m.tensor("y", (1, o), y_scale, some_zero(rng))
    made = options("FullyConnected", fusedActivationFunction=int(rng.choice([0, 1, 3])))
    m.operator(schema.BuiltinOperator.FULLY_CONNECTED, 4, inputs, y, *made)
    return m


def pool(rng, code):
    h, w, c = (int(v) for v in rng.integers([1, 1, 1], [12, 12, 7]))
    padding = int(rng.integers(0, 2))
    limit = [6, 6] if padding == 0 else [h + 1, w + 1]
    kh, kw = (int(v) for v in rng.integers([1, 1], limit))
    sh, sw = (int(v) for v in rng.integers(1, 4, 2))
    scale, zero = some_scale(rng), some_zero(rng)
    m = Model((1, h, w, c), scale, zero)
    y = m.tensor("y", (1, window(h, kh, sh, padding), window(w, kw, sw, padding), c), scale, zero)
    made = options(
        "Pool2D",
        padding=padding,
        strideH=sh,
        strideW=sw,
        filterHeight=kh,
        filterWidth=kw,
        fusedActivationFunction=int(rng.choice([0, 1, 2, 3])),
    )
    m.operator(code, 2, [0], y, *made)
    return m


def average_pool2d(rng):
    return pool(rng, schema.BuiltinOperator.AVERAGE_POOL_2D)


def max_pool2d(rng):
    return pool(rng, schema.BuiltinOperator.MAX_POOL_2D)


def global_mean(rng):
    """`MEAN` over height and width, as Keras' GlobalAveragePooling2D becomes it."""
    h, w, c = (int(v) for v in rng.integers([1, 1, 1], [9, 9, 7]))
    x_scale = some_scale(rng)
    zero = some_zero(rng)
    m = Model((1, h, w, c), x_scale, zero)
    axes = np.array([[1, 2], [2, 1], [-3, -2]][int(rng.integers(0, 3))], np.int32)
    a = m.tensor("axes", (2,), None, 0, axes, schema.TensorType.INT32)
    keep = bool(rng.integers(0, 2))
    same = rng.integers(0, 4) == 0
    scale = x_scale if same else x_scale * float(rng.choice([0.3, 0.77, 1.9]))
    y = m.tensor("y", (1, 1, 1, c) if keep else (1, c), scale, zero if same else some_zero(rng))
    made = options("Reducer", keepDims=keep)
    m.operator(schema.BuiltinOperator.MEAN, 2, [0, a], y, *made)
    return m


def add(rng):
    """Of the input and a 1x1 convolution of it, as a residual block has it."""
    h, w, c = (int(v) for v in rng.integers([1, 1, 1], [6, 6, 9]))
    x_scale, b_scale, y_scale = some_scale(rng), some_scale(rng), some_scale(rng)
    weights = rng.integers(-127, 128, (c, 1, 1, c)).astype(np.int8)
    m = Model((1, h, w, c), x_scale, some_zero(rng))
    w_scale = float(np.float32(b_scale / x_scale / 127))
    k = m.tensor("w", weights.shape, w_scale, 0, weights)
    b = m.tensor("branch", (1, h, w, c), b_scale, some_zero(rng))
    made = options("Conv2D", padding=0, strideH=1, strideW=1, dilationWFactor=1, dilationHFactor=1)
    m.operator(schema.BuiltinOperator.CONV_2D, 3, [0, k], b, *made)
    y = m.tensor("y", (1, h, w, c), y_scale, some_zero(rng))
    made = options("Add", fusedActivationFunction=int(rng.choice([0, 1, 2, 3])))
    m.operator(schema.BuiltinOperator.ADD, 2, [b, 0] if rng.integers(0, 2) else [0, b], y, *made)
    return m


def softmax(rng):
    c = int(rng.integers(1, 40))
    m = Model((1, c), some_scale(rng, 1e-4, 3.0), some_zero(rng))
    y = m.tensor("y", (1, c), 1 / 256, -128)
    beta = float(rng.choice([1.0, 1.0, 0.5, 3.0]))
    m.operator(schema.BuiltinOperator.SOFTMAX, 2, [0], y, *options("Softmax", beta=beta))
    return m


def append_conv(m, rng, x, kernel, stride, padding, outputs, activation, y_scale):
    """A convolution of tensor `x`; gives the output's index."""
    source = m.graph.tensors[x]
    _, h, w, i = source.shape
    x_scale = float(source.quantization.scale[0])
    weights = rng.integers(-127, 128, (outputs, kernel, kernel, i)).astype(np.int8)
    spread = 74 * 74 * kernel * np.sqrt(i) / 40
    w_scale = np.exp(rng.uniform(-0.5, 0.5, outputs)) * y_scale / (x_scale * spread)
    bias = rng.integers(-20000, 20000, outputs).astype(np.int32)
    inputs = [
        x,
        m.tensor("w", weights.shape, w_scale, 0, weights),
        m.tensor("b", (outputs,), x_scale * w_scale, 0, bias, schema.TensorType.INT32),
    ]
    shape = (1, window(h, kernel, stride, padding), window(w, kernel, stride, padding), outputs)
    y = m.tensor(f"stage/conv_{len(m.graph.tensors)}/Conv2D", shape, y_scale, some_zero(rng))
    made = options(
        "Conv2D",
        padding=padding,
        strideH=stride,
        strideW=stride,
        dilationWFactor=1,
        dilationHFactor=1,
        fusedActivationFunction=activation,
    )
    m.operator(schema.BuiltinOperator.CONV_2D, 3, inputs, y, *made)
    return y


def append_pad(m, x, around):
    source = m.graph.tensors[x]
    sides = np.array([[0, 0], around[0], around[1], [0, 0]], np.int32)
    shape = [int(s + sum(p)) for s, p in zip(source.shape, sides)]
    q = source.quantization
    p = m.tensor("paddings", (4, 2), None, 0, sides, schema.TensorType.INT32)
    y = m.tensor("padded", shape, q.scale, q.zeroPoint[0])
    m.operator(schema.BuiltinOperator.PAD, 2, [x, p], y, *options("Pad"))
    return y


def network(rng):
    """A stem with PAD, a max pooling, a block with a projection, pooling, classifier, softmax."""
    m = Model((1, *(int(v) for v in rng.integers(8, 14, 2)), 3), some_scale(rng), some_zero(rng))
    x = append_pad(m, 0, rng.integers(0, 3, (2, 2)))
    x = append_conv(m, rng, x, 3, int(rng.integers(1, 3)), 1, 5, 1, 0.05)
    m.graph.tensors[x].quantization.zeroPoint = [-128]
    x = append_pad(m, x, rng.integers(0, 2, (2, 2)))
    _, h, w, c = m.graph.tensors[x].shape
    scale = m.graph.tensors[x].quantization.scale
    y = m.tensor("pooled", (1, window(h, 2, 1, 1), window(w, 2, 1, 1), c), scale, -128)
    made = options("Pool2D", padding=1, strideH=1, strideW=1, filterHeight=2, filterWidth=2)
    m.operator(schema.BuiltinOperator.MAX_POOL_2D, 2, [x], y, *made)
    stride = int(rng.integers(1, 3))
    a = append_conv(m, rng, y, 3, stride, 0, 7, 1, 0.04)
    a = append_conv(m, rng, a, 3, 1, 0, 7, 0, 0.07)
    b = append_conv(m, rng, y, 1, stride, 0, 7, 0, 0.05)
    shape = m.graph.tensors[a].shape
    x = m.tensor("sum", shape, 0.06, -128)
    m.operator(schema.BuiltinOperator.ADD, 2, [a, b], x, *options("Add", fusedActivationFunction=1))
    _, h, w, c = shape
    pooled = m.tensor("mean", (1, 1, 1, c), 0.06, -128)
    made = options("Pool2D", padding=1, strideH=h, strideW=w, filterHeight=h, filterWidth=w)
    m.operator(schema.BuiltinOperator.AVERAGE_POOL_2D, 2, [x], pooled, *made)
    flat = m.tensor("flat", (1, c), 0.06, -128)
    shape = m.tensor("shape", (2,), None, 0, np.array([-1, c], np.int32), schema.TensorType.INT32)
    m.operator(schema.BuiltinOperator.RESHAPE, 1, [pooled, shape], flat, *options("Reshape"))
    weights = rng.integers(-127, 128, (4, c)).astype(np.int8)
    k = m.tensor("dense", weights.shape, 0.01, 0, weights)
    logits = m.tensor("logits", (1, 4), 0.1, 3)
    made = options("FullyConnected")
    m.operator(schema.BuiltinOperator.FULLY_CONNECTED, 4, [flat, k], logits, *made)
    y = m.tensor("scores", (1, 4), 1 / 256, -128)
    m.operator(schema.BuiltinOperator.SOFTMAX, 2, [logits], y, *options("Softmax", beta=1.0))
    return m


def refused() -> None:
    """Models that the import has to refuse, each with a part of the message."""
    models = []

    def case(message, alter, build=conv2d, seed=6):
        m = build(np.random.default_rng([9, seed]))
        alter(m)
        models.append({"message": message, "model": zlib.compress(m.bytes(), 9).hex()})

    def tensor(index, **fields):
        return lambda m: [setattr(m.graph.tensors[index], k, v) for k, v in fields.items()]

    def option(**fields):
        return lambda m: [
            setattr(m.graph.operators[0].builtinOptions, k, v) for k, v in fields.items()
        ]

    def quantization(index, **fields):
        return lambda m: [
            setattr(m.graph.tensors[index].quantization, k, v) for k, v in fields.items()
        ]

    types = schema.TensorType
    case("schema version 2", lambda m: setattr(m.model, "version", 2))
    case("2 inputs", lambda m: setattr(m.graph, "inputs", [0, 0]))
    case("2 subgraphs", lambda m: m.model.subgraphs.append(m.graph))
    case("not made by the last operator", lambda m: vars(m.graph).update(operators=[], outputs=[0]))
    case(
        "tensor 0 (`input`): its type is FLOAT32, and has to be INT8", tensor(0, type=types.FLOAT32)
    )
    case("tensor 0 (`input`): its type is UINT8", tensor(0, type=types.UINT8))
    case("tensor 0 (`input`): its type is INT16", tensor(0, type=types.INT16))
    case("tensor 1 (`w`): its type is UINT8, and has to be INT8", tensor(1, type=types.UINT8))
    case("its type is INT64, and has to be INT32", tensor(2, type=types.INT64), fully_connected, 1)
    case("its shape is [2, 5, 5, 3]; it has to be [1,H,W,C]", tensor(0, shape=[2, 5, 5, 3]))
    case("its shape is [1, 0, 5, 3]", tensor(0, shape=[1, 0, 5, 3]))
    case("is dynamic in more than the batch", tensor(0, shapeSignature=[-1, -1, 5, 3]))
    case("has no scale", tensor(0, quantization=None))
    case("a scale of -1", quantization(0, scale=[-1.0]))
    case("2 scales, and an activation has one", quantization(0, scale=[1.0, 1.0], zeroPoint=[0, 0]))
    case("a zero point of 128, which is no int8", quantization(0, zeroPoint=[128]))
    case(
        "tensor 1 (`w`): its quantization has a zero point of 3",
        quantization(1, scale=[1.0], zeroPoint=[3]),
    )
    case("scales along dimension", quantization(1, scale=[1.0] * 99, zeroPoint=[0] * 99))
    case("tensor 1 (`w`): it has to be a constant, and its buffer 0 is empty", tensor(1, buffer=0))
    case("and its buffer 4096 is empty or not there", tensor(1, buffer=4096))
    case("bytes, and has to have", lambda m: setattr(m.model.buffers[1], "data", [1, 2, 3]))
    case("it is a variable, which cannot be imported", tensor(0, isVariable=True))
    case("it is sparse", tensor(1, sparsity=schema.SparsityParametersT()))
    case("tensor 1 (`w`): its shape is", tensor(1, shape=[3, 3]))
    case(
        "operator 0 (CONV_2D, which makes `y`): its horizontal dilation is 2",
        option(dilationWFactor=2),
    )
    case("its vertical stride is 0, and has to be 1 to 255", option(strideH=0))
    case("its padding is 7, and has to be 0 (SAME) or 1 (VALID)", option(padding=7))
    case("its fused activation is 4", option(fusedActivationFunction=4))
    case("its output should have the shape", tensor(-1, shape=[1, 99, 99, 1]))
    case("its options are missing", lambda m: setattr(m.graph.operators[0], "builtinOptions", None))
    case("it has 1 inputs", lambda m: setattr(m.graph.operators[0], "inputs", [0]))
    case("it has 0 outputs", lambda m: setattr(m.graph.operators[0], "outputs", []))
    case(
        "there is no such tensor among", lambda m: setattr(m.graph.operators[0], "inputs", [77, 1])
    )
    case(
        "it is read before an operator makes it",
        lambda m: setattr(m.graph.operators[0], "inputs", [1, 1]),
    )
    case("it is made twice", lambda m: m.graph.operators.append(m.graph.operators[0]))

    def code(number):
        def alter(m):
            m.model.operatorCodes[0].builtinCode = number
            m.model.operatorCodes[0].deprecatedBuiltinCode = min(number, 127)

        return alter

    case(
        "operator 0 (DEPTHWISE_CONV_2D, which makes `y`): this operator cannot be imported", code(4)
    )
    along = lambda m: setattr(m.model.buffers[1], "data", np.array([1, 3], np.int32).view(np.uint8))
    case("it is no mean over height and width", along, global_mean, 1)
    case("operator 0 (builtin operator 200", code(200))
    case("give a multiplier of", quantization(0, scale=[1e30]))
    case("which cannot be represented", quantization(-1, scale=[1e-9]), add)
    case("differ in scale or zero point", quantization(-1, scale=[7.0]), max_pool2d)
    case("the scale 1/256 and the zero point -128", quantization(-1, zeroPoint=[0]), softmax)
    case("weights format is 1", option(weightsFormat=1), fully_connected)
    case(
        "it adds a tensor to itself", lambda m: setattr(m.graph.operators[1], "inputs", [0, 0]), add
    )
    case(
        "is made, and neither read nor the output", lambda m: setattr(m.graph, "outputs", [2]), add
    )

    def biased(m):
        bias = np.frombuffer(bytes(m.model.buffers[2].data), np.int32).copy()
        bias[:] = np.iinfo(np.int32).max
        m.model.buffers[2].data = np.frombuffer(bias.tobytes(), np.uint8)
        m.model.buffers[1].data = np.full(len(m.model.buffers[1].data), 127, np.uint8)
        m.graph.tensors[0].quantization.zeroPoint = [-128]

    case("with the zero point folded in is", biased, fully_connected, 1)
    case("its bias does not have the scale", quantization(2, scale=[1e6]), fully_connected, 2)
    write("refused/models.json", {"judge": JUDGE, "models": models})


def operators(cases: int = 24, inputs: int = 3) -> None:
    builders = [add, average_pool2d, conv2d, fully_connected, max_pool2d, softmax, network]
    builders.append(global_mean)
    for number, build in enumerate(builders):
        golden = []
        for case in range(cases // 2 if build is network else cases):
            rng = np.random.default_rng([number, case])
            model = build(rng)
            shape, data = tuple(model.graph.tensors[0].shape), model.bytes()
            seeds = [1000 * case + i for i in range(inputs)]
            count = int(np.prod(shape))
            answers = answer(data, [splitmix64(seed, count).reshape(shape) for seed in seeds])
            golden.append(
                {
                    "model": zlib.compress(data, 9).hex(),
                    "cases": [{"seed": s, "output": a.tolist()} for s, a in zip(seeds, answers)],
                }
            )
        write(f"{build.__name__}/answers.json", {"judge": JUDGE, "models": golden})


def main() -> None:
    operators()
    refused()
    data = os.environ.get("RESMCU_TEST_DATA")
    if data is None:
        print("RESMCU_TEST_DATA is not set: mlperf_resnet8 is left as it is", file=sys.stderr)
    else:
        mlperf_resnet8(pathlib.Path(data))


if __name__ == "__main__":
    main()
