"""The CPU time of each kind of thread of this process, and how long it waits for a core (Linux)."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds that threads ran, and seconds that they were ready but had no core."""

    ran: float = 0.0
    waited: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.ran + other.ran, self.waited + other.waited)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.ran - other.ran, self.waited - other.waited)


def spent_by_thread() -> dict[str, Spent]:
    """Return the time that the running threads have spent so far, by name without number."""
    found: dict[str, Spent] = defaultdict(Spent)
    for thread in threading.enumerate():
        found[_kind(thread.name)] += _spent(Path(f"/proc/self/task/{thread.native_id}"))
    return dict(found)


def spent_by_process(pid: int) -> Spent:
    """Return the time that all threads of a process have spent so far."""
    return sum((_spent(task) for task in Path(f"/proc/{pid}/task").iterdir()), Spent())


def table(before: dict[str, Spent], after: dict[str, Spent], frames: int) -> str:
    """Return the time spent in between, in ms per frame."""
    rows = [
        (name, passed.ran * 1000 / frames, passed.waited * 1000 / frames)
        for name, now in sorted(after.items())
        if (passed := now - before.get(name, Spent())).ran > 0
    ]
    heads = ("ms per frame", "CPU", "waiting for a core")
    return tabulate(rows, heads, tablefmt="plain", floatfmt=".2f")


def _kind(name: str) -> str:
    return name.rstrip("0123456789").rstrip("-_ ").split(" ")[0]


def _spent(task: Path) -> Spent:
    ran, waited, _ = map(int, (task / "schedstat").read_text().split())
    return Spent(ran / 1e9, waited / 1e9)
