#!/usr/bin/env python3
"""Makes the golden files of the float imports: what PyTorch answers on the same weights.

Versions that made the files in `imports/`:
    Python 3.11.7, torch 2.15.0, torchvision 0.29.2, numpy 2.4.6, safetensors 0.8.0

    pip install torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 safetensors==0.8.0
    RESMCU_TEST_DATA=<folder> python3 tests/golden/imports.py

The folder is the one that holds `akamaster/` and `cifar10-lossless/`; without it these answers are
left as they are. The tests read what is written here and need no Python; README.md has the layout.
"""

import collections
import gzip
import io
import os
import pathlib
import pickle
import sys
import zipfile
import zlib

import numpy as np
import safetensors.torch
import torch
import torchvision

from golden import splitmix64, write

JUDGE = f"torch {torch.__version__.split('+')[0]}"
TORCHVISION = ["resnet18", "resnet34", "resnet50"]


def noise(seed: int, shape) -> torch.Tensor:
    """-1 to 1 in steps of 1/128, the same numbers as the tests make."""
    values = splitmix64(seed, int(np.prod(shape))).astype(np.float32) / 128
    return torch.from_numpy(values.reshape(shape))


def image(seed: int, shape) -> torch.Tensor:
    """A normalized image `[H,W,C]` as PyTorch has it, `[1,C,H,W]`."""
    return (2 * noise(seed, shape)).permute(2, 0, 1)[None]


def fill(model: torch.nn.Module) -> torch.nn.Module:
    """Weights from the tensors' positions in the state dict, apart from counters."""
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    for seed, (name, tensor) in enumerate(state.items()):
        value = noise(seed, tuple(tensor.shape))
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


def answer(model: torch.nn.Module, x: torch.Tensor) -> list[float]:
    with torch.no_grad():
        return [float(v) for v in model(x)[0].numpy()]


class Shortcut(torch.nn.Module):
    """Option A as akamaster's `LambdaLayer` has it."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        pad = (self.channels - x.shape[1]) // 2
        return torch.nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))


class Block(torch.nn.Module):
    def __init__(self, inputs, width, stride, kernels, project):
        super().__init__()
        last = width * (4 if len(kernels) == 3 else 1)
        sizes = [inputs] + [width] * (len(kernels) - 1) + [last]
        self.count = len(kernels)
        for n, k in enumerate(kernels):
            step = stride if k == 3 and (n == 0 or len(kernels) == 3) else 1
            conv = torch.nn.Conv2d(sizes[n], sizes[n + 1], k, step, k // 2, bias=False)
            setattr(self, f"conv{n + 1}", conv)
            setattr(self, f"bn{n + 1}", torch.nn.BatchNorm2d(sizes[n + 1]))
        self.downsample = torch.nn.Sequential()
        if stride != 1 or inputs != last:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(inputs, last, 1, stride, bias=False), torch.nn.BatchNorm2d(last)
            )
            if not project:
                self.downsample = Shortcut(last)

    def forward(self, x):
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = torch.relu(y) if n < self.count else y
        return torch.relu(y + self.downsample(x))


class Net(torch.nn.Module):
    """A residual network small enough for this repository, with torchvision's names."""

    def __init__(self, stages, kernels=(3, 3), project=True, width=4, head="fc"):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(width)
        x, self.stages, self.head = width, len(stages), head
        for stage, blocks in enumerate(stages):
            layer = []
            for b in range(blocks):
                stride = 2 if stage > 0 and b == 0 else 1
                layer.append(Block(x, width << stage, stride, kernels, project))
                x = (width << stage) * (4 if len(kernels) == 3 else 1)
            setattr(self, f"layer{stage + 1}", torch.nn.Sequential(*layer))
        setattr(self, head, torch.nn.Linear(x, 5))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


def saved(value, legacy=False) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def nested(model: torch.nn.Module) -> dict:
    """As training scripts save it, from `DataParallel`."""
    state = {f"module.{k}": v for k, v in model.state_dict().items()}
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    best = torch.tensor(91.5)
    return {"epoch": 200, "best_acc1": best, "state_dict": state, "optimizer": optimizer}


