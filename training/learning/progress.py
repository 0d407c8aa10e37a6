"""How a run is seen: a bar on a terminal, lines elsewhere, curves in TensorBoard."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.learning.lesson import Lesson
from training.settings import TrainSettings, learning_rate, rate_shares

LINE_EVERY = 20
"""Iterations between two lines where there is no terminal."""


class Bar:
    """A bar on a terminal, a line now and then elsewhere."""

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
        loss = lesson.loss
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        self.bar.update(
            self.task, completed=lesson.iteration, description=f"loss {self.smooth:.3f}"
        )
        if self.bar.disable and lesson.passes(LINE_EVERY):
            print(f"iteration {lesson.iteration} loss {self.smooth:.4f}", flush=True)

    def tell(self, sentence: str) -> None:
        """A line of its own, above the bar where there is one."""
        self.bar.console.print(sentence, highlight=False)


class Board:
    """Curves for TensorBoard in ``folder``, from ``start`` on: later ones of before a kill are
    taken back, and what lies before a checkpoint is on the disk when the checkpoint is."""

    def __init__(self, folder: Path, start: int) -> None:
        self.writer = SummaryWriter(str(folder), purge_step=start + 1)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    def show(self, lesson: Lesson, settings: TrainSettings) -> None:
        self.write(lesson.iteration, curves(lesson, settings))

    def write(self, iteration: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, iteration)

    def flush(self) -> None:
        self.writer.flush()


def curves(lesson: Lesson, settings: TrainSettings) -> dict[str, float]:
    """Loss, rates, the judge's statistic and the memory's mean fill, by TensorBoard's names."""
    rate = learning_rate(settings, lesson.iteration - 1)
    told = {"train/loss": lesson.loss, "memory/held": lesson.held}
    told |= {f"rate/{part}": rate * share for part, share in rate_shares(settings).items()}
    return told | {f"judge/stage{stage}": a for stage, a in lesson.judge.items()}
