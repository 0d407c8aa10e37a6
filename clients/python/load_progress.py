"""Show the progress of a load: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from clients.python.load import Load

SHOW_SECONDS = 0.25
LINE_SECONDS = 5.0


@contextmanager
def progress_of(load: Load) -> Iterator[Callable[[], None]]:
    """Show progress on stderr. The yielded function must be called about every SHOW_SECONDS."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(load)
        return
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("opening", total=load.plan.seconds, note="")

        def show() -> None:
            elapsed = load.elapsed
            if elapsed is not None:
                stage = "loading" if elapsed < load.plan.seconds else "last answers"
                bar.update(task, description=stage, completed=elapsed, note=load.counts())

        yield show


class _Lines:
    """Prints the progress, at most once every LINE_SECONDS."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._next = time.monotonic() + LINE_SECONDS

    def __call__(self) -> None:
        elapsed = self._load.elapsed
        if elapsed is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            line = f"{elapsed:.0f} of {self._load.plan.seconds:g} s, {self._load.counts()}"
            print(line, file=sys.stderr, flush=True)
