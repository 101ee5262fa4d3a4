"""int8 inference of ResNet-8 on the host against XNNPACK and onnxruntime, alternated in one run.

Needs `numpy`, and what of `ai-edge-litert` and `onnxruntime` with `onnx` (pip) is to be compared;
what is not installed is left out, and said to be. Run from the repository's root:

    cargo bench -p resmcu-quantizer --bench int8_inference --no-run
    python quantizer/benches/int8_against_others.py --bench PATH_OF_THE_BINARY
        [--tflite MLPERF_RESNET8_INT8.tflite] [--threads 2] [--batches 1,8,32,128]

XNNPACK runs MLPerf Tiny's int8 ResNet-8, a .tflite file; onnxruntime a network of the same shape
with random weights that its own tools quantize (int8, a scale a channel). Each runs in a process of
its own, with the batch that is its best; rounds go A B C A B C, a pause before each in which
threads that still spin fall asleep, and a ratio is taken round by round.
Its median is printed with the quartiles: a machine that others use makes the times worthless, the
ratios less so. The machine's load before and after is printed too; above 1 before, the figures are
said not to be results. For the same network on both sides give a model file as --network:

    resmcu import MLPERF_RESNET8_INT8.tflite -o mlperf.rmcu
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time

# Before a sample: threads of others spin for a while after their last work.
PAUSE_SECONDS = 0.1

# Of the machine before the first measurement, for figures that may be cited.
LOAD_MAX = 1.0


def xnnpack(path, batch, threads):
    """A function that infers a batch by LiteRT's default kernels."""
    import numpy
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, [batch, 32, 32, 3])
    interpreter.allocate_tensors()
    random = numpy.random.default_rng(0)
    interpreter.set_tensor(index, random.integers(-128, 128, (batch, 32, 32, 3), numpy.int8))
    return interpreter.invoke


