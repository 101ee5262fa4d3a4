"""The losses of training steps against PyTorch's, from the same weights on the same batches.

Needs `torch` (pip). Run from the repository's root:

    cargo bench -p resmcu-quantizer --bench loss_curve --no-run
    python quantizer/benches/losses_against_pytorch.py --bench PATH_OF_THE_BINARY --data DATA
        [--network resnet8] [--steps 50] [--batch 128] [--rate 0.05]

Prints the largest relative difference of the two losses at a step, and PyTorch's own between f32
and f64: two exact computations drift apart as their roundings do.
"""

import argparse
import json
import struct
import subprocess
import tempfile

import torch
from against_pytorch import model


def read(path):
    """The tensors of a safetensors file."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        body = file.read()
    kinds = {"F32": torch.float32, "I64": torch.int64}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(bytearray(body[begin:end]), dtype=kinds[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def names(net):
    """The engine's name of each module that has parameters."""
    convolutions = [m for m in net if isinstance(m, torch.nn.Conv2d)]
    norms = [m for m in net if isinstance(m, torch.nn.BatchNorm2d)]
    named = {"stem.conv": convolutions[0], "stem.bn": norms[0], "classifier": net[-1]}
    blocks = [m for m in net if hasattr(m, "shortcut")]
    stage, in_stage = 0, 0
    for index, block in enumerate(blocks):
        begins = index == 0 or block.body[0].out_channels != blocks[index - 1].body[0].out_channels
        stage, in_stage = (stage + 1, 0) if begins else (stage, in_stage + 1)
        prefix = f"stage{stage}.block{in_stage}"
        counts = [0, 0]
        for layer in block.body:
            if isinstance(layer, torch.nn.Conv2d):
                counts[0] += 1
                named[f"{prefix}.conv{counts[0]}"] = layer
            elif isinstance(layer, torch.nn.BatchNorm2d):
                counts[1] += 1
                named[f"{prefix}.bn{counts[1]}"] = layer
        if not isinstance(block.shortcut, torch.nn.Identity):
            named[f"{prefix}.shortcut.conv"], named[f"{prefix}.shortcut.bn"] = block.shortcut
    return named


def load(net, tensors):
    fields = {"weights": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
    left = {n for n in tensors if n.rsplit(".", 1)[-1] in fields}
    for prefix, module in names(net).items():
        for ours, theirs in fields.items():
            if (name := f"{prefix}.{ours}") in tensors:
                values = tensors[name]
                values = values.permute(0, 3, 1, 2) if values.ndim == 4 else values
                getattr(module, theirs).data.copy_(values)
                left.remove(name)
    assert not left, f"not loaded: {left}"


def losses(arguments, tensors, dtype):
    channels = tensors["images"].shape[3]
    net, _, _ = model(arguments.network, torch)
    if channels != 3:
        first = net[0]
        net[0] = torch.nn.Conv2d(channels, first.out_channels, 3, 1, 1, bias=False)
    load(net, tensors)
    net = net.to(dtype).train()
    images = tensors["images"].permute(0, 3, 1, 2).to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=arguments.rate, momentum=0.9)
    for step in range(arguments.steps):
        part = slice(step * arguments.batch, (step + 1) * arguments.batch)
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(net(images[part]), tensors["labels"][part])
        loss.backward()
        optimizer.step()
        yield loss.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", required=True, help="the benchmark's binary")
    parser.add_argument("--data", required=True, help="a data set, as for `resmcu train`")
    parser.add_argument("--network", default="resnet8")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.05)
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        command = [arguments.bench, arguments.network, arguments.data, str(arguments.steps),
                   str(arguments.batch), str(arguments.rate), file.name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        tensors = read(file.name)
    ours = [float(line) for line in answer.split()]
    single = list(losses(arguments, tensors, torch.float32))
    double = list(losses(arguments, tensors, torch.float64))
    print(f"{'step':>5} {'engine':>10} {'torch f32':>10} {'torch f64':>10}")
    for step in range(0, arguments.steps, max(1, arguments.steps // 10)):
        print(f"{step:5} {ours[step]:10.6f} {single[step]:10.6f} {double[step]:10.6f}")
    worst = lambda a, b: max(abs(x - y) / y for x, y in zip(a, b, strict=True))
    print(f"largest relative difference: engine to torch f32 {worst(ours, single):.1e}, "
          f"engine to torch f64 {worst(ours, double):.1e}, "
          f"torch f32 to torch f64 {worst(single, double):.1e}")


if __name__ == "__main__":
    main()
