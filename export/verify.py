"""Does an exported file compute what its network computes?

``python export/verify.py FILE --checkpoint CHECKPOINT --video CLIP`` runs one clip through PyTorch
and through the file, frame by frame with memory fed back; then streams at different fill levels in
one batch against each alone; then memories whose empty slots hold NaN. Exit status 1 above
tolerance.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from export.graph import names
from models import artefact, checkpoint, described, source
from models.memory import StageFifo
from models.segmenter import Memory, Segmenter
from models.spec import ModelSpec
from server.frame import host_pixels
from server.sources.container import ContainerSource
from server.sources.synthetic import SyntheticSource

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Tolerance:
    """The least share of equal labels and the largest memory error (of the largest magnitude)."""

    agreement: float
    memory: float


TOLERANCES = {
    "fp32": Tolerance(0.9995, 1e-3),
    "fp16": Tolerance(0.99, 3e-2),
    "int8": Tolerance(0.95, 0.5),
    "int8 graph": Tolerance(0.9, 0.5),
}
"""By what separates file and reference: rounded weights, or also what the graph computes in."""

COMPANY = {"fp16": TOLERANCES["fp16"]}
"""By what a graph computes in: how much a step in company may differ from one alone, where that is
more than the order of float32 sums. Integers know no order."""


@dataclass(frozen=True)
class Check:
    """One comparison and whether it held."""

    name: str
    detail: str
    held: bool


class Steps(Protocol):
    """Whatever computes the served graph."""

    def step(self, held: Arrays) -> Arrays:
        """Frame, count, keys and values -> mask, count, keys and values."""


class Runner:
    """A file, or its content, in ONNX Runtime on CPU."""

    def __init__(self, path: Path | bytes, spec: ModelSpec) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # a weight kept for its name alone is no news
        if spec.unpacks_weights:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs, self.outputs = names(spec)

    def step(self, held: Arrays) -> Arrays:
        results: Arrays = self.session.run(self.outputs, dict(zip(self.inputs, held, strict=True)))
        return results


def blank(spec: ModelSpec, batch: int, filling: float = 0.0) -> Arrays:
    """count, keys and values of ``batch`` empty streams, their slots holding ``filling``."""
    kind = np.float16 if spec.precision == "fp16" else np.float32
    shapes = [(m.tokens, m.key_width) for m in spec.memory]
    shapes += [(m.tokens, m.value_width) for m in spec.memory]
    slots = [np.full((batch, spec.memory_frames, *shape), filling, kind) for shape in shapes]
    return [np.zeros(batch, np.int64), *slots]


@dataclass(frozen=True)
class TorchRunner:
    """A network in PyTorch, in float32."""

    network: Segmenter

    @torch.no_grad()
    def step(self, held: Arrays) -> Arrays:
        frame, count, *fifos = (
            torch.from_numpy(a).to(torch.float32) if a.dtype == np.float16 else torch.from_numpy(a)
            for a in held
        )
        stages = len(fifos) // 2
        memory = Memory(count, tuple(map(StageFifo, fifos[:stages], fifos[stages:])))
        mask, kept = self.network.step(frame, memory)
        out = (mask, kept.count, *(f.key for f in kept.fifos), *(f.value for f in kept.fifos))
        return [tensor.numpy() for tensor in out]


def compare_clip(
    runner: Steps,
    reference: Steps,
    spec: ModelSpec,
    frames: Sequence[NDArray[np.uint8]],
    against: str,
    tolerance: Tolerance,
) -> Check:
    """One stream through both, each with its own memory fed back."""
    ours, theirs = blank(spec, 1), blank(spec, 1)
    equal, worst, seconds = [], 0.0, []
    for frame in frames:
        start = time.perf_counter()
        mask, *ours = runner.step([frame[None], *ours])
        seconds.append(time.perf_counter() - start)
        wanted, *theirs = reference.step([frame[None], *theirs])
        equal.append(float((mask == wanted).mean()))
        worst = max(worst, memory_error(ours, theirs))
    detail = (
        f"{len(frames)} frames: {np.mean(equal):.4%} of labels equal (least in a frame "
        f"{min(equal):.4%}), memory error {worst:.1e}, {1e3 * np.median(seconds):.1f} ms a step"
    )
    held = float(np.mean(equal)) >= tolerance.agreement and worst <= tolerance.memory
    return Check(f"against {against}", detail, held)


def compare_batch(runner: Steps, spec: ModelSpec, frames: Sequence[NDArray[np.uint8]]) -> Check:
    """Streams at every fill level in one batch, against each alone: masks and memories."""
    alone: list[Arrays] = []
    for fill in range(spec.memory_frames + 1):
        held = blank(spec, 1)
        for frame in [frames[(fill + i) % len(frames)] for i in range(fill)]:
            _, *held = runner.step([frame[None], *held])
        alone.append([frames[fill % len(frames)][None], *held])
    together = runner.step([np.concatenate(arrays) for arrays in zip(*alone, strict=True)])
    share, worst = 1.0, 0.0
    for index, held in enumerate(alone):
        mask, *kept = runner.step(held)
        part = [array[index : index + 1] for array in together]
        share = min(share, float((mask == part[0]).mean()))
        worst = max(worst, memory_error(part[1:], kept))
    detail = f"{len(alone)} streams: {share:.4%} of labels equal, memory error {worst:.1e}"
    within = COMPANY.get(spec.precision, TOLERANCES["fp32"])
    held_up = share >= within.agreement and worst <= within.memory
    return Check("a batch equals each alone", detail, held_up)


def compare_poisoned(runner: Steps, spec: ModelSpec, frames: Sequence[NDArray[np.uint8]]) -> Check:
    """NaN and infinity in slots that are empty: not one bit may change, of masks or memory."""
    changed, worst = 0, 0.0
    for filling in (np.nan, np.inf, -np.inf):
        clean, poisoned = blank(spec, 1), blank(spec, 1, filling)
        for frame in frames[: spec.memory_frames + 1]:
            mask, *clean = runner.step([frame[None], *clean])
            other, *poisoned = runner.step([frame[None], *poisoned])
            changed += int((mask != other).sum())
            worst = max(worst, memory_error(filled(poisoned), filled(clean)))
    detail = f"{changed} labels differ, memory error {worst:.1e}"
    return Check("poisoned empty slots change nothing", detail, changed == 0 and worst == 0)


def filled(held: Arrays) -> Arrays:
    """One stream's count and the slots that hold frames."""
    count = int(held[0][0])
    return [held[0], *(slots[:, :count] for slots in held[1:])]


