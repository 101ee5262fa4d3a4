#!/usr/bin/env python3
"""Makes the golden files of the ONNX import: what ONNX Runtime answers on the same weights.

Versions that made `imports/onnx.json` and `imports/onnx_refused.json`:
    Python 3.11.7, onnx 1.23.2, onnxruntime 1.32.0, torch 2.15.0, onnxscript 0.7.2, numpy 2.4.6

    pip install onnx==1.23.2 onnxruntime==1.32.0 torch==2.15.0 onnxscript==0.7.2 numpy==2.4.6
    python3 tests/golden/onnx_models.py

Models come from both of PyTorch's exporters, and from `onnx.helper` where an exporter would not
write them. The tests read what is written here and need no Python; README.md has the layout.
"""

import io
import pathlib
import tempfile
import zlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from golden import splitmix64, write

JUDGE = "onnxruntime " + onnxruntime.__version__
IMAGE = (1, 3, 9, 7)


def noise(seed: int, shape) -> np.ndarray:
    """-1 to 1 in steps of 1/128, the same numbers as the tests make."""
    return splitmix64(seed, int(np.prod(shape))).astype(np.float32).reshape(shape) / 128


def answer(model: bytes, x: np.ndarray) -> list[float]:
    """As the nodes say it: fused nodes may round otherwise, those of 8 bits visibly."""
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, plain, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    return [float(v) for v in y.reshape(-1)]


def bare(model: bytes) -> bytes:
    """Without what exporters note beside the graph: traces of the script, guessed shapes."""
    model = onnx.load_from_string(model)
    model.ClearField("metadata_props")
    for part in [model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    return model.SerializeToString()


def case(name, model: bytes, shape=IMAGE, last=False, channels_last=False):
    """The answer to one image; before a last softmax, which the import leaves out."""
    (_, c, h, w), model = shape, bare(model)
    x = 2 * noise(7, (1, h, w, c))
    x = x if channels_last else x.transpose(0, 3, 1, 2)
    judged = model
    if last:
        logits = onnx.load_from_string(model)
        softmax = logits.graph.node.pop()
        assert softmax.op_type == "Softmax"
        logits.graph.output[0].name = softmax.input[0]
        judged = logits.SerializeToString()
    output = answer(judged, np.ascontiguousarray(x))
    return {"name": name, "file": zlib.compress(model, 9).hex(), "seed": 7, "output": output}


# Of PyTorch.


class Shortcut(torch.nn.Module):
    """Option A as akamaster's `LambdaLayer` has it."""

    def __init__(self, pad):
        super().__init__()
        self.pad = pad

    def forward(self, x):
        sides = (0, 0, 0, 0, self.pad, self.pad)
        return torch.nn.functional.pad(x[:, :, ::2, ::2], sides)


class Block(torch.nn.Module):
    def __init__(self, i, o, stride, project):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(o)
        self.conv2 = torch.nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(o)
        self.shortcut = torch.nn.Sequential()
        if stride != 1 and project:
            projection = torch.nn.Conv2d(i, o, 1, stride, bias=False)
            self.shortcut = torch.nn.Sequential(projection, torch.nn.BatchNorm2d(o))
        elif stride != 1:
            self.shortcut = Shortcut((o - i) // 2)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Net(torch.nn.Module):
    """A residual network with a pooled stem, and a head in one of four ways."""

    def __init__(self, project=True, head="mean", normalize=False):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(4)
        self.pool = torch.nn.MaxPool2d(3, 1, 1)
        self.layer1 = torch.nn.Sequential(Block(4, 4, 1, project), Block(4, 8, 2, project))
        self.head, self.normalize = head, normalize
        self.fc = torch.nn.Linear(8 * (20 if head == "view" else 1), 5)

    def forward(self, x):
        if self.normalize:
            mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.3, 0.2, 0.1])
            x = (x - mean[:, None, None]) / std[:, None, None]
        x = self.layer1(self.pool(torch.relu(self.bn1(self.conv1(x)))))
        if self.head == "mean":
            x = x.mean((2, 3))
        elif self.head == "adaptive":
            x = torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1)
        elif self.head == "window":
            x = torch.nn.functional.avg_pool2d(x, (5, 4))
        x = x.view(x.size(0), -1)
        return torch.softmax(self.fc(x), 1) if self.head == "adaptive" else self.fc(x)


