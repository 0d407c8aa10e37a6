"""How many lanes a video gets: as many as the steps of the warm-up are worth."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from server.engines.fake import fake_spec
from server.engines.info import EngineInfo
from server.videos.lanes import lanes_for

SPEC = fake_spec(16, 32)


def engine(step_seconds: Mapping[int, float]) -> EngineInfo:
    return EngineInfo(SPEC, "fake", 8, step_seconds=step_seconds)


@pytest.mark.parametrize(
    ("step_seconds", "lanes"),
    [
        ({1: 10.0, 2: 10.0, 4: 10.0}, 4),  # a GPU that is not busy yet
        ({1: 10.0, 2: 20.0, 4: 40.0}, 1),  # a CPU: nothing is gained
        ({1: 10.0, 2: 11.0, 4: 22.0}, 2),  # full with two
        ({1: 10.0, 2: 18.1, 4: 40.0}, 2),  # 9.05 s a frame: just enough
        ({1: 10.0, 2: 18.3, 4: 40.0}, 1),  # 9.15 s: less than 10 % gained
        ({1: 10.0, 2: 19.0, 4: 30.0}, 4),  # only the largest is worth it
        ({4: 22.0, 2: 11.0, 1: 10.0}, 2),  # in any order
        ({1: 10.0}, 1),  # one frame at a time
        ({}, 1),  # not timed
    ],
)
def test_the_batch_at_which_frames_come_fastest_is_taken(
    step_seconds: Mapping[int, float], lanes: int
) -> None:
    assert lanes_for([engine(step_seconds)]) == lanes


def test_each_engine_gets_its_own_lanes() -> None:
    quick = engine({1: 10.0, 2: 10.0, 4: 10.0})
    slow = engine({1: 10.0, 2: 20.0, 4: 40.0})
    assert lanes_for([quick, slow, quick]) == 9
