#!/usr/bin/env python3
"""Asks TensorFlow Lite Micro and LiteRT about `.tflite` files that this project exported.

Each small model of `<operator>/answers.json` and MLPerf Tiny's ResNet-8 is imported and exported by
`resmcu`. Then TensorFlow Lite Micro has to answer as it did to the original, byte for byte, which
is what the tests demand of this project's host; LiteRT, whose kernels round otherwise in places, as
it does to the original. What is written are the checksums of the files that passed; the tests
compare them without Python.

Versions that made `exported/answers.json`:
    Python 3.11.7, ai-edge-litert 2.3.0, tflite-micro 0.dev20261023182759, numpy 2.4.6

    pip install ai-edge-litert==2.3.0 tflite-micro==0.dev20261023182759 numpy==2.4.6
    RESMCU_TEST_DATA=<folder> python3 tests/golden/exported.py target/debug/resmcu
"""

import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime

from golden import HERE, splitmix64, write

JUDGE = "tflite-micro " + importlib.metadata.version("tflite-micro")
OTHER = "LiteRT " + importlib.metadata.version("ai-edge-litert")
OPERATORS = "add average_pool2d conv2d fully_connected max_pool2d softmax network global_mean".split()


def micro(model: bytes, inputs) -> list:
    interpreter = runtime.Interpreter.from_bytes(model)
    answers = []
    for x in inputs:
        interpreter.set_input(np.ascontiguousarray(x), 0)
        interpreter.invoke()
        answers.append(interpreter.get_output(0).reshape(-1).tolist())
    return answers


def litert(model: bytes, inputs, kernels) -> list:
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    answers = []
    for x in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        output = interpreter.get_output_details()[0]["index"]
        answers.append(interpreter.get_tensor(output).reshape(-1).tolist())
    return answers


def shape(model: bytes):
    return tuple(Interpreter(model_content=model).get_input_details()[0]["shape"])


def exported(resmcu, folder, name: str, original: bytes) -> bytes:
    paths = [folder / f"{name}.tflite", folder / f"{name}.rmcu", folder / f"{name}.out"]
    paths[0].write_bytes(original)
    quiet = dict(check=True, stdout=subprocess.DEVNULL)
    subprocess.run([resmcu, "import", paths[0], "-o", paths[1]], **quiet)
    subprocess.run([resmcu, "export", paths[1], "--format", "tflite", "-o", paths[2]], **quiet)
    return paths[2].read_bytes()


def judge(resmcu, folder, name: str, original: bytes, seeds, expected=None) -> int:
    made = exported(resmcu, folder, name, original)
    # As an activation a row of classes may be an image of one position here.
    old, new = shape(original), shape(made)
    assert np.prod(old) == np.prod(new), (name, old, new)
    noise = [splitmix64(seed, int(np.prod(old))) for seed in seeds]
    before, after = ([x.reshape(s) for x in noise] for s in (old, new))
    found = micro(made, after)
    assert found == (expected or micro(original, before)), f"{name}: tflite-micro"
    for kernels in (OpResolverType.BUILTIN_REF, OpResolverType.AUTO):
        found = litert(made, after, kernels)
        try:
            expected = litert(original, before, kernels)
        except RuntimeError:
            continue  # LiteRT takes no convolution without a bias; what is exported has one
        assert found == expected, f"{name}: LiteRT"
    return zlib.crc32(made)


def main() -> None:
    resmcu = pathlib.Path(sys.argv[1]).resolve()
    models = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for operator in OPERATORS:
            golden = json.loads((HERE / operator / "answers.json").read_text())
            for number, model in enumerate(golden["models"]):
                name = f"{operator}_{number}"
                original = zlib.decompress(bytes.fromhex(model["model"]))
                seeds = [case["seed"] for case in model["cases"]]
                expected = [case["output"] for case in model["cases"]]
                crc32 = judge(resmcu, folder, name, original, seeds, expected)
                models.append({"name": name, "crc32": crc32})
        data = pathlib.Path(os.environ["RESMCU_TEST_DATA"])
        original = (data / "mlperf-tiny/pretrainedResnet_int8.tflite").read_bytes()
        mlperf = judge(resmcu, folder, "resnet8", original, range(1, 33))
    golden = {"judge": JUDGE, "other": OTHER, "mlperf_crc32": mlperf, "models": models}
    write("exported/answers.json", golden)


if __name__ == "__main__":
    main()
