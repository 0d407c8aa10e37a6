"""Compare an exported file with its network, and streams in a batch with each stream alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.runners import Arrays, Steps, blank
from models.spec import ModelSpec


@dataclass(frozen=True)
class Tolerance:
    """The smallest share of equal labels and the largest relative memory error that are allowed."""

    agreement: float
    memory: float


TOLERANCES = {
    "fp32": Tolerance(0.9995, 1e-3),
    "fp16": Tolerance(0.99, 3e-2),
    "int8": Tolerance(0.95, 0.5),
    "int8 graph": Tolerance(0.9, 0.5),
}
"""By the difference between file and reference: the type of the weights (``fp32``, ``fp16``,
``int8``), or a graph that also computes in int8 (``int8 graph``)."""

BATCH_TOLERANCES = {"fp16": TOLERANCES["fp16"]}
"""By precision: how much a step in a batch may differ from the same step alone. Other precisions
only differ by the order of float32 sums; sums of integers do not depend on the order."""


@dataclass(frozen=True)
class Check:
    """The result of one comparison: ``held`` says whether it was within tolerance."""

    name: str
    detail: str
    held: bool


def compare_clip(
    runner: Steps,
    reference: Steps,
    spec: ModelSpec,
    frames: Sequence[NDArray[np.uint8]],
    against: str,
    tolerance: Tolerance,
) -> Check:
    """Run one stream through both, each with its own memory fed back.

    ``frames`` are uint8 (H, W, 3).
    """
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
        f"{min(equal):.4%}), memory error {worst:.1e}, {1e3 * np.median(seconds):.1f} ms per step"
    )
    held = float(np.mean(equal)) >= tolerance.agreement and worst <= tolerance.memory
    return Check(f"against {against}", detail, held)


def compare_batch(runner: Steps, spec: ModelSpec, frames: Sequence[NDArray[np.uint8]]) -> Check:
    """Compare masks and memories of streams at every fill level, in one batch and each alone."""
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
    within = BATCH_TOLERANCES.get(spec.precision, TOLERANCES["fp32"])
    passed = share >= within.agreement and worst <= within.memory
    return Check("a batch equals each alone", detail, passed)


def compare_poisoned(runner: Steps, spec: ModelSpec, frames: Sequence[NDArray[np.uint8]]) -> Check:
    """Check that NaN and infinity in empty slots change no bit of masks or memory."""
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
    """Return one stream's count and the slots that hold frames."""
    count = int(held[0][0])
    return [held[0], *(slots[:, :count] for slots in held[1:])]


def memory_error(ours: Arrays, theirs: Arrays) -> float:
    """Return the largest relative error of any tensor; infinite if the counts differ."""
    if not np.array_equal(ours[0], theirs[0]):
        return float("inf")
    return max(map(relative, ours[1:], theirs[1:]), default=0.0)


def relative(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """Return the largest difference over the largest magnitude of ``theirs``.

    It is infinite if ``ours`` is not finite.
    """
    if not np.isfinite(ours).all():
        return float("inf")
    ours, theirs = ours.astype(np.float32), theirs.astype(np.float32)
    return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), 1e-12))


def tolerance(precision: str, weights: str) -> Tolerance:
    """Return the tolerance against float32 of a graph with this precision and type of weights."""
    if precision == "int8":
        return TOLERANCES["int8 graph"]
    return TOLERANCES["fp16" if "fp16" in {precision, weights} else weights]
