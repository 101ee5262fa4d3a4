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
import json
import os
import pathlib
import sys
import zlib

import numpy as np
from tflite_micro.python.tflite_micro import runtime

HERE = pathlib.Path(__file__).parent
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


def splitmix64(seed: int, count: int) -> np.ndarray:
    """`count` bytes of SplitMix64, eight a step, little-endian; the tests make the same."""
    mask = (1 << 64) - 1
    out = bytearray()
    state = seed
    while len(out) < count:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out += (z ^ (z >> 31)).to_bytes(8, "little")
    return np.frombuffer(bytes(out[:count]), np.int8)


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
            {"seed": seed, "output": row.tolist()} for seed, row in zip(seeds, answer(model, random))
        ],
        "cifar10_test": [{"index": i, "output": scores[i].tolist()} for i in indices],
        "cifar10_test_images": len(scores),
        "cifar10_test_correct": correct,
        "cifar10_test_outputs_crc32": zlib.crc32(scores.tobytes()),
    }
    write("mlperf_resnet8/answers.json", golden)


def write(name: str, golden: dict) -> None:
    """One golden file, a case a line."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join("  " + json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f"{json.dumps(key)}:[\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path.relative_to(HERE.parent.parent), path.stat().st_size, "bytes")


def main() -> None:
    data = os.environ.get("RESMCU_TEST_DATA")
    if data is None:
        print("RESMCU_TEST_DATA is not set: mlperf_resnet8 is left as it is", file=sys.stderr)
    else:
        mlperf_resnet8(pathlib.Path(data))


if __name__ == "__main__":
    main()
