"""The display of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.learning.lesson import Lesson
from training.learning.progress import Bar, Board, curves
from training.settings import TrainSettings

SETTINGS = replace(
    TrainSettings(), iterations=100, warm_up=0, rate=1.0, trunk_rate=0.5, memory_rate=2.0
)


def taught(iteration: int, loss: float = 1.0) -> Lesson:
    return Lesson(iteration - 4, iteration, loss, {1: 0.1, 4: 0.2}, 1.5)


def test_curves_have_the_rates_of_each_part() -> None:
    assert curves(taught(1), SETTINGS) == {
        "train/loss": 1.0,
        "memory/held": 1.5,
        "rate/head": 1.0,
        "rate/trunk": 0.5,
        "rate/memory": 2.0,
        "judge/stage1": 0.1,
        "judge/stage4": 0.2,
    }


def test_a_resumed_board_takes_back_what_a_kill_left_behind(tmp_path: Path) -> None:
    with Board(tmp_path, 0) as board:
        for iteration in (4, 8, 12):
            board.show(taught(iteration, loss=1.0), SETTINGS)
    with Board(tmp_path, 8) as board:
        for iteration in (12, 16):
            board.show(taught(iteration, loss=2.0), SETTINGS)
    seen = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")  # type: ignore[no-untyped-call]
    assert [(e.step, e.value) for e in seen] == [(4, 1.0), (8, 1.0), (12, 2.0), (16, 2.0)]


def test_without_a_terminal_there_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(100, 0) as bar:
        for iteration in range(4, 45, 4):
            bar.show(taught(iteration))
        bar.print("iteration 44 mIoU 50.00 %")
    assert capsys.readouterr().out.splitlines() == [
        "iteration 20 loss 1.0000",
        "iteration 40 loss 1.0000",
        "iteration 44 mIoU 50.00 %",
    ]
