"""The gain of int8: frames per second of DeepLabV3+ on MA-ResNet50 with int8 convolutions, divided
by those with float32, on the same engine in one run. Goal: at least 1.4.

    python -m benchmarks.int8 [--size 480x352] [--rounds 12]

The network has random weights, which cost the same as trained ones, and gets synthetic frames.
Steps alternate, so that a machine that slows down affects both. A CPU with VNNI gains more than one
without.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tabulate import tabulate

from benchmarks.memory_cost import alternate, fresh_engine
from export.flags import parse_size
from export.quantise import quantise
from export.verify import read_frames
from server.engines.onnx_rt import OnnxEngine

GOAL = 1.4
ENCODER = "ma-resnet50"


def measure(size: tuple[int, int] = (352, 480), rounds: int = 12) -> dict[str, float]:
    """Return {"fp32": ms per step, "int8": ms per step, "ratio": median of fp32/int8}."""
    with TemporaryDirectory() as folder:
        exact = fresh_engine(Path(folder), ENCODER, size)
        source, out = (Path(folder, f"{name}.onnx") for name in (ENCODER, "int8"))
        quantise(source, out, [asyncio.run(read_frames(exact.spec, None, 4))])
        pairs = alternate(exact, OnnxEngine(out, max_batch=1), rounds)
    return {
        "fp32": 1000 * median(e for e, _ in pairs),
        "int8": 1000 * median(i for _, i in pairs),
        "ratio": median(e / i for e, i in pairs),
    }


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.int8")
    parser.add_argument("--size", type=parse_size, default=(352, 480), metavar="WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=12)
    found = measure(**vars(parser.parse_args()))
    rows = [
        ("float32", f"{found['fp32']:.1f}", "ms per step"),
        ("int8", f"{found['int8']:.1f}", "ms per step"),
        ("ratio", f"{found['ratio']:.3f}", f"times the frames/s (goal: at least {GOAL})"),
    ]
    print(tabulate(rows, tablefmt="plain", disable_numparse=True))


if __name__ == "__main__":
    main()
