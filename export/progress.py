"""How far a build is, as TensorRT tells it: phases within phases, each of some steps.

:class:`Phases` does the reckoning; a :class:`Reporter` shows it, as a bar on a terminal and as
lines elsewhere, which :meth:`models.plan.BuildProgress.parse` reads.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from models.plan import BuildProgress

NEARLY = 99
"""The most that is told of a build under way: how many phases will follow is not known."""


@dataclass
class Phase:
    """One phase under way: what it is part of, of how many steps, and how many are done."""

    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """The phases under way, innermost last. TensorRT tells of them from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: dict[str, Phase] = {}
        self._percent = 0

    def start(self, name: str, parent: str | None, steps: int) -> BuildProgress:
        with self._lock:
            self._under_way[name] = Phase(parent, max(steps, 1))
            return self._told()

    def step(self, name: str, step: int) -> BuildProgress:
        """Step ``step``, counted from 0, is done."""
        with self._lock:
            if name in self._under_way:
                self._under_way[name].done = step + 1
            return self._told()

    def finish(self, name: str) -> BuildProgress:
        with self._lock:
            self._under_way.pop(name, None)
            return self._told()

    def _told(self) -> BuildProgress:
        outermost = next(iter(self._under_way), "")
        if outermost:
            share = int(100 * self._share(outermost))
            self._percent = min(max(self._percent, share), NEARLY)
        return BuildProgress(self._percent, next(reversed(self._under_way), ""))

    def _share(self, name: str) -> float:
        """How much of a phase is done, 0..1, with what its parts have done of the step at hand."""
        phase = self._under_way[name]
        parts = [part for part, held in self._under_way.items() if held.parent == name]
        at_hand = max(map(self._share, parts), default=0.0)
        return min((phase.done + at_hand) / phase.steps, 1.0)


class Reporter(ABC):
    """Where progress is shown. It never raises: nobody need look at it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @abstractmethod
    def show(self, progress: BuildProgress) -> None:
        """Show it unless it is shown already."""


class Lines(Reporter):
    """``progress <percent> <phase>``, a line whenever the percent changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._percent: int | None = None

    def show(self, progress: BuildProgress) -> None:
        if progress.percent == self._percent:
            return
        self._percent = progress.percent
        with suppress(OSError, ValueError):  # whoever listened has gone
            print(progress.line(), file=self._stream, flush=True)


class Bar(Reporter):
    """A bar on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        columns = (
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=Console(file=stream))
        self._task = self._bar.add_task("", total=100)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def show(self, progress: BuildProgress) -> None:
        self._bar.update(self._task, completed=progress.percent, description=progress.phase)


def reporter(stream: TextIO | None = None) -> Reporter:
    """A bar where ``stream`` (stderr where None) is a terminal, else lines."""
    shown = stream or sys.stderr
    return Bar(shown) if shown.isatty() else Lines(shown)
