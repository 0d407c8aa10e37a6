"""Evaluate a checkpoint or an ONNX artefact on a CamVid split.

``python -m training.evaluate --data DIR --split test --model FILE`` runs every clip in order, its
memory fed back and emptied where a clip begins, and prints dataset-level mIoU (eq. 6), each
class's IoU and the accuracy; beside it the same with memory off.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from models import artefact, checkpoint
from models.classes import CAMVID_CLASSES
from models.spec import ModelSpec
from server.engines.onnx_rt import OnnxEngine
from server.errors import MastreamError
from training.datasets import CAMVID_SPLITS, Clip, camvid, read_image, read_label
from training.metrics import Matrix, accuracy, confusion, iou, mean_iou

Labels = NDArray[np.uint8]
Step = Callable[[Labels, Any], tuple[Labels, Any]]
"""(frame (H, W, 3), memory or None) -> labels (H, W) and the memory to keep."""


@dataclass(frozen=True)
class Model:
    """Something that segments frames of one size with a memory that it hands out."""

    name: str
    height: int
    width: int
    step: Step


def open_model(path: Path, size: tuple[int, int], threads: int | None = None) -> Model:
    """An ``.onnx`` by ONNX Runtime, a ``.pt`` by PyTorch at ``size`` (height, width)."""
    if path.suffix == ".onnx":
        engine = OnnxEngine(path, max_batch=1, threads=threads)
        return Model(path.name, engine.spec.height, engine.spec.width, _onnx_step(engine))
    network, _, _ = checkpoint.load(path)
    return Model(path.name, *size, _torch_step(network, size))


def _onnx_step(engine: OnnxEngine) -> Step:
    def step(frame: Labels, memory: Any) -> tuple[Labels, Any]:
        held = engine.blank() if memory is None else memory
        masks, memories = engine.step([frame], [held])
        return masks[0], memories[0]

    return step


def _torch_step(network: Any, size: tuple[int, int]) -> Step:
    @torch.no_grad()
    def step(frame: Labels, memory: Any) -> tuple[Labels, Any]:
        held = network.encoder.blank(1, *size, torch.zeros(())) if memory is None else memory
        mask, kept = network.step(torch.from_numpy(frame[None]), held)
        return mask[0].numpy(), kept

    return step


def evaluate(model: Model, clips: Sequence[Clip], classes: int, with_memory: bool) -> Matrix:
    """The confusion matrix (classes, classes) over all clips, at the labels' own size."""
    matrix = np.zeros((classes, classes), np.int64)
    samples = sum(len(clip) for clip in clips)
    label = "with memory" if with_memory else "memory off"
    bar = iter(track(range(samples), label, disable=not sys.stderr.isatty()))
    for clip in clips:
        memory = None
        for sample in clip.samples:
            next(bar, None)
            truth = read_label(sample)
            frame = cv2.resize(
                read_image(sample), (model.width, model.height), interpolation=cv2.INTER_AREA
            )
            guess, memory = model.step(frame.astype(np.uint8), memory if with_memory else None)
            guess = cv2.resize(guess, truth.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(
                np.uint8
            )
            matrix += confusion(truth, guess, classes)
    return matrix


def report(matrices: dict[str, Matrix], names: Sequence[str]) -> dict[str, Any]:
    """Percentages of each setting, ready for JSON."""
    return {
        setting: {
            "miou": round(100 * mean_iou(matrix), 2),
            "accuracy": round(100 * accuracy(matrix), 2),
            "iou": {n: round(100 * v, 2) for n, v in zip(names, iou(matrix), strict=True)},
        }
        for setting, matrix in matrices.items()
    }


def show(results: dict[str, Any], title: str) -> None:
    """The report as a table on the screen."""
    table = Table("", *results, title=title)
    for row in ("miou", "accuracy"):
        table.add_row(row, *(f"{r[row]:.2f}" for r in results.values()), end_section=row != "miou")
    for name in next(iter(results.values()))["iou"]:
        table.add_row(name, *(f"{r['iou'][name]:.2f}" for r in results.values()))
    Console().print(table)


def has_memory(path: Path) -> bool:
    """Does the model remember anything?"""
    if path.suffix == ".onnx":
        spec: ModelSpec = artefact.read_spec(artefact.read(path))
        return bool(spec.memory)
    return checkpoint.load(path)[1].options is not None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="CamVid in the SegNet layout")
    parser.add_argument("--split", default="test", choices=CAMVID_SPLITS)
    parser.add_argument("--model", type=Path, required=True, help="a .pt or an .onnx of ours")
    parser.add_argument("--size", type=int, nargs=2, default=(352, 480), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    given = parser.parse_args(arguments)
    names = [c.name for c in CAMVID_CLASSES]
    try:
        clips = camvid(given.data, given.split)
        model = open_model(given.model, tuple(given.size), given.threads)
        settings = {"memory off": False} | (
            {"with memory": True} if has_memory(given.model) else {}
        )
        matrices = {s: evaluate(model, clips, len(names), on) for s, on in settings.items()}
    except (ValueError, OSError, MastreamError) as error:
        print(f"training.evaluate: {error}", file=sys.stderr)
        return 1
    results = report(matrices, names)
    show(results, f"{model.name} on CamVid {given.split}, {sum(map(len, clips))} frames")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
