#!/usr/bin/env python3
"""Makes the golden files of the float `.tflite` import: what LiteRT answers on the same weights.

Versions that made `imports/tflite.json` and `imports/tflite_refused.json`:
    Python 3.11.7, ai-edge-litert 2.3.0, tflite-micro 0.dev20261023182759, numpy 2.4.6

    pip install ai-edge-litert==2.3.0 tflite-micro==0.dev20261023182759 numpy==2.4.6
    RESMCU_TEST_DATA=<folder> python3 tests/golden/float_tflite.py

tflite-micro is there for its schema. The folder is the one that holds `mlperf-tiny/` and
`cifar10-lossless/`. The tests read what is written here and need no Python; README.md has the
layout.
"""

import gzip
import importlib.metadata
import os
import pathlib
import zlib

import flatbuffers
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from golden import splitmix64, write

JUDGE = "LiteRT " + importlib.metadata.version("ai-edge-litert")
OPERATOR = schema.BuiltinOperator
IMAGE = (1, 9, 7, 3)


def noise(seed: int, shape) -> np.ndarray:
    """-1 to 1 in steps of 1/128, the same numbers as the tests make."""
    return splitmix64(seed, int(np.prod(shape))).astype(np.float32).reshape(shape) / 128


def answer(model: bytes, images: np.ndarray, tensor=None) -> np.ndarray:
    """The output, or the tensor of that index, one row an image; reference kernels."""
    interpreter = Interpreter(
        model_content=model,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=tensor is not None,
    )
    interpreter.allocate_tensors()
    answers = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        index = interpreter.get_output_details()[0]["index"] if tensor is None else tensor
        answers.append(interpreter.get_tensor(index).reshape(-1).copy())
    return np.stack(answers)


