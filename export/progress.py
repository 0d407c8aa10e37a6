"""The progress of a build. TensorRT reports nested phases, each of which has a number of steps.

:class:`Phases` computes the progress; a :class:`Reporter` shows it: as a bar on a terminal,
otherwise as lines that :meth:`models.plan.BuildProgress.parse` reads.
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
"""The largest percentage reported during a build, since the number of later phases is unknown."""


@dataclass
class Phase:
    """A running phase: the phase it is part of, its number of steps and how many are done."""

    parent: str | None
    steps: int
    done: int = 0


class Phases:
    """The running phases, innermost last. TensorRT reports them from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[str, Phase] = {}
        self._percent = 0

    def start(self, name: str, parent: str | None, steps: int) -> BuildProgress:
        """Record the start of a phase and return the progress of the build."""
        with self._lock:
            self._running[name] = Phase(parent, max(steps, 1))
            return self._progress()

    def step(self, name: str, step: int) -> BuildProgress:
        """Record that step ``step``, counted from 0, is done; return the progress of the build."""
        with self._lock:
            if name in self._running:
                self._running[name].done = step + 1
            return self._progress()

    def finish(self, name: str) -> BuildProgress:
        """Record the end of a phase and return the progress of the build."""
        with self._lock:
            self._running.pop(name, None)
            return self._progress()

    def _progress(self) -> BuildProgress:
        outermost = next(iter(self._running), "")
        if outermost:
            share = int(100 * self._share(outermost))
            self._percent = min(max(self._percent, share), NEARLY)
        return BuildProgress(self._percent, next(reversed(self._running), ""))

    def _share(self, name: str) -> float:
        """Return how much of a phase is done, 0..1, including its parts' share of this step."""
        phase = self._running[name]
        parts = [part for part, held in self._running.items() if held.parent == name]
        of_step = max(map(self._share, parts), default=0.0)
        return min((phase.done + of_step) / phase.steps, 1.0)


class Reporter(ABC):
    """Shows progress. It never raises, since the build must not fail for its display."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    @abstractmethod
    def show(self, progress: BuildProgress) -> None:
        """Show the progress unless it is already shown."""


class Lines(Reporter):
    """Prints a line ``progress <percent> <phase>`` whenever the percentage changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._percent: int | None = None

    def show(self, progress: BuildProgress) -> None:
        if progress.percent == self._percent:
            return
        self._percent = progress.percent
        with suppress(OSError, ValueError):  # the reader has gone
            print(progress.line(), file=self._stream, flush=True)


class Bar(Reporter):
    """Shows a bar on a terminal."""

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
    """Return a bar if ``stream`` (stderr if None) is a terminal, otherwise lines."""
    shown = stream or sys.stderr
    return Bar(shown) if shown.isatty() else Lines(shown)