def memory_error(ours: Arrays, theirs: Arrays) -> float:
    """Largest relative error of any tensor; infinite where the counts differ."""
    if not np.array_equal(ours[0], theirs[0]):
        return float("inf")
    return max(map(relative, ours[1:], theirs[1:]), default=0.0)


def relative(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Largest difference over the reference's largest magnitude; infinite for a NaN of ours."""
    if not np.isfinite(ours).all():
        return float("inf")
    ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))


def verify(path: Path, original: Path | None, video: Path | None, count: int) -> list[Check]:
    """All checks of one file. Raises SpecError, CheckpointError or the source's errors."""
    spec = described.read_spec(described.read(path))
    return checks(path, original, asyncio.run(read_frames(spec, video, count)))


def checks(path: Path, original: Path | None, frames: Sequence[NDArray[np.uint8]]) -> list[Check]:
    """All checks of one file on these frames."""
    network, recipe, spec = artefact.load(path)
    runner, own = Runner(path, spec), tolerance(spec.precision, spec.precision)
    found = [
        compare_clip(runner, TorchRunner(network), spec, frames, "its own weights in PyTorch", own)
    ]
    if original is not None:
        exact = TorchRunner(checkpoint.rebuild(source.load(original)[0], recipe))
        rounded = tolerance(spec.precision, spec.weights)
        found.append(compare_clip(runner, exact, spec, frames, original.name, rounded))
    found.append(compare_batch(runner, spec, frames))
    if spec.memory:
        found.append(compare_poisoned(runner, spec, frames))
    return found


def tolerance(precision: str, weights: str) -> Tolerance:
    """Of a graph that computes and keeps its weights so, against float32."""
    if precision == "int8":
        return TOLERANCES["int8 graph"]
    return TOLERANCES["fp16" if "fp16" in {precision, weights} else weights]


async def read_frames(spec: ModelSpec, video: Path | None, count: int) -> list[NDArray[np.uint8]]:
    """The first ``count`` frames of the clip, or a synthetic one, at the model's size."""
    footage = (
        ContainerSource(video, spec.height, spec.width)
        if video
        else SyntheticSource(spec.height, spec.width, frames=count)
    )
    frames = []
    async with footage:
        async for frame in footage:
            frames.append(host_pixels(frame.pixels))
            if len(frames) == count:
                break
    return frames


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "export/verify.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="what it was exported from")
    parser.add_argument("--video", type=Path, help="a clip; synthetic frames where absent")
    parser.add_argument("--frames", type=int, default=24)
    given = parser.parse_args(arguments)
    try:
        checks = verify(given.file, given.checkpoint, given.video, given.frames)
    except Exception as error:  # whatever is wrong with the files, in one sentence
        print(f"verify: {error}", file=sys.stderr)
        return 2
    return tell(checks)


def tell(checks: Sequence[Check]) -> int:
    """Print every check; the exit status: 0 where all held, else 1."""
    for check in checks:
        print(f"{'ok  ' if check.held else 'FAIL'} {check.name}: {check.detail}")
    return 0 if all(check.held for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
