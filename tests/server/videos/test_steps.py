"""A server's next step for videos, from the rows that it shares with others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.database.video_record import Standing
from server.videos.steps import Step, first_to_do, is_idle, others_work, step_of

MINE = "signature"
FRESH = Standing("a", None, whole_is_free=True, free=0, held=0, done=0, total=0, untouched=1e9)
PLANNED = replace(FRESH, planned_for=MINE, free=8, total=8)


@pytest.mark.parametrize(
    ("video", "step"),
    [
        (FRESH, Step.PLAN),
        (replace(FRESH, whole_is_free=False), None),
        (PLANNED, Step.SEGMENT),
        (replace(PLANNED, whole_is_free=False), Step.SEGMENT),
        (replace(PLANNED, free=1, held=5, done=2), Step.SEGMENT),
        (replace(PLANNED, free=0, held=1, done=7), None),
        (replace(PLANNED, free=0, held=0, done=8), Step.JOIN),
        (replace(PLANNED, free=0, held=0, done=8, whole_is_free=False), None),
    ],
)
def test_a_video_is_planned_by_one_segmented_by_all_and_joined_by_one(
    video: Standing, step: Step | None
) -> None:
    assert step_of(video, MINE) is step


@pytest.mark.parametrize(
    ("video", "step"),
    [
        (PLANNED, Step.PLAN),
        (replace(PLANNED, free=0, done=8), Step.PLAN),
        (replace(PLANNED, held=1), None),
        (replace(PLANNED, whole_is_free=False), None),
    ],
)
def test_a_plan_of_another_model_is_replaced_if_nobody_follows_it(
    video: Standing, step: Step | None
) -> None:
    assert step_of(video, "another") is step


def test_a_plan_of_another_model_is_left_alone_for_a_while() -> None:
    """Its server has no piece for a moment after each."""
    assert step_of(replace(PLANNED, untouched=9.9), "another", patience=10.0) is None
    assert step_of(replace(PLANNED, untouched=10.0), "another", patience=10.0) is Step.PLAN
    assert step_of(replace(PLANNED, untouched=0.0), MINE, patience=10.0) is Step.SEGMENT
    assert step_of(replace(FRESH, untouched=0.0), MINE, patience=10.0) is Step.PLAN
    assert first_to_do([replace(PLANNED, untouched=1.0)], "another", [], 10.0) is None


def test_the_oldest_video_with_something_to_do_comes_first() -> None:
    """But not one that this server works on already."""
    full = replace(PLANNED, free=0, held=8)
    second, third = replace(FRESH, id="b"), replace(PLANNED, id="c")
    assert first_to_do([full, second, third], MINE, []) is second
    assert first_to_do([full, second, third], MINE, ["b"]) is third
    assert first_to_do([full, second], MINE, ["b"]) is None
    assert first_to_do([], MINE, []) is None


def test_work_of_others_is_watched() -> None:
    assert others_work([PLANNED], [])
    assert not others_work([PLANNED], ["a"])


def test_nobody_works_on_a_video_of_which_nothing_is_held() -> None:
    assert is_idle(PLANNED) and is_idle(FRESH)
    assert not is_idle(replace(PLANNED, held=1))
    assert not is_idle(replace(FRESH, whole_is_free=False))
