"""The cost of memory: frames per second of DeepLabV3+ on MA-ResNet50, divided by those on plain
ResNet-50, on the same engine in one run. Goal: at least 0.93 at 480x352, output stride 16.

    python -m benchmarks.memory_cost [--size 480x352] [--rounds 12]

Both graphs are exported here with random weights, which cost the same as trained ones. Their steps
alternate, so that a machine that slows down affects both.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from tabulate import tabulate

from export.flags import parse_size
from export.to_onnx import export
from models import checkpoint
from models.build import Recipe, build
from server.engines.onnx_rt import OnnxEngine

GOAL = 0.93


def measure(size: tuple[int, int] = (352, 480), rounds: int = 12) -> dict[str, float]:
    """Return {"plain": ms per step, "memory": ms per step, "ratio": median of plain/memory}."""
    with TemporaryDirectory() as folder:
        plain, memory = (fresh_engine(Path(folder), e, size) for e in ("resnet50", "ma-resnet50"))
        pairs = alternate(plain, memory, rounds)
    return {
        "plain": 1000 * median(p for p, _ in pairs),
        "memory": 1000 * median(m for _, m in pairs),
        "ratio": median(p / m for p, m in pairs),
    }


def fresh_engine(folder: Path, encoder: str, size: tuple[int, int]) -> OnnxEngine:
    """Return an engine of DeepLabV3+ on this encoder with random weights, exported to
    ``folder/<encoder>.onnx``."""
    recipe = Recipe(encoder=encoder)
    weights, file = folder / f"{encoder}.pt", folder / f"{encoder}.onnx"
    checkpoint.save(weights, recipe, build(recipe).state_dict(), dataset="camvid")
    export(weights, file, size)
    return OnnxEngine(file, max_batch=1)


def alternate(plain: OnnxEngine, memory: OnnxEngine, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of one step of each engine, in turn. The first three rounds, which fill
    the memories, are left out."""
    memories = {engine: engine.blank() for engine in (plain, memory)}
    pairs = []
    for index in range(rounds + 3):
        seconds = []
        for engine in (plain, memory):
            frame = np.full((engine.spec.height, engine.spec.width, 3), index, np.uint8)
            began = time.perf_counter()
            _, (memories[engine],) = engine.step([frame], [memories[engine]])
            seconds.append(time.perf_counter() - began)
        pairs.append((seconds[0], seconds[1]))
    return pairs[3:]


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.memory_cost")
    parser.add_argument("--size", type=parse_size, default=(352, 480), metavar="WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=12)
    found = measure(**vars(parser.parse_args()))
    rows = [
        ("plain ResNet-50", f"{found['plain']:.1f}", "ms per step"),
        ("MA-ResNet50", f"{found['memory']:.1f}", "ms per step"),
        ("ratio", f"{found['ratio']:.3f}", f"of the frames/s (goal: at least {GOAL})"),
    ]
    print(tabulate(rows, tablefmt="plain", disable_numparse=True))


if __name__ == "__main__":
    main()