def fill(model: torch.nn.Module) -> torch.nn.Module:
    for seed, (name, tensor) in enumerate(model.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        value = torch.from_numpy(noise(seed, tuple(tensor.shape)).copy())
        if tensor.dim() > 1:
            value *= (6 / tensor[0].numel()) ** 0.5
        elif name.endswith("running_var"):
            value = 1 + value / 2
        elif name.endswith(".weight"):
            value = 0.75 + value / 4
        else:
            value /= 4
        tensor.copy_(value)
    return model.eval()


def script(model, open_batch=True, **options) -> bytes:
    """By the exporter that traces to TorchScript."""
    file = io.BytesIO()
    axes = {"image": {0: "n"}} if open_batch else None
    torch.onnx.export(
        model, torch.zeros(IMAGE), file, dynamo=False, input_names=["image"], dynamic_axes=axes,
        **options,
    )
    return file.getvalue()


def dynamo(model, open_batch=True, **options) -> bytes:
    """By the exporter of `torch.export`."""
    shapes = ({0: torch.export.Dim("n", min=1, max=64)},) if open_batch else None
    batch = 2 if open_batch else 1
    program = torch.onnx.export(
        model, (torch.zeros(batch, *IMAGE[1:]),), dynamo=True, dynamic_shapes=shapes, **options
    )
    return program.model_proto.SerializeToString()


# By hand.


class Graph:
    """Nodes and constants as they are put together."""

    def __init__(self, shape=("n", 3, 9, 7)):
        self.nodes, self.constants = [], []
        self.image = helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape))

    def constant(self, name, values, kind=None):
        values = np.asarray(values)
        if kind is None:
            self.constants.append(numpy_helper.from_array(values, name))
        else:
            self.constants.append(helper.make_tensor(name, kind, values.shape, values.reshape(-1)))
        return name

    def noise(self, name, shape, scale=0.5):
        return self.constant(name, noise(len(self.constants), shape) * np.float32(scale))

    def node(self, operator, *inputs, **attributes):
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def bytes(self, output=None, opset=17, domain="") -> bytes:
        output = output or self.nodes[-1].output[0]
        y = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "golden", [self.image], [y], self.constants)
        imports = [helper.make_opsetid(domain, opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        return model.SerializeToString()

    def conv(self, x, i, o, k=3, **attributes):
        n = len(self.constants)
        weights = self.noise(f"layer{n}.weight", (o, i, k, k), 1 / k)
        return self.node("Conv", x, weights, self.noise(f"layer{n}.bias", (o,)), **attributes)

    def head(self, x, i, o=3, **attributes):
        x = self.node("Flatten", x, axis=1)
        return self.node("Gemm", x, self.noise("w", (i, o)), self.noise("b", (o,)), **attributes)


def windows():
    """Padding in all its ways, windows that are not square, means, Gemm's factors."""
    g = Graph()
    x = g.conv("image", 3, 4, k=5, strides=[2, 2], auto_pad="SAME_UPPER")
    x = g.node("Clip", x, g.constant("zero", np.float32(0)))
    x = g.node("Pad", x, g.constant("sides", [0, 0, 0, 0, 0, 0, 1, 1]))
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_LOWER")
    x = g.node("Pad", x, g.constant("more", [0, 0, 1, 0, 0, 0, 0, 2]))
    x = g.conv(x, 4, 6, k=2, strides=[2, 2], pads=[0, 1, 1, 0])
    x = g.node("Relu", x)
    return g.bytes(g.head(x, 6 * 16, alpha=0.5, beta=2.0))


def loose():
    """Constants a channel on both sides, a normalization that nothing folds, MatMul and Add."""
    g = Graph()
    x = g.node("Mul", g.constant("f", np.float32([[2]])), "image")
    x = g.node("Sub", x, g.noise("m", (3, 1, 1)))
    x = g.conv(x, 3, 4)
    x = g.node("Add", x, g.noise("c", (1, 4, 1, 1)))
    x = g.node("Relu", x)
    vectors = [g.noise(n, (4,)) for n in ["g", "b", "m1"]]
    variance = g.constant("v", np.float32([0.5, 1, 2, 3]))
    x = g.node("BatchNormalization", x, *vectors, variance, epsilon=0.01)
    x = g.node("Div", x, g.constant("d", np.float32([2, -3, 4, 5]).reshape(4, 1, 1)))
    x = g.conv(x, 4, 5)
    x = g.node("ReduceMean", x, axes=[-1, -2], keepdims=1)
    x = g.node("Squeeze", x, g.constant("axes", [3, 2]))
    x = g.node("Dropout", g.node("Identity", x))
    x = g.node("MatMul", x, g.noise("w", (5, 4)))
    x = g.node("Add", g.noise("z", (4,)), x)
    return g.bytes(g.node("Softmax", x, axis=-1))


def channels_last():
    g = Graph(shape=(1, 9, 7, 3))
    x = g.node("Transpose", "image", perm=[0, 3, 1, 2])
    x = g.node("GlobalAveragePool", g.node("Relu", g.conv(x, 3, 4)))
    x = g.node("Reshape", x, g.constant("s", [0, -1]))
    return g.bytes(g.node("Gemm", x, g.noise("w", (3, 4)), transB=1))


def half_weights(kind):
    """Constants of 16 bits before a Cast."""
    g = Graph()
    wide = lambda name, shape: g.node(
        "Cast", g.constant(name, noise(len(g.constants), shape) / 4, kind), to=TensorProto.FLOAT
    )
    x = g.node("Relu", g.node("Conv", "image", wide("k", (4, 3, 3, 3)), wide("t", (4,))))
    return g.bytes(g.head(g.node("GlobalAveragePool", x), 4))


def weights_of_8_bits():
    g = Graph()
    rng = np.random.default_rng(3)
    scale = g.constant("s", np.float32([0.01, 0.02, 0.03, 0.04]))
    zero = g.constant("z", np.zeros(4, np.int8))
    q = g.constant("q", rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8))
    k = g.node("DequantizeLinear", q, scale, zero, axis=0)
    x = g.node("Relu", g.node("Conv", "image", k))
    one, u = g.constant("o", np.float32(0.005)), g.constant("u", np.uint8(120))
    q = g.constant("p", rng.integers(0, 256, (4, 3)).astype(np.uint8))
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    return g.bytes(g.node("Gemm", x, g.node("DequantizeLinear", q, one, u)))


def models() -> list:
    kept = dict(do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE)
    square = lambda head, **o: fill(Net(head=head, **o))
    return [
        case("script, projection", script(square("mean"))),
        case("script, kept normalizations", script(square("window"), **kept)),
        case("script, option A", script(square("adaptive", project=False)), last=True),
        case("script, view", script(square("view"))),
        case("script, fixed batch", script(square("view"), open_batch=False, opset_version=11)),
        case("script, normalized", script(square("mean", normalize=True))),
        case("dynamo, projection", dynamo(square("mean"))),
        case("dynamo, option A", dynamo(square("adaptive", project=False)), last=True),
        case("dynamo, view", dynamo(square("view"), open_batch=False)),
        case("windows", windows()),
        case("loose", loose(), last=True),
        case("channels last", channels_last(), channels_last=True),
        case("f16 weights", half_weights(TensorProto.FLOAT16)),
        case("bf16 weights", half_weights(TensorProto.BFLOAT16)),
        case("weights of 8 bits", weights_of_8_bits()),
    ]


def refused() -> list:
    """Models that the import has to refuse, each with a part of the message."""
    models = []

    def no(message, model):
        model = model if isinstance(model, bytes) else model.bytes()
        models.append({"message": message, "file": zlib.compress(model, 9).hex()})

    def one(operator, *inputs, shape=("n", 3, 9, 7), constants={}, **attributes):
        g = Graph(shape=shape)
        for name, value in constants.items():
            g.constant(name, value)
        g.node(operator, "image", *inputs, **attributes)
        return g

    def conv(shape=("n", 3, 9, 7), **attributes):
        g = Graph(shape=shape)
        g.conv("image", 3, 4, **attributes)
        return g

    def altered(change):
        model = onnx.load_from_string(conv().bytes())
        change(model)
        return model.SerializeToString()

    no("node 0 (Sigmoid `sigmoid_0`): this operator cannot be imported", one("Sigmoid"))
    six = dict(low=np.float32(0), high=np.float32(6))
    no("it clips to 0 to 6", one("Clip", "low", "high", constants=six))
    no("it has 3 groups", one("Conv", "k", constants=dict(k=noise(1, (3, 1, 3, 3))), group=3))
    no("it is dilated", conv(dilations=[2, 2]))
    no("its stride is 2 by 1, and has to be square", conv(strides=[2, 1]))
    no("its auto_pad is `WIDE`", conv(auto_pad="WIDE"))
    no("its attribute `novel` is not understood", conv(novel=1))
    no("it is no mean over all positions", one("AveragePool", kernel_shape=[2, 2]))
    no("its ceil_mode", one("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1))
    no("its window is 2 by 3, not square", one("MaxPool", kernel_shape=[2, 3]))
    no("only the image can be transposed", one("Transpose", perm=[0, 1, 3, 2]))
    sides = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    no("its mode is `reflect`", one("Pad", "p", constants=dict(p=sides), mode="reflect"))
    value = dict(p=sides, v=np.float32(-1))
    no("it pads with another value than 0", one("Pad", "p", "v", constants=value))
    no("its sides are not those of an image, or below 0", one("Pad", "p", constants=dict(p=-sides)))
    uneven = dict(p=np.array([0, 0, 0, 0, 0, 3, 0, 0]))
    no("it puts 0 channels before and 3 after", one("Pad", "p", constants=uneven))
    part = dict(a=np.array([0]), b=np.array([4]), c=np.array([2]))
    no("it takes a part", one("Slice", "a", "b", "c", constants=part))
    no("it makes [1, 9, 21] of [1, 3, 9, 7]", one("Reshape", "s", constants=dict(s=np.array([1, 9, 21]))))
    no("another image", one("Reshape", "s", constants=dict(s=np.array([1, 7, 9, 3]))))
    wide = dict(c=noise(1, (9, 7)))
    no("its constant is [9, 7], and no value a channel", one("Add", "c", constants=wide))
    no("it is of two values of the image, and only Add can be", one("Mul", "image"))
    no("it adds a tensor to itself", one("Add", "image"))
    no("it reads `nothing` before a node makes it", one("Add", "nothing"))
    no("it is not over the classes", one("Softmax"))
    no("its batch is fixed", conv(shape=(4, 3, 9, 7)))
    no("height or width are open", conv(shape=("n", 3, "h", "w")))
    no("its channels are open", conv(shape=("n", "c", 9, 7)))
    no("it has 3 sides", conv(shape=(3, 9, 7)))
    no("it is of another set of operators", altered(lambda m: setattr(m.graph.node[0], "domain", "com.microsoft")))
    no("older than version 7", conv().bytes(opset=6))
    no("another number of outputs", altered(lambda m: m.graph.output.add().CopyFrom(m.graph.output[0])))
    no("another number of inputs", altered(lambda m: m.graph.input.pop()))
    no("it has no graph", altered(lambda m: m.ClearField("graph")))
    no("its name is that of another", altered(lambda m: m.graph.initializer.add().CopyFrom(m.graph.initializer[0])))
    no("no node makes it of the image", altered(lambda m: setattr(m.graph.output[0], "name", "none")))
    no("it makes `conv_0` a second time", altered(lambda m: m.graph.node.add().CopyFrom(m.graph.node[0])))
    no("its type is INT64, and has to be FLOAT", altered(lambda m: setattr(m.graph.initializer[0], "data_type", 7)))
    no("it has 107 bytes for", altered(lambda m: setattr(m.graph.initializer[0], "raw_data", bytes(107))))
    bad = np.float32([1, np.inf, 0, 0]).tobytes()
    no("it holds inf", altered(lambda m: setattr(m.graph.initializer[1], "raw_data", bad)))
    g = conv()
    g.nodes[0].input[0] = "image"
    g.conv("image", 3, 4)
    g.conv("conv_0", 4, 4)
    no("is computed, and neither read nor the output", g.bytes())
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.onnx"
        onnx.save(onnx.load_from_string(conv().bytes()), path, save_as_external_data=True,
                  location="weights.bin", size_threshold=0)
        no("its values are in another file, `weights.bin`", path.read_bytes())
    return models


def main() -> None:
    with torch.no_grad():
        write("imports/onnx.json", {"judge": JUDGE, "models": models()})
    write("imports/onnx_refused.json", {"judge": JUDGE, "models": refused()})


if __name__ == "__main__":
    main()
