#!/usr/bin/env python3
"""Makes the golden files of quantized ONNX files: what ONNX Runtime answers on the same integers.

Versions that made `imports/onnx_qdq.json` and `imports/onnx_qdq_refused.json`:
    Python 3.11.7, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
    python3 tests/golden/quantized_onnx.py

The float networks are put together by hand; ONNX Runtime's static quantization puts them on grids,
with the settings that its users choose between. One is as PyTorch's quantization-aware training
exports it: weights are floats, and rounded by nodes. README.md has the layout.
"""

import pathlib
import tempfile
import zlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader, QuantFormat, QuantType, quantize_static,
)

from golden import splitmix64, write

JUDGE = "onnxruntime " + onnxruntime.__version__


def noise(seed: int, shape) -> np.ndarray:
    """-1 to 1 in steps of 1/128, the same numbers as the tests make."""
    return splitmix64(seed, int(np.prod(shape))).astype(np.float32).reshape(shape) / 128


def image(seed: int) -> np.ndarray:
    """As the tests make it."""
    return np.ascontiguousarray((2 * noise(seed, (1, 9, 7, 3))).transpose(0, 3, 1, 2))


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"image": image(seed)} for seed in range(100, 116)])

    def get_next(self):
        return next(self.left, None)


class Graph:
    """Nodes and constants as they are put together."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, values):
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator, *inputs, **attributes):
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def conv(self, x, i, o, k=3, stride=1, weights=None):
        n = len(self.constants)
        values = noise(n, (o, i, k, k)) * np.float32((3 / (i * k * k)) ** 0.5)
        kernel = self.constant(f"layer{n}.weight", values)
        kernel = weights(self, kernel, values) if weights else kernel
        bias = self.constant(f"layer{n}.bias", noise(n + 1, (o,)) / 4)
        pads = [k // 2] * 4
        return self.node("Conv", x, kernel, bias, strides=[stride] * 2, pads=pads)

    def head(self, x, i, o=4):
        x = self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)
        weights = self.constant("fc.weight", noise(50, (o, i)))
        return self.node("Gemm", x, weights, self.constant("fc.bias", noise(51, (o,))), transB=1)

    def bytes(self, opset=17) -> bytes:
        x = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 9, 7])
        y = helper.make_tensor_value_info(self.nodes[-1].output[0], TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "golden", [x], [y], self.constants)
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


def residual(project: bool) -> bytes:
    """A stem with pooling, two residual blocks, a classifier."""
    g = Graph()
    x = g.node("Relu", g.conv("image", 3, 6))
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    y = g.conv(g.node("Relu", g.conv(x, 6, 6)), 6, 6)
    x = g.node("Relu", g.node("Add", y, x))
    y = g.conv(g.node("Relu", g.conv(x, 6, 8, stride=2)), 8, 8)
    if project:
        s = g.conv(x, 6, 8, k=1, stride=2)
    else:
        ends = [g.constant(n, np.array(v)) for n, v in
                [("a", [0, 0]), ("b", [9, 7]), ("c", [2, 3]), ("d", [2, 2])]]
        s = g.node("Slice", x, *ends)
        s = g.node("Pad", s, g.constant("p", np.array([0, 1, 0, 0, 0, 1, 0, 0])))
    g.head(g.node("Relu", g.node("Add", y, s)), 8)
    return g.bytes()


def plain() -> bytes:
    """No residual network: a chain of convolutions with a pooling between them."""
    g = Graph()
    x = g.node("Relu", g.conv("image", 3, 5, k=5))
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Relu", g.conv(x, 5, 7))
    g.head(g.conv(x, 7, 6, k=1), 6)
    return g.bytes()


def trained() -> bytes:
    """As PyTorch exports a network of quantization-aware training: weights are rounded by nodes."""
    g = Graph()

    def grid(name, x, scale, zero):
        s = g.constant(f"{name}.scale", np.float32(scale))
        z = g.constant(f"{name}.zero", zero)
        return g.node("DequantizeLinear", g.node("QuantizeLinear", x, s, z), s, z)

    def rounded(g, name, values):
        scale = np.abs(values).max(axis=(1, 2, 3)) / np.float32(127)
        s = g.constant(f"{name}.scale", scale.astype(np.float32))
        z = g.constant(f"{name}.zero", np.zeros(len(scale), np.int8))
        q = g.node("QuantizeLinear", name, s, z, axis=0)
        return g.node("DequantizeLinear", q, s, z, axis=0)

    x = grid("image", "image", 2 / 128, np.int8(0))
    x = grid("a", g.node("Relu", g.conv(x, 3, 6, weights=rounded)), 0.02, np.int8(-128))
    y = grid("b", g.node("Relu", g.conv(x, 6, 6, weights=rounded)), 0.015, np.int8(-128))
    y = g.conv(y, 6, 6, weights=rounded)
    # Nothing rounds the sum before its ReLU.
    x = grid("c", g.node("Relu", g.node("Add", y, x)), 0.025, np.int8(-128))
    g.head(x, 6)
    return g.bytes()


def quantized(model: bytes, **options) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder) / "float.onnx", pathlib.Path(folder) / "int8.onnx"
        source.write_bytes(model)
        quantize_static(source, target, Images(), **options)
        return target.read_bytes()


def bare(model: bytes) -> bytes:
    model = onnx.load_from_string(model)
    model.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    return model.SerializeToString()


def answer(model: bytes, x: np.ndarray) -> list[float]:
    """As the nodes say it: fused nodes round otherwise."""
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, plain, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"image": x})
    return [float(v) for v in y.reshape(-1)]


def case(name: str, model: bytes) -> dict:
    model = bare(model)
    graph = onnx.load_from_string(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    rounded = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    grids = sum(node.input[0] not in constants for node in rounded)
    outputs = [answer(model, image(seed)) for seed in range(8)]
    return {"name": name, "file": zlib.compress(model, 9).hex(), "grids": grids, "outputs": outputs}


INT8 = dict(activation_type=QuantType.QInt8, weight_type=QuantType.QInt8)
UINT8 = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8)
MIXED = dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
SYMMETRIC = dict(extra_options={"ActivationSymmetric": True})


def models() -> list:
    return [
        case("int8, a scale a channel", quantized(residual(True), per_channel=True, **INT8)),
        case("int8, a scale a tensor", quantized(residual(True), **INT8)),
        case("uint8 activations", quantized(residual(False), per_channel=True, **MIXED)),
        case("uint8 weights", quantized(residual(True), **UINT8)),
        case("symmetric activations", quantized(residual(True), **INT8, **SYMMETRIC)),
        case("no residual", quantized(plain(), per_channel=True, **INT8)),
        case("convolutions alone", quantized(residual(True), op_types_to_quantize=["Conv"], **INT8)),
        case("of quantization-aware training", trained()),
    ]


def refused() -> list:
    models = []

    def no(message, model):
        models.append({"message": message, "file": zlib.compress(bare(model), 9).hex()})

    def grid(scale, zero, then=None, **attributes):
        g = Graph()
        s, z = g.constant("s", scale), g.constant("z", zero)
        q = g.node("QuantizeLinear", "image", s, z, **attributes)
        scales = [g.constant("s2", v) if isinstance(v, np.generic) else v for v in then or [s, z]]
        x = g.node("DequantizeLinear", q, *scales, **attributes)
        g.head(g.conv(x, 3, 4), 4)
        return g.bytes(21)

    operators = quantized(plain(), quant_format=QuantFormat.QOperator, **INT8)
    no("it computes with whole numbers; export the quantized network in QDQ format", operators)
    one, zero = np.float32(0.1), np.int8(0)
    no("node 1 (DequantizeLinear `dequantizelinear_1`): its scale or zero point is not that",
       grid(one, zero, then=[np.float32(0.2), "z"]))
    no("it rounds to INT16; INT8 and UINT8 are understood", grid(one, np.int16(0)))
    three = np.float32([0.1, 0.2, 0.3])
    no("its activation has a scale a channel", grid(three, np.zeros(3, np.int8), axis=1))
    no("its scale is 0", grid(np.float32(0), zero))
    no("its scale is -1", grid(np.float32(-1), zero))
    g = Graph()
    q = g.node("QuantizeLinear", "image", g.constant("s", one), g.constant("z", zero))
    g.head(g.conv(q, 3, 4), 4)
    no("it reads whole numbers; only a DequantizeLinear can read those", g.bytes())
    g = Graph()
    g.head(g.conv(g.node("DequantizeLinear", "image", g.constant("s", one)), 3, 4), 4)
    no("it is not of what a QuantizeLinear made of the image", g.bytes())
    g = Graph()
    kernel = g.constant("k", noise(1, (4, 3, 3, 3)))
    q = g.node("QuantizeLinear", kernel, g.constant("s", one), g.constant("z", zero))
    g.head(g.node("Conv", "image", q), 4)
    no("it is rounded, and read by another operator than a DequantizeLinear", g.bytes())
    return models


def main() -> None:
    write("imports/onnx_qdq.json", {"judge": JUDGE, "models": models()})
    write("imports/onnx_qdq_refused.json", {"judge": JUDGE, "models": refused()})


if __name__ == "__main__":
    main()
