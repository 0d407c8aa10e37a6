"""The resources of a process, seen from outside: memory, threads, files, and its own metrics."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median

MiB = 2**20
PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of a process: seconds since the soak began, resident MiB, threads, open files."""

    at: float
    rss: float
    threads: int
    files: int


def look(pid: int, at: float) -> Sample:
    """Return the resources that the process uses now (Linux)."""
    process = Path("/proc") / str(pid)
    resident = int((process / "statm").read_text().split()[1]) * PAGE_BYTES
    threads = len(list((process / "task").iterdir()))
    return Sample(at, resident / MiB, threads, len(list((process / "fd").iterdir())))


def minutes(samples: Sequence[Sample]) -> list[Sample]:
    """Return the median of each minute."""
    by_minute: dict[int, list[Sample]] = {}
    for sample in samples:
        by_minute.setdefault(int(sample.at // 60), []).append(sample)
    return [
        Sample(
            60.0 * minute,
            median(one.rss for one in some),
            int(median(one.threads for one in some)),
            int(median(one.files for one in some)),
        )
        for minute, some in sorted(by_minute.items())
    ]


def slope(samples: Sequence[Sample]) -> float:
    """Return the growth of resident memory in MiB per minute, by least squares; 0.0 if there are
    too few samples."""
    if len({sample.at for sample in samples}) < 2:
        return 0.0
    times, sizes = [one.at / 60 for one in samples], [one.rss for one in samples]
    return linear_regression(times, sizes).slope


def sessions(metrics: str) -> int:
    """Return the number of sessions on a page of ``/metrics``, in any state."""
    found = re.findall(r"^mastream_sessions\{[^}]*\} (\S+)$", metrics, re.MULTILINE)
    return int(sum(map(float, found)))
