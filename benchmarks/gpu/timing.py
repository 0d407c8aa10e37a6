"""Measure how long a step takes, by the wall clock and on the device."""

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
"""Steps that are queued on the device before the host waits for it."""

Step = Callable[[], None]


@dataclass(frozen=True)
class Timing:
    """``fps`` is frames per second of steps back to back, by the wall clock; ``p50`` and ``p99``
    are milliseconds of a step that is waited for, by the wall clock; ``device`` is its median in
    milliseconds by the device's own events, None on a CPU."""

    fps: float
    p50: float
    p99: float
    device: float | None
    steps: int


def measure(step: Step, device: torch.device, frames: int, seconds: float) -> Timing:
    """Time ``step``, which processes ``frames`` frames, for about ``seconds``: half of the time
    back to back, half of it waiting for each step."""
    for _ in range(WARM_STEPS):
        step()
    wait(device)
    rate, events = _back_to_back(step, device, seconds / 2)
    waited = _one_by_one(step, device, seconds / 2)
    p50, p99 = percentiles(waited)
    device_ms = median(events) if events else None
    return Timing(rate * frames, p50, p99, device_ms, len(waited))


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds."""
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return float(p50), float(p99)


def wait(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _back_to_back(step: Step, device: torch.device, seconds: float) -> tuple[float, list[float]]:
    """Return steps per second, and each step's milliseconds on the device."""
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
    """Return the seconds of each step, waiting for each."""
    taken = list[float]()
    deadline = time.perf_counter() + seconds
    while (time.perf_counter() < deadline and len(taken) < MOST_STEPS) or len(taken) < LEAST_STEPS:
        began = time.perf_counter()
        step()
        wait(device)
        taken.append(time.perf_counter() - began)
    return taken
