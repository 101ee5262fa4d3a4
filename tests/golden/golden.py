"""What the scripts in this folder share: seeded noise, and how a golden file is written."""

import json
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent


def splitmix64(seed: int, count: int) -> np.ndarray:
    """`count` bytes of SplitMix64, eight a step, little-endian; the tests make the same."""
    steps = np.arange(1, -(-count // 8) + 1, dtype=np.uint64)
    z = np.uint64(seed) + steps * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z.astype("<u8").view(np.int8)[:count]


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