def resnet8(folder):
    """An int8 ONNX file of ResNet-8 with random weights, quantized by onnxruntime's tools."""
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime import quantization

    random = numpy.random.default_rng(0)
    nodes, weights = [], []

    def convolve(x, inputs, outputs, kernel, stride, relu):
        name = f"conv{len(nodes)}"
        shape = (outputs, inputs, kernel, kernel)
        values = random.standard_normal(shape) * (2 / (inputs * kernel * kernel)) ** 0.5
        weights.append(numpy_helper.from_array(values.astype(numpy.float32), f"{name}.w"))
        bias = numpy.zeros(outputs, numpy.float32)
        weights.append(numpy_helper.from_array(bias, f"{name}.b"))
        nodes.append(helper.make_node(
            "Conv", [x, f"{name}.w", f"{name}.b"], [name], strides=[stride] * 2,
            kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4))
        if relu:
            nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"]))
            return f"{name}.relu"
        return name

    x = convolve("input", 3, 16, 3, 1, True)
    inputs = 16
    for outputs in [16, 32, 64]:
        stride = 1 if outputs == inputs else 2
        skip = x if stride == 1 else convolve(x, inputs, outputs, 1, stride, False)
        y = convolve(x, inputs, outputs, 3, stride, True)
        y = convolve(y, outputs, outputs, 3, 1, False)
        x = f"block{outputs}"
        nodes.append(helper.make_node("Add", [y, skip], [f"{x}.sum"]))
        nodes.append(helper.make_node("Relu", [f"{x}.sum"], [x]))
        inputs = outputs
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pool"]))
    nodes.append(helper.make_node("Flatten", ["pool"], ["flat"]))
    matrix = random.standard_normal((64, 10)).astype(numpy.float32)
    weights.append(numpy_helper.from_array(matrix, "fc.w"))
    nodes.append(helper.make_node("MatMul", ["flat", "fc.w"], ["logits"]))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(nodes, "resnet8", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    source, target = f"{folder}/float.onnx", f"{folder}/int8.onnx"
    onnx.save(model, source)
    images = [{"input": random.standard_normal((8, 3, 32, 32)).astype(numpy.float32)}]

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return images.pop() if images else None

    quantization.quantize_static(
        source, target, Reader(), per_channel=True, quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8)
    return target


def onnxruntime(path, batch, threads):
    """A function that infers a batch by onnxruntime."""
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = numpy.random.default_rng(0).standard_normal((batch, 3, 32, 32)).astype(numpy.float32)
    return lambda: session.run(None, {"input": x})


def serve(name, path, batch, threads):
    """The peers' side: answers each number of rounds with the seconds that one took."""
    infer = {"XNNPACK": xnnpack, "onnxruntime": onnxruntime}[name](path, batch, threads)
    for _ in range(3):
        infer()
    print("ready", flush=True)
    for line in sys.stdin:
        begun = time.perf_counter()
        for _ in range(int(line)):
            infer()
        print((time.perf_counter() - begun) / int(line), flush=True)


class Peer:
    """A process that answers numbers of rounds with seconds."""

    def __init__(self, command, threads):
        pipe = subprocess.PIPE
        environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment)
        assert self.process.stdout.readline().strip() == "ready", command

    def seconds(self, rounds):
        self.process.stdin.write(f"{rounds}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def best(name, command, batches, threads):
    """The peer with its fastest batch, and that batch."""
    speeds = {}
    for batch in batches:
        peer = Peer(command(batch), threads)
        rounds = max(1, round(0.1 / peer.seconds(1)))
        speeds[batch] = max(batch / peer.seconds(rounds) for _ in range(3))
        peer.close()
    batch = max(speeds, key=speeds.get)
    print(f"{name}: " + ", ".join(f"batch {b} {s:.0f} images/s" for b, s in speeds.items()))
    return Peer(command(batch), threads), batch


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help="the benchmark's binary")
    parser.add_argument("--network", default="resnet8", help="or a model file")
    parser.add_argument("--tflite", help="MLPerf Tiny's pretrainedResnet_int8.tflite")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", default="1,8,32,128")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one sample")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    threads, before = arguments.threads, os.getloadavg()[0]
    if arguments.serve:
        return serve(arguments.serve, arguments.path, arguments.batch, threads)
    batches = [int(batch) for batch in arguments.batches.split(",")]
    has = importlib.util.find_spec
    files = {}
    folder = tempfile.TemporaryDirectory()
    if arguments.tflite and has("ai_edge_litert"):
        files["XNNPACK"] = arguments.tflite
    else:
        print("XNNPACK: left out; it needs `ai-edge-litert` and --tflite")
    if has("onnxruntime") and has("onnx"):
        files["onnxruntime"] = resnet8(folder.name)
    else:
        print("onnxruntime: left out; it needs `onnxruntime` and `onnx`")
    own = lambda batch: [arguments.bench, "serve", arguments.network, str(batch)]
    peers = {"resmcu": best("resmcu", own, batches, threads)}
    for name, path in files.items():
        common = [sys.executable, __file__, "--bench", "", "--serve", name, "--path", path]
        command = lambda batch: [*common, "--batch", str(batch), "--threads", str(threads)]
        peers[name] = best(name, command, batches, threads)
    rounds = {n: max(1, round(arguments.seconds / p.seconds(2))) for n, (p, _) in peers.items()}
    times = {name: [] for name in peers}
    for _ in range(arguments.rounds):
        for name, (peer, batch) in peers.items():
            time.sleep(PAUSE_SECONDS)
            times[name].append(peer.seconds(rounds[name]) / batch)
    print(f"{arguments.network}, {threads} threads, {arguments.rounds} rounds")
    print(f"{'':16} {'batch':>6} {'images/s':>9} {'resmcu is':>10} {'quartiles':>16}")
    for name, samples in times.items():
        ratios = [other / own for own, other in zip(times["resmcu"], samples)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        speed, span = 1 / statistics.median(samples), f"{low:.2f} to {high:.2f}"
        print(f"{name:16} {peers[name][1]:6} {speed:9.0f} {middle:9.2f}x {span:>16}")
    print(f"load of the machine over a minute: {before:.1f} before, {os.getloadavg()[0]:.1f} after")
    if before > LOAD_MAX:
        print("The machine was busy before it began: these are no results.")


if __name__ == "__main__":
    main()
