"""An engine serves with a plan only if its masks are close to those of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from server.engines.base import Engine, Memory
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineDead, Fault
from server.frame import AnyPixels, Labels
from server.plans.trial import VerifiedEngine, agreement, follow
from server.sources.synthetic import pictures

SPEC = fake_spec(64, 96)
FRAMES = pictures(64, 96, SPEC.memory_frames + 1)


class Wrong(FakeEngine):
    """Returns another class on a share of the rows when it remembers something."""

    closed = False

    def __init__(self, share: float, **more: Any) -> None:
        super().__init__(SPEC, **more)
        self._rows = round(share * SPEC.height)

    def step(
        self, frames: Sequence[AnyPixels], memories: Sequence[Memory]
    ) -> tuple[list[Labels], list[Memory]]:
        found, kept = super().step(frames, memories)
        for labels, memory in zip(found, memories, strict=True):
            if self.filled(memory):
                labels[: self._rows] = (labels[: self._rows] + 1) % len(SPEC.classes)
        return found, kept

    def close(self) -> None:
        self.closed = True
        super().close()


def model() -> FakeEngine:
    return FakeEngine(SPEC)


def test_the_same_agrees_and_memory_is_part_of_it() -> None:
    right = follow(model(), FRAMES)
    assert right.finite and agreement(right, follow(model(), FRAMES)) == 1.0
    assert agreement(right, follow(Wrong(1.0), FRAMES)) == pytest.approx(1 / 3)
    assert agreement(right, follow(Wrong(0.25), FRAMES)) == pytest.approx(1 - 0.25 * 2 / 3)


def test_one_that_rounds_otherwise_serves() -> None:
    engine = Wrong(0.25)
    assert VerifiedEngine(lambda: engine, model)() is engine
    assert not engine.closed


def test_one_that_answers_otherwise_is_closed() -> None:
    engine = Wrong(1.0)
    with pytest.raises(Fault, match="on only 33% of a test pattern"):
        VerifiedEngine(lambda: engine, model)()
    assert engine.closed


def test_one_that_breaks_down_is_closed() -> None:
    def die(_: Any) -> None:
        raise EngineDead("the GPU is gone")

    engine = Wrong(0.0, on_step=die)
    with pytest.raises(EngineDead):
        VerifiedEngine(lambda: engine, model)()
    assert engine.closed


def test_it_is_tried_once() -> None:
    references: list[Engine] = []

    def reference() -> FakeEngine:
        references.append(model())
        return model()

    make = VerifiedEngine(model, reference)
    for _ in range(3):
        assert make().spec == SPEC
    assert len(references) == 1