def as_type(model: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Module:
    for tensor in model.state_dict().values():
        if tensor.dtype == torch.float32:
            tensor.copy_(tensor.to(dtype).float())
    return model


def strided(state: dict) -> dict:
    """Weights as views with other strides into one storage, as `channels_last` has them."""
    first = state["conv1.weight"]
    state["conv1.weight"] = first.contiguous(memory_format=torch.channels_last)
    both = torch.cat([state["bn1.weight"], state["bn1.bias"]])
    state["bn1.weight"], state["bn1.bias"] = both.split(len(both) // 2)
    return state


def state_dicts() -> None:
    half = lambda m, dtype: {k: v.to(dtype) if v.dim() else v for k, v in m.state_dict().items()}
    basic = lambda: fill(Net([1, 1]))
    pads = lambda: fill(Net([1, 1, 1], project=False, head="linear"))
    bottleneck = lambda: fill(Net([1, 1], kernels=(1, 3, 1), width=2))
    parameters = lambda m: collections.OrderedDict(
        (k, torch.nn.Parameter(v) if v.is_floating_point() else v)
        for k, v in m.state_dict().items()
    )
    f16, bf16 = torch.float16, torch.bfloat16
    cases = [
        ("zip", basic(), lambda m: saved(m.state_dict())),
        ("zip, nested", pads(), lambda m: saved(nested(m))),
        ("zip, bottleneck", bottleneck(), lambda m: saved(m.state_dict())),
        ("zip, f16", as_type(basic(), f16), lambda m: saved(half(m, f16))),
        ("zip, bf16", as_type(basic(), bf16), lambda m: saved(half(m, bf16))),
        ("zip, views", basic(), lambda m: saved(strided(m.state_dict()))),
        ("zip, parameters", basic(), lambda m: saved(parameters(m))),
        ("legacy", pads(), lambda m: saved(m.state_dict(), legacy=True)),
        ("legacy, nested", bottleneck(), lambda m: saved(nested(m), legacy=True)),
        ("legacy, views", basic(), lambda m: saved(strided(m.state_dict()), legacy=True)),
        ("safetensors", pads(), lambda m: safetensors.torch.save(m.state_dict())),
        ("safetensors, bf16", as_type(basic(), bf16), lambda m: safetensors.torch.save(half(m, bf16))),
        ("safetensors, f16", as_type(basic(), f16), lambda m: safetensors.torch.save(half(m, f16))),
    ]
    models = []
    for number, (name, model, save) in enumerate(cases):
        file, seed = zlib.compress(save(model), 9).hex(), 100 + number
        output = answer(model, image(seed, (32, 32, 3)))
        models.append({"name": name, "file": file, "seed": seed, "output": output})
    write("imports/state_dicts.json", {"judge": JUDGE, "models": models})


class Runs:
    """What a hostile pickle does: it calls a function when it is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def refused() -> None:
    models = []

    def case(message, file):
        models.append({"message": message, "file": zlib.compress(file, 9).hex()})

    def altered(change, legacy=False):
        state = fill(Net([1])).state_dict()
        change(state)
        return saved(state, legacy)

    net = fill(Net([1]))
    good = saved(net.state_dict())
    for legacy in (False, True):
        case("the global `__main__.Net` is refused", saved(net, legacy))
        case("the global `posix.system` is refused", saved({"a": Runs(os.system, "true")}, legacy))
        case("the global `__builtin__.eval` is refused", saved({"a": Runs(eval, "1")}, legacy))
        case("`conv1.weight` is missing", altered(lambda s: s.pop("conv1.weight"), legacy))
        case("`fc.bias` is missing", altered(lambda s: s.pop("fc.bias"), legacy))
    case("`numpy.", saved({"a": np.float64(1.0)}))
    case("no tensor among 1 entries: `a`", saved({"a": 1}))
    case("holds no dictionary", saved(torch.zeros(3)))
    case("TorchScript", scripted(net))
    case("`extra` is left over", altered(lambda s: s.update(extra=torch.zeros(3))))
    case("`fc.weight` and `linear.weight` are", altered(lambda s: s.update({"linear.weight": s["fc.weight"]})))
    case("`fc.bias` is [7], expected [5]", altered(lambda s: s.update({"fc.bias": torch.zeros(7)})))
    case("`conv1.weight` is [4, 3, 3, 5]", altered(lambda s: s.update({"conv1.weight": torch.zeros(4, 3, 3, 5)})))
    case("its type is f64", altered(lambda s: s.update({"fc.bias": torch.zeros(5).double()})))
    case("element 2 is NaN", altered(lambda s: s["fc.bias"].__setitem__(2, float("nan"))))
    case("element 0 is inf", altered(lambda s: s["fc.bias"].__setitem__(0, float("inf"))))
    case("strides [0]", altered(lambda s: s.update({"fc.bias": torch.zeros(1).expand(5)})))
    case("`layer2.0.conv1.weight` is missing", altered(lambda s: s.update({"layer2.0.bn1.weight": torch.zeros(8)})))
    case("`layer1.0.conv2.weight` is missing", altered(lambda s: s.pop("layer1.0.conv2.weight")))
    case("has another CRC-32", bytes(b ^ (i == good.index(b"little")) for i, b in enumerate(good)))
    case("is compressed or encrypted (method 8", rezipped(good, zipfile.ZIP_DEFLATED))
    big = rezipped(good, zipfile.ZIP_STORED, lambda n, d: b"big" if n.endswith("order") else d)
    case("big-endian", big)
    case("its storage `0` has", rezipped(good, zipfile.ZIP_STORED, lambda n, d: d[:-4] if n.endswith("data/0") else d))
    case("there is no entry `data.pkl`", rezipped(good, zipfile.ZIP_STORED, lambda n, d: None if n.endswith("pkl") else d))
    case("the end of the directory", good[:-1])
    case("not a safetensors file", b"neither")
    normal = safetensors.torch.save({"conv1.weight": torch.zeros(4, 1, 3, 3)}, {"resmcu": "{}"})
    case("checkpoint of this project already", normal)
    case("pickle, byte 0x", saved(net.state_dict(), legacy=True)[:300])
    case("INST", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03." + b"(ios\nsystem\n.")
    case("NEWOBJ", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03." + b"))\x81.")
    write("imports/refused.json", {"judge": JUDGE, "models": models})


def scripted(net: torch.nn.Module) -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(net, torch.zeros(1, 3, 8, 8)), file)
    return file.getvalue()


def rezipped(file: bytes, method, change=lambda name, data: data) -> bytes:
    source, out = zipfile.ZipFile(io.BytesIO(file)), io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as target:
        for name in source.namelist():
            data = change(name, source.read(name))
            if data is not None:
                target.writestr(name, data)
    return out.getvalue()


def networks() -> None:
    """torchvision's own networks at 64x64; the tests make the same weights."""
    models = []
    for name in TORCHVISION:
        model = fill(getattr(torchvision.models, name)(num_classes=9))
        output = answer(model, image(7, (64, 64, 3)))
        models.append({"name": name, "classes": 9, "seed": 7, "output": output})
    judge = f"{JUDGE}, torchvision {torchvision.__version__.split('+')[0]}"
    write("imports/torchvision.json", {"judge": judge, "models": models})


def akamaster(data: pathlib.Path) -> None:
    with gzip.open(data / "cifar10-lossless/test_batch_first1000.bin.gz") as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073).copy()
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32)).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = (images - mean[:, None, None]) / std[:, None, None]
    models = []
    for name, blocks in [("resnet20-12fca82f", 3), ("resnet32-d509ac18", 5)]:
        model = Net([blocks] * 3, project=False, width=16, head="linear")
        model.linear = torch.nn.Linear(64, 10)
        state = torch.load(data / f"akamaster/{name}.th", "cpu", weights_only=True)["state_dict"]
        model.load_state_dict({k.removeprefix("module."): v for k, v in state.items()}, strict=False)
        with torch.no_grad():
            logits = torch.cat([model.eval()(batch) for batch in images.split(100)]).numpy()
        first = [[float(v) for v in row] for row in logits[:8]]
        correct = int((logits.argmax(1) == records[:, 0]).sum())
        models.append({"file": f"akamaster/{name}.th", "correct": correct, "outputs": first})
    write("imports/akamaster.json", {"judge": JUDGE, "models": models})


def main() -> None:
    state_dicts()
    refused()
    networks()
    data = os.environ.get("RESMCU_TEST_DATA")
    if data is None:
        print("RESMCU_TEST_DATA is not set: akamaster is left as it is", file=sys.stderr)
    else:
        akamaster(pathlib.Path(data))


if __name__ == "__main__":
    with torch.no_grad():
        main()
