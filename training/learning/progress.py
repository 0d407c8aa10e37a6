"""Show a run's progress: a bar on a terminal, otherwise lines, and curves in TensorBoard."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.learning.lesson import Lesson
from training.settings import TrainSettings, learning_rate, rate_shares

LINE_EVERY = 20
"""Iterations between two lines if there is no terminal."""


class Bar:
    """Shows a bar on a terminal, otherwise prints a line every LINE_EVERY iterations."""

    def __init__(self, total: int, start: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, disable=not sys.stderr.isatty())
        self.task = self.bar.add_task("training", total=total, completed=start)
        self.smooth: float | None = None

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def show(self, lesson: Lesson) -> None:
        """Show a lesson's iteration and the smoothed loss."""
        loss = lesson.loss
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        self.bar.update(
            self.task, completed=lesson.iteration, description=f"loss {self.smooth:.3f}"
        )
        if self.bar.disable and lesson.passes(LINE_EVERY):
            print(f"iteration {lesson.iteration} loss {self.smooth:.4f}", flush=True)

    def print(self, sentence: str) -> None:
        """Print a line, above the bar if there is one."""
        self.bar.console.print(sentence, highlight=False)


class Board:
    """Writes curves for TensorBoard to ``folder``, from iteration ``start`` on.

    Points that an earlier process wrote after its last checkpoint are discarded. Call
    :meth:`flush` before a checkpoint is written, so that the points before it are on the disk.
    """

    def __init__(self, folder: Path, start: int) -> None:
        self.writer = SummaryWriter(str(folder), purge_step=start + 1)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def show(self, lesson: Lesson, settings: TrainSettings) -> None:
        """Write the curves of a lesson."""
        self.write(lesson.iteration, curves(lesson, settings))

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        """Write values by their names in TensorBoard."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, iteration)

    def flush(self) -> None:
        self.writer.flush()


def curves(lesson: Lesson, settings: TrainSettings) -> dict[str, float]:
    """Return loss, rates, judge's statistic and mean frames in memory, by TensorBoard's names."""
    rate = learning_rate(settings, lesson.iteration - 1)
    values = {"train/loss": lesson.loss, "memory/held": lesson.held}
    values |= {f"rate/{part}": rate * share for part, share in rate_shares(settings).items()}
    return values | {f"judge/stage{stage}": a for stage, a in lesson.judge.items()}