class Model:
    """One float subgraph as it is put together."""

    def __init__(self, shape=IMAGE, dtype=np.float32, seed=0):
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "golden"
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.rng, self.dtype = np.random.default_rng([21, seed]), dtype
        self.graph.inputs = [self.tensor("image", shape)]
        self.logits = None

    def tensor(self, name, shape, data=None, scale=None):
        t = schema.TensorT()
        t.name, t.shape, t.buffer = name, [int(s) for s in shape], 0
        t.type = schema.TensorType.FLOAT32
        if data is not None:
            t.type = {
                "float32": schema.TensorType.FLOAT32,
                "float16": schema.TensorType.FLOAT16,
                "int8": schema.TensorType.INT8,
                "int32": schema.TensorType.INT32,
            }[str(data.dtype)]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if scale is not None:
            t.quantization = schema.QuantizationParametersT()
            t.quantization.scale = scale.tolist()
            t.quantization.zeroPoint = [0] * len(scale)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def shape(self, index):
        return tuple(self.graph.tensors[index].shape)

    def operator(self, code, inputs, name, shape, kind=None, **fields):
        c = schema.OperatorCodeT()
        c.builtinCode = c.deprecatedBuiltinCode = code
        c.version = 1
        o = schema.OperatorT()
        o.opcodeIndex = len(self.model.operatorCodes)
        if kind is not None:
            o.builtinOptions = getattr(schema, kind + "OptionsT")()
            o.builtinOptionsType = getattr(schema.BuiltinOptions, kind + "Options")
            for field, value in fields.items():
                assert hasattr(o.builtinOptions, field), field
                setattr(o.builtinOptions, field, value)
        y = self.tensor(name, shape)
        o.inputs, o.outputs = inputs, [y]
        self.model.operatorCodes.append(c)
        self.graph.operators.append(o)
        self.graph.outputs = [y]
        return y

    def weights(self, name, shape):
        """A constant; of 16 bits behind a DEQUANTIZE."""
        data = self.rng.normal(0, (2 / max(np.prod(shape[1:]), 1)) ** 0.5, shape)
        data = data.astype(self.dtype)
        index = self.tensor(name, shape, data)
        if self.dtype == np.float16:
            code, name = OPERATOR.DEQUANTIZE, name + "/float"
            index = self.operator(code, [index], name, shape, "Dequantize")
        return index

    def constant(self, name, values):
        values = np.asarray(values)
        return self.tensor(name, values.shape, values)

    def conv(self, x, o, kernel=3, stride=1, padding=0, act=0, name="conv"):
        _, h, w, i = self.shape(x)
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        inputs = [x, self.weights(f"m/{name}/Conv2D", (o, kh, kw, i))]
        inputs.append(self.weights("bias", (o,)))
        shape = (1, out(h, kh, stride, padding), out(w, kw, stride, padding), o)
        fields = dict(padding=padding, strideH=stride, strideW=stride, fusedActivationFunction=act)
        fields.update(dilationHFactor=1, dilationWFactor=1)
        return self.operator(OPERATOR.CONV_2D, inputs, f"m/{name}/out", shape, "Conv2D", **fields)

    def add(self, a, b, act=0):
        shape = max(self.shape(a), self.shape(b), key=len)
        fields = dict(fusedActivationFunction=act)
        return self.operator(OPERATOR.ADD, [a, b], "m/add/out", shape, "Add", **fields)

    def pool(self, x, code, kernel, stride, padding):
        _, h, w, c = self.shape(x)
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        shape = (1, out(h, kernel[0], stride, padding), out(w, kernel[1], stride, padding), c)
        fields = dict(filterHeight=kernel[0], filterWidth=kernel[1], strideH=stride)
        fields.update(strideW=stride, padding=padding)
        return self.operator(code, [x], "m/pool/out", shape, "Pool2D", **fields)

    def pad(self, x, sides):
        sides = np.asarray(sides, np.int32)
        shape = [s + int(sum(p)) for s, p in zip(self.shape(x), sides)]
        return self.operator(
            OPERATOR.PAD, [x, self.constant("sides", sides)], "m/pad/out", shape, "Pad"
        )

    def average(self, x):
        return self.pool(x, OPERATOR.AVERAGE_POOL_2D, self.shape(x)[1:3], 1, 1)

    def mean(self, x, keep):
        _, _, _, c = self.shape(x)
        axes = self.constant("axes", np.array([1, 2], np.int32))
        shape = (1, 1, 1, c) if keep else (1, c)
        fields = dict(keepDims=keep)
        return self.operator(OPERATOR.MEAN, [x, axes], "m/mean/out", shape, "Reducer", **fields)

    def flat(self, x):
        count = int(np.prod(self.shape(x)))
        shape = self.constant("shape", np.array([-1, count], np.int32))
        return self.operator(OPERATOR.RESHAPE, [x, shape], "m/flat", (1, count), "Reshape")

    def dense(self, x, o, act=0):
        inputs = [x, self.weights("m/dense/MatMul", (o, int(np.prod(self.shape(x)))))]
        inputs.append(self.weights("bias", (o,)))
        fields = dict(fusedActivationFunction=act)
        code = OPERATOR.FULLY_CONNECTED
        return self.operator(code, inputs, "m/dense/out", (1, o), "FullyConnected", **fields)

    def softmax(self, x):
        self.logits = x
        return self.operator(
            OPERATOR.SOFTMAX, [x], "scores", self.shape(x), "Softmax", beta=1.0
        )

    def bytes(self):
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def out(size, kernel, stride, padding):
    return -(-size // stride) if padding == 0 else (size - kernel) // stride + 1


def residual(dtype=np.float32, seed=0):
    """A stem, a block with a projection at stride 2, mean, classifier, softmax."""
    m = Model(dtype=dtype, seed=seed)
    x = m.conv(0, 4, act=1, name="stem")
    y = m.conv(x, 6, stride=2, act=1, name="a")
    y = m.conv(y, 6, name="b")
    x = m.add(y, m.conv(x, 6, kernel=1, stride=2, name="c"), act=1)
    m.softmax(m.dense(m.flat(m.average(x)), 5))
    return m


def scaled():
    """Keras's Rescaling before the first layer, and a batch normalization that was not folded."""
    m = Model(seed=2)
    code = OPERATOR.MUL
    x = m.operator(code, [0, m.constant("s", np.float32(0.25))], "m/scale", IMAGE, "Mul")
    code = OPERATOR.SUB
    shift = m.constant("t", np.array([0.5, -0.25, 0.125], np.float32))
    x = m.operator(code, [x, shift], "m/shift", IMAGE, "Sub")
    x = m.conv(x, 4)
    x = m.add(x, m.constant("u", np.array([0.1, 0.2, -0.3, 0.4], np.float32)), act=1)
    code = OPERATOR.DIV
    divisor = m.constant("v", np.array([0.5, 2, 3, -4], np.float32))
    x = m.operator(code, [x, divisor], "m/div", m.shape(x), "Div")
    x = m.operator(OPERATOR.RELU, [m.conv(x, 4)], "m/relu", m.shape(x))
    m.dense(m.mean(x, False), 3)
    return m


def padded():
    """Padding before a convolution and a max pooling; a window of three rows and one column."""
    m = Model(shape=(1, 11, 8, 3), seed=3)
    x = m.pad(0, [[0, 0], [3, 2], [1, 3], [0, 0]])
    x = m.conv(x, 4, kernel=5, stride=2, padding=1, act=1)
    x = m.pad(x, [[0, 0], [1, 1], [1, 0], [0, 0]])
    x = m.pool(x, OPERATOR.MAX_POOL_2D, 3, 2, 1)
    x = m.conv(x, 5, kernel=(3, 1), act=1)
    x = m.pool(x, OPERATOR.MAX_POOL_2D, 2, 1, 0)
    m.dense(x, 4)
    return m


def option_a():
    """Each second position and zero channels on both sides."""
    m = Model(seed=4)
    x = m.conv(0, 4, act=1)
    y = m.conv(m.conv(x, 8, stride=2, act=1), 8)
    _, h, w, c = m.shape(x)
    ends = [m.constant("n", np.array(v, np.int32)) for v in ([0] * 4, [1, h, w, c], [1, 2, 2, 1])]
    shape = (1, -(-h // 2), -(-w // 2), c)
    s = m.operator(OPERATOR.STRIDED_SLICE, [x, *ends], "m/slice", shape, "StridedSlice")
    x = m.add(m.pad(s, [[0, 0], [0, 0], [0, 0], [2, 2]]), y, act=1)
    m.softmax(m.dense(m.mean(x, True), 3))
    return m


def dynamic_range():
    """int8 weights, a scale a channel; the judge takes them as floats too."""
    m, plain = Model(seed=5), Model(seed=5)
    for model, is_float in [(m, False), (plain, True)]:
        q = model.rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
        scale = np.exp(model.rng.uniform(-6, -4, 4)).astype(np.float32)
        w = q.astype(np.float32) * scale[:, None, None, None]
        k = model.tensor("w", w.shape, w) if is_float else model.tensor("w", q.shape, q, scale)
        fields = dict(padding=0, strideH=2, strideW=2, dilationHFactor=1, dilationWFactor=1)
        inputs, shape = [0, k, model.weights("b", (4,))], (1, 5, 4, 4)
        x = model.operator(OPERATOR.CONV_2D, inputs, "c", shape, "Conv2D", **fields)
        model.dense(x, 3)
    return m, plain


def case(name, m, judged=None):
    judged = judged or m
    image = 2 * noise(7, m.shape(0))
    packed = zlib.compress(m.bytes(), 9).hex()
    output = answer(judged.bytes(), [image], m.logits)[0]
    return {"name": name, "file": packed, "seed": 7, "output": [float(v) for v in output]}


def mlperf(data: pathlib.Path) -> dict:
    """Logits on the first 8 CIFAR-10 test images, and how many of 1000 are right."""
    name = "mlperf-tiny/pretrainedResnet_float.tflite"
    model = (data / name).read_bytes()
    with gzip.open(data / "cifar10-lossless/test_batch_first1000.bin.gz") as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 1, 3, 32, 32).transpose(0, 1, 3, 4, 2).astype(np.float32)
    loaded = schema.ModelT.InitFromPackedBuf(model, 0)
    last = loaded.subgraphs[0].operators[-1]
    assert loaded.operatorCodes[last.opcodeIndex].builtinCode == OPERATOR.SOFTMAX
    logits = answer(model, images, int(last.inputs[0]))
    correct = int((logits.argmax(axis=1) == records[:, 0]).sum())
    outputs = [[float(v) for v in row] for row in logits[:8]]
    return {"file": name, "correct": correct, "outputs": outputs}


def refused() -> list:
    """Models that the import has to refuse, each with a part of the message."""
    models = []

    def no(message, m):
        models.append({"message": message, "file": zlib.compress(m.bytes(), 9).hex()})

    def conv_with(**fields):
        m = Model()
        m.conv(0, 4)
        for field, value in fields.items():
            setattr(m.graph.operators[0].builtinOptions, field, value)
        return m

    no("its fused activation is 3, and has to be 0 (NONE) or 1 (RELU)",
       conv_with(fusedActivationFunction=3))
    no("its stride is 2 by 1, and has to be square", conv_with(strideH=2))
    no("its horizontal dilation is 2, and has to be 1", conv_with(dilationWFactor=2))
    m = Model()
    m.operator(OPERATOR.DEPTHWISE_CONV_2D, [0, m.weights("w", (1, 3, 3, 3))], "deep", IMAGE)
    no("operator 0 (DEPTHWISE_CONV_2D, which makes `deep`): this operator cannot be imported", m)
    m = Model()
    m.pool(m.conv(0, 4), OPERATOR.AVERAGE_POOL_2D, 2, 2, 1)
    no("it is no mean over all positions", m)
    m = Model()
    x = m.conv(0, 4)
    m.pool(m.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), OPERATOR.MAX_POOL_2D, 3, 2, 1)
    no("its input is padded with zeros, and may be below zero", m)
    m = Model()
    x = m.conv(0, 4)
    m.conv(x, 4, name="lost")
    m.dense(x, 3)
    no("`lost` is computed, and neither read nor the output", m)
    m = Model()
    m.dense(m.softmax(m.dense(0, 4)), 3)
    no("it reads a softmax, which is understood as the output only", m)
    m = Model()
    x = m.conv(0, 4)
    m.dense(m.pad(x, [[0, 0], [0, 0], [0, 0], [1, 2]]), 3)
    m.graph.operators[1].inputs[1] = m.constant("s", np.array([[0, 0]] * 3 + [[3, 0]], np.int32))
    no("it puts 3 channels before and 0 after", m)
    m = Model()
    m.add(m.conv(0, 4), m.conv(0, 4, name="d"), act=0)
    m.graph.operators[2].inputs[1] = m.graph.operators[2].inputs[0]
    no("it adds a tensor to itself", m)
    m = Model()
    m.conv(m.pad(0, [[1, 0], [0, 0], [0, 0], [0, 0]]), 4)
    no("its padding is 1, and has to be 0 for the batch", m)
    m = Model()
    code = OPERATOR.MUL
    s = m.constant("s", np.float32(-1))
    m.dense(m.operator(code, [0, s], "m/scale", IMAGE, "Mul"), 3)
    no("channel 0 of the image is scaled by a factor that is not above zero", m)
    m = Model()
    m.dense(0, 3)
    m.model.buffers[-1].data = np.frombuffer(np.float32([1, np.nan, 2]).tobytes(), np.uint8)
    no("it holds NaN", m)
    m = Model()
    x = m.conv(0, 4)
    m.conv(m.operator(OPERATOR.RELU6, [x], "m/six/out", m.shape(x)), 3)
    no("(RELU6, which makes `m/six/out`): this operator cannot be imported", m)
    return models


def main() -> None:
    cases = [
        case("residual", residual()),
        case("f16", residual(np.float16, 1)),
        case("scaled", scaled()),
        case("padded", padded()),
        case("option A", option_a()),
        case("dynamic range", *dynamic_range()),
    ]
    data = os.environ.get("RESMCU_TEST_DATA")
    if data is None:
        raise SystemExit("set RESMCU_TEST_DATA to the folder of mlperf-tiny/")
    golden = {"judge": JUDGE, "models": cases, "mlperf": mlperf(pathlib.Path(data))}
    write("imports/tflite.json", golden)
    write("imports/tflite_refused.json", {"judge": JUDGE, "models": refused()})


if __name__ == "__main__":
    main()
