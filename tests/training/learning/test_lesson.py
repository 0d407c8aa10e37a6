"""The result of learning from a batch of clips."""

from __future__ import annotations

import pytest
import torch

from training.learning.lesson import Learned, Lesson, lesson


def test_means_leave_out_what_had_no_memory_to_judge() -> None:
    instants = [
        Learned(torch.tensor(1.0), {4: torch.tensor([0.9, 0.9])}, torch.tensor([0, 0])),
        Learned(torch.tensor(2.0), {4: torch.tensor([0.2, 0.9])}, torch.tensor([1, 0])),
        Learned(torch.tensor(6.0), {4: torch.tensor([0.4, 0.3])}, torch.tensor([2, 1])),
    ]
    told = lesson(10, instants)
    assert (told.start, told.iteration) == (10, 13)
    assert told.loss == pytest.approx(3.0)
    assert told.judge == {4: pytest.approx(0.3)}
    assert told.held == pytest.approx(4 / 6)


def test_a_plain_network_has_no_judge() -> None:
    assert lesson(0, [Learned(torch.tensor(1.0), {}, torch.tensor([0]))]).judge == {}


def test_what_is_due_depends_on_the_iterations_alone() -> None:
    def due(every: int) -> list[int]:
        told = [Lesson(i, i + 4, 0.0, {}, 0.0) for i in range(0, 24, 4)]
        return [each.iteration for each in told if each.passes(every)]

    assert due(10) == [12, 20]
    assert due(4) == due(1) == [4, 8, 12, 16, 20, 24]
    assert due(0) == due(100) == []
