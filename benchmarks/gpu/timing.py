"""How long a step takes, on the wall and on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
import torch

WARM_STEPS = 2
LEAST_STEPS = 2
MOST_STEPS = 2000
CHUNK = 16
"""Steps that are put on the device's queue before the host waits for it."""

Step = Callable[[], None]


@dataclass(frozen=True)
class Timing:
    """``fps`` frames a second of steps back to back, by the wall; ``p50`` and ``p99`` milliseconds
    of a step waited for, by the wall; ``device`` its median milliseconds by the device's own
    events, None where there is no such device."""

    fps: float
    p50: float
    p99: float
    device: float | None
    steps: int


def measure(step: Step, device: torch.device, frames: int, seconds: float) -> Timing:
    """Time ``step``, which takes ``frames`` frames, for about ``seconds``: half of them back to
    back, half waiting for each."""
    for _ in range(WARM_STEPS):
        step()
    wait(device)
    rate, events = _back_to_back(step, device, seconds / 2)
    waited = _one_by_one(step, device, seconds / 2)
    p50, p99 = percentiles(waited)
    device_ms = median(events) if events else None
    return Timing(rate * frames, p50, p99, device_ms, len(waited))


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """p50 and p99 in milliseconds."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return float(p50), float(p99)


def wait(device: torch.device) -> None:
    """Return when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _back_to_back(step: Step, device: torch.device, seconds: float) -> tuple[float, list[float]]:
    """Steps a second, and each one's milliseconds on the device."""
    done, events = 0, list[float]()
    began = time.perf_counter()
    while not done or (time.perf_counter() - began < seconds and done < MOST_STEPS):
        steps = CHUNK if done else LEAST_STEPS
        events += _chunk(step, device, steps)
        done += steps
    return done / (time.perf_counter() - began), events


def _chunk(step: Step, device: torch.device, steps: int) -> list[float]:
    if device.type != "cuda":
        for _ in range(steps):
            step()
        return []
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]  # type: ignore[no-untyped-call]
    marks[0].record()
    for mark in marks[1:]:
        step()
        mark.record()
    marks[-1].synchronize()
    return [begin.elapsed_time(end) for begin, end in pairwise(marks)]


def _one_by_one(step: Step, device: torch.device, seconds: float) -> list[float]:
    """Seconds of each step, waited for."""
    taken = list[float]()
    deadline = time.perf_counter() + seconds
    while (time.perf_counter() < deadline and len(taken) < MOST_STEPS) or len(taken) < LEAST_STEPS:
        began = time.perf_counter()
        step()
        wait(device)
        taken.append(time.perf_counter() - began)
    return taken
